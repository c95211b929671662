"""Item-kNN: what people who touched your items also touched.

The similarity is the cosine of two items' columns in the user-item matrix with a tunable exponent on their
popularity, and a shrinkage towards zero of what rests on few people (after Sarwar et al. 2001; shrinkage as in Bell
and Koren 2007):

    s(i, j) = (x_i · x_j) / ((|x_i|² |x_j|²) ** exponent + shrink)

An exponent of 0.5 is the plain cosine; below it, popular items keep more of their advantage.
"""

from __future__ import annotations

from collections.abc import Mapping
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

_ITEMS_AT_ONCE = 2_000
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
        for start in range(0, log.n_items, _ITEMS_AT_ONCE):
            stop = min(start + _ITEMS_AT_ONCE, log.n_items)
            part = sparse.coo_array(columns[:, start:stop].T @ matrix)
            rows, items = part.coords
            off_diagonal = rows + start != items
            rows, items = rows[off_diagonal], items[off_diagonal]
            values = part.data[off_diagonal] / (norms[rows + start] * norms[items] + shrink)
            if neighbours is not None:
                order = np.lexsort((items, -values, rows))
                rows, items, values = rows[order], items[order], values[order]
                place = np.arange(len(rows)) - np.searchsorted(rows, np.arange(stop - start))[rows]
                near = place < neighbours
                rows, items, values = rows[near], items[near], values[near]
            shape = (stop - start, log.n_items)
            parts.append(sparse.csr_array((values.astype(np.float32), (rows, items)), shape=shape))
        similarity = sparse.csr_array(sparse.vstack(parts, format="csr")) if parts else sparse.csr_array((0, 0))
        return cls(matrix, similarity, popularity_of(matrix))

    def evidence(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Summed similarity to the user's items, (len(user_rows), n_items), 0 where nothing speaks for an item."""
        return (self.matrix[user_rows] @ self.similarity).toarray().astype(np.float32, copy=False)

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """The evidence; what has none follows in order of popularity, which is also the answer without a history."""
        scores = self.evidence(user_rows)
        return np.where(scores > 0, scores, self.popularity[None, :] - np.float32(2))
