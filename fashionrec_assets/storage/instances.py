"""DuckDB instances that outlive a transaction: starting one takes longer than all that most transactions do.

Belongs here: one instance for each database file that this process works with, and attaching the file to it only while
somebody does, for a file that is open keeps other processes from writing. Does not belong here: who may open it when
(`warehouse.py`).
"""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import duckdb

from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.tables import literal

Connection = duckdb.DuckDBPyConnection

_NAME = "warehouse"


def configure(connection: Connection, settings: StorageSettings) -> Connection:
    """Apply the limits of the settings, and what all of the project have in common, to an instance's connections."""
    connection.execute("SET memory_limit = ?", [settings.memory_limit])
    connection.execute("SET threads = ?", [settings.threads])
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    # A name that is no table must be an error, not a Python variable that happens to have it.
    connection.execute("SET GLOBAL python_enable_replacements = false")
    return connection


@dataclass
class _Running:
    """An instance in memory, and how many connections to the file attached to it there are."""

    base: Connection
    settings: StorageSettings | None = None
    users: int = 0
    read_only: bool = True


class Instance:
    """The instance of one file. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._of: dict[int, _Running] = {}

    def open(self, settings: StorageSettings, *, read_only: bool) -> Connection:
        """A connection to the file, which is opened unless another thread has it open in the same way.

        Raises duckdb.ConnectionException if another thread has it open in another way, and what ATTACH raises.
        """
        with self._lock:
            running = self._running = self._running or _Running(self._start())
            if running.users and not (read_only and running.read_only):
                raise duckdb.ConnectionException(f"{self.path} is open with a different configuration in this process")
            try:
                if not running.users:
                    mode = " (READ_ONLY)" if read_only else ""
                    running.base.execute(f"ATTACH {literal(str(self.path))} AS {_NAME}{mode}")
                    running.read_only = read_only
                if running.settings != settings:
                    configure(running.base, settings)
                    running.settings = settings
                connection = running.base.cursor()
                connection.execute(f"USE {_NAME}")
            except duckdb.Error:
                self._drop(running)
                raise
            running.users += 1
            self._of[id(connection)] = running
            return connection

    def close(self, connection: Connection, *, spoilt: bool = False) -> None:
        """Close a connection; the last one to the file closes the file. The next one to a `spoilt` instance starts
        another: an error about its file ends what DuckDB does with it."""
        with self._lock:
            running = self._of.pop(id(connection))
            connection.close()
            running.users -= 1
            if spoilt or running is not self._running:
                self._drop(running)
            elif not running.users:
                try:
                    running.base.execute(f"DETACH {_NAME}")
                except duckdb.Error:
                    # The instance closes the file when it ends.
                    self._drop(running)

    def end(self) -> None:
        """Give the instance back, once nobody uses it any more."""
        with self._lock:
            if self._running:
                self._drop(self._running)

    def _start(self) -> Connection:
        base = duckdb.connect()
        base.execute("SET temp_directory = ?", [str(self.path) + ".tmp"])
        return base

    def _drop(self, running: _Running) -> None:
        """Never use an instance again. It ends with its last connection."""
        if self._running is running:
            self._running = None
        running.base.close()


_instances: dict[Path, Instance] = {}
_inherited: list[dict[Path, Instance]] = []
_lock = threading.Lock()


def instance_of(path: Path) -> Instance:
    """The one instance of this process for a file."""
    with _lock:
        return _instances.setdefault(path.absolute(), Instance(path))


def _end() -> None:
    for instance in _instances.values():
        instance.end()
    _instances.clear()


def _forked() -> None:
    # An instance has threads, which a fork does not take along: the child uses none of its parent's, not even to end.
    global _instances, _lock
    _inherited.append(_instances)
    _instances, _lock = {}, threading.Lock()


atexit.register(_end)
os.register_at_fork(after_in_child=_forked)
