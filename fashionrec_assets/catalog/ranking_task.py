"""The ranking protocol: which events a method may see, who is evaluated, and what counts as a hit.

Belongs here: cutting a log by time into a history and a window of targets, the pool of items that may be ranked, and
the slices figures are given for. Does not belong here: choosing the days of the cuts (the catalog's splits), methods,
metrics.

The split is global in time: every event before the cut is history, every event after it is future, for all users
alike. Leave-one-out and random splits let a method learn from other users' future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import BEHAVIOURS, Cuts, EventLog

ALWAYS: int = int(np.iinfo(np.int64).min)
"""The launch time of an item whose launch is unknown: on sale from the beginning, and in every pool."""

Slice = Literal["overall", "warm", "cold", "cold_users", "buy"]
SLICES: tuple[Slice, ...] = ("overall", "warm", "cold", "cold_users", "buy")

SLICE_MEANING: dict[Slice, str] = {
    "overall": "people with a history, all their new items",
    "warm": "only targets that somebody had touched before the cut",
    "cold": "only targets nobody had touched before the cut; the ranking is still over the whole pool",
    "cold_users": "people without any history",
    "buy": "people with a history, only the items they bought",
}


@dataclass(frozen=True)
class RankingTask:
    """One question put to every method: from `history`, rank the pool for each of `users`.

    With u users, t targets: `users` int32 (u,) ascending user rows, with history or without. The targets of user
    `users[r]` are `target_items[target_offsets[r]:target_offsets[r + 1]]`, item rows in ascending order, new to the
    user; `target_bits` uint8 (t,) has bit b set where the user showed behaviour `BEHAVIOURS[b]` for it in the window.
    `pool` bool (n_items,): what may be ranked. `warm` bool (n_items,): what somebody touched in the history.
    `has_history` bool (u,). `start` and `end` are the window, UTC seconds. `behaviours`: those that make a target,
    less those the log does not have.

    What the protocol set aside is counted: `repeated_targets` (the user already had the item),
    `targets_outside_pool` (launched, says the catalog, only after the window), `eligible_users` (before sampling).
    """

    name: str
    start: int
    end: int
    history: EventLog
    users: NDArray[np.int32]
    target_offsets: NDArray[np.int64]
    target_items: NDArray[np.int32]
    target_bits: NDArray[np.uint8]
    pool: NDArray[np.bool_]
    warm: NDArray[np.bool_]
    has_history: NDArray[np.bool_]
    behaviours: tuple[str, ...]
    repeated_targets: int
    targets_outside_pool: int
    eligible_users: int

    @property
    def n_items(self) -> int:
        return self.history.n_items

    @cached_property
    def target_rows(self) -> NDArray[np.int64]:
        """int64 (t,): the position in `users` each target belongs to."""
        return np.repeat(np.arange(len(self.users)), np.diff(self.target_offsets))

    @cached_property
    def seen(self) -> sparse.csr_array:
        """bool (n_users, n_items): the items each user already has, which are never recommended to them."""
        log = self.history
        ones = np.ones(len(log), dtype=bool)
        return sparse.csr_array((ones, (log.users, log.items)), shape=(log.n_users, log.n_items))

    def slice_masks(self, name: Slice) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which users (u,) and which targets (t,) a slice is about."""
        every_target = np.ones(len(self.target_items), dtype=bool)
        match name:
            case "overall":
                return self.has_history, every_target
            case "warm":
                return self.has_history, self.warm[self.target_items]
            case "cold":
                return self.has_history, ~self.warm[self.target_items]
            case "cold_users":
                return ~self.has_history, every_target
            case "buy":
                bit = np.uint8(1 << BEHAVIOURS.index("buy"))
                return self.has_history, (self.target_bits & bit) > 0

    def slices(self) -> tuple[Slice, ...]:
        """The slices with a meaning of their own here: `buy` only where some targets were bought and others not."""
        bought = self.slice_masks("buy")[1]
        return SLICES if bought.any() and not bought.all() else SLICES[:-1]


def _sample(rng: np.random.Generator, rows: NDArray[np.int32], limit: int | None) -> NDArray[np.int32]:
    if limit is None or len(rows) <= limit:
        return rows
    return rng.choice(rows, size=limit, replace=False)


