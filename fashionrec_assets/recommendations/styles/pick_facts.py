"""Facts behind picks: the style, what a pick shares with the user's items, and which of them it is near.

Belongs here: finding the facts of many picks at once. Does not belong here: choosing picks (`picks.py`), words.

The two-tower model scores a pick as a whole, so no fact has a weight; they come in the order style, shared attributes,
nearest photo, nearest description, the user's own event with the latter, attributes of the item.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.recommendations.diversity import places
from fashionrec_assets.recommendations.explanations.facts import FACTS_ARROW
from fashionrec_assets.recommendations.styles.picks import Profiles

SHARED = ("product_type", "pattern", "colour", "section", "gender", "brand")
"""Columns of `items` that a pick may share with the user's items."""

_ATTRIBUTES = ("product_type", "pattern", "colour")
_MOST_SHARED = 2
_ALIKE = 0.6
"""Cosine below which a photo or a description is not called near."""

_NEWEST = 20
"""Different items of a user, the newest, that a pick is compared with."""

_PAIRS = 100_000


@dataclass(frozen=True)
class PickCatalog:
    """What facts say of items, in the order of the log's item rows: `names` (n,); `columns` name -> (n,), '' where
    unknown; unit rows `image`, with `has_image`, and `text`; `style` int64 (n,), and the names of the styles."""

    names: NDArray[np.object_]
    columns: Mapping[str, NDArray[np.object_]]
    image: NDArray[np.float32]
    has_image: NDArray[np.bool_]
    text: NDArray[np.float32]
    style: NDArray[np.int64]
    style_names: NDArray[np.object_]


@dataclass(frozen=True)
class _Past:
    """The different items of users: `offsets` (u + 1,) of the others; newest first within a user."""

    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    behaviours: NDArray[np.int64]
    times: NDArray[np.int64]


