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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.sources.dense_products import dense_product
from fashionrec_assets.ranking.sources.interactions import (
    BEHAVIOUR_WEIGHTS,
    interaction_matrix,
    popularity_of,
)

_PAIRS_AT_ONCE = 2_000_000
_ROUNDING = 1e-5
"""More than single precision can be wrong about a similarity, relative to it."""

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
        people = sparse.csr_array(matrix.tocsc().T)
        parts: list[sparse.csr_array] = []
        for start, stop in _blocks(matrix, people):
            part = sparse.csr_array(people[start:stop] @ matrix)
            if neighbours is not None:
                # An item is its own neighbour until exact similarities are known.
                part = _promising(part, norms[start:stop], norms, shrink, neighbours + 1)
            # Transposed twice, indices are in order, for less than sorting them.
            part = sparse.csr_array(part.tocsc())
            rows = np.repeat(np.arange(stop - start), np.diff(part.indptr))
            values = part.data / (norms[start:stop][rows] * norms[part.indices] + shrink)
            kept = rows + start != part.indices
            if neighbours is not None:
                kept &= _nearest(np.where(kept, values, 0.0), part.indptr, neighbours)
            bounds = np.searchsorted(np.flatnonzero(kept), part.indptr)
            near = (values[kept].astype(np.float32), part.indices[kept], bounds.astype(part.indptr.dtype))
            parts.append(sparse.csr_array(near, shape=part.shape))
        similarity = sparse.csr_array(sparse.vstack(parts, format="csr")) if parts else sparse.csr_array((0, 0))
        return cls(matrix, similarity, popularity_of(matrix))

    def evidence(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Summed similarity to the user's items, (len(user_rows), n_items), 0 where nothing speaks for an item."""
        return dense_product(self.matrix[user_rows], self.similarity)

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """The evidence; what has none follows in order of popularity, which is also the answer without a history."""
        return dense_product(self.matrix[user_rows], self.similarity, self.popularity - np.float32(2))


def _blocks(matrix: sparse.csr_array, people: sparse.csr_array) -> Iterator[tuple[int, int]]:
    """Runs of items whose `people` (n_items, n_users) have, all counted, about `_PAIRS_AT_ONCE` items: that many
    products, or fewer, are held at a time. Only an item that has more by itself exceeds it."""
    per_person = np.diff(matrix.indptr)
    work = np.append(0, np.cumsum(per_person[people.indices], dtype=np.int64))[people.indptr]
    start, n_items = 0, len(work) - 1
    while start < n_items:
        stop = max(start + 1, int(np.searchsorted(work, work[start] + _PAIRS_AT_ONCE, side="right")) - 1)
        yield start, stop
        start = stop


def _promising(
    part: sparse.csr_array, own: NDArray[np.float64], norms: NDArray[np.float64], shrink: float, limit: int
) -> sparse.csr_array:
    """`part` (b, n_items), products of items of norms `own` (b,) with all, without what is surely not among the `limit`
    most similar of its row. Similarities are taken in single precision, and what its error may have moved stays."""
    lengths = np.diff(part.indptr)
    near = norms.astype(np.float32)[part.indices]
    near *= np.repeat(own.astype(np.float32), lengths)
    near += np.float32(shrink)
    np.divide(part.data, near, out=near)
    least = _least_of_best(near, part.indptr, limit) * np.float32(1 - _ROUNDING)
    kept = np.flatnonzero(near >= np.repeat(least, lengths))
    bounds = np.searchsorted(kept, part.indptr).astype(part.indptr.dtype)
    return sparse.csr_array((part.data[kept], part.indices[kept], bounds), shape=part.shape)


def _nearest(values: NDArray[np.float64], bounds: NDArray[np.integer], limit: int) -> NDArray[np.bool_]:
    """Which of `values` (v,), of which row i has `bounds[i]` to `bounds[i + 1]`, are positive and among the `limit`
    highest of their row; of equals, the first."""
    rows = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    least = np.maximum(_least_of_best(values, bounds, limit), 0)[rows]
    kept = values > least
    tied = np.flatnonzero((values == least) & (values > 0))
    place = np.arange(len(tied)) - np.searchsorted(rows[tied], rows[tied])
    kept[tied] = place < limit - np.bincount(rows[kept], minlength=len(bounds))[rows[tied]]
    return kept


def _least_of_best(values: NDArray[Any], bounds: NDArray[np.integer], limit: int) -> NDArray[Any]:
    """(len(bounds) - 1,): the `limit`-th highest of `values[bounds[i] : bounds[i + 1]]`; 0 where there are fewer."""
    least = np.zeros(len(bounds) - 1, values.dtype)
    many = np.flatnonzero(np.diff(bounds) > limit)
    ordered, places = values.copy(), bounds[many + 1] - limit
    # Runs of any length, one after the other: numpy orders rows of one length alone.
    for start, stop in zip(bounds[many].tolist(), bounds[many + 1].tolist(), strict=True):
        ordered[start:stop].partition(stop - start - limit)
    least[many] = ordered[places]
    return least
