"""Reading a release: its tables as views over its Parquet files, under the names and columns of the warehouse.

Belongs here: that, and leaving out what was withdrawn since. Does not belong here: which release is served
(`releases.py`), queries (the rooms).

A release that is read is not opened by its writer again, so nobody waits for a run, and a run waits for nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from fashionrec_assets.storage.release_notes import Release
from fashionrec_assets.storage.tables import literal, quote
from fashionrec_assets.storage.warehouse import Connection

WITHDRAWN = "withdrawn.parquet"
"""Beside the releases: column `item_id`, the items of retained releases that have left the catalog."""


class ServedTables:
    """One release, chosen once: whatever is switched meanwhile, every answer is of `release`.

    Rows that name an item which has left the catalog are left out; places in lists then have gaps. Long-lived readers
    open the served release anew for every page, or for every few seconds. Safe to use from several threads.
    """

    def __init__(self, release: Release, folder: Path, withdrawn: Path) -> None:
        self.release = release
        self.folder = folder
        self.withdrawn: tuple[str, ...] = _ids(withdrawn)
        self._lock = threading.Lock()
        self._base: Connection | None = None

    @property
    def version(self) -> str:
        return self.release.version

    @contextmanager
    def reader(self) -> Generator[Connection]:
        """A connection in which the release's tables are views; in memory, so that it cannot change them.

        Raises duckdb.IOException if a file of the release is gone.
        """
        with self._lock:
            self._base = self._base or self._connect()
            connection = self._base.cursor()
        try:
            yield connection
        finally:
            connection.close()

    def _connect(self) -> Connection:
        connection = duckdb.connect()
        connection.execute("SET threads = 1")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET python_enable_replacements = false")
        # The files never change, so what is known of one need not be read for every page.
        connection.execute("SET parquet_metadata_cache = true")
        if self.withdrawn:
            connection.execute("CREATE TABLE withdrawn AS SELECT unnest(?) AS item_id", [list(self.withdrawn)])
        for name, table in self.release.tables.items():
            where = self._still_there(table.items)
            path = literal(str((self.folder / table.file).resolve()))
            connection.execute(f"CREATE VIEW {quote(name)} AS SELECT * FROM read_parquet({path}){where}")
        return connection

    def _still_there(self, columns: Sequence[str]) -> str:
        if not self.withdrawn or not columns:
            return ""
        gone = "(SELECT item_id FROM withdrawn)"
        return " WHERE " + " AND ".join(f"({quote(name)} IS NULL OR {quote(name)} NOT IN {gone})" for name in columns)


def _ids(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return ()
    return tuple(pq.read_table(path, columns=["item_id"]).column("item_id").to_pylist())
