"""Facts behind the rows of a homepage, from the model that ranked them.

Belongs here: which facts are candidates, how far the score falls without each, and which are kept. Does not belong
here: computing the falls (`ranking/counterfactual.py`), choosing rows (`shelves.py`), words.

Candidates are the items of the user's history without which the row falls furthest, the attributes the row shares with
what the user turned to, the nearest photo and description of the history, its price, popularity and newness. A fact is
kept for its weight, weightiest first; the attributes of the item, which weigh nothing, fill up what is short of facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.catalog.names import item_name
from fashionrec_assets.catalog.ranking_task import ALWAYS
from fashionrec_assets.ranking.counterfactual import leave_one_out, neutralised
from fashionrec_assets.ranking.knowledge import DAY, Knowledge
from fashionrec_assets.ranking.late_fusion import RankedBlock
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.recommendations.explanations.facts import ALIKE, KINDS, fact_lists
from fashionrec_assets.recommendations.explanations.past import Past, People
from fashionrec_assets.settings import Settings

SHARED = ("product_type", "colour", "pattern", "section", "gender", "brand")
"""Columns of `items` that a row may share with the user's history."""

_FILLERS = ("product_type", "colour", "pattern")
_MOST_HISTORY = 3
_LEAST_WEIGHT = 0.005
"""A fall of the score below this is no evidence."""

