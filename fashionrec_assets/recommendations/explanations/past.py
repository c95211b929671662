"""What people turned to, as facts tell of it.

Belongs here: a block of users' different items, what another item shares with them, who turned to two items. Does not
belong here: which of it becomes a fact (`homepage_facts.py`, `styles/pick_facts.py`), words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog

_CELLS = 16_000_000
"""Pairs of different items whose people are counted at a time."""


@dataclass(frozen=True)
class Past:
    """The different items of u users: `offsets` (u + 1,) of the others; newest first within a user.

    `behaviours`: the furthest one on the item; `times`: UTC seconds of the last event of that behaviour.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    behaviours: NDArray[np.int64]
    times: NDArray[np.int64]

    @classmethod
    def of(cls, log: EventLog, offsets: NDArray[np.int64], users: NDArray[np.int64]) -> Past:
        """Of `users` (u,), rows of `log`, whose `offsets` are `log.offsets()`."""
        starts, ends = offsets[users], offsets[users + 1]
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
        return cls(
            np.searchsorted(line, np.arange(len(users) + 1)).astype(np.int64),
            log.items[event].astype(np.int64),
            log.behaviours[event].astype(np.int64),
            log.times[event],
        )

    @property
    def sizes(self) -> NDArray[np.int64]:
        """int64 (u,): how many items each user has."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> NDArray[np.int64]:
        """int64 (items,): whose each is."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.sizes)

    def sharing(
        self, codes: NDArray[np.int64], owner: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """int64 (p,): how many items of the user `owner` have the code of `items`; 0 where that is 0, unknown.

        `codes` int64 (n_items,).
        """
        width = int(codes.max(initial=0)) + 1
        counts = np.bincount(self.owner * width + codes[self.items], minlength=len(self.sizes) * width)
        return np.where(codes[items] > 0, counts[owner * width + codes[items]], 0)

    def place(self, owner: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 (p,): where each of `items` stands, which must be among those of the user `owner`."""
        width = int(self.items.max(initial=0)) + 1
        keys = self.owner * width + self.items
        order = np.argsort(keys)
        return order[np.searchsorted(keys, owner * width + items, sorter=order)]


class People:
    """Who turned to which item."""

    def __init__(self, by_item: sparse.csr_array) -> None:
        """`by_item` (n_items, n_users): 1 where the user turned to the item."""
        self._by_item = by_item
        self.of_item = np.diff(by_item.indptr).astype(np.int64)
        """int64 (n_items,): how many people turned to each."""

    def together(self, others: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 (p,): how many people turned to both of each pair."""
        first, row = np.unique(others, return_inverse=True)
        second, column = np.unique(items, return_inverse=True)
        people, both = self._by_item[second].T, np.zeros(len(others), np.int64)
        step = max(1, _CELLS // max(len(second), 1))
        for start in range(0, len(first), step):
            mine = (row >= start) & (row < start + step)
            counts = (self._by_item[first[start : start + step]] @ people).toarray()
            both[mine] = counts[row[mine] - start, column[mine]]
        return both
