"""Features of a block's shown rows as if their user had not turned to one item: of many users and items at a time.

Belongs here: histories with items taken out, and what of the features follows from that. Does not belong here: scores
and how far they fall (`counterfactual.py`), features of whole histories (`features.py`).

People are padded to arrays (b users, h items of their histories, m items taken out, c candidates, k shown): what is
beyond a user's own is masked. Nearness is computed of each user's own items and candidates alone, for a block's
different items times its different candidates are far more in a large catalog.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.features import NAMES, SHARES, ranks_among
from fashionrec_assets.ranking.knowledge import DAY, Knowledge
from fashionrec_assets.ranking.late_fusion import RankedBlock

_AT = {name: at for at, name in enumerate(NAMES)}
_USERS = 64
_FEW = 4
"""So many times the candidates of a user are items or groups few, and looked up in whole rows."""


@dataclass(frozen=True)
class Without:
    """t pairs of a shown row and an item of its user's history: `row` int64 (t,) positions among the shown rows, `item`
    int64 (t,) item rows, `values` float32 (t, features) of the row without the item."""

    row: NDArray[np.int64]
    item: NDArray[np.int64]
    values: NDArray[np.float32]


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


def features_without(known: Knowledge, block: RankedBlock, shown: NDArray[np.int64], limit: int) -> Iterator[Without]:
    """The features of each `shown` row (r,) of the block, sorted by owner, without each of its user's `limit` newest
    items, some users at a time. What the user's last day was stays."""
    starts, ends = known.tfidf.offsets[block.users], known.tfidf.offsets[block.users + 1]
    counts = np.minimum(ends - starts, limit)
    if not len(shown) or not counts.any():
        return
    out_of = np.repeat(np.arange(len(counts)), counts)
    firsts = np.cumsum(counts) - counts
    out = known.tfidf.items[np.arange(len(out_of)) + np.repeat(ends - counts - firsts, counts)].astype(np.int64)
    vectors = _vectors_without(known, block.users[out_of], out)
    users = np.arange(len(block.users) + 1)
    pairs, rows, variants = (np.searchsorted(owner, users) for owner in (block.owner, block.owner[shown], out_of))
    for at in range(0, len(block.users), _USERS):
        part = slice(at, min(at + _USERS, len(block.users)))
        bounds = slice(part.start, part.stop + 1)
        own = slice(int(variants[part.start]), int(variants[part.stop]))
        if own.start == own.stop or rows[part.start] == rows[part.stop]:
            continue
        people = _People(known, block, shown, part, limit, pairs[bounds], rows[bounds])
        yield people.without_each(None if vectors is None else vectors[own])


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


@dataclass(frozen=True)
class _Padded:
    """Lists of b users as an array: `real` bool (b, longest); `fill` brings values of all lists, one after the other,
    into that shape. `owner`, `place` (all,): where each value goes."""

    real: NDArray[np.bool_]
    owner: NDArray[np.int64]
    place: NDArray[np.int64]

    @classmethod
    def of(cls, sizes: NDArray[np.int64]) -> _Padded:
        real = np.arange(int(sizes.max(initial=0)))[None, :] < sizes[:, None]
        owner, place = np.nonzero(real)
        return cls(real, owner, place)

    def fill(self, values: NDArray, nothing: float = 0) -> NDArray:
        array = np.full((*self.real.shape, *values.shape[1:]), nothing, values.dtype)
        array[self.real] = values
        return array


