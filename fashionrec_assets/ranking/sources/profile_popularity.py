"""Popularity among people like the user: for users of whom nothing but a profile is known.

Belongs here: counting by profile and combining what its columns say. Does not belong here: reading profiles (towers).

The chance that a person with a profile turns to an item is taken as naive Bayes does: the item's share of all people,
times, for each column of the profile, the item's share among those who have the same value over its share among
everybody. Shares of a value are shrunk towards everybody's: with few such people they say little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog

SHRINK = 200.0
"""People of a value whose choices weigh as much as everybody's."""

_DAY = 86_400


@dataclass(frozen=True)
class ProfilePopularity:
    """`everybody` float32 (n_items,): log of the share of people. `lifts`: column -> value -> float32 (n_items,): what
    the value adds to it. `columns`: column -> str (n_users,), '' where unknown."""

    everybody: NDArray[np.float32]
    lifts: Mapping[str, Mapping[str, NDArray[np.float32]]]
    columns: Mapping[str, NDArray[np.str_]]
    name: str = "profile_popularity"

    @classmethod
    def fit(
        cls, log: EventLog, columns: Mapping[str, NDArray[np.str_]], *, cut: int, days: int, shrink: float = SHRINK
    ) -> ProfilePopularity:
        """From the people of `log` before `cut` (UTC seconds), who count once an item. What everybody turns to is
        counted over the last `days`, ties go to what was popular before; what sets profiles apart, over all of it."""
        past = log.between(None, cut)
        pairs = np.unique(past.users.astype(np.int64) * log.n_items + past.items)
        users, items = np.divmod(pairs, max(log.n_items, 1))
        ever = np.bincount(items, minlength=log.n_items).astype(np.float64)
        recent = past.between(cut - days * _DAY, None)
        latest = np.unique(recent.users.astype(np.int64) * log.n_items + recent.items) % max(log.n_items, 1)
        lately = np.bincount(latest, minlength=log.n_items) + 0.5 * ever / max(ever.max(initial=0), 1) + 1e-6
        share = (ever + 1e-6) / max(ever.sum(), 1)
        lifts: dict[str, dict[str, NDArray[np.float32]]] = {}
        for name, values in columns.items():
            lifts[name] = {}
            for value in np.unique(values[values != ""]).tolist():
                mine = values[users] == value
                people = len(np.unique(users[mine]))
                if not people:
                    continue
                counts = np.bincount(items[mine], minlength=log.n_items)
                # As if `shrink` people had also had the value and chosen like everybody, as many items each.
                extra = shrink * counts.sum() / people
                own = (counts + extra * share + 1e-9) / (counts.sum() + extra)
                lifts[name][value] = np.log(own / share).astype(np.float32)
        return cls(np.log(lately / lately.sum()).astype(np.float32), lifts, columns)

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32 (len(user_rows), n_items)."""
        scores = np.repeat(self.everybody[None, :], len(user_rows), axis=0)
        for name, by_value in self.lifts.items():
            for value, lift in by_value.items():
                scores[self.columns[name][user_rows] == value] += lift
        return scores
