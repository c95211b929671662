"""Cross-modal retrieval: where the right answers of a query stand among all candidates, and what that is worth.

Belongs here: ranks and metrics per query, from vectors. Does not belong here: which queries are asked
(`shopper_phrases.py`), intervals, comparisons and words (`retrieval_report.py`).

Two kinds of task. *One right answer*: the text of an item asks for that item's own image; only this one is right,
even if another item has the same text. Candidates with the same score as the right one are a tie, and the metrics are
their exact expectation over a random order of the tied, so that neither a model that gives everything the same score
nor items with equal texts gain or lose by the order of the rows. *Several right answers*: an image asks for the images
of other items of its family, a phrase for every item that has its attributes; there a right answer stands behind the
wrong ones that it is tied with.

Scores are cosines of unit vectors, compared with a tolerance of 1e-6: an encoder's own float noise is about that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Metric = tuple[str, int]
"""Name and cut-off; cut-off 0 is the whole ranking."""

METRICS: Final[tuple[Metric, ...]] = (("hits", 1), ("hits", 5), ("hits", 10), ("mrr", 0), ("ndcg", 10))
HEADLINE: Final[Metric] = ("hits", 5)
"""The metric that decides, as in VL-CLIP."""
TIE: Final = 1e-6

ALL: Final = "all"
SLICE_TITLES: Final[Mapping[str, str]] = {
    ALL: "All",
    "small_garment": "Garment fills less than half",
    "large_garment": "Garment fills half or more",
    "packshot": "Packshots",
    "worn": "Worn",
    "cluttered": "Cluttered",
    "worn_or_cluttered": "Worn or cluttered",
}
"""Every slice of the queries, in order. By the area of the garment's box, and by scene where that is known."""

_CHUNK_BYTES = 64 << 20


def metric_key(metric: Metric) -> str:
    """Such as `hits@5`, or `mrr` for the whole ranking."""
    name, k = metric
    return f"{name}@{k}" if k else name


@dataclass(frozen=True)
class QueryFigures:
    """`values` has for each metric one figure per query, float64 (q,); `queries` are their rows among those asked."""

    queries: NDArray[np.int64]
    values: Mapping[Metric, NDArray[np.float64]]


@dataclass(frozen=True)
class Places:
    """For each query with one right answer, int64 (q,): how many candidates score higher, and how many the same."""

    above: NDArray[np.int64]
    level: NDArray[np.int64]

    @property
    def ranks(self) -> NDArray[np.float64]:
        """The expected rank of the right answer, from 1; ties are ordered at random."""
        return self.above + self.level / 2 + 1


def own_places(queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> Places:
    """Where candidate i stands for query i, among all candidates; unit vectors (n, d) and (n, d)."""
    n = len(queries)
    above, level = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for start, stop in _chunks(n, len(candidates)):
        scores = queries[start:stop] @ candidates.T
        own = scores[np.arange(stop - start), np.arange(start, stop)][:, None]
        above[start:stop] = (scores > own + TIE).sum(axis=1)
        level[start:stop] = (np.abs(scores - own) <= TIE).sum(axis=1) - 1
    return Places(above, level)


def own_figures(places: Places, candidates: int) -> QueryFigures:
    """The metrics of queries with one right answer among `candidates`: their expectation over the order of ties.

    HITS@K is the share of queries answered within the first K (with one right answer the same as Recall@K), MRR one
    over the rank, NDCG@10 one over log2(1 + rank) within the first ten.
    """
    ranks = np.arange(1, candidates + 1, dtype=np.float64)

    def expected(gain: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.concatenate(([0.0], np.cumsum(gain)))
        return (total[places.above + places.level + 1] - total[places.above]) / (places.level + 1)

    values: dict[Metric, NDArray[np.float64]] = {}
    for name, k in METRICS:
        within = ranks <= (k or candidates)
        gain = {"hits": np.ones_like(ranks), "mrr": 1 / ranks, "ndcg": 1 / np.log2(1 + ranks)}[name]
        values[name, k] = expected(np.where(within, gain, 0.0))
    return QueryFigures(np.arange(len(places.above)), values)


Rows = Callable[[int, int], NDArray[np.bool_]]
"""Rows `start` to `stop` of a boolean matrix (queries, candidates), made when they are needed."""


def several_figures(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], right: Rows, left_out: Rows
) -> QueryFigures:
    """The metrics of queries with several right answers; queries without any are left out.

    Candidates that `left_out` marks (the query itself, or items nobody can say are right or wrong) are no part of the
    query's ranking, as in the condensed lists of Sakai (SIGIR 2007). HITS@K asks for any right answer within the first
    K, MRR for the first one, NDCG@10 weighs all of them against the best order possible.
    """
    discount = 1 / np.log2(np.arange(2, 12))
    asked: list[NDArray[np.int64]] = []
    found: dict[Metric, list[NDArray[np.float64]]] = {metric: [] for metric in METRICS}
    for start, stop in _chunks(len(queries), len(candidates)):
        out = left_out(start, stop)
        wanted = right(start, stop) & ~out
        rows = np.flatnonzero(wanted.any(axis=1))
        asked.append(rows + start)
        wanted = wanted[rows]
        scores = (queries[start:stop] @ candidates.T)[rows]
        scores[out[rows]] = -np.inf
        # A right answer moves behind the wrong ones it is tied with.
        scores[wanted] -= TIE
        best = np.where(wanted, scores, -np.inf).max(axis=1, initial=-np.inf)[:, None]
        rank = 1.0 + (~wanted & (scores >= best)).sum(axis=1)
        top = _top(scores, 10)
        gain = np.take_along_axis(wanted, top, axis=1) @ discount[: top.shape[1]]
        ideal = np.cumsum(discount)[np.minimum(wanted.sum(axis=1), 10) - 1]
        for name, k in METRICS:
            one = {"hits": (rank <= k).astype(np.float64), "mrr": 1 / rank, "ndcg": gain / ideal}[name]
            found[name, k].append(one)
    return QueryFigures(
        np.concatenate([np.empty(0, np.int64), *asked]),
        {metric: np.concatenate([np.empty(0), *parts]) for metric, parts in found.items()},
    )


def family_figures(images: NDArray[np.float32], families: NDArray[np.int64]) -> QueryFigures:
    """An item's image asks for the other items of its family (codes, (n,)); items that are alone are left out."""
    rows = np.arange(len(images))
    return several_figures(
        images,
        images,
        lambda start, stop: families[start:stop, None] == families[None, :],
        lambda start, stop: rows[start:stop, None] == rows[None, :],
    )


def best_candidates(query: NDArray[np.float32], candidates: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The rows of the `k` candidates nearest to one query vector (d,), best first; ties by row."""
    return _top((candidates @ query)[None, :], k)[0]


def chance_hits(right: NDArray[np.int64], candidates: NDArray[np.int64], k: int) -> float:
    """The mean HITS@k of a random order, for queries with `right` right answers among `candidates`, (q,) each."""
    miss = np.ones(len(right))
    for place in range(k):
        left = candidates - place
        miss *= np.where(left > 0, np.maximum(left - right, 0) / np.maximum(left, 1), 1.0)
    return float(1 - miss.mean()) if len(miss) else 0.0


def _top(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The columns of the `k` highest scores of each row, highest first, ties by column."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _chunks(n: int, candidates: int) -> list[tuple[int, int]]:
    step = max(1, _CHUNK_BYTES // (16 * max(1, candidates)))
    return [(start, min(n, start + step)) for start in range(0, n, step)]