class _People:
    """Some users of a block, what they turned to, and their candidates."""

    def __init__(
        self,
        known: Knowledge,
        block: RankedBlock,
        shown: NDArray[np.int64],
        part: slice,
        limit: int,
        pairs: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        self.known = known
        self.users = block.users[part]
        offsets = known.tfidf.offsets
        starts, sizes = offsets[self.users], offsets[self.users + 1] - offsets[self.users]
        past = _Padded.of(sizes)
        self.past = past
        self.history = past.fill(known.tfidf.items[starts[past.owner] + past.place].astype(np.int64), -1)
        """(b, h) item rows, oldest first."""
        counts = np.minimum(sizes, limit)
        self.out_of = _Padded.of(counts)
        place = (sizes - counts)[:, None] + np.arange(self.out_of.real.shape[1])
        self.out_place = np.clip(place, 0, np.maximum(sizes[:, None] - 1, 0))
        self.out = np.where(self.out_of.real, np.take_along_axis(self.history, self.out_place, 1), -1)
        """(b, m) item rows."""
        self.candidates = _Padded.of(np.diff(pairs))
        own = slice(int(pairs[0]), int(pairs[-1]))
        self.items = self.candidates.fill(block.items[own], -1)
        """(b, c) item rows."""
        self._values = block.values[own]
        self.shown = _Padded.of(np.diff(rows))
        self.rows = np.arange(int(rows[0]), int(rows[-1]))
        self.places = self.shown.fill(shown[self.rows] - pairs[self.shown.owner])
        """(b, k) among the candidates."""
        self.shown_items = np.where(self.shown.real, np.take_along_axis(self.items, self.places, 1), -1)
        self.shown_values = self.shown.fill(block.values[shown[self.rows]])
        """(b, k, features)."""
        pointers = known.matrix.indptr
        starts, sizes = pointers[self.users].astype(np.int64), np.diff(pointers)[self.users].astype(np.int64)
        every = _Padded.of(sizes)
        at = starts[every.owner] + every.place
        self.counted = sizes
        self.touched = every.fill(known.matrix.indices[at].astype(np.int64), -1)
        """(b, t) item rows, all."""
        self.weights = every.fill(known.knn.matrix.data[at].astype(np.float32))

    def without_each(self, vectors: NDArray[np.float32] | None) -> Without:
        """`vectors` (v, d): the user's vector without each item taken out."""
        shape = (*self.out.shape, *self.shown_values.shape[1:])
        new = np.broadcast_to(self.shown_values[:, None], shape).copy()
        for name, values in {**self._sources(vectors), **self._nearest(), **self._shares()}.items():
            new[..., _AT[name]] = values
        new[..., _AT["history_items"]] = (self.counted - 1)[:, None, None]
        new[..., _AT["days_since_last_event"]] = self._days_since()[:, :, None]
        new[..., _AT["price_gap"]] = self._price_gaps()
        asked = self.out_of.real[:, :, None] & self.shown.real[:, None, :]
        row = np.broadcast_to(self.shown.fill(self.rows)[:, None, :], asked.shape)
        return Without(row[asked], np.broadcast_to(self.out[:, :, None], asked.shape)[asked], new[asked])

    def _feature(self, name: str) -> NDArray[np.float32]:
        """float32 (b, 1, c)."""
        return self.candidates.fill(self._values[:, _AT[name]])[:, None, :]

    def _at_shown(self, values: NDArray) -> NDArray:
        """(b, m, k) of (b, m, c)."""
        places = np.broadcast_to(self.places[:, None, :], (*values.shape[:2], self.places.shape[1]))
        return np.take_along_axis(values, places, 2)

    def weight(self) -> NDArray[np.float32]:
        """float32 (b, m): how strongly the user turned to each item that is taken out."""
        same = self.out[:, :, None] == self.touched[:, None, :]
        return np.where(same, self.weights[:, None, :], 0).max(axis=2, initial=0).astype(np.float32)

    def group_weight(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 (b, m): what each item adds to its group beyond the strongest other item of the group."""
        group = codes[self.out][:, :, None] == np.where(self.touched >= 0, codes[self.touched], -1)[:, None, :]
        others = group & (self.out[:, :, None] != self.touched[:, None, :])
        strongest = np.where(others, self.weights[:, None, :], 0).max(axis=2, initial=0)
        return np.maximum(self.weight() - strongest, 0).astype(np.float32)

    def _near(self, similarity: sparse.csr_array, codes: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """float32 (b, m, c): from each item taken out to each candidate, or from the group of one to that of the
        other, where `codes` names the groups."""
        width = len(self.known.people) if codes is None else cast("tuple[int, int]", similarity.shape)[0]
        out, items = self.out[self.out_of.real], self.items[self.candidates.real]
        if codes is not None:
            out, items = codes[out], codes[items]
        rows = sparse.csr_array(similarity[out])
        if width <= _FEW * self.items.shape[1]:
            wanted = self.candidates.fill(items)[:, None, :]
            every = self.out_of.fill(rows.toarray())
            return np.take_along_axis(every, np.broadcast_to(wanted, (*self.out.shape, wanted.shape[2])), 2)
        place = np.full((len(self.users), width), -1, np.int32)
        place[self.candidates.owner, items] = self.candidates.place
        variant = np.repeat(np.arange(len(out)), np.diff(rows.indptr))
        at = place[self.out_of.owner[variant], rows.indices]
        hit = at >= 0
        variant, at = variant[hit], at[hit]
        near = np.zeros((*self.out.shape, self.items.shape[1]), np.float32)
        near[self.out_of.owner[variant], self.out_of.place[variant], at] = rows.data[hit]
        if codes is None:
            return near
        # Of the candidates of a group one holds the value for all.
        holds = self.candidates.fill(place[self.candidates.owner, items].astype(np.int64))
        return np.take_along_axis(near, np.broadcast_to(holds[:, None, :], near.shape), 2)

    def _sources(self, vectors: NDArray[np.float32] | None) -> dict[str, NDArray[np.floating]]:
        """What candidate sources say, with places among all candidates where those are features too."""
        known = self.known
        weight = self.weight()[:, :, None]
        families = self.group_weight(known.families.codes)[:, :, None]
        families = families * self._near(known.families.knn.similarity, known.families.codes)
        types = self.group_weight(known.types.codes)[:, :, None]
        near = self._near(known.knn.similarity)
        every = {
            "item_knn": np.maximum(self._feature("item_knn") - weight * near, 0),
            "family_knn": np.maximum(self._feature("family_knn") - families, 0),
            "content": _best_of_others(self._contents(), self.out_place, 0),
        }
        if vectors is not None and known.tower is not None:
            every["two_tower"] = self.out_of.fill(vectors) @ known.tower.vectors[self.items].transpose(0, 2, 1)
        beyond = ~self.candidates.real[:, None, :]
        found: dict[str, NDArray[np.floating]] = {}
        for name, values in every.items():
            values = np.where(beyond, -np.inf, values).astype(np.float32)
            found[name] = self._at_shown(values)
            found[f"rank_{name}"] = ranks_among(values, found[name])
            if name == "two_tower":
                found["two_tower_below_best"] = values.max(axis=2, keepdims=True) - found[name]
        alone = ("item_knn_cosine", "item_knn_last_day", "type_knn")
        mine = {name: self.shown_values[:, None, :, _AT[name]] for name in alone}
        cosine = self._at_shown(self._near(known.cosine_knn.similarity))
        found["item_knn_cosine"] = np.maximum(mine["item_knn_cosine"] - weight * cosine, 0)
        last = np.asarray(known.newest[self.users[:, None], np.maximum(self.out, 0)].toarray()) > 0
        lost = np.where(last[:, :, None], self._at_shown(near), 0)
        found["item_knn_last_day"] = np.maximum(mine["item_knn_last_day"] - lost, 0)
        counted = np.maximum(self.counted, 1)[:, None, None]
        lost = types * self._at_shown(self._near(known.types.knn.similarity, known.types.codes)) / counted
        found["type_knn"] = np.maximum(mine["type_knn"] - lost, 0) * counted / np.maximum(counted - 1, 1)
        return found

    def _contents(self) -> NDArray[np.float32]:
        """float32 (b, h, c): cosines of the texts' terms, 0 of an item to itself."""
        if self.known.contents is not None:
            near = self.known.contents[self.history[:, :, None], self.items[:, None, :]]
            near[~self.past.real] = 0
            return near
        texts = self.known.tfidf.features
        history, items = self.history[self.past.real], self.items[self.candidates.real]
        mine, theirs = sparse.csr_array(texts[history]), sparse.csr_array(texts[items])
        # A user's terms are columns of their own, so that one product holds each user's pairs and no others.
        owner = np.repeat(self.past.owner, np.diff(mine.indptr))
        _, width = cast("tuple[int, int]", texts.shape)
        place = np.full((len(self.users), width), -1, np.int32)
        place[owner, mine.indices] = 0
        there = np.flatnonzero(place.ravel() == 0)
        place.ravel()[there] = np.arange(len(there), dtype=np.int32)
        columns = place[owner, mine.indices]
        left = sparse.csr_array((mine.data, columns, mine.indptr), shape=(len(history), len(there)))
        at = place[np.repeat(self.candidates.owner, np.diff(theirs.indptr)), theirs.indices]
        shared = at >= 0
        line = np.repeat(np.arange(len(items)), np.diff(theirs.indptr))[shared]
        right = sparse.coo_array((theirs.data[shared], (at[shared], line)), shape=(len(there), len(items))).tocsr()
        found = sparse.csr_array(left @ right)
        row = np.repeat(np.arange(len(history)), np.diff(found.indptr))
        near = np.zeros((*self.history.shape, self.items.shape[1]), np.float32)
        near[self.past.owner[row], self.past.place[row], self.candidates.place[found.indices]] = found.data
        near[self.history[:, :, None] == self.items[:, None, :]] = 0
        return near

    def _nearest(self) -> dict[str, NDArray[np.floating]]:
        known, shown, history = self.known, self.shown_items, self.history
        other = (history[:, :, None] != shown[:, None, :]) & self.past.real[:, :, None]
        text = np.where(other, known.text[history] @ known.text[shown].transpose(0, 2, 1), np.float32(0))
        total, count = text.sum(axis=1), other.sum(axis=1)
        out = np.broadcast_to(self.out_place[:, :, None], (*self.out.shape, shown.shape[1]))
        without = total[:, None] - np.take_along_axis(text, out, 1)
        left = count[:, None] - np.take_along_axis(other, out, 1)
        seen = other & known.has_image[history][:, :, None] & known.has_image[shown][:, None, :]
        image = np.where(seen, known.image[history] @ known.image[shown].transpose(0, 2, 1), np.float32(-1))
        return {
            "text_nearest": _best_of_others(text, self.out_place, 0),
            "text_mean": without / np.maximum(left, 1),
            "image_nearest": _best_of_others(image, self.out_place, -1),
        }

    def _shares(self) -> dict[str, NDArray[np.floating]]:
        counted = self.counted[:, None, None]
        found: dict[str, NDArray[np.floating]] = {}
        for name in SHARES:
            codes = self.known.categories.get(name)
            if codes is None:
                continue
            shown = codes[self.shown_items][:, None, :]
            same = (codes[self.out][:, :, None] == shown) & (shown > 0)
            share = self.shown_values[:, None, :, _AT[f"share_{name}"]]
            found[f"share_{name}"] = np.maximum(share * counted - same, 0) / np.maximum(counted - 1, 1)
            if name == "section":
                scale = np.where(share > 0, found["share_section"] / np.maximum(share, 1e-9), 1)
                found["section_popularity"] = self.shown_values[:, None, :, _AT["section_popularity"]] * scale
        return found

    def _days_since(self) -> NDArray[np.float64]:
        """float64 (b, m): days since the user's last event on anything but each item; 0 where nothing else is left."""
        known, log = self.known, self.known.log
        starts, ends = np.searchsorted(log.users, self.users), np.searchsorted(log.users, self.users, side="right")
        owner = np.repeat(np.arange(len(self.users)), ends - starts)
        event = np.arange(len(owner)) + np.repeat(starts - (np.cumsum(ends - starts) - (ends - starts)), ends - starts)
        newest = np.take_along_axis(self.history, np.maximum(self.past.real.sum(axis=1) - 1, 0)[:, None], 1)[:, 0]
        other = log.items[event] != newest[owner]
        before = np.full(len(self.users), -np.inf)
        np.maximum.at(before, owner[other], log.times[event][other].astype(np.float64))
        # Only without the item that came last is another event the last.
        ever = known.last_seen[self.users].astype(np.float64)
        last = np.where(self.out == newest[:, None], before[:, None], ever[:, None])
        return np.where(np.isfinite(last), (known.as_of - last) / DAY, 0)

    def _price_gaps(self) -> NDArray[np.float64]:
        """float64 (b, m, k): log price of each shown item less the mean of the user's items, without each of them."""
        price = self.known.price.astype(np.float64)
        mine = np.where(self.touched >= 0, price[self.touched], np.nan)
        priced = np.isfinite(mine)
        own = price[self.out]
        known = np.isfinite(own)
        total = np.where(priced, mine, 0).sum(axis=1)[:, None] - np.where(known, own, 0)
        mean = total / np.maximum(priced.sum(axis=1)[:, None] - known, 1)
        gap = price[self.shown_items][:, None, :] - mean[:, :, None]
        return np.where(np.isfinite(gap) & (mean[:, :, None] != 0), gap, 0)


def _best_of_others(near: NDArray[np.float32], out: NDArray[np.int64], none: float) -> NDArray[np.float32]:
    """float32 (b, m, c): the largest of each column of `near` (b, h, c), and at least `none`, without each row of `out`
    (b, m) in turn."""
    first = near.argmax(axis=1)[:, None]
    best = np.take_along_axis(near, first, 1)
    rest = near.copy()
    np.put_along_axis(rest, first, np.float32(-np.inf), 1)
    found = np.where(out[:, :, None] == first, rest.max(axis=1)[:, None], best)
    return np.maximum(found, np.float32(none))
