"""What NCF learns from: real events and synthetic rows, with what their users had done before.

Belongs here: examples as arrays, batches of them, and people who are kept back. Does not belong here: networks, how
synthetic rows are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask, ranking_task
from fashionrec_assets.towers.sequences import first_encounters, shuffle_ties

FEWEST_KEPT_BACK, MOST_KEPT_BACK = 100, 500


@dataclass(frozen=True)
class WeightedRows:
    """Synthetic rows as NCF takes them: `users`, `items` int32 (m,), `labels` float32 (m,) in [0, 1], `times` int64
    (m,), UTC seconds of the rows they were made from, and the `weight` of each beside a real event's 1."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    labels: NDArray[np.float32]
    times: NDArray[np.int64]
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.users)

    def without(self, users: NDArray[np.int32]) -> WeightedRows:
        """The rows of everybody but `users`."""
        kept = ~np.isin(self.users, users)
        return WeightedRows(self.users[kept], self.items[kept], self.labels[kept], self.times[kept], self.weight)


@dataclass(frozen=True)
class KeptBack:
    """`training`: the log without the last days of some people; `task`: those people and those days."""

    training: EventLog
    task: RankingTask


def keep_back(
    log: EventLog,
    *,
    cut: int,
    length: int,
    share: float,
    launched_at: NDArray[np.int64] | None,
    target_behaviours: tuple[str, ...],
    seed: int,
) -> KeptBack:
    """Takes the events of the last `length` seconds before `cut` away from a `share` of those who have new items there,
    100 to 500 of them, but never more than half, by `seed`. Only people with a history are taken: the others have
    nothing else."""
    knobs = {"launched_at": launched_at, "target_behaviours": target_behaviours, "max_cold_users": 0, "seed": seed}
    whole = ranking_task(log, name="kept_back", start=cut - length, end=cut, **knobs)
    wanted = int(np.clip(round(share * len(whole.users)), FEWEST_KEPT_BACK, MOST_KEPT_BACK))
    wanted = max(1, min(wanted, len(whole.users) // 2))
    task = ranking_task(log, name="kept_back", start=cut - length, end=cut, **knobs, max_users=wanted)
    hidden = np.isin(log.users, task.users) & (log.times >= cut - length)
    return KeptBack(log.select(~hidden), task)


@dataclass(frozen=True)
class Batch:
    """B examples. `users`, `items` int64 (B,); `history` int64 (B, h), newest first, with `held` bool (B, h); `times`
    int64 (B,); `labels` and `weights` float32 (B,); `real` bool (B,): an event of the log, not a synthetic row."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    history: NDArray[np.int64]
    held: NDArray[np.bool_]
    times: NDArray[np.int64]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    real: NDArray[np.bool_]


class Examples:
    """The first encounters of `log`, and `synthetic` rows, of which each user has only what came before the row."""

    def __init__(self, log: EventLog, synthetic: WeightedRows | None, *, history: int) -> None:
        self.log, self.synthetic, self.history = log, synthetic, history
        self.offsets = log.offsets()
        self._made_before = np.zeros(0, np.int64) if synthetic is None else self._before(synthetic)

    def __len__(self) -> int:
        return int(first_encounters(self.log).sum()) + (0 if self.synthetic is None else len(self.synthetic))

    def _before(self, rows: WeightedRows) -> NDArray[np.int64]:
        """int64 (m,): the place in the log after the last event of a row's user before the row's time."""
        span = int(self.log.times.max(initial=0)) + 2
        keys = self.log.users.astype(np.int64) * span + self.log.times
        return np.searchsorted(keys, rows.users.astype(np.int64) * span + np.minimum(rows.times, span - 1))

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch in random order; events at one time are in a new random order in each."""
        log = shuffle_ties(self.log, rng)
        places = np.flatnonzero(first_encounters(log))
        users, items, times = log.users[places], log.items[places], log.times[places]
        labels = np.ones(len(places), np.float32)
        weights, events = np.ones(len(places), np.float32), len(places)
        made = self.synthetic
        if made is not None and len(made):
            places = np.concatenate([places, self._made_before])
            users, items = np.concatenate([users, made.users]), np.concatenate([items, made.items])
            times, labels = np.concatenate([times, made.times]), np.concatenate([labels, made.labels])
            weights = np.concatenate([weights, np.full(len(made), made.weight, np.float32)])
        order = rng.permutation(len(places))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            history, held = recent(log, self.offsets[users[rows]], places[rows], self.history)
            yield Batch(
                users[rows].astype(np.int64),
                items[rows].astype(np.int64),
                history,
                held,
                times[rows],
                labels[rows].astype(np.float32),
                weights[rows],
                rows < events,
            )


def recent(
    log: EventLog, firsts: NDArray[np.int64], ends: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Items (b, length) of the newest events in [first, end) of each row, newest first, and which places are held."""
    places = ends[:, None] - 1 - np.arange(length)
    held = places >= firsts[:, None]
    items = log.items[np.where(held, places, 0)] if len(log) else np.zeros(places.shape, np.int32)
    return np.where(held, items, 0).astype(np.int64), held
