"""Copies of the warehouse, and putting a damaged one right without anybody's help.

Belongs here: rewriting a database file, keeping a copy that is known to be readable, and choosing what replaces a
damaged file. Does not belong here: connections for work (`warehouse.py`), and files of rows (`buckets.py`).

A database that is put back may be older than the files beside it, and its ledger would call them finished although
they were made from later rows. So a copy knows which files there were, and whatever changed since is removed with the
damage: the next run makes it again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.faults import reached
from fashionrec_assets.storage.files import disk_error, draft_of, stamp, write_text
from fashionrec_assets.storage.tables import literal, quote

_log = logging.getLogger(__name__)

_DAMAGE = (duckdb.IOException, duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)
_DAMAGE_WORDS = ("checksum", "corrupt", "could not read", "not a valid duckdb", "deserialize", "invalidated")
_NOT_DAMAGE_WORDS = ("version number", "newer version", "storage version", "could not set lock", "conflicting lock")


def is_damage(error: BaseException, *, opening: bool = False) -> bool:
    """Whether an error of DuckDB says that its file is damaged.

    While `opening` a file every failure of reading it counts, but not that another version of DuckDB wrote it.
    """
    said = str(error).lower()
    if not isinstance(error, duckdb.Error) or any(words in said for words in _NOT_DAMAGE_WORDS):
        return False
    if any(words in said for words in _DAMAGE_WORDS) and type(error) in (duckdb.Error, duckdb.IOException):
        return True
    return isinstance(error, _DAMAGE) and (opening or not isinstance(error, duckdb.IOException))


@dataclass(frozen=True)
class Beside:
    """The files under `root` that the ledger vouches for: those that match one of `patterns`."""

    root: Path
    patterns: tuple[str, ...]

    def listing(self) -> dict[str, list[int]]:
        """Size and modification time of each file, by its path from the root."""
        found: dict[str, list[int]] = {}
        for pattern in self.patterns:
            for path in self.root.glob(pattern):
                found[path.relative_to(self.root).as_posix()] = stamp(path)
        return found

    def discard_changed(self, listing: Mapping[str, Any]) -> int:
        """Remove the files that are not as `listing` says; how many there were."""
        changed = [name for name, status in self.listing().items() if listing.get(name) != status]
        for name in changed:
            (self.root / name).unlink(missing_ok=True)
        return len(changed)


class Copies:
    """What lies beside the database `path`: its copy, what was damaged, and the mark that something may be."""

    def __init__(self, path: Path, settings: StorageSettings, beside: Beside | None = None) -> None:
        self.path = path
        self.settings = settings
        self.beside = beside
        self.backup = path.with_name(path.name + ".backup")
        self.facts = path.with_name(path.name + ".backup.json")
        self.damaged = path.with_name(path.name + ".damaged")
        self.suspect = path.with_name(path.name + ".suspect")
        self.wal = path.with_name(path.name + ".wal")

    def doubt(self, reason: str) -> None:
        """Remember that a query met damage: the next opening looks into it."""
        with suppress(OSError):
            write_text(self.suspect, reason + "\n")

    def keep(self) -> bool:
        """Copy the database if it changed since the last copy; the copy before stays until the new one is read
        through. Call under the lock, with no connection open. Returns whether there is a new copy.
        """
        if not self.path.exists():
            return False
        if self.wal.exists():
            # Left by a killed process; opening the file takes it in.
            duckdb.connect(str(self.path)).close()
        of = stamp(self.path)
        if self.backup.exists() and self._known().get("of") == of:
            return False
        listing = self.beside.listing() if self.beside else {}
        with suppress(_UnreadableError), draft_of(self.backup) as draft:
            shutil.copyfile(self.path, draft)
            if not _readable(draft):
                self.doubt("its rows could not be read through when it was to be copied")
                _log.error("%s is damaged: its copy of an earlier time is kept; the next run puts it right", self.path)
                raise _UnreadableError
        if self.suspect.exists():
            return False
        # In this order: a kill in between leaves an older listing, which only costs work.
        write_text(self.facts, json.dumps({"of": of, "files": listing}))
        for path in self._aside():
            path.unlink(missing_ok=True)
        return True

    def forget(self) -> None:
        """Remove every copy, good or damaged: rows that were deleted may still be in them."""
        for path in (*self._aside(), self.facts, self.backup):
            path.unlink(missing_ok=True)

    def heal(self) -> str:
        """Replace the database by the best there is; what was done, in words. Call under the lock.

        That is all its rows if they can be read, else those of the last copy, else none. The file's name is never
        without a file, so a kill in between changes nothing.
        """
        draft = self.path.with_name(f".{self.path.name}.tmp")
        main_alone = self.path.with_name(f".{self.path.name}.alone.tmp")
        listing = self._known().get("files", {})
        try:
            if self.path.exists() and self.rewrite(self.path, draft):
                done, changed = "all its rows could be read and were written anew", None
            elif (
                self.path.exists() and self.wal.exists() and self._alone(main_alone) and self.rewrite(main_alone, draft)
            ):
                done, changed = "what its write-ahead log held is lost, the rest could be read", listing
            elif self.backup.exists() and self.rewrite(self.backup, draft):
                done, changed = "its last copy was put in its place", listing
            else:
                _remove(draft)
                duckdb.connect(str(draft)).close()
                done, changed = "there was no copy that can be read, so it starts empty", {}
            reached("before rename", self.path)
            self._put_aside()
            reached("mid write", self.path)
            if changed is not None and self.beside is not None:
                count = self.beside.discard_changed(changed)
                done += f", and {count:,} files that were made later are made again"
            self.wal.unlink(missing_ok=True)
            draft.replace(self.path)
            self.suspect.unlink(missing_ok=True)
            reached("after rename", self.path)
        finally:
            _remove(draft)
            _remove(main_alone)
        return done

    def rewrite(self, source: Path, target: Path) -> bool:
        """Write the live rows of the database `source` into a new file; False if they cannot all be read.

        Raises DiskFullError if there is no room for it.
        """
        _remove(target)
        connection = duckdb.connect()
        try:
            connection.execute("SET memory_limit = ?", [self.settings.memory_limit])
            connection.execute("SET threads = ?", [self.settings.threads])
            connection.execute("SET temp_directory = ?", [str(self.path.parent / "spill")])
            connection.execute(f"ATTACH {literal(str(source))} AS source (READ_ONLY)")
            connection.execute(f"ATTACH {literal(str(target))} AS target")
            connection.execute("COPY FROM DATABASE source TO target")
            connection.execute("DETACH target")
        except duckdb.Error as error:
            told = disk_error(OSError(str(error)), target)
            if told is not None:
                raise told from None
            if not is_damage(error, opening=True):
                raise
            return False
        finally:
            connection.close()
        return True

    def _alone(self, target: Path) -> bool:
        """The database without its log."""
        _remove(target)
        shutil.copyfile(self.path, target)
        return True

    def _put_aside(self) -> None:
        for path, aside in ((self.path, self.damaged), (self.wal, self.damaged.with_name(self.damaged.name + ".wal"))):
            if path.exists():
                aside.unlink(missing_ok=True)
                try:
                    os.link(path, aside)
                except OSError:
                    shutil.copyfile(path, aside)

    def _aside(self) -> tuple[Path, ...]:
        return (self.damaged, self.damaged.with_name(self.damaged.name + ".wal"))

    def _known(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.facts.read_text("utf-8")))
        except (OSError, ValueError):
            return {}


class _UnreadableError(Exception):
    """A copy that is not to be kept."""


def _readable(path: Path) -> bool:
    """Whether every row of a database can be read; DuckDB checks each block against its checksum."""
    try:
        connection = duckdb.connect(str(path), read_only=True)
        try:
            for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                connection.execute(f"SELECT bit_xor(hash(r)) FROM {quote(name)} r").fetchall()
        finally:
            connection.close()
    except duckdb.Error as error:
        if not is_damage(error, opening=True):
            raise
        return False
    return True


def _remove(path: Path) -> None:
    for one in (path, path.with_name(path.name + ".wal")):
        one.unlink(missing_ok=True)