class PickFacts:
    """Facts of the picks of blocks of users."""

    def __init__(self, log: EventLog, catalog: PickCatalog, most: int) -> None:
        self._log, self._catalog, self._most = log, catalog, most
        pairs = np.unique(log.users.astype(np.int64) * log.n_items + log.items)
        user, item = np.divmod(pairs, max(log.n_items, 1))
        shape = (log.n_items, log.n_users)
        self._people = sparse.csr_array((np.ones(len(pairs), np.float32), (item, user)), shape=shape)
        self._offsets = log.offsets()
        self._codes = {
            name: np.where(values == "", 0, 1 + np.unique(values.astype(str), return_inverse=True)[1]).astype(np.int64)
            for name, values in catalog.columns.items()
        }

    def of(
        self, users: NDArray[np.int64], profiles: Profiles, owner: NDArray[np.int64], items: NDArray[np.int64]
    ) -> pa.Array:
        """A list of facts, as `FACTS_ARROW`, for each pick (p,): the item `items` for the user `users[owner]`.

        `users` (u,): rows of the log, of people with a history; `profiles` are theirs. `owner` is ascending.
        """
        past = self._past(users)
        own = np.diff(past.offsets)
        style = self._catalog.style[items]
        told = _Told(len(items))
        rows = np.arange(len(items))
        told.add(
            rows,
            "style",
            (style + 1).astype(str).astype(object),
            self._catalog.style_names[style],
            number=profiles.counts[owner, style],
            base=profiles.counts.sum(axis=1)[owner],
        )
        self._add_shared(told, past, own, owner, items)
        nearest = self._nearest(past, owner, items)
        for kind, (place, cosine) in nearest.items():
            near = np.flatnonzero(cosine >= _ALIKE)
            self._add_past(told, kind, near, past, place[near], number=cosine[near])
        place = nearest["wording"][0]
        rows = np.flatnonzero(place >= 0)
        both, turned = self._together(past.items[place[rows]], items[rows])
        self._add_past(told, "history", rows, past, place[rows], number=both, base=turned, at=past.times[place[rows]])
        for name in _ATTRIBUTES:
            rows = np.flatnonzero(self._codes[name][items] > 0)
            values = self._catalog.columns[name][items[rows]]
            told.add(rows, "attribute", np.full(len(rows), name, object), values)
        return told.array(self._most)

    def _past(self, users: NDArray[np.int64]) -> _Past:
        """Each user's different items, each with the furthest behaviour and its last time."""
        log = self._log
        starts, ends = self._offsets[users], self._offsets[users + 1]
        counts = ends - starts
        event = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
        line = np.repeat(np.arange(len(users)), counts)
        order = np.lexsort((-log.times[event], -log.behaviours[event].astype(np.int64), log.items[event], line))
        line, event = line[order], event[order]
        first = np.ones(len(line), bool)
        first[1:] = (line[1:] != line[:-1]) | (log.items[event][1:] != log.items[event][:-1])
        line, event = line[first], event[first]
        newest = np.lexsort((log.items[event], -log.times[event], line))
        line, event = line[newest], event[newest]
        return _Past(
            np.searchsorted(line, np.arange(len(users) + 1)).astype(np.int64),
            log.items[event].astype(np.int64),
            log.behaviours[event].astype(np.int64),
            log.times[event],
        )

    def _add_shared(
        self, told: _Told, past: _Past, own: NDArray[np.int64], owner: NDArray[np.int64], items: NDArray[np.int64]
    ) -> None:
        """The attributes of a pick that most of the user's items have too."""
        line = np.repeat(np.arange(len(own)), own)
        counts = np.zeros((len(items), len(SHARED)), np.int64)
        for column, name in enumerate(SHARED):
            codes = self._codes[name]
            width = int(codes.max(initial=0)) + 1
            table = np.bincount(line * width + codes[past.items], minlength=len(own) * width)
            counts[:, column] = np.where(codes[items] > 0, table[owner * width + codes[items]], 0)
        order = np.argsort(-counts, axis=1, kind="stable")[:, :_MOST_SHARED]
        for place in range(order.shape[1]):
            column = order[:, place]
            number = counts[np.arange(len(items)), column]
            rows = np.flatnonzero(number > 0)
            for at, name in enumerate(SHARED):
                mine = rows[column[rows] == at]
                values = self._catalog.columns[name][items[mine]]
                what = np.full(len(mine), name, object)
                told.add(mine, "shared", what, values, number=number[mine], base=own[owner[mine]], tier=place)

    def _add_past(
        self,
        told: _Told,
        kind: str,
        rows: NDArray[np.int64],
        past: _Past,
        place: NDArray[np.int64],
        *,
        number: NDArray[np.generic],
        base: NDArray[np.generic] | None = None,
        at: NDArray[np.generic] | None = None,
    ) -> None:
        """Facts of `kind` about the user's items at `place` (rows,) of the past."""
        items = past.items[place]
        what = np.asarray(BEHAVIOURS, object)[past.behaviours[place]]
        ids = self._log.item_ids.astype(object)[items]
        told.add(rows, kind, what, self._catalog.names[items], item=ids, number=number, base=base, at=at)

    def _nearest(
        self, past: _Past, owner: NDArray[np.int64], items: NDArray[np.int64]
    ) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """By photo and by description: the place in the past of the nearest of the user's newest items, -1 for none,
        and the cosine."""
        every = np.ones(len(self._catalog.has_image), bool)
        views = {"look": (self._catalog.image, self._catalog.has_image), "wording": (self._catalog.text, every)}
        found = {kind: (np.full(len(items), -1), np.full(len(items), -1.0)) for kind in views}
        lengths = np.minimum(np.diff(past.offsets), _NEWEST)[owner]
        step = max(1, _PAIRS // _NEWEST)
        for start in range(0, len(items), step):
            part = np.arange(start, min(start + step, len(items)))
            length = lengths[part]
            pick = np.repeat(part, length)
            place = past.offsets[owner[pick]] + places(pick)
            other, mine = past.items[place], items[pick]
            for kind, (vectors, has) in views.items():
                cosine = np.round(np.einsum("pd,pd->p", vectors[other], vectors[mine]).astype(np.float64), 6)
                cosine[~(has[other] & has[mine]) | (other == mine)] = -1
                order = np.lexsort((place, -cosine, pick))
                best = order[places(pick[order]) == 0]
                best = best[cosine[best] > -1]
                found[kind][0][pick[best]], found[kind][1][pick[best]] = place[best], cosine[best]
        return found

    def _together(
        self, others: NDArray[np.int64], items: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many people turned to both of each pair, and to the first."""
        n = self._log.n_items
        pairs, back = np.unique(others * n + items, return_inverse=True)
        first, second = np.divmod(pairs, max(n, 1))
        both = np.zeros(len(pairs), np.int64)
        for start in range(0, len(pairs), _PAIRS):
            part = slice(start, start + _PAIRS)
            shared = self._people[first[part]].multiply(self._people[second[part]])
            both[part] = np.asarray(shared.sum(axis=1)).ravel()
        return both[back], np.diff(self._people.indptr)[others].astype(np.int64)


class _Told:
    """Facts as they are found, kind after kind; `array` brings them into lists."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[dict[str, NDArray]] = []

    def add(
        self,
        rows: NDArray[np.int64],
        kind: str,
        what: NDArray[np.object_],
        value: NDArray[np.object_],
        *,
        item: NDArray[np.object_] | None = None,
        at: NDArray[np.generic] | None = None,
        number: NDArray[np.generic] | None = None,
        base: NDArray[np.generic] | None = None,
        tier: int = 0,
    ) -> None:
        """Facts of `kind` for the picks `rows`; what is not given is null. Of one kind the lower `tier` comes first."""
        n = len(rows)
        nothing = np.full(n, np.nan)
        self._parts.append(
            {
                "row": rows,
                "order": np.full(n, _ORDER.index(kind) * 10 + tier),
                "kind": np.full(n, kind, object),
                "what": what,
                "value": value,
                "item": np.full(n, None, object) if item is None else item,
                "at": nothing if at is None else at.astype(np.float64),
                "number": nothing if number is None else number.astype(np.float64),
                "base": nothing if base is None else base.astype(np.float64),
            }
        )

    def array(self, most: int) -> pa.Array:
        """The first `most` facts of each pick as a column of `FACTS_ARROW`."""
        columns = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        order = np.lexsort((np.arange(len(columns["row"])), columns["order"], columns["row"]))
        place = places(columns["row"][order])
        order, place = order[place < most], place[place < most]
        one = {name: values[order] for name, values in columns.items()}
        ids = np.asarray([f"f{number + 1}" for number in range(most)], object)

        def real(name: str) -> pa.Array:
            return pa.array(np.nan_to_num(one[name]), pa.float64(), mask=np.isnan(one[name]))

        seconds = np.nan_to_num(one["at"]).astype(np.int64)
        arrays = [
            pa.array(ids[place], pa.string()),
            *(pa.array(one[name], pa.string()) for name in ("kind", "what", "value", "item")),
            pa.array(seconds * 1_000_000, pa.timestamp("us"), mask=np.isnan(one["at"])),
            real("number"),
            real("base"),
            pa.array(np.zeros(len(order)), pa.float64()),
        ]
        facts = pa.StructArray.from_arrays(arrays, fields=list(FACTS_ARROW.value_type))
        offsets = np.searchsorted(one["row"], np.arange(self._rows + 1))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), facts).cast(FACTS_ARROW)


_ORDER = ("style", "shared", "look", "wording", "history", "attribute")
