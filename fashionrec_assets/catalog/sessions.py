"""Visits: a user's events without a longer pause.

Belongs here: cutting the log into sessions. Does not belong here: models of sessions.
"""

from __future__ import annotations

from pathlib import Path

from fashionrec_assets.catalog.queries import copy_to, literal, query
from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.warehouse import scratch as scratch_connection


def write_sessions(interactions: Path, out: Path, *, gap_minutes: int, storage: StorageSettings, scratch: Path) -> Path:
    """Writes `out/sessions.parquet` (`tables.SESSIONS`) from the `interactions` Parquet file, and returns its path.

    A session ends where the user's next event is more than `gap_minutes` later. A log that knows only days gives one
    session a day.
    """
    out.mkdir(parents=True, exist_ok=True)
    with scratch_connection(storage, scratch) as connection:
        select = query("sessions", interactions=literal(str(interactions)), gap=str(gap_minutes))
        copy_to(connection, select, out / "sessions.parquet")
    return out / "sessions.parquet"
