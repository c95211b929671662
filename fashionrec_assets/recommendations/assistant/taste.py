"""What a shopper is known for: the user tower's scores, what they bought, what they have turned to.

Belongs here: reading that for one user. Does not belong here: ranking (`retrieval.py`), wording.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.catalog.reading import cuts, event_log
from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.recommendations.assistant.retrieval import standardised
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.reading import SERVED, VECTOR_STORE, user_profiles

DAY = 86_400
_BUY = BEHAVIOURS.index("buy")


@dataclass(frozen=True)
class Taste:
    """One user: `scores` float32 (n,), standardised; their items, oldest first: `items` int64 (h,), the furthest
    behaviour on each (h,) and the last time (h,), UTC seconds; `bought` int64 rows."""

    user_id: str
    scores: NDArray[np.float32]
    items: NDArray[np.int64]
    behaviours: NDArray[np.int64]
    times: NDArray[np.int64]

    @property
    def bought(self) -> NDArray[np.int64]:
        return self.items[self.behaviours == _BUY]


class People:
    """The users of a shop, read when first asked about."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    @cached_property
    def log(self) -> EventLog:
        """Every event of people."""
        return event_log(self._shop)

    def popularity(self, days: int) -> NDArray[np.int64]:
        """int64 (n,): how many people turned to each item in the last `days` days of the log."""
        recent = self.log.between(int(self.log.times.max(initial=0)) + 1 - days * DAY, None)
        pairs = np.unique(np.stack([recent.items, recent.users], axis=1), axis=0)
        return np.bincount(pairs[:, 0], minlength=self.log.n_items).astype(np.int64)

    def row(self, user_id: str) -> int | None:
        """The user's row in the log, None if nobody is called so."""
        place = int(np.searchsorted(self.log.user_ids, user_id))
        known = place < self.log.n_users and self.log.user_ids[place] == user_id
        return place if known else None

    def taste(self, user_id: str) -> Taste | None:
        """What is known of a user; None for one nobody knows."""
        row = self.row(user_id)
        if row is None:
            return None
        mine = self.log.select(self.log.users == row)
        items, inverse = np.unique(mine.items, return_inverse=True)
        furthest, last = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
        np.maximum.at(furthest, inverse, mine.behaviours)
        np.maximum.at(last, inverse, mine.times)
        order = np.lexsort((items, last))
        return Taste(user_id, self._scores(mine, row), items[order].astype(np.int64), furthest[order], last[order])

    def _scores(self, mine: EventLog, row: int) -> NDArray[np.float32]:
        from fashionrec_assets.towers.artifact import TwoTower

        model = TwoTower.load(self._shop.current("two_tower_model") / SERVED)
        _, items = stored_vectors(self._shop, VECTOR_STORE)
        # One user of the log is a log of its own: nobody else is read for one answer.
        alone = EventLog(
            mine.user_ids[row : row + 1], mine.item_ids, np.zeros_like(mine.users), mine.items, mine.times,
            mine.behaviours,
        )  # fmt: skip
        profiles = user_profiles(self._shop, alone.user_ids.tolist())
        user = model.user_vectors(alone, np.array([0]), items, as_of=cuts(self._shop).end, profiles=profiles)
        return standardised(user @ items.T)[0]
