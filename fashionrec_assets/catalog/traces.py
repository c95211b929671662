"""What a home still says about a user: every file below it, looked at.

Belongs here: finding an id in tables, Parquet files and everything else. Does not belong here: taking it out (the
lineage, `storage/releases.py`, `resources/history.py`).
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.tables import literal, quote
from fashionrec_assets.storage.warehouse import Connection, Warehouse, scratch


def word(user_id: str) -> re.Pattern[bytes]:
    """The id as a whole word, in UTF-8 text, JSON or HTML."""
    text = re.escape(user_id.encode("utf-8"))
    return re.compile(rb"(?<![\w.-])" + text + rb"(?![\w-]|\.\w)")


def says(path: Path, pattern: re.Pattern[bytes]) -> bool:
    """Whether a file's bytes match."""
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return pattern.search(data) is not None


def traces(warehouse: Warehouse, home: Path, user_id: str, storage: StorageSettings) -> list[str]:
    """Where `home` names a user: files below it, and tables of its warehouse as `warehouse.duckdb: <table>`, sorted.

    Parquet files and tables are decoded, everything else is searched as bytes for the id as a whole word. An id that
    is an ordinary word or number may be found where it means something else.
    """
    pattern = word(user_id)
    found = [f"{warehouse.path.name}: {name}" for name in _tables(warehouse, user_id)]
    with scratch(storage, home / "spill") as connection:
        for path in sorted(home.rglob("*")):
            if path.is_symlink() or not path.is_file() or path == warehouse.path:
                continue
            decoded = path.suffix == ".parquet"
            if _in_parquet(connection, path, user_id) if decoded else says(path, pattern):
                found.append(path.relative_to(home).as_posix())
    if user_id.encode("utf-8") in _names(home):
        found.append("a file's name")
    return sorted(found)


def _names(home: Path) -> bytes:
    return b"\n".join(str(path.relative_to(home)).encode("utf-8", "surrogateescape") for path in home.rglob("*"))


def _tables(warehouse: Warehouse, user_id: str) -> Iterator[str]:
    with warehouse.reader() as connection:
        names = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
        yield from [name for (name,) in names if _holds(connection, quote(name), user_id)]


def _in_parquet(connection: Connection, path: Path, user_id: str) -> bool:
    return _holds(connection, f"read_parquet({literal(str(path))})", user_id)


def _holds(connection: Connection, relation: str, user_id: str) -> bool:
    """Whether a text column of the relation, or a text within a column, holds the id as a whole word."""
    columns = connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {relation})").fetchall()
    texts = [quote(name) for name, kind, *_ in columns if "VARCHAR" in kind]
    if not texts:
        return False
    # DuckDB's regular expressions look neither behind nor ahead: the id stands between ends and what parts words.
    pattern = rf"(^|[^\pL\pN_.-]){re.escape(user_id)}($|[^\pL\pN_.-]|\.($|[^\pL\pN_]))"
    holds = " OR ".join(
        f"(contains(CAST({name} AS VARCHAR), $id) AND regexp_matches(CAST({name} AS VARCHAR), $pattern))"
        for name in texts
    )
    rows = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {relation} WHERE {holds} LIMIT 1)", {"id": user_id, "pattern": pattern}
    ).fetchall()
    return bool(rows[0][0])
