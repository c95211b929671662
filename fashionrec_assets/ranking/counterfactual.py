"""What a score would be if the user had not turned to something: which items of a history a rank rests on.

Belongs here: histories with items taken out, and how far scores fall. Two ways: `log_shares` computes everything again,
as if the events had never been; `leave_one_out` and `neutralised` do it for many items at once, on the features of a
block that is already ranked. Does not belong here: which of it is told to the user, and in what words
(recommendations).

What falls is the natural logarithm of the item's share in the softmax over the user's candidates: the ranker was
trained on that share, and a change that moves all candidates alike moves no item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.candidates import Scores, retrieve
from fashionrec_assets.ranking.features import NAMES, SHARES, values_of
from fashionrec_assets.ranking.knowledge import DAY, Knowledge
from fashionrec_assets.ranking.late_fusion import RankedBlock, users_per_block
from fashionrec_assets.ranking.ranker import Ranker
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


def histories_without(
    log: EventLog, users: NDArray[np.int64], owner: NDArray[np.int64], items: NDArray[np.int64]
) -> EventLog:
    """A log of v users: the events of row `users[v]` of `log`, without those on the items that are taken out.

    `users` int64 (v,), may repeat. `owner`, `items` int64 (k,): item row `items[k]` is taken out for user `owner[k]` of
    the new log.
    """
    offsets = log.offsets()
    starts, counts = offsets[users], offsets[users + 1] - offsets[users]
    line = np.repeat(np.arange(len(users)), counts)
    event = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    out = np.isin(line * log.n_items + log.items[event], owner * log.n_items + items)
    line, event = line[~out], event[~out]
    width = len(str(max(len(users) - 1, 0)))
    return EventLog(
        user_ids=np.asarray([f"{at:0{width}d}" for at in range(len(users))], np.str_),
        item_ids=log.item_ids,
        users=line.astype(np.int32),
        items=log.items[event],
        times=log.times[event],
        behaviours=log.behaviours[event],
    )


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
    """Group of `GROUPS` -> float32 (r,): how far the score of each `shown` row (r,) of the block falls if the item
    were, in that respect, like the user's average candidate. Other candidates stay as they are."""
    counts = np.bincount(block.owner, minlength=len(block.users))
    before = ranker.scores(block.values[shown], lift=False)
    found: dict[str, NDArray[np.float32]] = {}
    for group, names in GROUPS.items():
        values = block.values[shown].copy()
        for name in names:
            column = block.values[:, _AT[name]]
            mean = np.bincount(block.owner, weights=column, minlength=len(block.users)) / np.maximum(counts, 1)
            values[:, _AT[name]] = mean[block.owner[shown]]
        found[group] = before - ranker.scores(values, lift=False)
    return found


def leave_one_out(known: Knowledge, ranker: Ranker, block: RankedBlock, shown: NDArray[np.int64], limit: int) -> Drops:
    """How far each `shown` row (r,) of the block, sorted by owner, falls without each of its user's `limit` newest
    items.

    Features are computed again for the shown rows, their places among the user's candidates included; what an item's
    share is a share of are the shown rows of the same user, which hold most of it.
    """
    around = _Surroundings.of(known, block, limit)
    out_of, out = around.taken_out()
    vectors = _vectors_without(known, block.users[out_of], out)
    users = np.arange(len(block.users) + 1)
    pairs, mine, variants = (np.searchsorted(owner, users) for owner in (block.owner, block.owner[shown], out_of))
    rows: list[NDArray[np.int64]] = []
    items: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float32]] = []
    for user in np.flatnonzero((np.diff(mine) > 0) & (np.diff(variants) > 0)).tolist():
        person = _Person(known, around, block, user, slice(int(pairs[user]), int(pairs[user + 1])))
        own, without = np.arange(mine[user], mine[user + 1]), slice(variants[user], variants[user + 1])
        again = person.without_each(shown[own] - pairs[user], None if vectors is None else vectors[without])
        values.append(again.reshape(-1, len(NAMES)))
        rows.append(np.tile(own, len(out[without])))
        items.append(np.repeat(out[without], len(own)))
    if not rows:
        nothing = np.zeros(0, np.int64)
        return Drops(nothing, nothing, np.zeros(0, np.float32))
    row, item = np.concatenate(rows), np.concatenate(items)
    owner = block.owner[shown]
    before = ranker.scores(block.values[shown], lift=False).astype(np.float64)
    after = ranker.scores(np.concatenate(values), lift=False).astype(np.float64)
    # One softmax for each user, and one for each user and item taken out: both run over the user's shown rows.
    variant = np.unique(owner[row] * np.int64(known.log.n_items) + item, return_inverse=True)[1]
    share = before - _log_sums(before, owner, len(block.users))[owner]
    then = after - _log_sums(after, variant, int(variant.max(initial=-1)) + 1)[variant]
    drop = (share[row] - then).astype(np.float32)
    order = np.lexsort((item, -drop, row))
    return Drops(row[order], item[order], drop[order])


