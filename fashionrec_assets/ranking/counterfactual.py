"""What a score would be if the user had not turned to something: which items of a history a rank rests on.

Belongs here: how far scores fall. Two ways: `log_shares` computes everything again, as if the events had never been;
`leave_one_out` and `neutralised` do it for many items at once, on the features of a block that is already ranked. Does
not belong here: the features of shortened histories (`shortened.py`), which of it is told to the user, and in what
words (recommendations).

What falls is the natural logarithm of the item's share in the softmax over the user's candidates: the ranker was
trained on that share, and a change that moves all candidates alike moves no item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.ranking.candidates import Scores, retrieve
from fashionrec_assets.ranking.features import NAMES, values_of
from fashionrec_assets.ranking.knowledge import Knowledge
from fashionrec_assets.ranking.late_fusion import RankedBlock, users_per_block
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.shortened import features_without, histories_without
from fashionrec_assets.settings import RankingSettings

GROUPS: Mapping[str, tuple[str, ...]] = {
    "product_type": ("share_product_type", "type_knn", "type_people"),
    "colour": ("share_colour",),
    "pattern": ("share_pattern",),
    "section": ("share_section", "section_popularity", "section_people"),
    "gender": ("share_gender",),
    "brand": ("share_brand",),
    "price": ("price_gap",),
    "popularity": (
        "events_1d",
        "events_2d",
        "events_4d",
        "people",
        "family_people",
        "family_events_1d",
        "trend",
    ),
    "new": ("shelf_days", "warm", "type_new_share"),
    "look": ("image_nearest",),
    "wording": ("content", "text_nearest", "text_mean", "rank_content"),
}
"""Features that speak of one property of an item, by what a reader would call it."""

_AT = {name: at for at, name in enumerate(NAMES)}


@dataclass(frozen=True)
class Drops:
    """t pairs of a shown row and an item of its user's history, by row and then by drop, largest first.

    `row` int64 (t,): positions among the shown rows. `items` int64 (t,): item rows. `drop` float32 (t,): how far the
    log share of the row's item falls without them; below 0 where it rises.
    """

    row: NDArray[np.int64]
    items: NDArray[np.int64]
    drop: NDArray[np.float32]


def log_shares(
    known: Knowledge,
    ranker: Ranker,
    settings: RankingSettings,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    removed: Sequence[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """float64 (v,): log of the share of item row `items[v]` among the candidates of user `users[v]`, as if that user
    had never turned to the item rows `removed[v]`.

    All features of all candidates are computed again from the shortened history; what is known of items stays, and so
    do the candidates, which are those of the whole history and the item itself. Lifts of new items are left out.
    """
    found = np.empty(len(users))
    step = users_per_block(known.log.n_items)
    for at in range(0, len(users), step):
        part = slice(at, min(at + step, len(users)))
        rows, wanted = users[part], items[part]
        own = np.asarray(rows, np.int32)
        open_to = np.ones((len(rows), known.log.n_items), bool)
        owner, item = retrieve(known, own, Scores.of(known, own), open_to, settings)
        pairs = np.unique(
            np.concatenate([owner, np.arange(len(rows))]) * known.log.n_items + np.concatenate([item, wanted])
        )
        owner, item = np.divmod(pairs, known.log.n_items)
        sizes = [len(one) for one in removed[part]]
        out = np.concatenate([np.asarray(one, np.int64) for one in removed[part]] or [np.zeros(0, np.int64)])
        shortened = histories_without(known.log, rows, np.repeat(np.arange(len(rows)), sizes), out)
        then = known.of_people(shortened, rows)
        people = np.arange(len(rows), dtype=np.int32)
        values = values_of(then, people, Scores.of(then, people), owner, item)
        scores = ranker.scores(values, lift=False).astype(np.float64)
        total = _log_sums(scores, owner, len(rows))
        found[part] = scores[np.searchsorted(pairs, np.arange(len(rows)) * known.log.n_items + wanted)] - total
    return found


def neutralised(ranker: Ranker, block: RankedBlock, shown: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Of each group of `GROUPS`, float32 (r,): how far the score of each `shown` row (r,) of the block falls if the
    item were, in that respect, like the user's average candidate. Other candidates stay as they are."""
    counts = np.maximum(np.bincount(block.owner, minlength=len(block.users)), 1)
    average = np.zeros((len(block.users), len(NAMES)), np.float32)
    for name in {name for names in GROUPS.values() for name in names}:
        at = _AT[name]
        average[:, at] = np.bincount(block.owner, weights=block.values[:, at], minlength=len(block.users)) / counts
    own = ranker.inputs(block.values[shown])
    level = ranker.inputs(average)[block.owner[shown]]
    before = ranker.of_inputs(own)
    found: dict[str, NDArray[np.float32]] = {}
    for group, names in GROUPS.items():
        inputs = own.copy()
        for name in names:
            inputs[:, _AT[name]] = level[:, _AT[name]]
        found[group] = before - ranker.of_inputs(inputs)
    return found


def leave_one_out(known: Knowledge, ranker: Ranker, block: RankedBlock, shown: NDArray[np.int64], limit: int) -> Drops:
    """How far each `shown` row (r,) of the block, sorted by owner, falls without each of its user's `limit` newest
    items.

    Features are computed again for the shown rows, their places among the user's candidates included; what an item's
    share is a share of are the shown rows of the same user, which hold most of it.
    """
    parts = [
        (without.row, without.item, ranker.scores(without.values, lift=False).astype(np.float64))
        for without in features_without(known, block, shown, limit)
    ]
    if not parts:
        nothing = np.zeros(0, np.int64)
        return Drops(nothing, nothing, np.zeros(0, np.float32))
    row, item, after = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    owner = block.owner[shown]
    before = ranker.scores(block.values[shown], lift=False).astype(np.float64)
    # One softmax for each user, and one for each user and item taken out: both run over the user's shown rows.
    variant = np.unique(owner[row] * np.int64(known.log.n_items) + item, return_inverse=True)[1]
    share = before - _log_sums(before, owner, len(block.users))[owner]
    then = after - _log_sums(after, variant, int(variant.max(initial=-1)) + 1)[variant]
    drop = (share[row] - then).astype(np.float32)
    order = np.lexsort((item, -drop, row))
    return Drops(row[order], item[order], drop[order])


def _log_sums(scores: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """float64 (groups,): log of the sum of exp(score) in each group; -inf of an empty one."""
    top = np.full(groups, -np.inf)
    np.maximum.at(top, group, scores)
    with np.errstate(divide="ignore"):
        return np.log(np.bincount(group, weights=np.exp(scores - top[group]), minlength=groups)) + np.where(
            np.isfinite(top), top, 0
        )
