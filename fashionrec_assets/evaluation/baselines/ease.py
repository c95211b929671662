"""EASE: a linear item-item model with a closed form (Steck, WWW 2019).

B = I - P · diag(1 / diag(P)) with P = (XᵀX + λI)⁻¹ minimises |X - XB|² + λ|B|² under diag(B) = 0. It inverts a dense
matrix over the items that have events, which is what limits it to small catalogs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import get_lapack_funcs

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.sources.interactions import (
    BEHAVIOUR_WEIGHTS,
    interaction_matrix,
    popularity_of,
    without_history,
)

_ROWS_AT_ONCE = 1_024


class TooManyItemsError(ValueError):
    """The catalog has more warm items than a dense inverse should be asked for."""


@dataclass(frozen=True)
class Ease:
    """`matrix` float32 (n_users, n_items), `warm` int64 (w,) item rows, `weights` float32 (w, w),
    `popularity` float32 (n_items,) in [0, 1]."""

    matrix: sparse.csr_array
    warm: NDArray[np.int64]
    weights: NDArray[np.float32]
    popularity: NDArray[np.float32]
    name: str = "ease"

    @classmethod
    def fit(
        cls,
        log: EventLog,
        *,
        regularisation: float = 100.0,
        max_items: int = 20_000,
        behaviour_weights: Mapping[str, float] = BEHAVIOUR_WEIGHTS,
    ) -> Ease:
        """One inversion in single precision and in place: 4 w² bytes for w warm items, w³ operations.

        Raises TooManyItemsError for more than `max_items` warm items.
        """
        matrix = interaction_matrix(log, behaviour_weights)
        warm = np.unique(log.items).astype(np.int64)
        if len(warm) > max_items:
            raise TooManyItemsError(
                f"EASE would invert a dense matrix of {len(warm):,} items, {4 * len(warm) ** 2 / 1e9:.1f} GB; "
                f"the limit is {max_items:,} (setting evaluation.ease_max_items)"
            )
        popularity = popularity_of(matrix)
        if not len(warm):
            return cls(matrix, warm, np.zeros((0, 0), np.float32), popularity)
        columns = sparse.csr_array(matrix[:, warm])
        gram = np.asfortranarray((columns.T @ columns).toarray(order="F"), dtype=np.float32)
        gram[np.diag_indices_from(gram)] += np.float32(regularisation)
        factorise, invert = get_lapack_funcs(("potrf", "potri"), (gram,))
        factor, info = factorise(gram, lower=0, overwrite_a=1)
        if info == 0:
            factor, info = invert(factor, lower=0, overwrite_c=1)
        if info != 0:
            raise ArithmeticError(f"the matrix of EASE is singular at regularisation {regularisation}; raise it")
        # LAPACK leaves the inverse in the upper triangle only.
        for start in range(0, len(warm), _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, len(warm))
            corner = np.triu(factor[start:stop, start:stop])
            factor[start:stop, start:stop] = corner + np.triu(corner, 1).T
            factor[stop:, start:stop] = factor[start:stop, stop:].T
        factor /= -np.diag(factor).copy()[None, :]
        np.fill_diagonal(factor, 0.0)
        return cls(matrix, warm, factor, popularity)

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Cold items are below every warm one; without a history the answer is popularity."""
        scores = np.full((len(user_rows), len(self.popularity)), -np.inf, dtype=np.float32)
        scores[:, self.warm] = sparse.csr_array(self.matrix[user_rows][:, self.warm]) @ self.weights
        nobody = without_history(self.matrix, user_rows)
        scores[nobody] = self.popularity
        return scores
