"""The behaviour log as arrays: what models, baselines and metrics are given.

Belongs here: the array form of `interactions` and cuts of it by time. Does not belong here: reading files or tables
(`assets.py` and the storage room do), models, metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

BEHAVIOURS: tuple[str, ...] = ("pv", "fav", "cart", "buy")
"""The funnel, in order; `EventLog.behaviours` holds positions in this tuple."""


@dataclass(frozen=True)
class Cuts:
    """The global time split in UTC seconds: fit is before `validation`, train before `test`, test before `end`.

    Raises ValueError if they are not in order.
    """

    validation: int
    test: int
    end: int

    def __post_init__(self) -> None:
        if not self.validation < self.test < self.end:
            raise ValueError(
                f"the cuts must be in order, validation < test < end; got {self.validation}, {self.test}, {self.end}"
            )


@dataclass(frozen=True)
class EventLog:
    """Events sorted by (user, time, item, behaviour), over fixed vocabularies of users and items.

    `users`, `items`: int32 (n,), rows of `user_ids` and `item_ids`. `times`: int64 (n,), UTC seconds. `behaviours`:
    int8 (n,), positions in `BEHAVIOURS`. `item_ids` is the whole catalog, sorted, and `user_ids` every known user,
    sorted: a cut keeps both, so rows mean the same in every cut of one log.
    """

    user_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.int64]
    behaviours: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    @classmethod
    def build(
        cls,
        user_ids: Sequence[str],
        item_ids: Sequence[str],
        users: Sequence[int],
        items: Sequence[int],
        times: Sequence[int],
        behaviours: Sequence[int],
    ) -> EventLog:
        """A log from columns in any order; the vocabularies must be sorted. Raises ValueError if they are not."""
        user_vocab, item_vocab = np.asarray(user_ids, dtype=np.str_), np.asarray(item_ids, dtype=np.str_)
        for name, vocab in (("user_ids", user_vocab), ("item_ids", item_vocab)):
            if len(vocab) > 1 and not bool(np.all(vocab[:-1] < vocab[1:])):
                raise ValueError(f"{name} must be sorted and free of duplicates")
        u, i = np.asarray(users, np.int32), np.asarray(items, np.int32)
        t, b = np.asarray(times, np.int64), np.asarray(behaviours, np.int8)
        order = np.lexsort((b, i, t, u))
        return cls(user_vocab, item_vocab, u[order], i[order], t[order], b[order])

    def select(self, mask: NDArray[np.bool_]) -> EventLog:
        """The events where `mask` (n,) is true; vocabularies stay."""
        return replace(
            self,
            users=self.users[mask],
            items=self.items[mask],
            times=self.times[mask],
            behaviours=self.behaviours[mask],
        )

    def between(self, start: int | None, end: int | None) -> EventLog:
        """Events with start <= time < end (UTC seconds; None is open)."""
        mask = np.ones(len(self), dtype=bool)
        if start is not None:
            mask &= self.times >= start
        if end is not None:
            mask &= self.times < end
        return self.select(mask)

    def offsets(self) -> NDArray[np.int64]:
        """int64 (n_users + 1,): the events of user row u are `[offsets[u], offsets[u + 1])`, oldest first."""
        return np.searchsorted(self.users, np.arange(self.n_users + 1)).astype(np.int64)


def sample_people(log: EventLog, people: int, events: int, seed: int) -> EventLog:
    """The events of at most `people` people of the log, drawn at random by `seed`, and of so few that there are at
    most `events`; one person at the least."""
    known, counts = np.unique(log.users, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(known))
    fitting = int(np.searchsorted(np.cumsum(counts[order]), events, side="right"))
    chosen = known[order[: max(1, min(people, fitting))]]
    return log if len(chosen) == len(known) else log.select(np.isin(log.users, chosen))
