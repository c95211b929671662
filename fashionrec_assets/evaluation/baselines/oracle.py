"""The oracle: ranks by the truth a generated shop was simulated from. It says how much is possible at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Oracle:
    """`utility` maps user rows int32 (u,) to true utilities (u, n_items) of the items in the order of the log."""

    utility: Callable[[NDArray[np.int32]], NDArray[np.floating]]
    name: str = "oracle"

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.asarray(self.utility(user_rows), dtype=np.float32)
