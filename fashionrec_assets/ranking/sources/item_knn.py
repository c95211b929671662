"""Item-kNN: what people who touched your items also touched.

The similarity is the cosine of two items' columns in the user-item matrix with a tunable exponent on their
popularity, and a shrinkage towards zero of what rests on few people (after Sarwar et al. 2001; shrinkage as in Bell
and Koren 2007):

    s(i, j) = (x_i · x_j) / ((|x_i|² |x_j|²) ** exponent + shrink)

An exponent of 0.5 is the plain cosine; below it, popular items keep more of their advantage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.sources.interactions import (
    BEHAVIOUR_WEIGHTS,
    interaction_matrix,
    popularity_of,
)

_PAIRS_AT_ONCE = 10_000_000
MANY_ITEMS = 50_000
_NEIGHBOURS_OF_MANY = 300


def neighbours_for(n_items: int, wanted: int | None) -> int | None:
    """How many neighbours to keep: what is `wanted`, else all, but 300 where there are more than 50,000 items."""
    return _NEIGHBOURS_OF_MANY if wanted is None and n_items > MANY_ITEMS else wanted


@dataclass(frozen=True)
class ItemKnn:
    """`matrix` float32 (n_users, n_items), `similarity` float32 (n_items, n_items) from a history item to a candidate,
    `popularity` float32 (n_items,) in [0, 1]."""

    matrix: sparse.csr_array
    similarity: sparse.csr_array
    popularity: NDArray[np.float32]
    name: str = "item_knn"

    @classmethod
    def fit(
        cls,
        log: EventLog,
        *,
        exponent: float = 0.2,
        shrink: float = 10.0,
        neighbours: int | None = None,
        weights: Mapping[str, float] = BEHAVIOUR_WEIGHTS,
    ) -> ItemKnn:
        """Similarities from a history. `neighbours` keeps that many per item, which bounds memory; None keeps all."""
        matrix = interaction_matrix(log, weights)
        norms = np.asarray((matrix * matrix).sum(axis=0), dtype=np.float64).ravel() ** exponent
        columns = matrix.tocsc()
        parts: list[sparse.csr_array] = []
        for start, stop in _blocks(matrix, columns):
            part = sparse.csr_array(columns[:, start:stop].T @ matrix)
            rows = np.repeat(np.arange(stop - start), np.diff(part.indptr))
            values = part.data / (norms[rows + start] * norms[part.indices] + shrink)
            kept = rows + start != part.indices
            if neighbours is not None:
                kept = _nearest(part, np.where(kept, values, 0.0), neighbours)
            counts = np.bincount(rows[kept], minlength=stop - start)
            near = (values[kept].astype(np.float32), part.indices[kept], np.append(0, np.cumsum(counts)))
            parts.append(sparse.csr_array(near, shape=part.shape))
            parts[-1].sort_indices()
        similarity = sparse.csr_array(sparse.vstack(parts, format="csr")) if parts else sparse.csr_array((0, 0))
        return cls(matrix, similarity, popularity_of(matrix))

    def evidence(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Summed similarity to the user's items, (len(user_rows), n_items), 0 where nothing speaks for an item."""
        return (self.matrix[user_rows] @ self.similarity).toarray().astype(np.float32, copy=False)

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """The evidence; what has none follows in order of popularity, which is also the answer without a history."""
        found = sparse.csr_array(self.matrix[user_rows] @ self.similarity)
        found.data[found.data < 0] = 0
        found.eliminate_zeros()
        scores = np.repeat(self.popularity[None, :] - np.float32(2), len(user_rows), axis=0)
        starts = np.arange(len(user_rows)) * len(self.popularity)
        scores.reshape(-1)[np.repeat(starts, np.diff(found.indptr)) + found.indices] = found.data
        return scores


def _blocks(matrix: sparse.csr_array, columns: sparse.csc_array) -> Iterator[tuple[int, int]]:
    """Runs of items whose people have, all counted, about `_PAIRS_AT_ONCE` items: that many products, or fewer, are
    held at a time. Only an item that has more by itself exceeds it."""
    per_person = np.diff(matrix.indptr)
    work = np.append(0, np.cumsum(per_person[columns.indices], dtype=np.int64))[columns.indptr]
    start, n_items = 0, len(work) - 1
    while start < n_items:
        stop = max(start + 1, int(np.searchsorted(work, work[start] + _PAIRS_AT_ONCE, side="right")) - 1)
        yield start, stop
        start = stop


def _nearest(part: sparse.csr_array, values: NDArray[np.float64], limit: int) -> NDArray[np.bool_]:
    """Which stored values of each row are positive and among its `limit` highest; of equals, those of lower items."""
    kept = values > 0
    lengths = np.diff(part.indptr)
    for row in np.flatnonzero(lengths > limit).tolist():
        place = slice(part.indptr[row], part.indptr[row + 1])
        mine = values[place]
        least = np.partition(mine, len(mine) - limit)[len(mine) - limit]
        kept[place] &= mine >= least
        too_many = np.count_nonzero(kept[place]) - limit
        if too_many > 0:
            tied = np.flatnonzero(mine == least)
            last = np.argsort(part.indices[place][tied])[len(tied) - too_many :]
            kept[part.indptr[row] + tied[last]] = False
    return kept
