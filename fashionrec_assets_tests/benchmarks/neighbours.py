"""Item-kNN beside implicit's, and EASE beside RecTools': fitting, and the twenty best of every person.

`FASHIONREC_BENCH_PYTHON=... python -m fashionrec_assets_tests.benchmarks.neighbours [--quick]`. Both fit the same pairs
of person and item without weights, one thread each. The plain cosine (exponent 0.5, no shrinkage) makes our item-kNN
the same model as implicit's. implicit has no EASE: RecTools' is put beside ours, and it ranks with implicit.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask, ranking_task
from fashionrec_assets.evaluation.baselines.ease import Ease
from fashionrec_assets.evaluation.metrics import rank
from fashionrec_assets.evaluation.recommender import Recommender
from fashionrec_assets.ranking.sources.item_knn import ItemKnn
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, Growth, Others, command, in_turns

THREADS, K, NEIGHBOURS, REGULARISATION = 1, 20, 100, 100.0
BAR = 1.0
"""Item-kNN takes at most what implicit takes."""

_CUT = 1_000


def shop(people: int, items: int, events: int, seed: int = 0) -> RankingTask:
    """Everybody ranks; popularity falls off exponentially, and every item and person has an event."""
    rng = np.random.default_rng(seed)
    drawn = np.minimum(rng.exponential(items / 6, events).astype(np.int64), items - 1)
    liked = np.concatenate([rng.permutation(items)[drawn], np.arange(items)])
    owners = np.concatenate([rng.integers(0, people, events), rng.integers(0, people, items)])
    owners[:people] = np.arange(people)
    # A target each, so that the task is about everybody; what it is does not matter here.
    later = rng.integers(0, items, (people, 8))
    log = EventLog.build(
        np.char.zfill(np.arange(people).astype(str), 8).tolist(),
        np.char.zfill(np.arange(items).astype(str), 8).tolist(),
        np.concatenate([owners, np.repeat(np.arange(people), 8)]),
        np.concatenate([liked, later.ravel()]),
        np.concatenate([np.zeros(len(owners), np.int64), np.full(later.size, _CUT)]),
        np.zeros(len(owners) + later.size, np.int8),
    )
    task = ranking_task(log, name="test", start=_CUT, end=_CUT + 1)
    if len(task.users) != people:
        raise AssertionError("somebody has no target: take another seed")
    return task


def _same(ours: NDArray[np.floating], theirs: NDArray[np.floating], what: str) -> None:
    if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-4, atol=1e-5):
        raise AssertionError(f"{what}: they differ, {ours.shape} and {theirs.shape}, by up to {_apart(ours, theirs)}")


def _apart(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> float:
    return float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("nan")


def _same_rows(ours: sparse.csr_array, theirs: sparse.csr_array) -> None:
    """The similarities of each item's neighbours; of equally similar ones, either may keep others."""
    _same(np.diff(ours.indptr), np.diff(theirs.indptr), "numbers of neighbours")
    rows = np.repeat(np.arange(len(ours.indptr) - 1), np.diff(ours.indptr))
    one, other = (matrix.data[np.lexsort((-matrix.data, rows))] for matrix in (ours, theirs))
    _same(one, other, "similarities")


def _best(recommender: Recommender, task: RankingTask) -> NDArray[np.float32]:
    """The scores of everybody's list."""
    lists = rank(task, recommender, K)
    parts = [
        np.take_along_axis(recommender.score(task.users[at : at + 512]), lists[at : at + 512].astype(np.int64), axis=1)
        for at in range(0, len(lists), 512)
    ]
    return np.concatenate(parts)