@dataclass(frozen=True)
class _Surroundings:
    """The items of a block's users that the ranker compares candidates with, and how near they are to each.

    User u of the block has `items[offsets[u] : offsets[u + 1]]`, oldest first; the last `counts[u]` of them are taken
    out, one at a time. `near` maps names to float32 (different items, different candidates); `row` (h,) and `column`
    (p,) are places in it of each history item and of each pair of the block.
    """

    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    items: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    near: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, known: Knowledge, block: RankedBlock, limit: int) -> _Surroundings:
        starts, ends = known.tfidf.offsets[block.users], known.tfidf.offsets[block.users + 1]
        sizes = ends - starts
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        items = known.tfidf.items[np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)].astype(np.int64)
        unique, row = np.unique(items, return_inverse=True)
        candidates, column = np.unique(block.items, return_inverse=True)
        texts = known.tfidf.features
        same = unique[:, None] == candidates[None, :]
        pictured = known.has_image[unique][:, None] & known.has_image[candidates][None, :] & ~same
        near: dict[str, NDArray[np.float32]] = {
            "knn": known.knn.similarity[unique][:, candidates].toarray(),
            "cosine_knn": known.cosine_knn.similarity[unique][:, candidates].toarray(),
            "content": np.where(same, np.float32(0), (texts[unique] @ texts[candidates].T).toarray()),
            "text": np.where(same, np.float32(0), known.text[unique] @ known.text[candidates].T),
            "image": np.where(pictured, known.image[unique] @ known.image[candidates].T, np.float32(-1)),
        }
        for name, group in (("families", known.families), ("types", known.types)):
            near[name] = group.knn.similarity[group.codes[unique]][:, group.codes[candidates]].toarray()
        return cls(offsets, np.minimum(sizes, limit), items, row, column, near)

    def taken_out(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(owner, item), both int64 (v,): every item taken out, and the user of the block it is taken from."""
        ends = self.offsets[1:]
        starts = np.cumsum(self.counts) - self.counts
        place = np.arange(self.counts.sum()) + np.repeat(ends - self.counts - starts, self.counts)
        return np.repeat(np.arange(len(self.counts)), self.counts), self.items[place]


def _vectors_without(
    known: Knowledge, users: NDArray[np.int64], items: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """float32 (v, d): the vector of each of `users` (v,) without the item row `items[v]`; None without a tower."""
    if known.tower is None:
        return None
    variants = np.arange(len(users))
    profiles = known.profiles
    people = known.tower.users.of_people(
        histories_without(known.log, users, variants, items), None if profiles is None else profiles.take(users)
    )
    return people.user_vectors(variants)


class _Person:
    """One user of a block, what they turned to, and their candidates."""

    def __init__(self, known: Knowledge, around: _Surroundings, block: RankedBlock, user: int, pairs: slice) -> None:
        own = slice(int(around.offsets[user]), int(around.offsets[user + 1]))
        self.known, self._around, self._rows = known, around, around.row[own]
        self._columns = around.column[pairs]
        self.row = int(block.users[user])
        self.history = around.items[own]
        self.out = np.arange(len(self.history))[len(self.history) - int(around.counts[user]) :]
        """Places in `history` of what is taken out."""
        self.candidates, self.values = block.items[pairs], block.values[pairs]
        touched = slice(int(known.matrix.indptr[self.row]), int(known.matrix.indptr[self.row + 1]))
        self.touched = known.matrix.indices[touched].astype(np.int64)
        self.weights: NDArray[np.float32] = known.knn.matrix.data[touched].astype(np.float32)

    def near(self, name: str) -> NDArray[np.float32]:
        """float32 (history, candidates)."""
        return self._around.near[name][self._rows][:, self._columns]

    def weight(self) -> NDArray[np.float32]:
        """float32 (m,): how strongly the user turned to each item that is taken out."""
        return self.weights[np.searchsorted(self.touched, self.history[self.out])]

    def group_weight(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 (m,): what each item adds to its group beyond the strongest other item of the group."""
        out = self.history[self.out]
        others = (codes[out][:, None] == codes[self.touched][None, :]) & (out[:, None] != self.touched[None, :])
        strongest = np.where(others, self.weights[None, :], 0).max(axis=1, initial=0)
        return np.maximum(self.weight() - strongest, 0).astype(np.float32)

    def without_each(self, places: NDArray[np.int64], vectors: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """float32 (m, k, features): the k candidates at `places`, without each of the m items in turn.

        `vectors` (m, d): the user's vector without each. What the user's last day was stays.
        """
        new = np.repeat(self.values[places][None], len(self.out), axis=0)
        for name, values in {**self._sources(places, vectors), **self._nearest(places), **self._shares(places)}.items():
            new[:, :, _AT[name]] = values
        new[:, :, _AT["history_items"]] = len(self.touched) - 1
        new[:, :, _AT["days_since_last_event"]] = _days_since(self.known, self.row, self.history[self.out])[:, None]
        own = self.candidates[places]
        new[:, :, _AT["price_gap"]] = _price_gaps(self.known, self.row, self.history[self.out], own)
        return new

    def _sources(
        self, places: NDArray[np.int64], vectors: NDArray[np.float32] | None
    ) -> dict[str, NDArray[np.floating]]:
        """What candidate sources say, with places among all candidates where those are features too."""
        known, out = self.known, self.out
        weight = self.weight()[:, None]
        families = self.group_weight(known.families.codes)[:, None] * self.near("families")[out]
        types = self.group_weight(known.types.codes)[:, None] * self.near("types")[out][:, places]
        counted = max(len(self.touched), 1)
        every = {
            "item_knn": self._less("item_knn", weight * self.near("knn")[out]),
            "family_knn": self._less("family_knn", families),
            "content": _best_of_others(self.near("content"), out, 0),
        }
        if vectors is not None and known.tower is not None:
            every["two_tower"] = vectors @ known.tower.vectors[self.candidates].T
        found = {name: values[:, places] for name, values in every.items()}
        for name, values in every.items():
            above = values[:, None, :] > found[name][:, :, None]
            found[f"rank_{name}"] = np.log1p(above.sum(axis=2))
        if "two_tower" in every:
            found["two_tower_below_best"] = every["two_tower"].max(axis=1, keepdims=True) - found["two_tower"]
        cosine = self.near("cosine_knn")[out][:, places]
        found["item_knn_cosine"] = self._less("item_knn_cosine", weight * cosine, places)
        last = np.isin(self.history[out], known.newest.indices[slice(*known.newest.indptr[self.row : self.row + 2])])
        found["item_knn_last_day"] = self._less(
            "item_knn_last_day", last[:, None] * self.near("knn")[out][:, places], places
        )
        found["type_knn"] = self._less("type_knn", types / counted, places) * counted / max(counted - 1, 1)
        return found

    def _less(
        self, name: str, lost: NDArray[np.floating], places: NDArray[np.int64] | None = None
    ) -> NDArray[np.floating]:
        old = self.values[:, _AT[name]] if places is None else self.values[places, _AT[name]]
        return np.maximum(old[None, :] - lost, 0)

    def _nearest(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.floating]]:
        text = self.near("text")[:, places]
        other = self.history[:, None] != self.candidates[places][None, :]
        total, count = text.sum(axis=0), other.sum(axis=0)
        return {
            "text_nearest": _best_of_others(text, self.out, 0),
            "text_mean": (total[None, :] - text[self.out]) / np.maximum(count[None, :] - other[self.out], 1),
            "image_nearest": _best_of_others(self.near("image")[:, places], self.out, -1),
        }

    def _shares(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.floating]]:
        out, shown = self.history[self.out], self.candidates[places]
        counted = len(self.touched)
        found: dict[str, NDArray[np.floating]] = {}
        for name in SHARES:
            codes = self.known.categories.get(name)
            if codes is None:
                continue
            same = (codes[out][:, None] == codes[shown][None, :]) & (codes[shown] > 0)
            share = self.values[places, _AT[f"share_{name}"]]
            found[f"share_{name}"] = np.maximum(share * counted - same, 0) / max(counted - 1, 1)
            if name == "section":
                scale = np.where(share > 0, found["share_section"] / np.maximum(share, 1e-9), 1)
                found["section_popularity"] = self.values[places, _AT["section_popularity"]] * scale
        return found


