"""What most shoppers turned to lately.

Belongs here: popularity in a window at the end of the log. Does not belong here: the popularity baselines of the
ranking report (`evaluation`), which are fitted on cuts of the log.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.recommendations.tables import POPULAR_ITEMS, arrow_schema
from fashionrec_assets.settings import RecommendationSettings

_DAY = 86_400


def popular_items(log: EventLog, settings: RecommendationSettings, shown: NDArray[np.bool_] | None = None) -> pa.Table:
    """The `popular_size` items most users turned to in the last `popular_days` days of `log`, as `POPULAR_ITEMS`.

    `shown` bool (n_items,): what may be shown; everything if None. Users are counted, not events, so that one tireless
    visitor (or bot) moves no item by more than one. Ties go to more events, then to the smaller item id. The window
    doubles until it holds `popular_size` different items or reaches the first event. An empty log gives no rows.
    """
    if len(log) == 0:
        return arrow_schema(POPULAR_ITEMS).empty_table()
    allowed = np.ones(log.n_items, bool) if shown is None else shown
    last, first = int(log.times.max()), int(log.times.min())
    days, reach = settings.popular_days, (last - first) // _DAY + 1
    users, events = turned_to(log, last - days * _DAY + 1)
    while days < reach and np.count_nonzero(users * allowed) < settings.popular_size:
        days = min(days * 2, reach)
        users, events = turned_to(log, last - days * _DAY + 1)
    order = np.lexsort((np.arange(log.n_items), -events, -users * allowed))[: settings.popular_size]
    order = order[(users * allowed)[order] > 0]
    columns = [
        pa.array(np.arange(1, len(order) + 1), pa.int32()),
        pa.array(log.item_ids[order].tolist(), pa.string()),
        pa.array(users[order], pa.int64()),
        pa.array(events[order], pa.int64()),
        pa.array(np.full(len(order), days), pa.int32()),
    ]
    return pa.table(columns, schema=arrow_schema(POPULAR_ITEMS))


def turned_to(log: EventLog, since: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Different users and events of each item from `since` (UTC seconds) on, both int64 (n_items,)."""
    recent = log.between(since, None)
    events = np.bincount(recent.items, minlength=log.n_items)
    pairs = np.unique(recent.users.astype(np.int64) * log.n_items + recent.items)
    return np.bincount(pairs % log.n_items, minlength=log.n_items), events


def trend_of(log: EventLog, settings: RecommendationSettings) -> NDArray[np.int64]:
    """int64 (n_items,): different users who turned to each item in the last `popular_days` days of `log`."""
    if len(log) == 0:
        return np.zeros(log.n_items, np.int64)
    return turned_to(log, int(log.times.max()) - settings.popular_days * _DAY + 1)[0]
