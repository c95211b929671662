"""Ray on the cores of one machine: one worker and two, a thread each, and this process without Ray.

    OMP_NUM_THREADS=1 python -m fashionrec_assets_tests.benchmarks.ray_scaling [--quick]

Photos of a generated shop are cropped, captions encoded, and homepages made for the people of a generated log, by the
works of the stages; the models behind the pages are of the standard shape and not trained. A pool of workers starts,
imports and loads its model for every stage: the first results do not count, the seconds are those from there to the
last result, over the batches between them, and the note says how long the very first took. What workers give is
compared with what this process gives.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.crops.work import GroundPhotos, PhotoRow
from fashionrec_assets.embeddings.work import Texts, TextVectors
from fashionrec_assets.index.building import build
from fashionrec_assets.recommendations.fingerprints import output_fps
from fashionrec_assets.recommendations.page_inputs import PageInputs
from fashionrec_assets.recommendations.popular import popular_items
from fashionrec_assets.recommendations.shelves import SHELVES
from fashionrec_assets.recommendations.work import Pages
from fashionrec_assets.resources.compute import Compute, Local, Made, Work
from fashionrec_assets.resources.far_shop import FarShop
from fashionrec_assets.resources.ray_compute import Ray, join
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.sample import generate_shop
from fashionrec_assets.settings import ComputeSettings, Settings
from fashionrec_assets.towers.popularity import PopularityHistory
from fashionrec_assets.towers.reading import SERVED
from fashionrec_assets.towers.untrained import untrained
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, command
from fashionrec_assets_tests.benchmarks.page_sizes import catalog_of, ranker_of, shelves_of, shop_of

BATCH, PAGES = 16, 64
"""Photos or texts, and users, of a batch."""
WARM = 8
"""Results that do not count: by then every worker has loaded its model."""
ADJECTIVES = ("red", "navy", "striped", "floral", "cotton", "linen", "slim", "oversized", "cropped", "vintage")
GARMENTS = ("dress", "shirt", "trousers", "jacket", "skirt", "sweater", "coat", "blouse", "shorts", "jumpsuit")


@dataclass
class Timed:
    """Seconds a batch of every round, seconds to the first result, and the digests of what came out."""

    batch: list[float] = field(default_factory=list[float])
    first: list[float] = field(default_factory=list[float])
    outputs: dict[str, str] = field(default_factory=dict[str, str])


def timed(compute: Compute, work: Work[Any, Any], batches: Sequence[Any], into: Timed) -> None:
    """One round of `work` on `batches`."""
    began, warm = time.perf_counter(), min(WARM, len(batches) // 3)
    times: list[float] = []
    results: list[Made | pa.Table] = []
    with closing(compute.map(work, range(len(batches)), batches.__getitem__)) as found:
        for made in found:
            results.append(made)
            times.append(time.perf_counter())
    digests = [made.outputs if isinstance(made, Made) else output_fps(made, "user_id") for made in results]
    into.outputs = {key: output for one in digests for key, output in one.items()}
    into.first.append(times[0] - began)
    into.batch.append((times[-1] - times[warm - 1]) / (len(batches) - warm))


def photo_batches(folder: Path, items: int) -> list[list[PhotoRow]]:
    """Photos of a sample shop, as the crop stage reads them."""
    generate_shop(folder, items=items, users=20, events=200, seed=3)
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    rows = [PhotoRow(f"{number:06d}", None, None, path.read_bytes()) for number, path in enumerate(files)]
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def text_batches(items: int, number_of_round: int) -> list[Texts]:
    """Captions of about twenty words, as the stage of text vectors reads them; others in each round, for an encoder
    remembers what it has read."""
    texts: list[str] = []
    for number in range(items):
        words = [ADJECTIVES[(number * step + number // 10) % 10] for step in range(1, 16)]
        texts.append(f"{' '.join(words)} {GARMENTS[number % 10]} number {number} of {number_of_round}")
    keys = [f"{number:06d}" for number in range(items)]
    return [Texts(keys[start : start + BATCH], texts[start : start + BATCH]) for start in range(0, items, BATCH)]


def page_work(folder: Path, items: int, users: int, seed: int = 5) -> tuple[Pages, list[NDArray[np.int64]]]:
    """The work on the homepages of a generated shop whose models lie in `folder`, and the batches of `users` people."""
    import torch

    settings = Settings.load(home=folder)
    known, features = shop_of(items, settings, seed)
    torch.manual_seed(seed)
    history = PopularityHistory.of(known.log, settings.two_tower.popularity_half_lives)
    gap = settings.catalog.session_gap_minutes * 60
    model = untrained(
        known.log, features, history, settings.two_tower, "v1", profiles=None, helpful=False, session_gap=gap
    )
    vectors = model.item_vectors(features)
    shop = FarShop(settings, dict.fromkeys(Pages.models, "v1"))
    model.save(shop.artifacts.root / "two_tower_model" / "v1" / SERVED)
    ranker_of(settings, seed).save(shop.artifacts.root / "late_fusion_model" / "v1" / SERVED)
    build(known.log.item_ids, vectors, settings.index).save(shop.artifacts.root / "faiss_index" / "v1")
    shelves = shelves_of(known, settings)
    popular = popular_items(known.log, settings.recommendations, shelves.shown[SHELVES.index("popular")])
    inputs = PageInputs(replace(known, tower=None), vectors, shelves, popular, catalog_of(known, features, settings))
    chosen = np.sort(np.random.default_rng(seed).choice(known.log.n_users, users, replace=False))
    return Pages(shop, inputs), [chosen[start : start + PAGES] for start in range(0, users, PAGES)]


def measure(quick: bool) -> list[Comparison]:
    """One worker against two, and two workers against this process, for crops, text vectors and homepages."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    items, rounds = (96, 1) if quick else (1_000, 3)
    sizes = (500, 6 * PAGES) if quick else (10_000, 24 * PAGES)
    cores = max(2, os.cpu_count() or 1)
    results: list[Comparison] = []
    with tempfile.TemporaryDirectory() as temporary:
        shop = Shop(Settings.load(home=Path(temporary) / "home"), ())
        photos = photo_batches(Path(temporary) / "shop", items)
        pages, people = page_work(Path(temporary) / "pages", *sizes)
        works: list[tuple[str, Work[Any, Any], Callable[[int], Sequence[Any]], str]] = [
            ("crops", GroundPhotos(shop), lambda number: photos, f"photos, {BATCH} a batch"),
            ("text vectors", TextVectors(shop), lambda number: text_batches(items, number), f"texts, {BATCH} a batch"),
            ("homepages", pages, lambda number: people, f"people, {PAGES} a batch, in a shop of {sizes[0]:,} items"),
        ]
        ray = join(_settings(cores))
        try:
            for what, work, batches, units in works:
                results += _of(what, work, batches, rounds, units)
        finally:
            ray.shutdown()
    return results


