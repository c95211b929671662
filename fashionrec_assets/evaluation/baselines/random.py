"""A random order per user: the floor below which a method knows nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Random:
    """Scores hashed from (seed, user, item): the same whatever block a user is asked for in."""

    n_items: int
    seed: int = 0
    name: str = "random"

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        columns = np.arange(self.n_items, dtype=np.uint64)[None, :]
        state = user_rows.astype(np.uint64)[:, None] * np.uint64(self.n_items) + columns
        # SplitMix64 (Steele, Lea and Flood 2014): a counter in, well mixed bits out.
        state += np.uint64(self.seed * 0xD1342543DE82EF95 % 2**64)
        state *= np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((state ^ (state >> np.uint64(31))) >> np.uint64(40)).astype(np.float32)
