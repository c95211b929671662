"""Features of a (user, item) pair, for the ranker.

Belongs here: their names, how each is computed, and which are counts (the ranker takes their logarithm). Does not
belong here: which pairs are candidates, the ranker.

No feature names an item or a user: the ranker learns how much to trust each source, not what sold last week, which is
what makes it hold a day later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.ranking.candidates import Scores, history_shares, retrieve
from fashionrec_assets.ranking.knowledge import DAY, WINDOWS, Knowledge
from fashionrec_assets.settings import RankingSettings

SHARES = ("product_type", "colour", "pattern", "section", "gender", "brand", "family_id")
"""Categories of which the share of the user's history with the item's value is a feature."""

COUNTS = (
    "item_knn",
    "item_knn_cosine",
    "item_knn_last_day",
    "family_knn",
    "type_knn",
    "section_popularity",
    *(f"events_{days}d" for days in WINDOWS),
    "people",
    "family_people",
    "family_events_1d",
    "family_size",
    "type_people",
    "section_people",
    "history_items",
    "trend",
)
"""Features that are counts or sums: heavy-tailed, zero where there is nothing."""

NAMES: tuple[str, ...] = (
    *COUNTS,
    "content",
    "text_nearest",
    "text_mean",
    "image_nearest",
    "shelf_days",
    "warm",
    "type_new_share",
    "has_image",
    "price_gap",
    "days_since_last_event",
    *(f"share_{name}" for name in SHARES),
    "rank_item_knn",
    "rank_content",
    "rank_family_knn",
    "two_tower",
    "two_tower_below_best",
    "rank_two_tower",
)


@dataclass(frozen=True)
class Pairs:
    """p candidates of a block of users: `owner` int64 (p,) ascending positions among the users asked about, `items`
    int64 (p,) item rows, `values` float32 (p, len(NAMES))."""

    owner: NDArray[np.int64]
    items: NDArray[np.int64]
    values: NDArray[np.float32]


def pairs_of(
    known: Knowledge, users: NDArray[np.int32], available: NDArray[np.bool_], settings: RankingSettings
) -> Pairs:
    """The candidates of `users` among what is `available` (len(users), n_items) to each, with their features."""
    scores = Scores.of(known, users)
    owner, item = retrieve(known, users, scores, available, settings)
    return Pairs(owner, item, values_of(known, users, scores, owner, item))


def values_of(
    known: Knowledge,
    users: NDArray[np.int32],
    scores: Scores,
    owner: NDArray[np.int64],
    item: NDArray[np.int64],
) -> NDArray[np.float32]:
    """float32 (p, len(NAMES)): the features of the pairs (`owner`, `item`), which are all the candidates of `users`
    and sorted by owner: some features are places among them."""
    columns: dict[str, NDArray[np.floating] | NDArray[np.bool_]] = {
        "item_knn": scores.knn[owner, item],
        "item_knn_cosine": scores.cosine_knn[owner, item],
        "item_knn_last_day": scores.newest_knn[owner, item],
        "family_knn": scores.families[owner, item],
        "type_knn": scores.types[owner, item],
        "section_popularity": scores.section[owner, item],
        "content": scores.content[owner, item],
    }
    columns.update(_of_users(known, users, owner, item))
    columns.update(_nearest(known, users, owner, item))
    if known.tower is not None and scores.tower_users is not None:
        value = np.einsum("ij,ij->i", scores.tower_users[owner], known.tower.vectors[item])
        best = np.full(len(users), -np.inf)
        np.maximum.at(best, owner, value)
        columns["two_tower"], columns["two_tower_below_best"] = value, best[owner] - value
        columns["rank_two_tower"] = _ranks(owner, value)
    for name in ("item_knn", "content", "family_knn"):
        columns[f"rank_{name}"] = _ranks(owner, columns[name])
    values = np.zeros((len(owner), len(NAMES)), np.float32)
    for name, of_items in known.item_columns.items():
        values[:, NAMES.index(name)] = of_items[item]
    for at, name in enumerate(NAMES):
        if name in columns:
            values[:, at] = columns[name]
    return values


def _of_users(
    known: Knowledge, users: NDArray[np.int32], owner: NDArray[np.int64], item: NDArray[np.int64]
) -> dict[str, NDArray[np.floating] | NDArray[np.bool_]]:
    touched = np.diff(known.matrix.indptr)[users].astype(np.float32)
    activity = np.maximum(touched, 1)
    since = (known.as_of - known.last_seen[users].astype(np.float64)) / DAY
    columns: dict[str, NDArray[np.floating] | NDArray[np.bool_]] = {
        "history_items": touched[owner],
        "days_since_last_event": np.where(touched > 0, since, 0)[owner],
        "price_gap": np.zeros(len(owner), np.float32),
    }
    for name in SHARES:
        codes = known.categories.get(name)
        if codes is not None:
            share = history_shares(known, users, codes, activity)[owner, codes[item]]
            columns[f"share_{name}"] = np.where(codes[item] > 0, share, 0)
    priced = np.isfinite(known.price)
    if priced.any():
        prices = np.where(priced, known.price, 0)
        mine = known.matrix[users]
        mean = (mine @ prices) / np.maximum(mine @ priced.astype(np.float32), 1)
        usable = priced[item] & (mean[owner] != 0)
        columns["price_gap"] = np.where(usable, prices[item] - mean[owner], 0)
    return columns


def _nearest(
    known: Knowledge, users: NDArray[np.int32], owner: NDArray[np.int64], item: NDArray[np.int64]
) -> dict[str, NDArray[np.floating]]:
    """Cosines of the candidates' text and photo to the user's newest items, themselves left out."""
    text = np.zeros(len(owner), np.float32)
    mean = np.zeros(len(owner), np.float32)
    image = np.full(len(owner), -1, np.float32)
    bounds = np.searchsorted(owner, np.arange(len(users) + 1))
    offsets, recent = known.tfidf.offsets, known.tfidf.items
    for at, user in enumerate(users):
        mine = recent[offsets[user] : offsets[user + 1]]
        part = slice(bounds[at], bounds[at + 1])
        if not len(mine) or part.start == part.stop:
            continue
        candidates = item[part]
        same, own = np.nonzero(candidates[:, None] == mine[None, :])
        near = known.text[candidates] @ known.text[mine].T
        near[same, own] = 0
        text[part] = near.max(axis=1)
        mean[part] = near.sum(axis=1) / np.maximum(len(mine) - np.bincount(same, minlength=len(candidates)), 1)
        photographed = known.has_image[mine]
        if photographed.any():
            seen = known.image[candidates] @ known.image[mine[photographed]].T
            seen[same[photographed[own]], (np.cumsum(photographed) - 1)[own[photographed[own]]]] = -1
            seen[~known.has_image[candidates]] = -1
            image[part] = seen.max(axis=1)
    return {"text_nearest": text, "text_mean": mean, "image_nearest": image}


def _ranks(owner: NDArray[np.int64], values: NDArray[np.floating] | NDArray[np.bool_]) -> NDArray[np.float64]:
    """log(1 + place) of each value among its owner's, best first from place 0; equal values share the better place."""
    if not len(owner):
        return np.zeros(0)
    counts = np.bincount(owner)
    lists = np.full((len(counts), int(counts.max(initial=0))), -np.inf)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    lists[owner, place] = values
    return ranks_among(lists, lists)[owner, place]


def ranks_among(values: NDArray[np.floating], asked: NDArray[np.floating]) -> NDArray[np.float64]:
    """float64 (..., k): log(1 + how many of `values` (..., c) are larger than each of `asked` (..., k))."""
    import torch

    lists = np.sort(values.reshape(-1, values.shape[-1]), axis=1)
    found = torch.searchsorted(
        torch.from_numpy(lists), torch.from_numpy(asked.reshape(len(lists), asked.shape[-1])), side="right"
    )
    return np.log1p(values.shape[-1] - found.numpy().astype(np.float64)).reshape(asked.shape)
