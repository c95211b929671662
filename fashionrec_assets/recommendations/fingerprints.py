"""Fingerprints that the ledger compares: of the histories that users' rows are made from, and of the rows themselves.

Belongs here: that. Does not belong here: which rows a stage makes.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from fashionrec_assets.storage.tables import literal, quote, rows_digest


def histories_sql(interactions: Path) -> str:
    """SQL: every user who is no bot, with a fingerprint of their events; null for a user without any."""
    return f"""
        SELECT users.user_id, log.history FROM users LEFT JOIN (
            SELECT user_id, {rows_digest("item_id", "behaviour", "epoch_us(ts)")} AS history
            FROM read_parquet({literal(str(interactions))}) GROUP BY user_id
        ) log USING (user_id) WHERE NOT users.is_bot
    """


def output_fps(rows: pa.Table, key: str) -> dict[str, str]:
    """A fingerprint of the rows of each value of the column `key`, whatever their order."""
    columns = [f"coalesce(CAST({quote(name)} AS VARCHAR), '')" for name in rows.column_names]
    with duckdb.connect() as connection:
        connection.register("published", rows)
        sql = f"SELECT {quote(key)}, {rows_digest(*columns)} FROM published GROUP BY 1"
        return dict(connection.execute(sql).fetchall())
