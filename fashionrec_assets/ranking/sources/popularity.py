"""Popularity, of all time and of the last days: the same list for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.sources.interactions import (
    BEHAVIOUR_WEIGHTS,
    interaction_matrix,
    popularity_of,
)

_DAY = 86_400


@dataclass(frozen=True)
class Popularity:
    """Items in order of `scores`, float32 (n_items,)."""

    name: str
    scores: NDArray[np.float32]

    @classmethod
    def fit(cls, log: EventLog, weights: Mapping[str, float] = BEHAVIOUR_WEIGHTS) -> Popularity:
        """Popularity over the whole history: each person counts once per item, by their deepest behaviour."""
        return cls("popularity", popularity_of(interaction_matrix(log, weights)))

    @classmethod
    def fit_recent(
        cls, log: EventLog, *, cut: int, days: int, weights: Mapping[str, float] = BEHAVIOUR_WEIGHTS
    ) -> Popularity:
        """Popularity over the `days` before `cut` (UTC seconds); ties go to what is popular over all of the history."""
        recent = interaction_matrix(log.between(cut - days * _DAY, cut), weights)
        counts = np.asarray(recent.sum(axis=0), dtype=np.float64).ravel()
        smallest = float(recent.data.min(initial=np.inf)) if recent.nnz else 1.0
        # Half of the smallest step between two counts: enough to order equals, too little to overturn anything.
        tie_break = 0.5 * smallest * popularity_of(interaction_matrix(log, weights))
        return cls("recent_popularity", (counts + tie_break).astype(np.float32))

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.broadcast_to(self.scores, (len(user_rows), len(self.scores)))
