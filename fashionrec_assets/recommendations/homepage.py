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

Progress = Callable[[int, int], None]

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
_BLOCK_USERS = 2_000


def _quiet(done: int, total: int) -> None:
    """A progress listener that does not listen."""


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


def homepage(
    log: EventLog,
    ranked: Ranked,
    items: ShelfItems,
    popular: pa.Table,
    settings: RecommendationSettings,
    facts: Facts,
    *,
    strangers: Strangers | None = None,
    only: NDArray[np.int64] | None = None,
    progress: Progress = _quiet,
) -> pa.Table:
    """`HOMEPAGE` rows of all users of `log`, or of the user rows in `only`, sorted by (user_id, rank); see `pages`."""
    made = pages(log, ranked, items, popular, settings, facts, strangers=strangers, only=only, progress=progress)
    tables = [table for _, table in made]
    return pa.concat_tables([arrow_schema(HOMEPAGE).empty_table(), *tables]).combine_chunks()


def pages(
    log: EventLog,
    ranked: Ranked,
    items: ShelfItems,
    popular: pa.Table,
    settings: RecommendationSettings,
    facts: Facts,
    *,
    strangers: Strangers | None = None,
    only: NDArray[np.int64] | None = None,
    progress: Progress = _quiet,
) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
    """User rows, some at a time and ascending, and their `HOMEPAGE` rows, sorted by (user_id, rank).

    `items`: in the order of `log.item_ids`. Users without events, or without any candidate, get the `popular` items
    (`POPULAR_ITEMS`) they have not bought, marked as such: those first that people with their profile turn to, as
    `strangers` scores them, else the most popular. A user's rows do not depend on which other users are
    computed with them. Raises ValueError if shapes do not fit.
    """
    if len(items.families) != log.n_items:
        raise ValueError(f"the shelves know {len(items.families)} items, the log {log.n_items}")
    users = np.arange(log.n_users) if only is None else np.unique(np.asarray(only, np.int64))
    shop = _Shop(log, log.offsets(), items, _Popular.of(log, popular), strangers)
    for start in range(0, len(users), _BLOCK_USERS):
        some = users[start : start + _BLOCK_USERS]
        yield some, _block(some, shop, ranked, settings, facts)
        progress(min(start + _BLOCK_USERS, len(users)), len(users))


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
class _Shop:
    """What every block of users reads; `offsets` are those of the log's users."""

    log: EventLog
    offsets: NDArray[np.int64]
    items: ShelfItems
    popular: _Popular
    strangers: Strangers | None


def _block(
    users: NDArray[np.int64], shop: _Shop, ranked: Ranked, settings: RecommendationSettings, facts: Facts
) -> pa.Table:
    """The pages of `users` (rows of the log, ascending)."""
    history = _history(users, shop)
    hidden = history.hidden(settings)
    anchors, behaviours = history.anchors()
    kinds = history.kinds(shop.items.kinds)
    active = np.flatnonzero(anchors >= 0)
    tables = [arrow_schema(HOMEPAGE).empty_table()]
    served = np.zeros(len(users), bool)
    for block in ranked(users[active], [hidden[place] for place in active]):
        at = np.searchsorted(users, block.users)
        shown = arrange(block, shop.items, anchors[at], kinds[at], settings)
        served[at[shown.owner]] = True
        tables.append(_personal_rows(shop, block, shown, behaviours[at], facts(block, shown)))
    tables.append(_popular_rows(users, np.flatnonzero(~served), hidden, shop, settings))
    return pa.concat_tables(tables).sort_by([("user_id", "ascending"), ("rank", "ascending")])


def _history(users: NDArray[np.int64], shop: _Shop) -> _History:
    """The different items of each of `users`, by item row."""
    log = shop.log
    starts, ends = shop.offsets[users], shop.offsets[users + 1]
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
    shop: _Shop, block: RankedBlock, shown: Shown, behaviours: NDArray[np.int64], facts: pa.Array
) -> pa.Table:
    """Rows of `HOMEPAGE` for `shown`; `behaviours` (b,): what each user of the block did with their anchor."""
    if len(facts) != len(shown):
        raise ValueError(f"there are facts of {len(facts)} rows for {len(shown)} rows shown")
    ids = pa.array(shop.log.item_ids.tolist(), pa.string())
    rests = shown.anchors >= 0
    columns = [
        pa.array(shop.log.user_ids[block.users].tolist(), pa.string()).take(pa.array(shown.owner)),
        pa.array(shown.rank, pa.int32()),
        pa.array(SHELVES, pa.string()).take(pa.array(shown.shelf)),
        pa.array(shown.shelf_rank, pa.int32()),
        ids.take(pa.array(shown.anchors, mask=~rests)),
        pa.array(BEHAVIOURS, pa.string()).take(pa.array(behaviours[shown.owner], mask=~rests)),
        ids.take(pa.array(block.items[shown.pair])),
        pa.array(block.chances[shown.pair].astype(np.float64), pa.float64()),
        pa.repeat(pa.scalar("late_fusion"), len(shown)),
        facts,
    ]
    return pa.table(columns, schema=arrow_schema(HOMEPAGE))


def _popular_rows(
    users: NDArray[np.int64],
    lines: NDArray[np.int64],
    hidden: Sequence[NDArray[np.int64]],
    shop: _Shop,
    settings: RecommendationSettings,
) -> pa.Table:
    """Rows of `HOMEPAGE` that show what is popular to the users at `lines` (l,) of `users`."""
    popular = shop.popular
    open_to = np.broadcast_to(shop.items.shown[_POPULAR][popular.rows], (len(lines), len(popular.rows))).copy()
    for at, line in enumerate(lines):
        open_to[at] &= ~np.isin(popular.rows, hidden[line])
    owner, place = np.nonzero(open_to)
    scores = -place.astype(np.float64)
    if shop.strangers is not None:
        scores = shop.strangers(users[lines].astype(np.int32))[owner, popular.rows[place]].astype(np.float64)
    chosen = mmr(
        owner,
        popular.rows[place],
        scores,
        shop.items.content,
        settings.homepage_size,
        0.0,
        shop.items.caps[_POPULAR],
    )
    owner, place = owner[chosen], pa.array(place[chosen])
    ranks = pa.array(places(owner) + 1, pa.int32())
    columns = [
        pa.array(shop.log.user_ids[users[lines]].tolist(), pa.string()).take(pa.array(owner)),
        ranks,
        pa.repeat(pa.scalar(SHELVES[_POPULAR]), len(owner)),
        ranks,
        pa.nulls(len(owner), pa.string()),
        pa.nulls(len(owner), pa.string()),
        pa.array(shop.log.item_ids[popular.rows].tolist(), pa.string()).take(place),
        pa.array(popular.people, pa.float64()).take(place),
        pa.repeat(pa.scalar("popular"), len(owner)),
        popular.facts.take(place),
    ]
    return pa.table(columns, schema=arrow_schema(HOMEPAGE))
