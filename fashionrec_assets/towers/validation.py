"""The figure that decides when training stops.

Belongs here: NDCG@K of a two-tower model on the validation days. Does not belong here: reports, intervals and other
methods (the evaluation room, which this room must not import).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.recommender import TwoTowerRecommender

BLOCK = 512


def validation_ndcg(
    model: TwoTower,
    history: EventLog,
    window: EventLog,
    features: ItemFeatures,
    *,
    on_sale: NDArray[np.bool_],
    as_of: int,
    profiles: UserProfiles | None = None,
    k: int = 20,
    most_users: int = 4000,
    seed: int = 0,
) -> float:
    """Mean NDCG@k in [0, 1] over users with history, of items in `window` that are new to them.

    Full ranking over the items where `on_sale` (n_items,) is true, each user's history masked. More than `most_users`
    users are sampled by `seed`. `as_of` (UTC seconds) is the cut. 0 if nobody can be judged.
    """
    n = history.n_items
    pairs = np.unique(window.users.astype(np.int64) * n + window.items)
    pairs = pairs[~np.isin(pairs, np.unique(history.users.astype(np.int64) * n + history.items))]
    pairs = pairs[on_sale[pairs % n]]
    known = np.bincount(history.users, minlength=history.n_users) > 0
    pairs = pairs[known[pairs // n]]
    users = np.unique(pairs // n)
    if len(users) > most_users:
        users = np.sort(np.random.default_rng(seed).choice(users, most_users, replace=False))
        pairs = pairs[np.isin(pairs // n, users)]
    if not len(users):
        return 0.0
    recommender = TwoTowerRecommender(model, history, features, as_of=as_of, profiles=profiles)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    offsets = history.offsets()
    total = 0.0
    for start in range(0, len(users), BLOCK):
        block = users[start : start + BLOCK]
        scores = recommender.score(block.astype(np.int32))
        scores[:, ~on_sale] = -np.inf
        lengths = offsets[block + 1] - offsets[block]
        seen = np.concatenate([history.items[offsets[user] : offsets[user + 1]] for user in block])
        scores[np.repeat(np.arange(len(block)), lengths), seen] = -np.inf
        mine = pairs[(pairs // n >= block[0]) & (pairs // n <= block[-1])]
        relevant = np.zeros(scores.shape, dtype=bool)
        relevant[np.searchsorted(block, mine // n), mine % n] = True
        top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        gains = (np.take_along_axis(relevant, top, axis=1) * discounts[: top.shape[1]]).sum(axis=1)
        ideal = np.cumsum(discounts)[np.minimum(relevant.sum(axis=1), k) - 1]
        total += float((gains / ideal).sum())
    return total / len(users)
