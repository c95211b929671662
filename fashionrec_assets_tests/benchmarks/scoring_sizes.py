"""Ranking and measuring 2,000 people over 10,000, 100,000 and a million items: seconds and peak memory at each size.

`python -m fashionrec_assets_tests.benchmarks.scoring_sizes [--quick]`. Every size runs in a process of its own, which
makes the shop outside of the clock and then scores, masks, ranks, measures and resamples. The history is the same
number of events at every size. `--one` runs a single size: `vectors` (inner products of 64 dimensions), `popularity` or
`item_knn` (which is fitted within the clock too).

Memory: what is held per score is bounded by `metrics.block_size`, whatever the number of items; vectors and popularity
themselves grow with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask, ranking_task
from fashionrec_assets.evaluation.metrics import find_hits, rank, slice_metrics
from fashionrec_assets.evaluation.ranking_resamples import slice_rows
from fashionrec_assets.evaluation.recommender import Recommender
from fashionrec_assets.ranking.sources.item_knn import ItemKnn, neighbours_for
from fashionrec_assets.ranking.sources.popularity import Popularity
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, Growth, command_line, in_a_process, tell

PEOPLE, EVENTS, DRAWS, K = 2_000, 100_000, 1_000, 20
_DIM = 64
_CUT = 1_000


@dataclass(frozen=True)
class Vectors:
    """Inner products, as the two-tower model's are."""

    users: NDArray[np.float32]
    item_vectors: NDArray[np.float32]
    name: str = "vectors"

    def user_vectors(self, user_rows: NDArray[np.int32], /) -> NDArray[np.float32]:
        return self.users[user_rows]

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        return self.users[user_rows] @ self.item_vectors.T


def shop(items: int, people: int) -> RankingTask:
    """A few items are what most events are about, however many there are; everybody has five targets."""
    rng = np.random.default_rng(0)
    liked = np.minimum((rng.pareto(1.0, EVENTS) * 200).astype(np.int64), items - 1)
    later = rng.integers(0, items, (people, 5))
    log = EventLog.build(
        user_ids=np.char.zfill(np.arange(people).astype(str), 8).tolist(),
        item_ids=np.char.zfill(np.arange(items).astype(str), 8).tolist(),
        users=np.concatenate([rng.integers(0, people, EVENTS), np.repeat(np.arange(people), 5)]).astype(np.int32),
        items=np.concatenate([liked, later.ravel()]).astype(np.int32),
        times=np.concatenate([np.zeros(EVENTS, np.int64), np.full(later.size, _CUT)]),
        behaviours=np.zeros(EVENTS + later.size, np.int8),
    )
    return ranking_task(log, name="test", start=_CUT, end=_CUT + 1)


def fitting(method: str, task: RankingTask) -> Callable[[], Recommender]:
    """What fits a method, within the clock; vectors are there already."""
    rng = np.random.default_rng(1)
    match method:
        case "vectors":
            users, items = (
                rng.standard_normal((n, _DIM), dtype=np.float32) for n in (task.history.n_users, task.n_items)
            )
            return lambda: Vectors(users, items)
        case "popularity":
            return lambda: Popularity.fit(task.history)
        case "item_knn":
            return lambda: ItemKnn.fit(task.history, neighbours=neighbours_for(task.n_items, 300))
        case _:
            raise ValueError(f"no method {method}")


def one(method: str, items: int, people: int) -> dict[str, float]:
    """Seconds of fitting, ranking, measuring and resampling."""
    task = shop(items, people)
    fit = fitting(method, task)
    began = time.perf_counter()
    lists = rank(task, fit(), K)
    found = slice_metrics(task, find_hits(task, lists), "overall", [10, K])
    slice_rows("overall", {method: found}, DRAWS, 0)
    return {"seconds": time.perf_counter() - began}


def measure(quick: bool) -> list[Comparison | Growth]:
    sizes, people = ((1_000, 4_000, 16_000), 200) if quick else ((10_000, 100_000, 1_000_000), PEOPLE)
    words = {
        "vectors": f"score ({_DIM} dimensions), mask, top-{K}, metrics, {DRAWS:,} resamples",
        "popularity": f"popularity: fit, mask, top-{K}, metrics, {DRAWS:,} resamples",
        "item_knn": f"item-kNN (300 neighbours): fit, score, mask, top-{K}, metrics, {DRAWS:,} resamples",
    }
    results: list[Comparison | Growth] = []
    for method, what in words.items():
        found = [
            in_a_process(
                "fashionrec_assets_tests.benchmarks.scoring_sizes",
                *("--one", method, "--items", str(size), "--people", str(people)),
            )
            for size in sizes
        ]
        note = f"{people:,} people, {EVENTS:,} events; the process makes the shop too, which its memory includes"
        seconds, mib = [one.seconds for one in found], [one.mib for one in found]
        results.append(Growth(what, "items", sizes, seconds, mib, note=note))
    return results


def main() -> None:
    asked = command_line(__doc__)
    asked.add_argument("--one", metavar="METHOD", help="this method at one size, in this process")
    asked.add_argument("--items", type=int, default=10_000)
    asked.add_argument("--people", type=int, default=PEOPLE)
    given = asked.parse_args()
    if given.one:
        print(json.dumps(one(given.one, given.items, given.people)))
        return
    tell("scoring_sizes", measure(given.quick), quick=given.quick)


if __name__ == "__main__":
    main()
