"""The interactions table as an `EventLog`.

Belongs here: the way from Parquet to arrays. Does not belong here: the arrays' own operations (`event_log.py`).
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.lines import BEHAVIOURS_SQL
from fashionrec_assets.catalog.queries import literal, query
from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.warehouse import scratch as scratch_connection


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

    Bots are left out, events and users alike, unless `include_bots`. Joins and sorting happen in DuckDB. Raises
    ValueError if an event names an item that `items` lacks, or a user that `users` lacks.
    """
    files = {"interactions": literal(str(interactions)), "users": literal(str(users))}
    with scratch_connection(storage, scratch) as connection:
        connection.execute(query("known_items", items=literal(str(items))))
        connection.execute(query("people", users=files["users"], kept="true" if include_bots else "NOT is_bot"))
        unknown = connection.execute(query("unknown_events", **files)).fetchall()
        if unknown:
            raise ValueError(
                f"interactions hold an event of a user with item {unknown[0][1]!r}, but users or items lack one of "
                "them; materialize items, interactions and users again"
            )
        user_ids = _texts(connection, "SELECT user_id FROM people ORDER BY user_row")
        item_ids = _texts(connection, "SELECT item_id FROM known ORDER BY item_row")
        columns = connection.execute(
            query("event_arrays", interactions=files["interactions"], behaviours=BEHAVIOURS_SQL)
        ).fetchnumpy()
    return EventLog(
        user_ids,
        item_ids,
        np.asarray(columns["user_row"], dtype=np.int32),
        np.asarray(columns["item_row"], dtype=np.int32),
        np.asarray(columns["seconds"], dtype=np.int64),
        np.asarray(columns["behaviour"], dtype=np.int8),
    )


def _texts(connection: duckdb.DuckDBPyConnection, sql: str) -> NDArray[np.str_]:
    return np.array([row[0] for row in connection.execute(sql).fetchall()], dtype=np.str_)
