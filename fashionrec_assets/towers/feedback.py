"""What users said about explanations, as arrays.

Belongs here: the form in which feedback reaches training. Does not belong here: collecting it, the head it trains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Feedback:
    """f answers to "was this reason helpful?": the user's and the item's row in the event log, and the answer.

    All three are (f,): int64, int64, bool. With at least one answer, a model gets a head that predicts them.
    """

    user_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]
    helpful: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not len(self.user_rows) == len(self.item_rows) == len(self.helpful):
            raise ValueError("feedback needs one user, one item and one answer in every row")

    def __len__(self) -> int:
        return len(self.user_rows)

    def of(self, users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The answers of `users` (b,): rows here, and the place of each row's user in `users`."""
        rows = np.flatnonzero(np.isin(self.user_rows, users))
        order = np.argsort(users, kind="stable")
        return rows, order[np.searchsorted(users[order], self.user_rows[rows])]
