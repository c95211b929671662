"""Baskets: the things a person took home together, and how often things were.

Belongs here: cutting a log into baskets, and counting pairs. Does not belong here: what is made of the counts.

A basket is what one person bought on one UTC day. Where the log has too few of them with two designs or more, a basket
is what a person put into the cart or bought on one day, then what they also favoured, then all they turned to: the
first of these that gives enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog

DAY = 86_400
_LADDER: tuple[tuple[str, ...], ...] = tuple(BEHAVIOURS[-length:] for length in range(1, len(BEHAVIOURS) + 1))
_LARGEST = 50
"""Items a basket has at the most: who takes more buys for a shop, and pairs grow with the square."""


@dataclass(frozen=True)
class Baskets:
    """b baskets of distinct items. `users` int64 (b,) rows of the log, `days` int64 (b,), days since 1970 (UTC);
    sorted by day, then user. The items of basket k are `items[offsets[k]:offsets[k + 1]]`, int64, ascending.
    `behaviours`: what put an item into a basket."""

    users: NDArray[np.int64]
    days: NDArray[np.int64]
    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    n_items: int
    behaviours: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """int64: the basket that each of `items` is in."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """float32 (b, n_items): 1 where a basket has the item."""
        ones = np.ones(len(self.items), dtype=np.float32)
        return sparse.csr_array((ones, self.items, self.offsets), shape=(len(self), self.n_items))

    def select(self, mask: NDArray[np.bool_]) -> Baskets:
        """The baskets where `mask` (b,) is true."""
        sizes = np.diff(self.offsets)[mask]
        kept = np.repeat(mask, np.diff(self.offsets))
        offsets = np.append(0, np.cumsum(sizes)).astype(np.int64)
        return Baskets(self.users[mask], self.days[mask], offsets, self.items[kept], self.n_items, self.behaviours)

    def several(self, families: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool (b,): which baskets hold more than one design, `families` int64 (n_items,)."""
        if not len(self):
            return np.zeros(0, dtype=bool)
        found = families[self.items]
        return np.maximum.reduceat(found, self.offsets[:-1]) != np.minimum.reduceat(found, self.offsets[:-1])


def baskets_of(log: EventLog, behaviours: tuple[str, ...]) -> Baskets:
    """The baskets of a log by `behaviours`; of one with more than `_LARGEST` items, the first by row are kept."""
    positions = [BEHAVIOURS.index(behaviour) for behaviour in behaviours]
    chosen = np.isin(log.behaviours, positions)
    days, users, items = log.times[chosen] // DAY, log.users[chosen].astype(np.int64), log.items[chosen]
    order = np.lexsort((items, users, days))
    days, users, items = days[order], users[order], items[order].astype(np.int64)
    first = np.ones(len(items), dtype=bool)
    first[1:] = (np.diff(days) != 0) | (np.diff(users) != 0)
    again = np.zeros(len(items), dtype=bool)
    again[1:] = ~first[1:] & (np.diff(items) == 0)
    days, users, items, first = days[~again], users[~again], items[~again], first[~again]
    starts = np.flatnonzero(first)
    place = np.arange(len(items)) - np.repeat(starts, np.diff(np.append(starts, len(items))))
    kept = place < _LARGEST
    days, users, items = days[kept], users[kept], items[kept]
    starts = np.flatnonzero(first[kept])
    offsets = np.append(starts, len(items)).astype(np.int64)
    return Baskets(users[starts], days[starts], offsets, items, log.n_items, behaviours)


def basket_behaviours(log: EventLog, families: NDArray[np.int64], enough: int) -> tuple[str, ...]:
    """What makes a basket in this log: the strictest behaviours that give `enough` baskets of several designs, or else
    all of them."""
    for behaviours in _LADDER:
        found = baskets_of(log, behaviours)
        if int(found.several(families).sum()) >= enough:
            return behaviours
    return _LADDER[-1]


def pair_counts(owners: sparse.csr_array) -> sparse.csr_array:
    """float32 (n, n), symmetric, zero diagonal: in how many rows of `owners` (b, n), of 0 and 1, two columns meet."""
    counts = sparse.csr_array(owners.T @ owners)
    counts.setdiag(0)
    counts.eliminate_zeros()
    counts.sort_indices()
    return counts


def grouped(baskets: Baskets, groups: NDArray[np.int64] | NDArray[np.int32], size: int) -> sparse.csr_array:
    """float32 (b, size): 1 where a basket has an item of the group, `groups` (n_items,)."""
    ones = np.ones(len(baskets.items), dtype=np.float32)
    found = sparse.csr_array((ones, (baskets.owner, groups[baskets.items])), shape=(len(baskets), size))
    found.sum_duplicates()
    found.data[:] = 1
    return found
