"""What baselines read of a history: who did what with which item, as a sparse matrix.

Belongs here: the user-item matrix and the fallback for people without history. Does not belong here: any method.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog

BEHAVIOUR_WEIGHTS: Mapping[str, float] = MappingProxyType({"pv": 1.0, "fav": 2.0, "cart": 3.0, "buy": 4.0})
"""How much a behaviour says about taste, in the order of the funnel; only the ratios matter."""


def weakest(log: EventLog, weights: Mapping[str, float] = BEHAVIOUR_WEIGHTS) -> float:
    """The weight of the weakest behaviour that the log has; 1 for an empty one."""
    return min((weights[BEHAVIOURS[at]] for at in np.unique(log.behaviours).tolist()), default=1.0)


def interaction_matrix(
    log: EventLog, weights: Mapping[str, float] = BEHAVIOUR_WEIGHTS, *, unit: float | None = None
) -> sparse.csr_array:
    """float32 (n_users, n_items): the weight of the deepest behaviour a user showed for an item, 0 for none.

    Weights are relative to `unit`: None takes the weakest behaviour the log has, so a log of purchases alone gives
    zeros and ones. A user who viewed an item ten times counts once: repeated views are mostly one visit.
    """
    table = np.asarray([weights[behaviour] for behaviour in BEHAVIOURS], dtype=np.float32)
    strength = table[log.behaviours] / np.float32(weakest(log, weights) if unit is None else unit)
    keys = log.users.astype(np.int64) * log.n_items + log.items
    pairs, inverse = np.unique(keys, return_inverse=True)
    deepest = np.zeros(len(pairs), dtype=np.float32)
    np.maximum.at(deepest, inverse, strength)
    # As narrow as a sparse matrix may have them: products read more indices than numbers.
    users, items = (part.astype(np.int32) for part in np.divmod(pairs, max(log.n_items, 1)))
    return sparse.csr_array((deepest, (users, items)), shape=(log.n_users, log.n_items))


def popularity_of(matrix: sparse.csr_array) -> NDArray[np.float32]:
    """float32 (n_items,): the column sums, in [0, 1] relative to the most popular item."""
    totals = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
    return (totals / max(float(totals.max(initial=0.0)), 1e-12)).astype(np.float32)


def without_history(matrix: sparse.csr_array, user_rows: NDArray[np.int32]) -> NDArray[np.bool_]:
    """bool (len(user_rows),): whose row in the matrix is empty."""
    return matrix.indptr[user_rows] == matrix.indptr[user_rows.astype(np.int64) + 1]
