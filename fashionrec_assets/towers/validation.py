"""The figure that decides when training stops.

Belongs here: NDCG@K of this room's models on days before the test. Does not belong here: reports, intervals and other
methods (the evaluation room, which this room must not import).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.recommender import TwoTowerRecommender

BLOCK = 512
NO_LIFT = np.zeros(1)


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
    return float(ndcg_of(recommender.score, history, pairs, on_sale, k=k)[0])


def ndcg_of(
    score: Callable[[NDArray[np.int32]], NDArray[np.float32]],
    history: EventLog,
    pairs: NDArray[np.int64],
    on_sale: NDArray[np.bool_],
    *,
    lifts: NDArray[np.float64] = NO_LIFT,
    lifted: NDArray[np.bool_] | None = None,
    k: int = 20,
) -> NDArray[np.float64]:
    """float64 (lifts,): the mean over people of `ndcg_by_user`; 0 if there is nobody."""
    found = ndcg_by_user(score, history, pairs, on_sale, lifts=lifts, lifted=lifted, k=k)
    return found.mean(axis=1) if found.shape[1] else np.zeros(len(lifts))


def ndcg_by_user(
    score: Callable[[NDArray[np.int32]], NDArray[np.float32]],
    history: EventLog,
    pairs: NDArray[np.int64],
    on_sale: NDArray[np.bool_],
    *,
    lifts: NDArray[np.float64] = NO_LIFT,
    lifted: NDArray[np.bool_] | None = None,
    k: int = 20,
) -> NDArray[np.float64]:
    """NDCG@k (lifts, users) of the users of `pairs`, each lift added to the scores of the items `lifted` (n_items,).

    `pairs` int64 (t,): user times n_items plus item, sorted, distinct: what users were to be shown. `score` gives rows
    (users, n_items); items outside `on_sale` and those of a user's `history` are not shown.
    """
    n = history.n_items
    users = np.unique(pairs // n)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    offsets = history.offsets()
    found = np.zeros((len(lifts), len(users)))
    for start in range(0, len(users), BLOCK):
        block = users[start : start + BLOCK]
        scores = score(block.astype(np.int32))
        scores[:, ~on_sale] = -np.inf
        lengths = offsets[block + 1] - offsets[block]
        seen = np.concatenate([history.items[offsets[user] : offsets[user + 1]] for user in block])
        scores[np.repeat(np.arange(len(block)), lengths), seen] = -np.inf
        mine = pairs[(pairs // n >= block[0]) & (pairs // n <= block[-1])]
        relevant = np.zeros(scores.shape, dtype=bool)
        relevant[np.searchsorted(block, mine // n), mine % n] = True
        ideal = np.cumsum(discounts)[np.minimum(relevant.sum(axis=1), k) - 1]
        for number, lift in enumerate(lifts):
            shown = scores if lifted is None or not lift else scores + lift * lifted
            top = np.argsort(-shown, axis=1, kind="stable")[:, :k]
            gains = (np.take_along_axis(relevant, top, axis=1) * discounts[: top.shape[1]]).sum(axis=1)
            found[number, start : start + len(block)] = gains / ideal
    return found
