"""Our evaluator beside RecBole's and RecTools': the same scores, the same figures to 1e-6.

`FASHIONREC_BENCH_PYTHON=... python -m fashionrec_assets_tests.benchmarks.evaluators [--quick]`. Recall, NDCG,
precision and MRR at 10 and 20 of 20,000 people over 20,000 items, one thread on all sides. Scores are inner products of
vectors that are exact in single precision, and no two of a person are equal: whoever ranks, the lists must be the same.

How many people are scored and ranked at a time decides much of the time on both sides. So RecBole stands here three
times: at its default and ours, at equal blocks, and at the blocks with which it is fastest of those tried here.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask, ranking_task
from fashionrec_assets.evaluation.metrics import PER_USER_METRICS, block_size, find_hits, rank, slice_metrics
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, Growth, Others, command, in_turns

KS = (10, 20)
THREADS = 1
_DIM = 64
_CUT = 1_000
_CLOSE = 1e-6
_RECBOLE_SCORES = 4096
"""RecBole's `eval_batch_size`: scores in a block, which has one person at least."""
_BLOCKS_TRIED = (16, 32, 64, 128)


@dataclass
class Factors:
    """Inner products of user and item vectors; `spent` is the time they took so far."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    name: str = "factors"
    spent: float = 0.0

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        began = time.perf_counter()
        scores = self.users[user_rows] @ self.items.T
        self.spent += time.perf_counter() - began
        return scores


def factors(n_users: int, n_items: int, seed: int = 0) -> Factors:
    """Whole numbers from -3 to 3, and in the last dimension a fraction of its own for every item."""
    rng = np.random.default_rng(seed)
    users = rng.integers(-3, 4, (n_users, _DIM)).astype(np.float32)
    items = rng.integers(-3, 4, (n_items, _DIM)).astype(np.float32)
    users[:, -1] = 1
    items[:, -1] = rng.permutation(n_items) / 2.0**15
    return Factors(users, items)


def task_of(scorer: Factors, seed: int = 0) -> RankingTask:
    """Thirty items of history each, and one to eight targets, about half of them where the scores are high."""
    rng = np.random.default_rng(seed)
    (n_users, _), (n_items, _) = scorer.users.shape, scorer.items.shape
    seen = rng.integers(0, n_items, (n_users, 30))
    targets: list[NDArray[np.int64]] = []
    for start in range(0, n_users, 512):
        scores = scorer.score(np.arange(start, min(start + 512, n_users), dtype=np.int32))
        near = np.argpartition(scores, n_items - 60, axis=1)[:, n_items - 60 :]
        likely = np.take_along_axis(near, rng.integers(0, 60, (len(near), 4)), axis=1)
        targets.append(np.concatenate([likely, rng.integers(0, n_items, (len(near), 4))], axis=1))
    wanted = np.concatenate(targets)
    shown = rng.permuted(np.arange(8)[None, :].repeat(n_users, axis=0), axis=1) < rng.integers(1, 9, (n_users, 1))
    owners = np.arange(n_users)
    users = np.concatenate([np.repeat(owners, 30), np.repeat(owners, shown.sum(axis=1))])
    times = np.concatenate([np.zeros(30 * n_users, np.int64), np.full(int(shown.sum()), _CUT)])
    log = EventLog.build(
        np.char.zfill(owners.astype(str), 8).tolist(),
        np.char.zfill(np.arange(n_items).astype(str), 8).tolist(),
        users,
        np.concatenate([seen.ravel(), wanted[shown]]),
        times,
        np.zeros(len(users), np.int8),
    )
    return ranking_task(log, name="test", start=_CUT, end=_CUT + 1)


def figures(task: RankingTask, lists: NDArray[np.int32]) -> dict[str, float]:
    """Our means, by the names that the others give them."""
    values = slice_metrics(task, find_hits(task, lists), "overall", KS).values
    return {f"{metric}@{k}": float(values[metric, k].mean()) for metric in PER_USER_METRICS for k in KS}


def check(ours: dict[str, float], theirs: dict[str, float], whose: str) -> None:
    """Raises AssertionError where a figure is not the same to 1e-6."""
    for name, value in ours.items():
        if abs(theirs[name] - value) > _CLOSE:
            raise AssertionError(f"{whose} finds {name} = {theirs[name]}, we find {value}")


def _write(task: RankingTask, scorer: Factors, lists: NDArray[np.int32], folder: Path) -> None:
    """Everybody's figures are over the task's people, numbered from 0."""
    np.save(folder / "user_factors.npy", scorer.users[task.users])
    np.save(folder / "item_factors.npy", scorer.items)
    seen = task.seen[task.users]
    owners = np.repeat(np.arange(len(task.users)), np.diff(seen.indptr))
    np.save(folder / "history.npy", np.stack([owners, seen.indices.astype(np.int64)]))
    np.save(folder / "targets.npy", np.stack([task.target_rows, task.target_items.astype(np.int64)]))
    np.save(folder / "lists.npy", lists)


def measure(quick: bool) -> list[Comparison | Growth]:
    size, rounds, block = (2_000, 2, 256) if quick else (20_000, 5, 256)
    with threadpool_limits(THREADS), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scorer = factors(size, size)
        task = task_of(scorer)
        k = max(KS)
        lists = rank(task, scorer, k, block=block)
        mine = figures(task, lists)
        _write(task, scorer, lists, folder)
        asked = {"folder": str(folder), "ks": KS, "block": block, "threads": THREADS}
        note = f"{len(task.users):,} people × {size:,} items, {_DIM} dimensions, lists of {k}, {THREADS} thread each"
        equal = "Recall, NDCG, precision and MRR at 10 and 20, to 1e-6"

        def from_scores(people: int) -> float:
            scorer.spent, began = 0.0, time.perf_counter()
            figures(task, rank(task, scorer, k, block=people))
            return time.perf_counter() - began - scorer.spent

        results: list[Comparison | Growth] = []
        recbole = Others("recbole_eval")

        def evaluated(people: int) -> float:
            recbole.ask("load", **{**asked, "block": people})
            found = recbole.ask("evaluate")
            check(mine, found["metrics"], "RecBole")
            return float(found["seconds"])

        default, own = max(_RECBOLE_SCORES // size, 1), block_size(size)
        evaluated(_BLOCKS_TRIED[0])
        fastest = min(_BLOCKS_TRIED, key=evaluated)
        tried = ", ".join(map(str, _BLOCKS_TRIED))
        for theirs_block, why, our_block, ours_why, turns in (
            (default, "its default", own, "our default", 2),
            (block, "as ours", block, "as theirs", rounds),
            (fastest, f"its fastest of {tried}", own, "our default", rounds),
        ):
            # The round that does not count, of each.
            evaluated(theirs_block)
            from_scores(our_block)

            def ours_of(people: int = our_block) -> float:
                return from_scores(people)

            ours, theirs = in_turns(ours_of, lambda: recbole.seconds("evaluate"), turns, warm_up=0)
            what = "from score blocks to metrics: mask the history, top-K, four metrics at two cut-offs"
            blocks = f"people in a block: ours {our_block} ({ours_why}), RecBole {theirs_block} ({why})"
            apart = f"{note}; {blocks}; making the scores, and RecBole's loader, are outside of the clock"
            alternative = f"RecBole 1.2.1, blocks of {theirs_block}"
            results.append(Comparison(what, alternative, ours, theirs, 1 / 5, equal, apart))
        recbole.close()

        rectools = Others("rectools_eval")
        rectools.ask("load", **asked)
        check(mine, rectools.ask("measure")["metrics"], "RecTools")
        ours, theirs = in_turns(lambda: figures(task, lists), lambda: rectools.seconds("measure"), rounds)
        results.append(
            Comparison("metrics of given lists", "RecTools 0.19.0 calc_metrics", ours, theirs, 1 / 2, equal, note)
        )
        for ranker in ("implicit", "torch"):
            check(mine, rectools.ask("recommend", ranker=ranker)["metrics"], f"RecTools with its {ranker} ranker")

            def theirs_of(ranker: str = ranker) -> float:
                return rectools.seconds("recommend", ranker=ranker)

            ours, theirs = in_turns(lambda: figures(task, rank(task, scorer, k)), theirs_of, rounds, warm_up=0)
            alternative = f"RecTools 0.19.0, {ranker} ranker and calc_metrics"
            what = "from vectors to metrics: score, mask, top-K, metrics"
            results.append(Comparison(what, alternative, ours, theirs, 1 / 2, equal, note))
        rectools.close()
    return results


if __name__ == "__main__":
    command("evaluators", measure, __doc__)
