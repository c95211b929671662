"""Ray on the cores of one machine: one worker and two, a thread each, and this process without Ray.

    OMP_NUM_THREADS=1 python -m fashionrec_assets_tests.benchmarks.ray_scaling [--quick]

Photos of a generated shop are cropped and their captions encoded, by the works of the stages. A pool of workers starts,
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fashionrec_assets.crops.work import GroundPhotos, PhotoRow
from fashionrec_assets.embeddings.work import Texts, TextVectors
from fashionrec_assets.resources.compute import Compute, Local, Made, Work
from fashionrec_assets.resources.ray_compute import Ray, join
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.sample import generate_shop
from fashionrec_assets.settings import ComputeSettings, Settings
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, command

BATCH = 16
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


def timed(compute: Compute, work: Work[Any, Made], batches: Sequence[Any], into: Timed) -> None:
    """One round of `work` on `batches`."""
    began, warm = time.perf_counter(), min(WARM, len(batches) // 3)
    times: list[float] = []
    into.outputs = {}
    with closing(compute.map(work, range(len(batches)), batches.__getitem__)) as found:
        for made in found:
            into.outputs |= made.outputs
            times.append(time.perf_counter())
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


def measure(quick: bool) -> list[Comparison]:
    """One worker against two, and two workers against this process, for crops and for text vectors."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    items, rounds = (96, 1) if quick else (1_000, 3)
    cores = max(2, os.cpu_count() or 1)
    results: list[Comparison] = []
    with tempfile.TemporaryDirectory() as temporary:
        shop = Shop(Settings.load(home=Path(temporary) / "home"), ())
        photos = photo_batches(Path(temporary) / "shop", items)
        works: list[tuple[str, Work[Any, Made], Callable[[int], Sequence[Any]]]] = [
            ("crops", GroundPhotos(shop), lambda number: photos),
            ("text vectors", TextVectors(shop), lambda number: text_batches(items, number)),
        ]
        ray = join(_settings(cores))
        try:
            for what, work, batches in works:
                results += _of(what, work, batches, rounds)
        finally:
            ray.shutdown()
    return results


def _settings(workers: int) -> ComputeSettings:
    return ComputeSettings(engine="ray", workers=workers, object_store_mb=200)


def _of(what: str, work: Work[Any, Made], batches: Callable[[int], Sequence[Any]], rounds: int) -> list[Comparison]:
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
        f"{len(outputs)} items in batches of {BATCH}, a thread each; seconds a batch once all are at work; "
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
