"""The catalog's SQL files.

Belongs here: loading and running them. Does not belong here: SQL (it stands in `sql/`) and opening connections.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from fashionrec_assets.storage.files import draft_of
from fashionrec_assets.storage.tables import literal

SHORT: Final = "COMPRESSION zstd"
LONG: Final = "COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2"
"""Differences in place of sorted values, and a quicker compression: less time, and less room."""


@cache
def _text(name: str) -> str:
    return (files("fashionrec_assets.catalog") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def query(name: str, /, **parts: str) -> str:
    """`sql/<name>.sql` with each `{part}` replaced. Parts are SQL made by our own code, never data: data is bound."""
    text = _text(name)
    return text.format(**parts) if parts else text


def copy_to(connection: duckdb.DuckDBPyConnection, select: str, target: Path, *, long: bool = False) -> None:
    """Writes the rows of `select` to `target` as Parquet: all of them, or none and the old file stays.

    `long`: they are many and sorted.
    """
    options = LONG if long else SHORT
    with draft_of(target) as draft:
        connection.execute(f"COPY ({select}) TO {literal(str(draft))} (FORMAT parquet, {options})")