def ranking_task(
    log: EventLog,
    *,
    name: str,
    start: int,
    end: int,
    target_behaviours: Sequence[str] = BEHAVIOURS,
    launched_at: NDArray[np.int64] | None = None,
    exclude_users: NDArray[np.bool_] | None = None,
    max_users: int | None = None,
    max_cold_users: int | None = None,
    seed: int = 0,
) -> RankingTask:
    """The task of foretelling [start, end) from everything before `start`.

    `launched_at`: int64 (n_items,), UTC seconds, `ALWAYS` where unknown; None means unknown for all. An item
    is in the pool if it was launched before `end` or has an event in the history. `exclude_users`: bool (n_users,),
    for example bots; they are not evaluated, though their events remain in the history. `max_users` takes a sample of
    the users with a history, `max_cold_users` of those without, the same for the same seed. Raises ValueError for
    unknown behaviours and arrays of the wrong length.
    """
    unknown = sorted(set(target_behaviours) - set(BEHAVIOURS))
    if unknown or not target_behaviours:
        raise ValueError(f"target behaviours must be some of {', '.join(BEHAVIOURS)}; got {list(target_behaviours)}")
    if launched_at is not None and launched_at.shape != (log.n_items,):
        raise ValueError(f"launched_at must have one value per item, {log.n_items}; got shape {launched_at.shape}")
    if exclude_users is not None and exclude_users.shape != (log.n_users,):
        raise ValueError(f"exclude_users must have one value per user, {log.n_users}; got {exclude_users.shape}")

    history = log.between(None, start)
    window = log.between(start, end)
    positions = [position for position, behaviour in enumerate(BEHAVIOURS) if behaviour in target_behaviours]
    window = window.select(np.isin(window.behaviours, positions))
    if exclude_users is not None:
        window = window.select(~exclude_users[window.users])

    warm = np.zeros(log.n_items, dtype=bool)
    warm[history.items] = True
    pool = warm | (launched_at < end) if launched_at is not None else np.ones(log.n_items, dtype=bool)

    pairs = window.users.astype(np.int64) * log.n_items + window.items
    keys, inverse = np.unique(pairs, return_inverse=True)
    bits = np.zeros(len(keys), dtype=np.uint8)
    np.bitwise_or.at(bits, inverse, (1 << window.behaviours.astype(np.uint8)).astype(np.uint8))

    is_new = ~np.isin(keys, history.users.astype(np.int64) * log.n_items + history.items)
    on_sale = pool[keys % log.n_items] if log.n_items else np.zeros(0, dtype=bool)
    keep = is_new & on_sale
    keys, bits = keys[keep], bits[keep]
    target_users = (keys // log.n_items).astype(np.int32)
    known_to_the_log = set(np.unique(log.behaviours).tolist()) or set(positions)
    known = np.zeros(log.n_users, dtype=bool)
    known[history.users] = True
    eligible = np.unique(target_users)
    rng = np.random.default_rng(seed)
    groups = ((eligible[known[eligible]], max_users), (eligible[~known[eligible]], max_cold_users))
    users = np.sort(np.concatenate([_sample(rng, group, limit) for group, limit in groups]))
    sampled = np.isin(target_users, users)
    keys, bits, target_users = keys[sampled], bits[sampled], target_users[sampled]

    bounds = np.append(np.searchsorted(target_users, users), len(target_users))
    return RankingTask(
        name=name,
        start=start,
        end=end,
        history=history,
        users=users,
        target_offsets=bounds.astype(np.int64),
        target_items=(keys % log.n_items).astype(np.int32),
        target_bits=bits,
        pool=pool,
        warm=warm,
        has_history=known[users],
        behaviours=tuple(BEHAVIOURS[position] for position in positions if position in known_to_the_log),
        repeated_targets=int(np.sum(~is_new)),
        targets_outside_pool=int(np.sum(is_new & ~on_sale)),
        eligible_users=len(eligible),
    )


def ranking_tasks(
    log: EventLog,
    cuts: Cuts,
    *,
    target_behaviours: Sequence[str] = BEHAVIOURS,
    launched_at: NDArray[np.int64] | None = None,
    exclude_users: NDArray[np.bool_] | None = None,
    max_users: int | None = None,
    max_cold_users: int | None = None,
    seed: int = 0,
) -> tuple[RankingTask, RankingTask]:
    """The validation task (history: fit) and the test task (history: fit and validation); see `ranking_task`."""

    def task(name: str, start: int, end: int) -> RankingTask:
        return ranking_task(
            log,
            name=name,
            start=start,
            end=end,
            target_behaviours=target_behaviours,
            launched_at=launched_at,
            exclude_users=exclude_users,
            max_users=max_users,
            max_cold_users=max_cold_users,
            seed=seed,
        )

    return (
        task("validation", cuts.validation, cuts.test),
        task("test", cuts.test, cuts.end),
    )
