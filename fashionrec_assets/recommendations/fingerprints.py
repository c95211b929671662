"""Fingerprints of published rows: what the ledger compares to see whether a user's rows came out the same.

Belongs here: that. Does not belong here: which rows a stage makes.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from fashionrec_assets.storage.tables import quote, rows_digest


def output_fps(rows: pa.Table, key: str) -> dict[str, str]:
    """A fingerprint of the rows of each value of the column `key`, whatever their order."""
    columns = [f"coalesce(CAST({quote(name)} AS VARCHAR), '')" for name in rows.column_names]
    with duckdb.connect() as connection:
        connection.register("published", rows)
        sql = f"SELECT {quote(key)}, {rows_digest(*columns)} FROM published GROUP BY 1"
        return dict(connection.execute(sql).fetchall())
