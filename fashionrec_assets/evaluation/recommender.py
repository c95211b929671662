"""What a method must offer to stand in a ranking report.

Belongs here: the interface every ranking method is scored through, and the record of one fitted method. Does not
belong here: methods (`baselines/`, adaptors of the models) and measurement (`metrics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Recommender(Protocol):
    """A fitted method that scores the whole catalog for some users."""

    @property
    def name(self) -> str:
        """A short stable name: it becomes part of the keys of the report's figures."""
        ...

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores (len(user_rows), n_items), higher is better.

        Finite, or -inf for "cannot recommend". Scores of one user are comparable with one another, scores of different
        users need not be. A user without history gets the method's own fallback. Masking what a user already has is
        the evaluator's job, not the method's: it does so in this very array, which must be a new one or read-only.
        """
        ...


@runtime_checkable
class InnerProducts(Recommender, Protocol):
    """A method whose scores are inner products: it can be asked about some of the items."""

    @property
    def item_vectors(self) -> NDArray[np.float32]:
        """(n_items, d)."""
        ...

    def user_vectors(self, user_rows: NDArray[np.int32], /) -> NDArray[np.float32]:
        """(len(user_rows), d): their products with the item vectors are what `score` returns."""
        ...


@dataclass(frozen=True)
class Entrant:
    """A fitted method as it enters a report: what it cost to fit and what a newcomer should know about it."""

    recommender: Recommender
    fit_seconds: float
    title: str = ""
    description: str = ""
    is_baseline: bool = True
    fit_growth: int | None = None
    """Bytes the process grew by, at its peak, while this was fitted (see `cost.py`); None: not measured."""

    @property
    def name(self) -> str:
        return self.recommender.name


@dataclass(frozen=True)
class SeedRun:
    """A further training run of the entrant `method`, the same but for its `seed`."""

    method: str
    seed: int
    recommender: Recommender
