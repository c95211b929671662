"""The homepage: what each user is shown, shelf by shelf, as rows of a table.

Belongs here: what may not be shown to a user again, what their pages rest on (anchor, kinds of garment), pages of users
about whom nothing is known, and the table. Does not belong here: candidates and scores (`ranking`), shelves
(`shelves.py`), rules (`rules.py`), facts (`explanations`), popularity (`popular.py`).

What is left out: items the user bought (unless `repeat_purchases`). Items they looked at, saved or put in the cart but
did not buy may come back, as shops do, unless `show_seen` is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.recommendations.diversity import mmr, places
from fashionrec_assets.recommendations.explanations.facts import Fact, facts_array
from fashionrec_assets.recommendations.shelves import SHELVES, ShelfItems, Shown, arrange
from fashionrec_assets.recommendations.tables import HOMEPAGE, arrow_schema
from fashionrec_assets.settings import RecommendationSettings

if TYPE_CHECKING:
    from fashionrec_assets.ranking.late_fusion import RankedBlock

Ranked = Callable[[NDArray[np.int64], Sequence[NDArray[np.int64]]], "Iterator[RankedBlock]"]
"""(user rows (u,), item rows hidden from each) -> their candidates, best first, some users at a time, in order."""

Facts = Callable[["RankedBlock", Shown], pa.Array]
"""The facts of every row shown (r,), as `FACTS_ARROW`."""

Strangers = Callable[[NDArray[np.int32]], NDArray[np.float32]]
"""(user rows (u,)) -> float32 (u, n_items): what people with the profile of each turn to, higher is more."""

USER_KINDS = 2
"""Kinds of garment a user turns to most, within which `trending` looks."""

_BUY = BEHAVIOURS.index("buy")
_POPULAR = SHELVES.index("popular")

PAGE_USERS = 256
"""Users whose pages are made at a time."""


@dataclass(frozen=True)
class _History:
    """Per user of a block, the different items they had events on: `[offsets[u], offsets[u + 1])` of the arrays.

    `items` int64: item rows. `behaviours` int8: the furthest along the funnel. `times` int64: the last time of that
    behaviour.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    behaviours: NDArray[np.int8]
    times: NDArray[np.int64]

    @property
    def owner(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def hidden(self, settings: RecommendationSettings) -> list[NDArray[np.int64]]:
        """For each user, the item rows they are not shown."""
        hide = np.where(self.behaviours == _BUY, not settings.repeat_purchases, not settings.show_seen)
        kept = np.concatenate([[0], np.cumsum(hide)])
        return np.split(self.items[hide], kept[self.offsets[1:-1]])

    def anchors(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """int64 (u,) each: the item a user last went furthest with (bought, else put in the cart, saved, viewed) and
        that behaviour; -1 for users without events."""
        owner = self.owner
        order = np.lexsort((self.items, -self.times, -self.behaviours.astype(np.int64), owner))
        first = order[places(owner[order]) == 0]
        items, behaviours = np.full(len(self.offsets) - 1, -1), np.full(len(self.offsets) - 1, -1)
        items[owner[first]], behaviours[owner[first]] = self.items[first], self.behaviours[first]
        return items, behaviours

    def kinds(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 (u, USER_KINDS): of the kinds `codes` (n_items,) those most of a user's items have, 0 for none."""
        width = int(codes.max(initial=0)) + 1
        key, count = np.unique(self.owner * width + codes[self.items], return_counts=True)
        known = key % width > 0
        key, count = key[known], count[known]
        order = np.lexsort((key, -count, key // width))
        key = key[order]
        place = places(key // width)
        listed = place < USER_KINDS
        kinds = np.zeros((len(self.offsets) - 1, USER_KINDS), np.int64)
        kinds[key[listed] // width, place[listed]] = key[listed] % width
        return kinds


def batches(users: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """`users` (u,), as many at a time as pages are made."""
    return [users[start : start + PAGE_USERS] for start in range(0, len(users), PAGE_USERS)]


@dataclass(frozen=True)
class _Popular:
    """The popular items that are in the catalog, most popular first: item rows, people, and a fact each."""

    rows: NDArray[np.int64]
    people: NDArray[np.int64]
    facts: pa.Array

    @classmethod
    def of(cls, log: EventLog, popular: pa.Table) -> _Popular:
        ids = np.asarray(popular.column("item_id").to_pylist(), np.str_)
        people, days = popular.column("users").to_pylist(), popular.column("window_days").to_pylist()
        rows = np.searchsorted(log.item_ids, ids)
        if len(ids) and not np.array_equal(log.item_ids[np.minimum(rows, log.n_items - 1)], ids):
            raise ValueError("popular items are not among the items of the log")
        told = [(Fact("f1", "popularity", number=who, base=window),) for who, window in zip(people, days, strict=True)]
        return cls(rows.astype(np.int64), np.asarray(people, np.int64), facts_array(told))


@dataclass(frozen=True)
class PageMaker:
    """Makes the pages of any users; build it with `of`. `offsets` are those of the log's users."""

    log: EventLog
    offsets: NDArray[np.int64]
    items: ShelfItems
    popular: _Popular
    ranked: Ranked
    settings: RecommendationSettings
    facts: Facts
    strangers: Strangers | None

    @classmethod
    def of(
        cls,
        log: EventLog,
        ranked: Ranked,
        items: ShelfItems,
        popular: pa.Table,
        settings: RecommendationSettings,
        facts: Facts,
        *,
        strangers: Strangers | None = None,
    ) -> PageMaker:
        """`items`: in the order of `log.item_ids`. Users without events, or without any candidate, get the `popular`
        items (`POPULAR_ITEMS`) they have not bought, marked as such: those first that people with their profile turn
        to, as `strangers` scores them, else the most popular. Raises ValueError if shapes do not fit.
        """
        if len(items.families) != log.n_items:
            raise ValueError(f"the shelves know {len(items.families)} items, the log {log.n_items}")
        known = _Popular.of(log, popular)
        return cls(log, log.offsets(), items, known, ranked, settings, facts, strangers)

    def pages(self, users: NDArray[np.int64]) -> pa.Table:
        """`HOMEPAGE` rows of `users` int64 (u,), rows of the log, ascending; sorted by (user_id, rank).

        A user's rows do not depend on which other users are computed with them.
        """
        history = _history(users, self)
        hidden = history.hidden(self.settings)
        anchors, behaviours = history.anchors()
        kinds = history.kinds(self.items.kinds)
        active = np.flatnonzero(anchors >= 0)
        tables = [arrow_schema(HOMEPAGE).empty_table()]
        served = np.zeros(len(users), bool)
        for block in self.ranked(users[active], [hidden[place] for place in active]):
            at = np.searchsorted(users, block.users)
            shown = arrange(block, self.items, anchors[at], kinds[at], self.settings)
            served[at[shown.owner]] = True
            tables.append(_personal_rows(self, block, shown, behaviours[at], self.facts(block, shown)))
        tables.append(_popular_rows(users, np.flatnonzero(~served), hidden, self))
        return pa.concat_tables(tables).sort_by([("user_id", "ascending"), ("rank", "ascending")])


def _history(users: NDArray[np.int64], maker: PageMaker) -> _History:
    """The different items of each of `users`, by item row."""
    log = maker.log
    starts, ends = maker.offsets[users], maker.offsets[users + 1]
    counts = ends - starts
    event = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    line = np.repeat(np.arange(len(users)), counts)
    items = log.items[event].astype(np.int64)
    order = np.lexsort((-log.times[event], -log.behaviours[event], items, line))
    line, items, event = line[order], items[order], event[order]
    first = np.ones(len(line), bool)
    first[1:] = (line[1:] != line[:-1]) | (items[1:] != items[:-1])
    bounds = np.searchsorted(line[first], np.arange(len(users) + 1)).astype(np.int64)
    return _History(bounds, items[first], log.behaviours[event[first]], log.times[event[first]])


def _personal_rows(
    maker: PageMaker, block: RankedBlock, shown: Shown, behaviours: NDArray[np.int64], facts: pa.Array
) -> pa.Table:
    """Rows of `HOMEPAGE` for `shown`; `behaviours` (b,): what each user of the block did with their anchor."""
    if len(facts) != len(shown):
        raise ValueError(f"there are facts of {len(facts)} rows for {len(shown)} rows shown")
    ids = maker.log.item_ids
    rests = shown.anchors >= 0
    columns = [
        pa.array(maker.log.user_ids[block.users].tolist(), pa.string()).take(pa.array(shown.owner)),
        pa.array(shown.rank, pa.int32()),
        pa.array(SHELVES, pa.string()).take(pa.array(shown.shelf)),
        pa.array(shown.shelf_rank, pa.int32()),
        pa.array(ids[np.maximum(shown.anchors, 0)].tolist(), pa.string(), mask=~rests),
        pa.array(BEHAVIOURS, pa.string()).take(pa.array(behaviours[shown.owner], mask=~rests)),
        pa.array(ids[block.items[shown.pair]].tolist(), pa.string()),
        pa.array(block.chances[shown.pair].astype(np.float64), pa.float64()),
        pa.repeat(pa.scalar("late_fusion"), len(shown)),
        facts,
    ]
    return pa.table(columns, schema=arrow_schema(HOMEPAGE))


def _popular_rows(
    users: NDArray[np.int64],
    lines: NDArray[np.int64],
    hidden: Sequence[NDArray[np.int64]],
    maker: PageMaker,
) -> pa.Table:
    """Rows of `HOMEPAGE` that show what is popular to the users at `lines` (l,) of `users`."""
    popular = maker.popular
    open_to = np.broadcast_to(maker.items.shown[_POPULAR][popular.rows], (len(lines), len(popular.rows))).copy()
    for at, line in enumerate(lines):
        open_to[at] &= ~np.isin(popular.rows, hidden[line])
    owner, place = np.nonzero(open_to)
    scores = -place.astype(np.float64)
    if maker.strangers is not None:
        scores = maker.strangers(users[lines].astype(np.int32))[owner, popular.rows[place]].astype(np.float64)
    chosen = mmr(
        owner,
        popular.rows[place],
        scores,
        maker.items.content,
        maker.settings.homepage_size,
        0.0,
        maker.items.caps[_POPULAR],
    )
    owner, place = owner[chosen], pa.array(place[chosen])
    ranks = pa.array(places(owner) + 1, pa.int32())
    columns = [
        pa.array(maker.log.user_ids[users[lines]].tolist(), pa.string()).take(pa.array(owner)),
        ranks,
        pa.repeat(pa.scalar(SHELVES[_POPULAR]), len(owner)),
        ranks,
        pa.nulls(len(owner), pa.string()),
        pa.nulls(len(owner), pa.string()),
        pa.array(maker.log.item_ids[popular.rows].tolist(), pa.string()).take(place),
        pa.array(popular.people, pa.float64()).take(place),
        pa.repeat(pa.scalar("popular"), len(owner)),
        popular.facts.take(place),
    ]
    return pa.table(columns, schema=arrow_schema(HOMEPAGE))
