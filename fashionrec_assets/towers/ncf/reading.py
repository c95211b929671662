"""What NCF reads of a shop.

Belongs here: gathering its inputs from storage. Does not belong here: models, what training sees of the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.reading import cuts, event_log, launched
from fashionrec_assets.embeddings.reading import (
    IMAGE_STORE,
    IMAGE_TOKEN_STORE,
    TEXT_STORE,
    TEXT_TOKEN_STORE,
    tokens,
    vectors,
)
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets.towers.features import Modality
from fashionrec_assets.towers.ncf.examples import KeptBack, keep_back
from fashionrec_assets.towers.ncf.inputs import NcfItems, NcfUsers
from fashionrec_assets.towers.reading import user_profiles


@dataclass(frozen=True)
class NcfInputs:
    """The whole log with what NCF reads of its items and users; a cut of the log in time is taken for each model.

    `launched_at` int64 (n_items,). `length`: seconds of the test window, and of what is kept back before a cut.
    """

    settings: Settings
    log: EventLog
    items: NcfItems
    users: NcfUsers
    launched_at: NDArray[np.int64]
    length: int

    @classmethod
    def of(cls, shop: Shop) -> NcfInputs:
        log, split = event_log(shop), cuts(shop)
        return cls(
            shop.settings,
            log,
            ncf_items(shop, log.item_ids.tolist()),
            ncf_users(shop, log.user_ids.tolist()),
            launched(shop),
            split.end - split.test,
        )

    def keep_back(self, log: EventLog, cut: int) -> KeptBack:
        """Takes the last days before `cut` (UTC seconds) away from some people of `log`, which ends there."""
        return keep_back(
            log,
            cut=cut,
            length=self.length,
            share=self.settings.ncf.kept_back,
            launched_at=self.launched_at,
            target_behaviours=self.settings.evaluation.target_behaviours,
            seed=self.settings.seed,
        )


def ncf_items(shop: Shop, item_ids: list[str]) -> NcfItems:
    """Token states and pooled vectors of `item_ids` (sorted)."""
    pooled = {name: vectors(shop, store, item_ids) for name, store in (("text", TEXT_STORE), ("image", IMAGE_STORE))}
    return NcfItems(
        np.asarray(item_ids, dtype=np.str_),
        tokens(shop, TEXT_TOKEN_STORE, item_ids),
        tokens(shop, IMAGE_TOKEN_STORE, item_ids),
        {name: Modality(found.values, found.present) for name, found in pooled.items()},
    )


def ncf_users(shop: Shop, user_ids: list[str]) -> NcfUsers:
    """Profiles and pictures of `user_ids` (sorted)."""
    profiles = user_profiles(shop, user_ids)
    return NcfUsers(profiles, profiles.avatar)