def _settings(workers: int) -> ComputeSettings:
    return ComputeSettings(engine="ray", workers=workers, object_store_mb=200)


def _of(
    what: str, work: Work[Any, Any], batches: Callable[[int], Sequence[Any]], rounds: int, units: str
) -> list[Comparison]:
    ways: dict[str, Compute] = {"here": Local(), "one": Ray(_settings(1)), "two": Ray(_settings(2))}
    times = {name: Timed() for name in ways}
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else list(reversed(ways)):
            timed(ways[name], work, batches(number), times[name])
    outputs = times["here"].outputs
    assert all(one.outputs == outputs for one in times.values()), "workers gave something else"
    efficiency = statistics.median(
        one / (2 * two) for one, two in zip(times["one"].batch, times["two"].batch, strict=True)
    )
    equal = f"digests of {len(outputs)} outputs"
    note = (
        f"{len(outputs)} {units}, a thread each; seconds a batch once all are at work; "
        f"the first result took {statistics.median(times['two'].first):.1f} s"
    )
    return [
        Comparison(
            f"{what}: two Ray workers",
            "one Ray worker",
            times["two"].batch,
            times["one"].batch,
            equal=equal,
            note=f"parallel efficiency {efficiency:.2f} (1: twice as fast); {note}",
        ),
        Comparison(
            f"{what}: two Ray workers",
            "this process, without Ray",
            times["two"].batch,
            times["here"].batch,
            equal=equal,
            note=note,
        ),
    ]


if __name__ == "__main__":
    command("ray_scaling", measure, __doc__)
