"""Visits: a user's events without a longer pause.

Belongs here: cutting the log into sessions. Does not belong here: models of sessions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from fashionrec_assets.catalog.queries import copy_to, literal, query
from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.warehouse import scratch as scratch_connection

_EVENTS_AT_ONCE: Final = 2_000_000
"""The items of as many events' visits are told apart at once: what is kept in memory does not grow with the log."""


def write_sessions(interactions: Path, out: Path, *, gap_minutes: int, storage: StorageSettings, scratch: Path) -> Path:
    """Writes `out/sessions.parquet` (`tables.SESSIONS`) from the `interactions` Parquet file, and returns its path.

    A session ends where the user's next event is more than `gap_minutes` later. A log that knows only days gives one
    session a day. The file must be sorted as `tables.INTERACTIONS` says.
    """
    out.mkdir(parents=True, exist_ok=True)
    with scratch_connection(storage, scratch) as connection:
        file = literal(str(interactions))
        first_users = ["", *_first_users(connection, file)]
        for number, first in enumerate(first_users):
            bounds, until = {"first": first}, "true"
            if number + 1 < len(first_users):
                bounds["end"], until = first_users[number + 1], "user_id < $end"
            select = query("sessions", interactions=file, gap=str(gap_minutes), until=until)
            into = "INSERT INTO visits" if number else "CREATE TEMP TABLE visits AS"
            connection.execute(f"{into} {select}", bounds)
        copy_to(connection, "FROM visits", out / "sessions.parquet")
    return out / "sessions.parquet"


def _first_users(connection: duckdb.DuckDBPyConnection, interactions: str) -> list[str]:
    """The users, in order, at which the log is cut into parts of about `_EVENTS_AT_ONCE` events, no user in two."""
    rows = connection.execute(query("sessions_parts", interactions=interactions, events=str(_EVENTS_AT_ONCE)))
    return [row[0] for row in rows.fetchall()]
