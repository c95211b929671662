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
from fashionrec_assets.recommendations.explanations.facts import ALIKE, fact_lists
from fashionrec_assets.recommendations.explanations.past import Past, People
from fashionrec_assets.recommendations.styles.picks import Profiles

SHARED = ("product_type", "pattern", "colour", "section", "gender", "brand")
"""Columns of `items` that a pick may share with the user's items."""

_ATTRIBUTES = ("product_type", "pattern", "colour")
_MOST_SHARED = 2
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


class PickFacts:
    """Facts of the picks of blocks of users."""

    def __init__(self, log: EventLog, catalog: PickCatalog, most: int) -> None:
        self._log, self._catalog, self._most = log, catalog, most
        pairs = np.unique(log.users.astype(np.int64) * log.n_items + log.items)
        user, item = np.divmod(pairs, max(log.n_items, 1))
        shape = (log.n_items, log.n_users)
        self._people = People(sparse.csr_array((np.ones(len(pairs), np.float32), (item, user)), shape=shape))
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
        past = Past.of(self._log, self._offsets, users)
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
        self._add_shared(told, past, owner, items)
        nearest = self._nearest(past, owner, items)
        for kind, (place, cosine) in nearest.items():
            near = np.flatnonzero(cosine >= ALIKE)
            self._add_past(told, kind, near, past, place[near], number=cosine[near])
        place = nearest["wording"][0]
        rows = np.flatnonzero(place >= 0)
        place, other = place[rows], past.items[place[rows]]
        both, turned = self._people.together(other, items[rows]), self._people.of_item[other]
        self._add_past(told, "history", rows, past, place, number=both, base=turned, at=past.times[place])
        for name in _ATTRIBUTES:
            rows = np.flatnonzero(self._codes[name][items] > 0)
            values = self._catalog.columns[name][items[rows]]
            told.add(rows, "attribute", np.full(len(rows), name, object), values)
        return told.array(self._most)

    def _add_shared(self, told: _Told, past: Past, owner: NDArray[np.int64], items: NDArray[np.int64]) -> None:
        """The attributes of a pick that most of the user's items have too."""
        counts = np.stack([past.sharing(self._codes[name], owner, items) for name in SHARED], axis=1)
        order = np.argsort(-counts, axis=1, kind="stable")[:, :_MOST_SHARED]
        for place in range(order.shape[1]):
            column = order[:, place]
            number = counts[np.arange(len(items)), column]
            rows = np.flatnonzero(number > 0)
            for at, name in enumerate(SHARED):
                mine = rows[column[rows] == at]
                values = self._catalog.columns[name][items[mine]]
                what = np.full(len(mine), name, object)
                told.add(mine, "shared", what, values, number=number[mine], base=past.sizes[owner[mine]], tier=place)

    def _add_past(
        self,
        told: _Told,
        kind: str,
        rows: NDArray[np.int64],
        past: Past,
        place: NDArray[np.int64],
        *,
        number: NDArray[np.generic],
        base: NDArray[np.generic] | None = None,
        at: NDArray[np.generic] | None = None,
    ) -> None:
        """Facts of `kind` about the user's items at `place` (rows,) of the past."""
        items = past.items[place]
        what = np.asarray(BEHAVIOURS, object)[past.behaviours[place]]
        ids = self._log.item_ids[items].astype(object)
        told.add(rows, kind, what, self._catalog.names[items], item=ids, number=number, base=base, at=at)

    def _nearest(
        self, past: Past, owner: NDArray[np.int64], items: NDArray[np.int64]
    ) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """By photo and by description: the place in the past of the nearest of the user's newest items, -1 for none,
        and the cosine."""
        every = np.ones(len(self._catalog.has_image), bool)
        views = {"look": (self._catalog.image, self._catalog.has_image), "wording": (self._catalog.text, every)}
        found = {kind: (np.full(len(items), -1), np.full(len(items), -1.0)) for kind in views}
        lengths = np.minimum(past.sizes, _NEWEST)[owner]
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
        order = order[place < most]
        kept = {name: values[order] for name, values in columns.items()}
        kept["weight"] = np.zeros(len(order))
        return fact_lists(self._rows, kept.pop("row"), kept)


_ORDER = ("style", "shared", "look", "wording", "history", "attribute")
