"""What most shoppers turned to lately.

Belongs here: popularity in a window at the end of the log. Does not belong here: the popularity baselines of the
ranking report (`evaluation`), which are fitted on cuts of the log.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.recommendations.tables import POPULAR_ITEMS, arrow_schema
from fashionrec_assets.settings import RecommendationSettings

_DAY = 86_400


def popular_items(log: EventLog, settings: RecommendationSettings) -> pa.Table:
    """The `popular_size` items most users turned to in the last `popular_days` days of `log`, as `POPULAR_ITEMS`.

    Users are counted, not events, so that one tireless visitor (or bot) moves no item by more than one. Ties go to more
    events, then to the smaller item id. The window doubles until it holds `popular_size` different items or reaches the
    first event. An empty log gives no rows.
    """
    if len(log) == 0:
        return arrow_schema(POPULAR_ITEMS).empty_table()
    last, first = int(log.times.max()), int(log.times.min())
    days, reach = settings.popular_days, (last - first) // _DAY + 1
    recent = log.between(last - days * _DAY + 1, None)
    while days < reach and len(np.unique(recent.items)) < settings.popular_size:
        days = min(days * 2, reach)
        recent = log.between(last - days * _DAY + 1, None)
    events = np.bincount(recent.items, minlength=log.n_items)
    pairs = np.unique(recent.users.astype(np.int64) * log.n_items + recent.items)
    users = np.bincount(pairs % log.n_items, minlength=log.n_items)
    order = np.lexsort((np.arange(log.n_items), -events, -users))[: settings.popular_size]
    order = order[users[order] > 0]
    columns = [
        pa.array(np.arange(1, len(order) + 1), pa.int32()),
        pa.array(log.item_ids[order].tolist(), pa.string()),
        pa.array(users[order], pa.int64()),
        pa.array(events[order], pa.int64()),
        pa.array(np.full(len(order), days), pa.int32()),
    ]
    return pa.table(columns, schema=arrow_schema(POPULAR_ITEMS))
