"""Products of two sparse matrices that are wanted dense.

Belongs here: summing rows of one sparse matrix by the weights of another. Does not belong here: what the rows mean.

A sparse product first looks for the places of its result that are not zero, and then lists them: work that a dense
result throws away, and more of it than the sums themselves.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_AT_ONCE = 250_000
"""Numbers of the result that are summed at a time: they and what is added to them stay in a core's cache."""


def dense_product(
    left: sparse.csr_array, right: sparse.csr_array, otherwise: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """`left` (u, m) times `right` (m, n), float32 both, as float32 (u, n): to the bit what
    `(left @ right).toarray()` gives, since each sum is taken in the same order.

    `otherwise` float32 (n,): what stands in the place of every sum that is not above 0.
    """
    users, width = cast("tuple[int, int]", left.shape)[0], cast("tuple[int, int]", right.shape)[1]
    found = np.empty((users, width), np.float32)
    step = max(1, _AT_ONCE // max(width, 1))
    for at in range(0, users, step):
        bounds = left.indptr[at : at + step + 1]
        mine = slice(int(bounds[0]), int(bounds[-1]))
        terms = _terms(left.indices[mine], np.diff(bounds), right)
        sums = terms @ left.data[mine]
        if otherwise is None:
            found[at : at + step] = sums.reshape(len(bounds) - 1, width)
            continue
        found[at : at + step] = otherwise
        places, values = terms.indices, sums[terms.indices]
        if values.min(initial=1) <= 0:
            places, values = places[values > 0], values[values > 0]
        found[at : at + step].reshape(-1)[places] = values
    return found


def _terms(rows: NDArray[np.integer], counts: NDArray[np.integer], right: sparse.csr_array) -> sparse.csc_array:
    """(u * n, h): `right`'s `rows` (h,), `counts` (u,) of them for each user, as columns that begin where the numbers
    of their user do, so that a product with weights (h,) is the sums of all users in one line."""
    users, width = len(counts), cast("tuple[int, int]", right.shape)[1]
    chosen = sparse.csr_array(right[rows])
    size = users * width
    starts = np.arange(users, dtype=np.int32 if size <= np.iinfo(np.int32).max else np.int64) * width
    places = chosen.indices
    if users > 1:
        places = places + np.repeat(np.repeat(starts, counts), np.diff(chosen.indptr))
    return sparse.csc_array((chosen.data, places, chosen.indptr), shape=(size, len(rows)))
