"""Homepages of a fixed number of people in catalogs of growing size: candidates, features, ranking, shelves, facts.

`python -m fashionrec_assets_tests.benchmarks.page_sizes [--users 500] [--sizes N ...] [--quick]`. Each size runs in a
process of its own: the catalog, the log (two events an item, at least 200,000) and all vectors are generated, and what
is fitted once a night (`Knowledge`) is made before the clock starts. User vectors are means of item vectors: the user
tower costs the same whatever the catalog's size. The ranker has the standard shape and random weights.

Belongs here: the generated shop and the clock. Does not belong here: training, writing of tables, explanations' texts.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import ALWAYS
from fashionrec_assets.index.building import build
from fashionrec_assets.ranking.features import COUNTS, NAMES
from fashionrec_assets.ranking.knowledge import DAY, Knowledge, Tower
from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
from fashionrec_assets.ranking.ranker import Ranker, network_of
from fashionrec_assets.recommendations.cosines import rounded_units
from fashionrec_assets.recommendations.explanations.homepage_facts import SHARED, Catalog, HomepageFacts
from fashionrec_assets.recommendations.homepage import PageMaker, batches
from fashionrec_assets.recommendations.popular import popular_items, trend_of
from fashionrec_assets.recommendations.shelves import SHELVES, ShelfItems, new_items
from fashionrec_assets.settings import Settings
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.recommender import TwoTowerRecommender
from fashionrec_assets_tests.benchmarks.comparisons import Growth, command_line, in_a_process, peak_mib, tell

NAME = "fashionrec_assets_tests.benchmarks.page_sizes"
SIZES, USERS = (10_000, 100_000, 1_000_000), 500
QUICK_SIZES, QUICK_USERS = (1_000, 2_000), 20
EVENTS_A_USER, DAYS, START = 10, 7, 19_900 * DAY
WIDTH, TERMS, TERMS_AN_ITEM = 64, 20_000, 8


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="items of each catalog")
    parser.add_argument("--items", type=int, help="one size, in this process; prints its seconds")
    given = parser.parse_args()
    if given.items:
        print(json.dumps(one_size(given.items, given.users)))
        return
    tell("page_sizes", measure(given.quick, given.users, given.sizes), quick=given.quick)


def measure(quick: bool, users: int = USERS, sizes: Sequence[int] = SIZES) -> list[Growth]:
    """Seconds and peak memory of the pages of `users` people at each size."""
    if quick:
        sizes, users = QUICK_SIZES, QUICK_USERS
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    runs = [in_a_process(NAME, "--items", str(n), "--users", str(users), environment=threads) for n in sizes]
    before = ", ".join(f"{run.said['fitted_mib']:,.0f}" for run in runs)
    return [
        Growth(
            f"homepages of {users} people",
            "items",
            sizes,
            [run.seconds for run in runs],
            [run.mib for run in runs],
            note=f"1 thread; candidates, features, scores, shelves and facts; vectors of {WIDTH} numbers; "
            f"peak memory before the first page {before} MiB",
        )
    ]


@dataclass(frozen=True)
class GivenVectors:
    """What `TwoTowerRecommender` says of users, as means of the vectors of what they turned to."""

    log: EventLog
    item_vectors: NDArray[np.float32]

    def of_people(self, log: EventLog, profiles: UserProfiles | None) -> GivenVectors:
        return GivenVectors(log, self.item_vectors)

    def user_vectors(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        mine = sparse.csr_array(
            (np.ones(len(self.log), np.float32), self.log.items, self.log.offsets()),
            shape=(self.log.n_users, self.log.n_items),
        )[user_rows]
        return (mine @ self.item_vectors) / np.maximum(np.diff(mine.indptr), 1).astype(np.float32)[:, None]


def one_size(items: int, users: int, seed: int = 5) -> dict[str, Any]:
    """`seconds` of the pages of `users` people in a shop of `items` items, how many rows they have, and the peak memory
    when all was fitted."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        settings = Settings.load(home=Path(home))
    known, features = shop_of(items, settings, seed)
    ranker = ranker_of(settings, seed)
    fusion = LateFusionRecommender(ranker, known, settings.ranking)
    shelf_items = shelves_of(known, settings)
    facts = HomepageFacts(known, ranker, catalog_of(known, features, settings), settings)
    popular = popular_items(known.log, settings.recommendations, shelf_items.shown[SHELVES.index("popular")])
    chosen = np.sort(np.random.default_rng(seed).choice(known.log.n_users, users, replace=False))
    fitted = peak_mib()
    began = time.perf_counter()
    maker = PageMaker.of(
        known.log,
        fusion.ranked,
        shelf_items,
        popular,
        settings.recommendations,
        lambda block, shown: facts.of(block, shown.pair),
    )
    rows = sum(len(maker.pages(some)) for some in batches(chosen))
    return {"seconds": time.perf_counter() - began, "rows": rows, "fitted_mib": fitted}


