"""Vectors and settings that the tests of this room share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.settings import IndexSettings

FLAT = IndexSettings()
HNSW = IndexSettings(flat_up_to=1, hnsw_up_to=10**9, hnsw_m=16, hnsw_ef_construction=60, recall_sample=100)
IVF = IndexSettings(flat_up_to=1, recall_sample=100)
IVFPQ = IndexSettings(flat_up_to=1, memory_limit_mib=0.01, recall_sample=100)
KINDS = {"flat": FLAT, "hnsw": HNSW, "ivf": IVF, "ivfpq": IVFPQ}


def catalog(n: int, dim: int = 32, seed: int = 0) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """Vectors of unequal length around a few hundred centres, as embeddings are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((200, dim))
    vectors = centres[rng.integers(0, 200, n)] + 0.5 * rng.standard_normal((n, dim))
    return np.array([f"item-{i:06d}" for i in range(n)]), vectors.astype(np.float32)
