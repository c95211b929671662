from __future__ import annotations

import numpy as np

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.negatives import FULL_AFTER, curriculum, mine


def test_hard_negatives_come_late_and_rise() -> None:
    counts = [curriculum(epoch, 9) for epoch in range(1, FULL_AFTER + 3)]
    assert counts[0] == 0 and counts == sorted(counts)
    assert counts[FULL_AFTER - 1 :] == [9, 9, 9]


def test_mined_are_the_best_after_the_guard_that_the_user_never_took() -> None:
    log = EventLog.build(["a", "b"], [f"i{k}" for k in range(8)], [0, 0], [6, 2], [1, 2], [0, 0])
    items = np.eye(8, dtype=np.float32)
    users = np.array([np.arange(8), np.arange(8)[::-1]], np.float32)
    pool = np.arange(1, 8)
    found = mine(users, items, log, pool, count=2, guard=1, block=1)
    assert found.tolist() == [[5, 4], [2, 3]]
    assert mine(users, items, log, pool, count=9, guard=0)[0].tolist() == [7, 5, 4, 3, 1, -1, -1, -1, -1]