def shop_of(items: int, settings: Settings, seed: int) -> tuple[Knowledge, ItemFeatures]:
    """What is known of a generated shop: a few items sell most, and people stay within a style."""
    rng = np.random.default_rng(seed)
    events = max(200_000, 2 * items)
    users = events // EVENTS_A_USER
    width = len(str(items))
    ids = [f"{row:0{width}d}" for row in range(items)]
    who = rng.integers(0, users, events)
    styles = 50
    # Zipf's law within a style: item = style + styles * place, the first places taken most.
    place = (items // styles) ** rng.random(events)
    what = np.minimum(who % styles + styles * (place.astype(np.int64) - 1), items - 1)
    other = rng.random(events) < 0.3
    what[other] = rng.integers(0, items, int(other.sum()))
    times = START + rng.integers(0, DAYS * DAY, events)
    log = EventLog.build(
        [f"u{row:08d}" for row in range(users)],
        ids,
        who.tolist(),
        what.tolist(),
        times.tolist(),
        rng.choice(4, events, p=[0.9, 0.03, 0.04, 0.03]).tolist(),
    )
    style = np.arange(items) % styles
    centres = rng.normal(size=(styles, WIDTH)).astype(np.float32)

    def vectors() -> NDArray[np.float32]:
        return centres[style] + rng.normal(size=(items, WIDTH), scale=0.7).astype(np.float32)

    features = ItemFeatures.build(
        ids,
        text=vectors(),
        has_text=np.ones(items, bool),
        image=vectors(),
        has_image=rng.random(items) < 0.9,
        categories={
            "family_id": [f"f{row}" for row in (np.arange(items) // styles // 3 * styles + style).tolist()],
            **{
                name: [f"{name}{code}" for code in ((style + rng.integers(0, 3, items)) % count).tolist()]
                for name, count in zip(SHARED, (50, 12, 6, 5, 3, 300), strict=True)
            },
        },
        price=np.exp(rng.normal(3, 1, items)),
        launched_at=np.full(items, ALWAYS),
    )
    terms = terms_of(style, rng)
    known = Knowledge.of(log, features, terms, as_of=START + DAYS * DAY, tower=None, index=settings.index)
    tower = features.modalities["text"].values / np.float32(np.sqrt(WIDTH))
    users_of = cast(TwoTowerRecommender, GivenVectors(log, tower))
    index = build(log.item_ids, tower, settings.index, seed=seed)
    return replace(known, tower=Tower(users_of, index)), features


def terms_of(style: NDArray[np.int64], rng: np.random.Generator) -> sparse.csr_array:
    """Terms of every item as `text_features` gives them: words by Zipf's law, half of them those of the style."""
    n = len(style)
    words = (TERMS ** rng.random((n, TERMS_AN_ITEM))).astype(np.int32) - 1
    half = TERMS_AN_ITEM // 2
    words[:, :half] = (words[:, :half] // 7 * 7 + style[:, None] * 131) % TERMS
    rows = np.repeat(np.arange(n, dtype=np.int32), TERMS_AN_ITEM)
    # What stands in every other text says little: inverse document frequency.
    often = np.bincount(words.ravel(), minlength=TERMS)
    weights = (1 + np.log((1 + n) / (1 + often)))[words.ravel()].astype(np.float32)
    terms = sparse.csr_array((weights, (rows, words.ravel())), shape=(n, TERMS))
    terms.sum_duplicates()
    norms = np.sqrt(np.asarray((terms * terms).sum(axis=1)).ravel())
    terms.data /= np.repeat(norms, np.diff(terms.indptr)).astype(np.float32)
    return terms


def ranker_of(settings: Settings, seed: int) -> Ranker:
    """A ranker of the standard shape that nobody trained."""
    import torch

    torch.manual_seed(seed)
    networks = tuple(network_of(len(NAMES), settings.ranking).eval() for _ in range(settings.ranking.folds))
    scale = np.asarray([1.0 if name in COUNTS else 0.0 for name in NAMES], np.float32)
    nothing, one = np.zeros(len(NAMES), np.float32), np.ones(len(NAMES), np.float32)
    return Ranker(networks, scale, nothing, one, 0.0, {"any": (0.0, 1.0, 0.1)}, settings.ranking, 0.0)


def shelves_of(known: Knowledge, settings: Settings) -> ShelfItems:
    n = known.log.n_items
    launched = np.full(n, ALWAYS)
    return ShelfItems(
        content=rounded_units(np.concatenate([known.text, known.image], axis=1)),
        taste=rounded_units(known.tower.vectors if known.tower else known.text),
        families=known.families.codes,
        kinds=known.categories["product_type"],
        is_new=new_items(known.people, launched, known.as_of, settings.recommendations.new_days),
        trend=trend_of(known.log, settings.recommendations),
        shown=np.ones((len(SHELVES), n), bool),
        caps=((),) * len(SHELVES),
    )


def catalog_of(known: Knowledge, features: ItemFeatures, settings: Settings) -> Catalog:
    n, columns = known.log.n_items, {name: features.categories[name].tolist() for name in SHARED}
    price = np.exp(known.price.astype(np.float64)).tolist()
    return Catalog.of(
        known.log,
        [f"item {row}" for row in range(n)],
        columns,
        price,
        np.full(n, ALWAYS),
        people=trend_of(known.log, settings.recommendations),
        days=settings.recommendations.popular_days,
    )


if __name__ == "__main__":
    main()
