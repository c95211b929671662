"""The warehouse: the shop's small tables and the ledger, in one DuckDB file.

Belongs here: opening the file safely (one transaction per write, waiting for other processes) and applying table
declarations. Does not belong here: what the tables mean (`tables.py` of each room) and bulky data (`buckets.py`,
`artifacts.py`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout
from tenacity import RetryCallState, retry, retry_if_exception, stop_after_delay, wait_random_exponential

from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.faults import reached
from fashionrec_assets.storage.files import disk_error, draft_of
from fashionrec_assets.storage.healing import Beside, Copies, is_damage
from fashionrec_assets.storage.instances import Connection, Instance, configure, instance_of
from fashionrec_assets.storage.tables import Table, literal, quote

_log = logging.getLogger(__name__)


class WarehouseBusyError(RuntimeError):
    """Another process kept the warehouse for longer than `storage.lock_timeout_s`."""


class WarehouseDamagedError(RuntimeError):
    """A page of the warehouse file cannot be read."""


_IN_USE = ("could not set lock", "conflicting lock", "different configuration", "already attached")


def _is_locked(error: BaseException) -> bool:
    # DuckDB has no one exception class for a file that another process holds, or another thread of this process with
    # another access mode: the classes differ between its versions, the words do not.
    return isinstance(error, duckdb.Error) and any(words in str(error).lower() for words in _IN_USE)


def scratch(settings: StorageSettings, spill: Path) -> Connection:
    """An in-memory connection for out-of-core work: beyond `memory_limit` it spills into the folder `spill`."""
    spill.mkdir(parents=True, exist_ok=True)
    connection = configure(duckdb.connect(), settings)
    connection.execute("SET temp_directory = ?", [str(spill)])
    return connection


class Warehouse:
    """One DuckDB file, opened for as short as possible, and put right when it is found damaged.

    DuckDB lets one process write, and while it does nobody else can even read, so nothing is computed inside a
    connection: read, close, compute, then write in one transaction.
    """

    def __init__(
        self, path: Path, settings: StorageSettings, tables: Iterable[Table], beside: Beside | None = None
    ) -> None:
        self.path = path
        self.settings = settings
        self.tables = {table.name: table for table in tables if not table.parquet}
        self._in_use = threading.local()
        self._writes = 0
        self._declared: int | None = None
        """The inode of the file in which the tables are known to be."""
        self.copies = Copies(path, settings, beside)
        self._lock = FileLock(str(path) + ".lock", timeout=settings.lock_timeout_s, is_singleton=True)

    @contextmanager
    def reader(self) -> Generator[Connection]:
        """A read-only connection. An absent file reads as empty tables.

        Raises WarehouseBusyError after `lock_timeout_s`, WarehouseDamagedError if the block meets a damaged page.
        A file that cannot even be opened is put right first: see `Copies.heal`.
        """
        if not self.path.exists():
            with self.writer():
                pass
        inside = getattr(self._in_use, "mode", None) is not None
        with self._noted("read"), self._told():
            if not inside:
                self._let_writers_pass()
            with self._connected(read_only=True) as connection:
                yield connection

    @contextmanager
    def writer(self) -> Generator[Connection]:
        """A connection inside one transaction: committed when the block ends, rolled back when it raises.

        Raises as `reader` does, DiskFullError and AccessDeniedError.
        """
        try:
            with self._noted("write"), self._told(), self._locked():
                if not self.path.exists() and self.copies.backup.exists():
                    self._heal("it is missing")
                with self._connected(read_only=False) as connection:
                    try:
                        self._declare(connection)
                        reached("before transaction", self.path)
                        connection.begin()
                        reached("in transaction", self.path)
                        yield connection
                        reached("before commit", self.path)
                        connection.commit()
                    except BaseException:
                        # A rollback outside a transaction (an interrupt before it began) must not hide the cause.
                        with suppress(duckdb.Error):
                            connection.rollback()
                        raise
            reached("after commit", self.path)
        finally:
            self._writes += 1

    def back_up(self) -> None:
        """Keep a copy of the file as it is now, unless the last one is still the same.

        A copy is a precaution: that there is no room for it is logged, and no error.
        """
        if not self.settings.backups:
            return
        try:
            with self._noted("write"), self._told(), self._locked():
                self.copies.keep()
        except (OSError, WarehouseBusyError) as error:
            _log.warning("no copy was made of %s: %s", self.path, error)

    def compact(self) -> None:
        """Write the rows there are into a new file and put it in the place of the old one, whole or not at all.

        No byte of a deleted row is left in the file, its write-ahead log or its copies. Raises as `writer` does,
        WarehouseDamagedError if not every row can be read.
        """
        with self.writer():
            pass
        with self._noted("write"), self._told(), self._locked(), draft_of(self.path) as draft:
            if not self.copies.rewrite(self.path, draft):
                self.copies.doubt("its rows could not be read through when it was to be compacted")
                raise self._damaged("not every row can be read")
            self.copies.forget()
        self._writes += 1
        self.back_up()

    def stamp(self) -> tuple[object, ...]:
        """Differs whenever the content may differ: what was read at a stamp is still so while the stamp is the same."""
        found: list[object] = [self._writes]
        for path in (self.path, self.path.with_name(self.path.name + ".wal")):
            try:
                status = path.stat()
            except FileNotFoundError:
                found.append(None)
            else:
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def _declare(self, connection: Connection) -> None:
        inode = self.path.stat().st_ino
        if inode != self._declared:
            for table in self.tables.values():
                connection.execute(table.ddl())
            self._declared = inode

    @contextmanager
    def _noted(self, mode: Literal["read", "write"]) -> Generator[None]:
        """Readers may stand inside readers; anything else in one thread would wait for itself."""
        outer = getattr(self._in_use, "mode", None)
        if outer is not None and (outer, mode) != ("read", "read"):
            raise RuntimeError("this thread already has the warehouse open: close that block before opening another")
        self._in_use.mode = mode
        try:
            yield
        finally:
            self._in_use.mode = outer

    def _let_writers_pass(self) -> None:
        """Wait while somebody writes or waits to: readers that overlap would keep a writer waiting for ever.

        Not inside a reader's block, whose end that writer may be waiting for.
        """
        # Who may not write here, not even a lock file, can still read.
        with suppress(OSError), self._locked():
            pass

    @contextmanager
    def _locked(self) -> Generator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = self._lock.acquire()
        except Timeout as error:
            raise self._busy() from error
        with lock:
            yield

    @contextmanager
    def _told(self) -> Generator[None]:
        """Raise errors of the disk and of a damaged file in words that say what to do."""
        try:
            yield
        except duckdb.Error as error:
            told = self._disk_error(error)
            if told is not None:
                raise told from None
            if is_damage(error):
                self.copies.doubt(str(error))
                raise self._damaged(f"{type(error).__name__}: {error}") from None
            raise
        except OSError as error:
            told = disk_error(error, self.path)
            if told is None or told is error:
                raise
            raise told from None

    def _damaged(self, reason: str) -> WarehouseDamagedError:
        return WarehouseDamagedError(
            f"{self.path} is damaged ({reason}). Run again: the rows that can be read are kept, or its last copy is "
            "put in its place, and what is missing is made again."
        )

    def _heal(self, reason: str) -> None:
        """Put the file right. Call under the lock."""
        _log.error("%s is damaged (%s) and is put right", self.path, reason)
        self._declared = None
        _log.warning("%s: %s", self.path, self.copies.heal())
        connection = duckdb.connect(str(self.path))
        try:
            self._declare(connection)
        finally:
            connection.close()

    def _busy(self) -> WarehouseBusyError:
        return WarehouseBusyError(
            f"{self.path} was in use by another process for {self.settings.lock_timeout_s:.0f} s. "
            "Wait for the other run to finish, or raise storage.lock_timeout_s."
        )

    @contextmanager
    def _connected(self, *, read_only: bool) -> Generator[Connection]:
        """A connection to the file, which is open no longer than the block."""
        instance, spoilt = instance_of(self.path), False
        connection = self._connect(instance, read_only=read_only)
        try:
            yield connection
        except duckdb.Error as error:
            spoilt = is_damage(error, opening=True)
            raise
        finally:
            instance.close(connection, spoilt=spoilt)

    def _connect(self, instance: Instance, *, read_only: bool) -> Connection:
        def tell(state: RetryCallState) -> None:
            if state.attempt_number == 3:
                _log.warning("waiting for another process to finish with %s", self.path)

        @retry(
            retry=retry_if_exception(_is_locked),
            wait=wait_random_exponential(multiplier=0.02, max=0.5),
            stop=stop_after_delay(self.settings.lock_timeout_s),
            before_sleep=tell,
            reraise=True,
        )
        def connect() -> Connection:
            return instance.open(self.settings, read_only=read_only)

        def look() -> None:
            instance.close(connect())

        try:
            if self.copies.suspect.exists():
                self._heal_if(look, self.copies.suspect.read_text("utf-8").strip())
            try:
                return connect()
            except duckdb.Error as error:
                if _is_locked(error) or not is_damage(error, opening=True) or self._disk_error(error):
                    raise
                self._heal_if(look, f"{type(error).__name__}: {error}")
                return connect()
        except duckdb.Error as error:
            if _is_locked(error):
                raise self._busy() from error
            raise

    def _heal_if(self, look: Callable[[], None], reason: str) -> None:
        """Put the file right, unless another process did so meanwhile and `look` can open it."""
        with self._locked():
            if not self.copies.suspect.exists():
                try:
                    look()
                except duckdb.Error as error:
                    if not is_damage(error, opening=True):
                        raise
                else:
                    return
            self._heal(reason)

    def _disk_error(self, error: Exception) -> OSError | None:
        return disk_error(OSError(str(error)), self.path)


def one_row(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
    """The one row of an aggregate query. Raises LookupError if it gives none."""
    # A result fetched row by row stays open and blocks the connection; one fetched whole does not.
    rows = connection.execute(sql, list(parameters)).fetchall()
    if not rows:
        raise LookupError(f"the query gave no row: {sql}")
    return rows[0]


def replace_rows(connection: Connection, table: Table, rows: pa.Table) -> None:
    """Make `rows` the whole content of `table`. Call inside `Warehouse.writer`.

    The table is made anew where its columns are those of an earlier version of the declaration.
    """
    there = connection.execute(f"SELECT name FROM pragma_table_info({literal(table.name)})").fetchall()
    if [row[0] for row in there] == list(table.column_names):
        connection.execute(f"DELETE FROM {quote(table.name)}")
    else:
        connection.execute(f"DROP TABLE IF EXISTS {quote(table.name)}")
        connection.execute(table.ddl())
    insert_rows(connection, table, rows)


def upsert_rows(connection: Connection, table: Table, rows: pa.Table) -> None:
    """Insert `rows`, or update those whose key exists. Call inside `Warehouse.writer`."""
    _with_rows(connection, rows, lambda source: connection.execute(_merge(table, source)))


def upsert_selected(connection: Connection, table: Table, select: str, parameters: Sequence[Any]) -> None:
    """`upsert_rows` for the rows of a query with bound `parameters`. Call inside `Warehouse.writer`."""
    connection.execute(_merge(table, f"({select})"), parameters)


def insert_rows(connection: Connection, table: Table, rows: pa.Table) -> None:
    """Append `rows` (columns by name, in any order). Call inside `Warehouse.writer`."""
    names = ", ".join(map(quote, table.column_names))
    _with_rows(
        connection,
        rows,
        lambda source: connection.execute(f"INSERT INTO {quote(table.name)} ({names}) SELECT {names} FROM {source}"),
    )


def delete_keys(connection: Connection, table: Table, column: str, keys: Iterable[str]) -> None:
    """Delete the rows whose `column` is one of `keys`. Call inside `Warehouse.writer`."""
    connection.execute(f"DELETE FROM {quote(table.name)} WHERE {quote(column)} IN (SELECT unnest(?))", [list(keys)])


def _merge(table: Table, source: str) -> str:
    rest = [name for name in table.column_names if name not in table.key]
    on = " AND ".join(f"target.{quote(name)} = source.{quote(name)}" for name in table.key)
    names = ", ".join(map(quote, table.column_names))
    values = ", ".join(f"source.{quote(name)}" for name in table.column_names)
    update = ", ".join(f"{quote(name)} = source.{quote(name)}" for name in rest)
    matched = f" WHEN MATCHED THEN UPDATE SET {update}" if rest else ""
    return (
        f"MERGE INTO {quote(table.name)} AS target USING {source} AS source ON ({on}){matched} "
        f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )


def _with_rows(connection: Connection, rows: pa.Table, run: Callable[[str], object]) -> None:
    name = "rows_to_write"
    connection.register(name, rows)
    try:
        run(name)
    finally:
        # In a transaction that failed this fails too, and must not hide the cause.
        with suppress(duckdb.Error):
            connection.unregister(name)
