"""Rows of (user, item, preference): real ones made from the log, synthetic ones, and what is known of their items.

Belongs here: the row types, positives and sampled negatives, a user's content without the row's own answer. Does not
belong here: making synthetic rows (`augment.py`), reading the shop (`reading.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog

ROUNDS = 20
"""So often is a negative drawn again that its user already has; people who have nearly everything get fewer."""


@dataclass(frozen=True)
class TrainingRows:
    """Real rows: `users`, `items` int32 (n,), rows of the log's vocabularies; `labels` float32 (n,), 1 for a pair of
    the log and 0 for a sampled one; `times` int64 (n,), UTC seconds of the pair's first event, or of the positive that
    a negative was drawn for."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    labels: NDArray[np.float32]
    times: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def take(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> TrainingRows:
        """The `chosen` rows."""
        return TrainingRows(self.users[chosen], self.items[chosen], self.labels[chosen], self.times[chosen])

    @cached_property
    def left_out(self) -> NDArray[np.int32]:
        """int32 (n,): the item that is not told of the user at a row: its own, or that of a negative's positive.

        Leaving out one item at positives only would give the label away: a user's negatives would all be described by
        one item more. -1 where a negative has no positive of its user and time.
        """
        liked = np.flatnonzero(self.labels > 0.5)
        liked = liked[np.lexsort((self.items[liked], self.times[liked], self.users[liked]))]
        keys = np.stack([self.users[liked], self.times[liked]], axis=1)
        wanted = np.stack([self.users, self.times], axis=1)
        _, codes = np.unique(np.concatenate([keys, wanted]), axis=0, return_inverse=True)
        first = np.full(int(codes.max(initial=-1)) + 1, -1, np.int32)
        # Backwards, so that the first of several positives of one moment is what stays.
        first[codes[: len(liked)][::-1]] = self.items[liked][::-1]
        return np.where(self.labels > 0.5, self.items, first[codes[len(liked) :]]).astype(np.int32)


@dataclass(frozen=True)
class SyntheticRows:
    """Rows that nobody made: `users`, `items` int32 (m,), `labels` float32 (m,) in [0, 1], the preference as whatever
    made the row sees it, `sources` int64 (m,), the rows of the TrainingRows they were made from."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    labels: NDArray[np.float32]
    sources: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class ItemContent:
    """What is known of each item, in the order of `log.item_ids`.

    `values` float32 (n_items, d): text and image vectors side by side, zeros where missing; `present` bool (n_items,):
    has either; `types`, `colours` str (n_items,), empty where unknown; `available` bool (n_items,): could be bought
    before the cut.
    """

    values: NDArray[np.float32]
    present: NDArray[np.bool_]
    types: NDArray[np.str_]
    colours: NDArray[np.str_]
    available: NDArray[np.bool_]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """bool (n_items,): what a synthetic row may be about."""
        return self.available & self.present


def training_rows(log: EventLog, available: NDArray[np.bool_], *, negatives: int = 1, seed: int) -> TrainingRows:
    """The distinct pairs of `log` (already cut by time), and `negatives` pairs for each that the user does not have.

    Negatives are distinct, drawn among `available` bool (n_items,): every other one uniformly, the rest by the number
    of users an item has. People who have nearly every item get fewer. Positives come first, each part sorted by user
    and item. Raises ValueError if `available` is of another length.
    """
    if len(available) != log.n_items:
        raise ValueError(f"available has {len(available)} rows, the log has {log.n_items} items")
    keys = pair_keys(log.users, log.items, log.n_items)
    order = np.lexsort((log.times, keys))
    pairs, first = np.unique(keys[order], return_index=True)
    times = log.times[order][first]
    liked = TrainingRows(
        (pairs // max(log.n_items, 1)).astype(np.int32),
        (pairs % max(log.n_items, 1)).astype(np.int32),
        np.ones(len(pairs), np.float32),
        times,
    )
    rng = np.random.default_rng([seed, 1])
    pool = np.flatnonzero(available)
    if not len(pool) or not len(liked) or not negatives:
        return liked
    people = np.bincount(liked.items, minlength=log.n_items)[pool].astype(np.float64)
    popular = np.cumsum(people) if people.sum() else np.arange(1.0, len(pool) + 1)
    owner = np.tile(np.arange(len(liked)), negatives)
    uniform = np.arange(len(owner)) % 2 == 0
    taken, found, owners = pairs, np.zeros(0, np.int64), np.zeros(0, np.int64)
    for _ in range(ROUNDS):
        if not len(owner):
            break
        by_people = np.searchsorted(popular, rng.random(len(owner)) * popular[-1], side="right")
        at = np.where(uniform, rng.integers(0, len(pool), len(owner)), np.minimum(by_people, len(pool) - 1))
        drawn = pair_keys(liked.users[owner], pool[at], log.n_items)
        new = ~contains(taken, drawn)
        new[np.flatnonzero(new)[_repeats(drawn[new])]] = False
        found, owners = np.concatenate([found, drawn[new]]), np.concatenate([owners, owner[new]])
        taken = np.sort(np.concatenate([taken, drawn[new]]))
        owner, uniform = owner[~new], uniform[~new]
    order = np.argsort(found, kind="stable")
    found, owners = found[order], owners[order]
    return TrainingRows(
        np.concatenate([liked.users, (found // log.n_items).astype(np.int32)]),
        np.concatenate([liked.items, (found % log.n_items).astype(np.int32)]),
        np.concatenate([liked.labels, np.zeros(len(found), np.float32)]),
        np.concatenate([liked.times, liked.times[owners]]),
    )


def user_content(
    rows: TrainingRows, values: NDArray[np.float32], present: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """float32 (n, d): the mean of `values` (n_items, d) over the items the user of each row likes, and how many (n,).

    The row's own item is not among them (`TrainingRows.left_out`), nor are items without content. Zeros where nothing
    is left.
    """
    n_users = int(rows.users.max(initial=-1)) + 1
    liked = (rows.labels > 0.5) & present[rows.items]
    sums = np.zeros((n_users, values.shape[1]), np.float64)
    np.add.at(sums, rows.users[liked], values[rows.items[liked]])
    counts = np.bincount(rows.users[liked], minlength=n_users)
    without = rows.left_out
    drop = (without >= 0) & present[np.maximum(without, 0)]
    left = (counts[rows.users] - drop).astype(np.float32)
    mean = sums[rows.users] - np.where(drop[:, None], values[np.maximum(without, 0)], 0)
    return (mean / np.maximum(left, 1)[:, None] * (left > 0)[:, None]).astype(np.float32), left


def pair_keys(users: NDArray[np.integer], items: NDArray[np.integer], n_items: int) -> NDArray[np.int64]:
    """int64 (n,): one number for each (user, item)."""
    return users.astype(np.int64) * n_items + items


def contains(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool, of the shape of `wanted`: which are among the sorted `keys`."""
    if not len(keys):
        return np.zeros(wanted.shape, np.bool_)
    return keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted


def _repeats(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool (n,): whether the same key came before."""
    again = np.ones(len(keys), np.bool_)
    again[np.unique(keys, return_index=True)[1]] = False
    return again
