"""Popularity as it was known at any time.

Belongs here: decayed counts of events, at a model's cut and at the beginning of every period before. Does not belong
here: the popularity baseline, lists of popular items.

A model that trains on events must not be told how popular an item became afterwards: what a count adds to a logit would
then be the trace of the very events to be predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.features import DAY

MOST_PERIODS = 64


def cut_after(log: EventLog) -> int:
    """UTC seconds: the end of the day of the newest event, the moment for which a model of `log` is made."""
    return (int(log.times.max(initial=0)) // DAY + 1) * DAY


@dataclass(frozen=True)
class PopularityHistory:
    """`values` float32 (periods, n_items, terms): log(1 + decayed count) of the events before each of `starts`.

    `starts` int64 (periods,), UTC seconds, ascending. `now` float32 (n_items, terms) is the same at the model's cut.
    The mean over the log's items is 0 in every period and at the cut.
    """

    starts: NDArray[np.int64]
    values: NDArray[np.float32]
    now: NDArray[np.float32]

    @classmethod
    def of(cls, log: EventLog, half_lives: tuple[float, ...]) -> PopularityHistory:
        """Of a log that is not empty. Periods are whole UTC days, longer ones where there would be too many."""
        cut = cut_after(log)
        days = (cut - int(log.times.min()) // DAY * DAY) // DAY
        length = DAY * -(-days // MOST_PERIODS)
        first = cut - -(-days * DAY // length) * length
        starts = np.arange(first, cut, length)
        period = (log.times - first) // length
        lives = np.asarray(half_lives) * DAY
        counts = np.zeros((log.n_items, len(lives)))
        values = np.zeros((len(starts) + 1, log.n_items, len(lives)), np.float32)
        for k, start in enumerate(starts):
            mine = np.flatnonzero(period == k)
            counts *= 0.5 ** (length / lives)
            for term, life in enumerate(lives):
                weights = 0.5 ** ((start + length - log.times[mine]) / life)
                counts[:, term] += np.bincount(log.items[mine], weights=weights, minlength=log.n_items)
            values[k + 1] = np.log1p(counts)
        # Counts grow with the log: what is left is popularity among the items known, at any time.
        known = np.bincount(log.items, minlength=log.n_items) > 0
        values -= values[:, known].mean(axis=1, keepdims=True)
        return cls(starts, values[:-1], values[-1])

    def periods(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64, like `times` (UTC seconds): the row of `values` with what was known before the period of each."""
        return np.clip(np.searchsorted(self.starts, times, side="right") - 1, 0, len(self.starts) - 1)
