"""A small shop as arrays, for the tests of this room: random but seeded, with a launch time per item."""

from __future__ import annotations

import numpy as np

from fashionrec_assets.catalog.event_log import BEHAVIOURS, Cuts, EventLog
from fashionrec_assets.catalog.ranking_task import ALWAYS, RankingTask, ranking_tasks

DAY = 86_400
CUTS = Cuts(8 * DAY, 10 * DAY, 12 * DAY)


def log_of(events: list[tuple[int, int, int, str]], n_users: int, n_items: int) -> EventLog:
    """A log from (user row, item row, day, behaviour)."""
    users, items, days, behaviours = zip(*events, strict=True) if events else ((), (), (), ())
    return EventLog.build(
        [f"u{row:04}" for row in range(n_users)],
        [f"i{row:04}" for row in range(n_items)],
        users,
        items,
        [day * DAY for day in days],
        [BEHAVIOURS.index(behaviour) for behaviour in behaviours],
    )


def random_shop(seed: int = 0, n_users: int = 60, n_items: int = 40) -> tuple[EventLog, np.ndarray]:
    """A log of 12 days and launch seconds: later users are cold, items 30 and up appear in the test days only."""
    rng = np.random.default_rng(seed)
    events: list[tuple[int, int, int, str]] = []
    for user in range(n_users):
        first_day = 10 if user >= n_users - 8 else 0
        for _ in range(int(rng.integers(3, 25))):
            day = int(rng.integers(first_day, 12))
            n_on_sale = n_items if day >= 10 else n_items * 3 // 4
            item = min(int(rng.exponential(n_on_sale / 3)), n_on_sale - 1)
            events.append((user, item, day, str(rng.choice(BEHAVIOURS, p=[0.7, 0.1, 0.1, 0.1]))))
    launched = np.full(n_items, ALWAYS, dtype=np.int64)
    launched[n_items * 3 // 4 :] = 10 * DAY
    launched[-1] = 30 * DAY
    return log_of(events, n_users, n_items), launched


def random_tasks(seed: int = 0) -> tuple[RankingTask, RankingTask]:
    log, launched = random_shop(seed)
    return ranking_tasks(log, CUTS, launched_at=launched)