_LEAST_SHARED = 2
_LEAST_PEOPLE = 3
_CODE = {kind: code for code, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Catalog:
    """What facts say of items, in the order of the log's item rows.

    `names`: (n,). `attributes`: column -> str (n,), '' where unknown. `price`: float64 (n,), NaN where unknown.
    `launched`: int64 (n,) UTC seconds, `ALWAYS` where unknown. `people`: int64 (n,), who turned to it in the last
    `days` days of the log.
    """

    names: NDArray[np.object_]
    attributes: Mapping[str, NDArray[np.object_]]
    price: NDArray[np.float64]
    launched: NDArray[np.int64]
    people: NDArray[np.int64]
    days: int

    @classmethod
    def of(
        cls,
        log: EventLog,
        titles: Sequence[str],
        attributes: Mapping[str, Sequence[str | None]],
        price: Sequence[float | None],
        launched: NDArray[np.int64],
        *,
        people: NDArray[np.int64],
        days: int,
    ) -> Catalog:
        """From columns in the order of `log.item_ids`."""
        called = [item_name(title, key) for title, key in zip(titles, log.item_ids.tolist(), strict=True)]
        return cls(
            np.asarray(called, object),
            {name: np.asarray([value or "" for value in values], object) for name, values in attributes.items()},
            np.asarray([np.nan if one is None else one for one in price], np.float64),
            launched,
            people,
            days,
        )


class HomepageFacts:
    """Facts of blocks of shown rows."""

    def __init__(self, known: Knowledge, ranker: Ranker, catalog: Catalog, settings: Settings) -> None:
        self._known, self._ranker, self._catalog = known, ranker, catalog
        self._settings = settings
        self._people = People(sparse.csr_array(known.matrix.T))
        self._offsets = known.log.offsets()
        self._end = int(known.log.times.max(initial=0))

    def of(self, block: RankedBlock, shown: NDArray[np.int64]) -> pa.Array:
        """A list of facts, as `FACTS_ARROW`, for each of the rows `shown` (r,) of the block, sorted by owner."""
        users, owner = np.unique(block.users[block.owner[shown]], return_inverse=True)
        past = Past.of(self._known.log, self._offsets, users)
        found = _Found(*self._candidates(block, shown, past, owner))
        return self._told(block, shown, past, owner, found.kept(len(shown), self._settings.explanations.facts))

    def _candidates(
        self, block: RankedBlock, shown: NDArray[np.int64], past: Past, owner: NDArray[np.int64]
    ) -> tuple[NDArray, ...]:
        """Columns of `_Found`, for every fact that could be told."""
        parts: list[tuple[NDArray, ...]] = []
        rows, items = np.arange(len(shown)), block.items[shown]
        users = block.users[block.owner[shown]]

        def add(kind: str, at: NDArray[np.int64], weight: NDArray[np.floating], **more: NDArray) -> None:
            none = np.full(len(at), -1)
            parts.append(
                (at, np.full(len(at), _CODE[kind]), more.get("sub", none), more.get("other", none), weight, none * 0.0)
            )
            if "number" in more:
                parts[-1] = (*parts[-1][:5], more["number"])

        drops = leave_one_out(self._known, self._ranker, block, shown, self._settings.explanations.history_items)
        place = np.arange(len(drops.row)) - np.searchsorted(drops.row, drops.row)
        best = (place < _MOST_HISTORY) & (drops.drop >= _LEAST_WEIGHT)
        add("history", drops.row[best], drops.drop[best], other=drops.items[best])

        without = neutralised(self._ranker, block, shown)
        for sub, name in enumerate(SHARED):
            count = self._shared(past, owner, items, name)
            held = (count >= _LEAST_SHARED) & (without[name] >= _LEAST_WEIGHT)
            add("shared", rows[held], without[name][held], sub=np.full(int(held.sum()), sub), number=count[held])
        for kind, vectors, has in (
            ("look", self._known.image, self._known.has_image),
            ("wording", self._known.text, np.ones(len(self._known.has_image), bool)),
        ):
            other, cosine = self._nearest(users, items, vectors, has)
            held = (cosine >= ALIKE) & (without[kind] >= _LEAST_WEIGHT)
            add(kind, rows[held], without[kind][held], other=other[held], number=cosine[held])
        known_price = np.isfinite(self._catalog.price[items]) & (without["price"] >= _LEAST_WEIGHT)
        add("price", rows[known_price], without["price"][known_price])
        popular = (self._catalog.people[items] >= _LEAST_PEOPLE) & (without["popularity"] >= _LEAST_WEIGHT)
        add("popularity", rows[popular], without["popularity"][popular])
        launched = self._catalog.launched[items]
        fresh = (launched != ALWAYS) & (launched > self._end - self._settings.recommendations.new_days * DAY)
        add("new", rows[fresh], np.maximum(without["new"][fresh], 0))
        for sub, name in enumerate(SHARED):
            if name in _FILLERS and name in self._catalog.attributes:
                named = self._catalog.attributes[name][items] != ""
                add("attribute", rows[named], np.zeros(int(named.sum())), sub=np.full(int(named.sum()), sub))
        return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))

    def _shared(self, past: Past, owner: NDArray[np.int64], items: NDArray[np.int64], name: str) -> NDArray[np.int64]:
        """int64 (r,): how many items of the user's have the item's value of a category; 0 where it is unknown."""
        codes = self._known.categories.get(name)
        if codes is None or name not in self._catalog.attributes:
            return np.zeros(len(items), np.int64)
        return past.sharing(codes, owner, items)

    def _nearest(
        self, users: NDArray[np.int64], items: NDArray[np.int64], vectors: NDArray[np.float32], has: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of each row, the item of the user's newest that is nearest by `vectors`, itself left out, and the cosine."""
        other, cosine = np.full(len(users), -1), np.full(len(users), -1.0)
        bounds = np.flatnonzero(np.diff(users, prepend=-1, append=-1))
        offsets, recent = self._known.tfidf.offsets, self._known.tfidf.items
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            mine = recent[offsets[users[start]] : offsets[users[start] + 1]].astype(np.int64)
            mine = mine[has[mine]]
            if not len(mine):
                continue
            own = items[start:stop]
            near = (vectors[own] @ vectors[mine].T).astype(np.float64)
            near[(own[:, None] == mine[None, :]) | ~has[own][:, None]] = -1
            best = near.argmax(axis=1)
            other[start:stop], cosine[start:stop] = mine[best], near[np.arange(len(own)), best]
        return other, cosine

    def _told(
        self, block: RankedBlock, shown: NDArray[np.int64], past: Past, owner: NDArray[np.int64], found: _Found
    ) -> pa.Array:
        """The facts with all that they say, as lists; `past` is that of the rows' `owner` (r,)."""
        known, catalog = self._known, self._catalog
        item, user = block.items[shown][found.row], owner[found.row]
        what, value, of_item = (np.full(len(found), nothing, object) for nothing in ("", "", None))
        at, number, base = np.full(len(found), np.nan), found.number.copy(), np.full(len(found), np.nan)
        of = {kind: found.kind == code for kind, code in _CODE.items()}

        turned = of["history"] | of["look"] | of["wording"]
        other = found.other[turned]
        place = past.place(user[turned], other)
        what[turned], value[turned] = np.asarray(BEHAVIOURS, object)[past.behaviours[place]], catalog.names[other]
        of_item[turned] = known.log.item_ids[other].astype(object)
        history = of["history"]
        other = found.other[history]
        at[history] = past.times[place][history[turned]]
        number[history], base[history] = self._people.together(other, item[history]), self._people.of_item[other]
        for sub, name in enumerate(SHARED):
            told = (of["shared"] | of["attribute"]) & (found.sub == sub)
            what[told] = name
            if name in catalog.attributes:
                value[told] = catalog.attributes[name][item[told]]
        shared, price, popular, new = of["shared"], of["price"], of["popularity"], of["new"]
        base[shared] = past.sizes[user[shared]]
        number[price], base[price] = catalog.price[item[price]], self._typical_price(past)[user[price]]
        number[popular], base[popular] = catalog.people[item[popular]], catalog.days
        at[new] = catalog.launched[item[new]]
        number[new], base[new] = (self._end - at[new]) // DAY, self._people.of_item[item[new]]
        number[of["attribute"]] = np.nan
        return fact_lists(
            len(shown),
            found.row,
            {
                "kind": np.asarray(KINDS, object)[found.kind],
                "what": what,
                "value": value,
                "item": of_item,
                "at": at,
                "number": number,
                "base": base,
                "weight": np.round(found.weight.astype(np.float64), 4),
            },
        )

    def _typical_price(self, past: Past) -> NDArray[np.float64]:
        """float64 (u,): the median price of the items each user turned to; NaN where none is known."""
        prices = np.split(self._catalog.price[past.items], past.offsets[1:-1])
        known = [one[np.isfinite(one)] for one in prices]
        return np.asarray([np.median(one) if len(one) else np.nan for one in known], np.float64)


@dataclass(frozen=True)
class _Found:
    """f facts of shown rows: `row` int64, `kind` a position in `KINDS`, `sub` a position in `SHARED` or -1, `other` an
    item row or -1, `weight`, and `number` where it is known already."""

    row: NDArray[np.int64]
    kind: NDArray[np.int64]
    sub: NDArray[np.int64]
    other: NDArray[np.int64]
    weight: NDArray[np.floating]
    number: NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.row)

    def kept(self, rows: int, most: int) -> _Found:
        """The `most` weightiest of each row, in that order; ties by kind, then as they were found."""
        order = np.lexsort((np.arange(len(self)), self.sub, self.kind, -self.weight, self.row))
        starts = np.searchsorted(self.row[order], np.arange(rows))
        keep = order[np.arange(len(order)) - starts[self.row[order]] < most]
        return _Found(*(getattr(self, name)[keep] for name in ("row", "kind", "sub", "other", "weight", "number")))