def _best_of_others(near: NDArray[np.float32], out: NDArray[np.int64], none: float) -> NDArray[np.float32]:
    """float32 (m, c): the largest of each column of `near` (h, c), and at least `none`, without each row of `out`."""
    first = near.argmax(axis=0)
    columns = np.arange(near.shape[1])
    rest = near.copy()
    rest[first, columns] = -np.inf
    best = np.where(out[:, None] == first[None, :], rest.max(axis=0)[None, :], near[first, columns][None, :])
    return np.maximum(best, np.float32(none))


def _days_since(known: Knowledge, who: int, history: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 (m,): days since the user's last event on anything but each item; 0 where nothing else is left."""
    part = slice(*np.searchsorted(known.log.users, [who, who + 1]))
    items, times = known.log.items[part], known.log.times[part].astype(np.float64)
    last = np.where(items[None, :] == history[:, None], -np.inf, times[None, :]).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(last), (known.as_of - last) / DAY, 0)


def _price_gaps(
    known: Knowledge, who: int, history: NDArray[np.int64], shown: NDArray[np.int64]
) -> NDArray[np.float64]:
    """float64 (m, k): log price of each shown item less the mean of the user's items, without each of them."""
    mine = known.matrix.indices[known.matrix.indptr[who] : known.matrix.indptr[who + 1]]
    prices = known.price[mine].astype(np.float64)
    priced = np.isfinite(prices)
    own = known.price[history].astype(np.float64)
    total = prices[priced].sum() - np.where(np.isfinite(own), own, 0)
    mean = total / np.maximum(int(priced.sum()) - np.isfinite(own), 1)
    gap = known.price[shown].astype(np.float64)[None, :] - mean[:, None]
    return np.where(np.isfinite(gap) & (mean[:, None] != 0), gap, 0)


def _log_sums(scores: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """float64 (groups,): log of the sum of exp(score) in each group; -inf of an empty one."""
    top = np.full(groups, -np.inf)
    np.maximum.at(top, group, scores)
    with np.errstate(divide="ignore"):
        return np.log(np.bincount(group, weights=np.exp(scores - top[group]), minlength=groups)) + np.where(
            np.isfinite(top), top, 0
        )
