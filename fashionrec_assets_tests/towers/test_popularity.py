from __future__ import annotations

import numpy as np

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.features import DAY
from fashionrec_assets.towers.popularity import MOST_PERIODS, PopularityHistory, cut_after


def log_of(*events: tuple[int, int]) -> EventLog:
    items, times = [list(column) for column in zip(*events, strict=True)]
    return EventLog.build(["u"], ["a", "b", "c"], [0] * len(items), items, times, [0] * len(items))


def test_what_happens_on_a_day_is_not_known_on_it() -> None:
    log = log_of((0, 10), (1, DAY + 10), (1, 2 * DAY + 10))
    later = log_of((0, 10), (1, DAY + 10), (1, 2 * DAY + 10), (0, 2 * DAY + 20), (0, 2 * DAY + 30))
    history, other = (PopularityHistory.of(one, (7.0,)) for one in (log, later))
    assert history.starts.tolist() == [0, DAY, 2 * DAY] and cut_after(log) == 3 * DAY
    assert np.array_equal(history.values, other.values)
    assert not np.array_equal(history.now, other.now)
    assert np.allclose(history.values[0], 0)
    assert history.values[1, 0] > history.values[1, 1]
    assert history.now[1] > history.now[0]
    assert history.periods(np.array([0, DAY - 1, DAY, 9 * DAY])).tolist() == [0, 0, 1, 2]


def test_old_events_count_less_and_every_half_life_is_a_term() -> None:
    history = PopularityHistory.of(log_of((0, 0), (1, 4 * DAY)), (1.0, 1000.0))
    gaps = history.now[1] - history.now[0]
    assert gaps[0] > 0.2 > 0.01 > gaps[1] >= 0


def test_long_logs_have_few_periods() -> None:
    history = PopularityHistory.of(log_of((0, 0), (1, 1000 * DAY)), (7.0,))
    assert len(history.starts) <= MOST_PERIODS and (np.diff(history.starts) % DAY == 0).all()
