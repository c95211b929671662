"""Cosines that do not depend on how the work was cut into blocks.

Belongs here: the rounding of vectors that makes matrix products exact. Does not belong here: what is done with cosines.

A float32 matrix product sums in an order that depends on the shapes of its operands, so a row computed alone and the
same row computed in a block of a thousand differ in their last bits. Rows recomputed one at a time must equal a full
recomputation, so vectors are rounded to whole numbers small enough that every partial sum is below 2^24: float32 then
adds them exactly, in any order. A cosine moves by about 1e-4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LENGTH = 4_000.0
"""Length of a rounded vector; its square, the bound of every partial sum, stays below 2^24 with room for rounding."""

SCALE = np.float32(_LENGTH * _LENGTH)
"""What a product of two rounded vectors is divided by to give their cosine."""


def rounded_units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """`vectors` (n, d) scaled to length 4,000 and rounded to whole numbers; rows of zeros stay zero.

    Any product of two such matrices is exact in float32. Raises ValueError if a vector is not finite, or if it has so
    many dimensions (beyond about 36,000) that rounding could push a sum over the bound.
    """
    if not np.isfinite(vectors).all():
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        raise ValueError(f"vectors hold NaN or infinity in {len(bad)} rows, the first is row {bad[0]}")
    wide = vectors.astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    rounded = np.rint(wide * (_LENGTH / np.where(norms > 0, norms, 1))[:, None]).astype(np.float32)
    # By Cauchy-Schwarz no partial sum of a product exceeds the longest squared length.
    longest = float(np.einsum("nd,nd->n", rounded, rounded, dtype=np.float64).max(initial=0.0))
    if longest >= 2**24:
        raise ValueError(f"vectors of {vectors.shape[1]} dimensions are too wide for exact cosines")
    return rounded
