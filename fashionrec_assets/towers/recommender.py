"""The two-tower model as a recommender: scores of every item for a user.

Belongs here: the adaptor that evaluation and serving call. Does not belong here: metrics, masking of the history,
approximate search.
"""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles


class TwoTowerRecommender:
    """Inner products of user and item vectors, with exactly the vectors that an index would be given.

    `log` is the history that is known when recommending (any user, in any cut of the log); `features` must cover its
    items, or be the vectors float32 (n_items, dim) that the model gave them; `profiles`, where there are any, must
    cover its users; later events than `as_of` (UTC seconds) are refused, as in `TwoTower.user_vectors`.
    """

    name: str = "two_tower"

    def __init__(
        self,
        model: TwoTower,
        log: EventLog,
        features: ItemFeatures | NDArray[np.float32],
        *,
        as_of: int | None = None,
        profiles: UserProfiles | None = None,
    ) -> None:
        self.model, self.log, self.as_of, self.profiles = model, log, as_of, profiles
        self.item_vectors = (
            features
            if isinstance(features, np.ndarray)
            else model.item_vectors(features.take(features.rows(log.item_ids)))
        )

    def of_people(self, log: EventLog, profiles: UserProfiles | None) -> TwoTowerRecommender:
        """The same model and item vectors for the users of another log, with the same items."""
        other = copy(self)
        other.log, other.profiles = log, profiles
        return other

    def user_vectors(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """float32 (len(user_rows), dim), as of the moment of recommending."""
        return self.model.user_vectors(self.log, user_rows, self.item_vectors, as_of=self.as_of, profiles=self.profiles)

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32 (len(user_rows), n_items), finite."""
        return self.user_vectors(user_rows) @ self.item_vectors.T
