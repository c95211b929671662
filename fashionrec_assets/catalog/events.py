"""The interactions table as an `EventLog`.

Belongs here: the way from Parquet to arrays. Does not belong here: the arrays' own operations (`event_log.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.lines import BEHAVIOURS_SQL
from fashionrec_assets.catalog.queries import literal, query
from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.warehouse import one_row
from fashionrec_assets.storage.warehouse import scratch as scratch_connection

_BATCH: Final = 1 << 17
_LEFT_OUT: Final = -2
"""The user row, while the columns are filled, of a bot's event."""

_COMPARED_AT_ONCE: Final = 1 << 22


def load_event_log(
    interactions: Path,
    items: Path,
    users: Path,
    *,
    storage: StorageSettings,
    scratch: Path,
    include_bots: bool = False,
) -> EventLog:
    """The log over all items of `items` and all users of `users`, from the Parquet files of these tables.

    Bots are left out, events and users alike, unless `include_bots`. Joins happen in DuckDB; nothing is sorted, for
    `interactions` is. Raises ValueError if it is not sorted as `tables.INTERACTIONS` says, or if an event names an item
    that `items` lacks, or a user that `users` lacks.
    """
    files = {"interactions": literal(str(interactions)), "users": literal(str(users))}
    with scratch_connection(storage, scratch) as connection:
        connection.execute(query("known_items", items=literal(str(items))))
        connection.execute(query("people", users=files["users"], kept="true" if include_bots else "NOT is_bot"))
        log = EventLog(
            _texts(connection, "SELECT user_id FROM people WHERE user_row IS NOT NULL ORDER BY user_row"),
            _texts(connection, "SELECT item_id FROM known ORDER BY item_row"),
            *_columns(connection, interactions),
        )
        if len(log) and min(log.users.min(), log.items.min()) < 0:
            unknown = one_row(connection, query("unknown_events", **files))
            raise ValueError(
                f"interactions hold an event of a user with item {unknown[1]!r}, but users or items lack one of "
                "them; materialize items, interactions and users again"
            )
    if not _in_order(log):
        raise ValueError(f"{interactions} is not sorted by user and time; materialize interactions again")
    return log


def _columns(
    connection: duckdb.DuckDBPyConnection, interactions: Path
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], NDArray[np.int8]]:
    """The four columns of an `EventLog`, in the order of the file, with -1 for a user or item that is not known.

    They are filled batch by batch, each event at its place: a result as a whole beside its arrays would double the
    memory, and so would sorting it.
    """
    file = literal(str(interactions))
    count: int = one_row(connection, f"SELECT count(*) FROM read_parquet({file})")[0]
    users, items = np.full(count, _LEFT_OUT, np.int32), np.empty(count, np.int32)
    columns = (users, items, np.empty(count, np.int64), np.empty(count, np.int8))
    sql = query("event_arrays", interactions=file, behaviours=BEHAVIOURS_SQL)
    for batch in connection.sql(sql).to_arrow_reader(_BATCH):
        place, *found = batch.columns
        places = place.to_numpy()
        for array, column in zip(columns, found, strict=True):
            array[places] = column.fill_null(-1).to_numpy()
    kept = users != _LEFT_OUT
    if not kept.all():
        for array in columns:
            # In place, one after the other: a second log is more memory than is asked for.
            left = array[kept]
            array[: len(left)] = left
            array.resize(len(left), refcheck=False)
    return columns


def _in_order(log: EventLog) -> bool:
    """Whether the events are sorted as an `EventLog` is."""
    for start in range(0, len(log), _COMPARED_AT_ONCE):
        part = slice(start, start + _COMPARED_AT_ONCE + 1)
        tied = np.True_
        for column in (log.users[part], log.times[part], log.items[part], log.behaviours[part]):
            if np.any(tied & (column[1:] < column[:-1])):
                return False
            tied = tied & (column[1:] == column[:-1])
    return True


def _texts(connection: duckdb.DuckDBPyConnection, sql: str) -> NDArray[np.str_]:
    return np.asarray(connection.execute(sql).fetchnumpy().popitem()[1], dtype=np.str_)
