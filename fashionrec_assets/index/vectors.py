"""Arrays of vectors as the index takes them.

Belongs here: their checks, unit length, seeded samples. Does not belong here: FAISS.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """`vectors` (n, d) with rows of length one; a row of zeros stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def checked_vectors(vectors: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """`vectors` as contiguous float32 (n, d). Raises ValueError, calling them `name`, for another shape or a NaN."""
    checked = np.ascontiguousarray(vectors, np.float32)
    if checked.ndim != 2:
        raise ValueError(f"{name} must be two-dimensional, not {checked.shape}")
    if not np.isfinite(checked).all():
        bad = np.flatnonzero(~np.isfinite(checked).all(axis=1))
        raise ValueError(f"{name} hold NaN or infinity in {len(bad)} rows, the first is row {bad[0]}")
    return checked


def sample(rows: NDArray[T], size: int, seed: int) -> NDArray[T]:
    """At most `size` of `rows` (n, ...), in their order."""
    if len(rows) <= size:
        return rows
    chosen = np.random.default_rng(seed).choice(len(rows), size, replace=False)
    return np.ascontiguousarray(rows[np.sort(chosen)])