def _knn(folder: Path, people: int, items: int, events: int, rounds: int) -> list[Comparison | Growth]:
    task, theirs = _started(folder, people, items, events)
    fitted: list[ItemKnn] = []

    def fit() -> None:
        fitted[:] = [ItemKnn.fit(task.history, exponent=0.5, shrink=0.0, neighbours=NEIGHBOURS)]

    spent = in_turns(fit, lambda: theirs.seconds("fit_knn", neighbours=NEIGHBOURS), rounds)
    knn = fitted[0]
    given = sparse.csr_array(sparse.load_npz(folder / "similarity.npz"), dtype=np.float32)
    given.setdiag(0)
    given.eliminate_zeros()
    _same_rows(knn.similarity, given)
    # Of equally similar items the two keep different ones: both are to rank with the same.
    knn = replace(knn, similarity=given)
    note = f"{people:,} people, {items:,} items, {knn.matrix.nnz:,} pairs, {NEIGHBOURS} neighbours, {THREADS} thread"
    results: list[Comparison | Growth] = [
        Comparison("fit item-kNN", "implicit 0.7.3 CosineRecommender", *spent, BAR, "similarities, to 1e-4", note)
    ]
    spent = in_turns(
        lambda: rank(task, knn, K), lambda: theirs.seconds("recommend_knn", people=people, k=K), rounds, warm_up=0
    )
    ranked = f"{note}; lists of {K} for everybody, less the history"
    # Beyond the evidence we go on by popularity, implicit stops: only what has evidence is compared.
    mine = _best(knn, task)
    _same(np.where(mine > 0, mine, 0), np.maximum(np.load(folder / "knn_scores.npy"), 0), "scores of the lists")
    same = "scores of the listed, to 1e-4"
    results.append(Comparison("rank with item-kNN", "implicit 0.7.3 recommend", *spent, BAR, same, ranked))
    theirs.close()
    return results


def _ease(folder: Path, people: int, items: int, events: int, rounds: int) -> list[Comparison | Growth]:
    task, theirs = _started(folder, people, items, events)
    fitted: list[Ease] = []

    def fit() -> None:
        fitted[:] = [Ease.fit(task.history, regularisation=REGULARISATION)]

    spent = in_turns(fit, lambda: theirs.seconds("fit_ease", regularisation=REGULARISATION), rounds)
    ease = fitted[0]
    _same(ease.weights, np.load(folder / "weights.npy"), "weights of EASE")
    note = f"{people:,} people, {items:,} items, {ease.matrix.nnz:,} pairs, {THREADS} thread"
    results: list[Comparison | Growth] = [
        Comparison("fit EASE", "RecTools 0.19.0 EASEModel", *spent, None, "weights, to 1e-4", note)
    ]
    spent = in_turns(
        lambda: rank(task, ease, K), lambda: theirs.seconds("recommend_ease", people=people, k=K), rounds, warm_up=0
    )
    # RecTools 0.19.0 multiplies a history with the transposed weights: so do we, to compare.
    turned = replace(ease, weights=np.ascontiguousarray(ease.weights.T))
    _same(_best(turned, task), np.load(folder / "ease_scores.npy"), "scores of the lists")
    ranked = f"{note}; lists of {K} for everybody, less the history"
    same = "scores of the listed with the same weights, to 1e-4"
    results.append(Comparison("rank with EASE", "RecTools 0.19.0 (implicit's ranker)", *spent, None, same, ranked))
    theirs.close()
    return results


def _started(folder: Path, people: int, items: int, events: int) -> tuple[RankingTask, Others]:
    task = shop(people, items, events)
    pairs = np.unique(np.stack([task.history.users, task.history.items]).astype(np.int64), axis=1)
    np.save(folder / "pairs.npy", pairs)
    theirs = Others("implicit_models")
    theirs.ask("load", folder=str(folder), threads=THREADS)
    return task, theirs


def measure(quick: bool) -> list[Comparison | Growth]:
    knn, ease = (20_000, 20_000, 600_000, 5), (5_000, 4_000, 200_000, 3)
    if quick:
        knn = ease = (2_000, 1_000, 40_000, 2)
    with threadpool_limits(THREADS), tempfile.TemporaryDirectory() as folder:
        return [*_knn(Path(folder), *knn), *_ease(Path(folder), *ease)]


if __name__ == "__main__":
    command("neighbours", measure, __doc__)
