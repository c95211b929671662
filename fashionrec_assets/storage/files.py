"""Files, written whole or not at all, how one is told from another, and errors of the disk in words that say what to
do.

Belongs here: that. Does not belong here: Parquet (`parquet.py`) and folders of files (`artifacts.py`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from fashionrec_assets.storage.faults import reached


class DiskFullError(OSError):
    """A disk, or a quota on it, had no room for what was to be written."""


class AccessDeniedError(PermissionError):
    """A folder is read-only, or belongs to somebody else."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_WORDS = ("no space left on device", "disk quota exceeded", "file too large", "failed to offload data block")
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_CLOSED_WORDS = ("read-only file system", "permission denied", "operation not permitted")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` under a temporary name and rename it: readers see the old content or the new."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes | memoryview, *, durable: bool = False) -> None:
    """As `write_text`, of any bytes; `durable`: they are on the disk before the name is.

    Raises DiskFullError or AccessDeniedError; what was there before stays.
    """
    half = len(data) // 2
    with draft_of(path) as draft, draft.open("wb") as sink:
        sink.write(data[:half])
        sink.flush()
        reached("mid write", path)
        sink.write(data[half:])
        if durable:
            sink.flush()
            os.fsync(sink.fileno())


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_digests: dict[Path, tuple[list[int], str]] = {}
"""Files this process has read: `stamp` and digest. Hashing a model takes longer than loading it."""


def remembered_digest(path: Path) -> str:
    """`file_digest`, of which this process reads a file once for as long as its `stamp` is the same."""
    now = stamp(path)
    known = _digests.get(path)
    if known is None or known[0] != now:
        known = _digests[path] = (now, file_digest(path))
    return known[1]


def stamp(path: Path) -> list[int]:
    """Size and modification time of a file, as JSON has them: while they are the same, so is what was read of it."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


@contextmanager
def draft_of(path: Path) -> Generator[Path]:
    """A temporary name beside `path` to write to: renamed to it when the block ends, removed when it raises.

    Raises as `write_bytes` does.
    """
    draft = path.with_name(f".{path.name}.tmp")
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            reached("before write", path)
            yield draft
            reached("before rename", path)
            draft.replace(path)
            reached("after rename", path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Generator[None]:
    """Raise DiskFullError or AccessDeniedError, with the remedy, for an error of the disk while writing `path`."""
    try:
        yield
    except Exception as error:
        told = disk_error(error, path)
        if told is None or told is error:
            raise
        # Callers show the last cause of an error, and here that is the one that does not say what to do.
        raise told from None


def disk_error(error: Exception, path: Path) -> OSError | None:
    """What `error` says of the disk under `path`, or None if it is about something else.

    Libraries tell of a full disk in exceptions of their own, so their words count where there is no error number.
    """
    if isinstance(error, DiskFullError | AccessDeniedError):
        return error
    number = error.errno if isinstance(error, OSError) else None
    said = str(error)
    place = error.filename if isinstance(error, OSError) and isinstance(error.filename, str) else path
    if number in _FULL or (number is None and _says(said, _FULL_WORDS)):
        return DiskFullError(
            errno.ENOSPC,
            f"no room to write {place} ({said}): {_room(path)}. Free some space, or move the home folder to a larger "
            "disk, and run again: what was finished is kept and goes on from there",
        )
    if number in _CLOSED or (number is None and isinstance(error, OSError) and _says(said, _CLOSED_WORDS)):
        return AccessDeniedError(
            errno.EACCES,
            f"{place} is closed to this user ({said}). Give this user the right to read and write there, or name "
            "another home folder with --home, and run again: nothing that was finished is lost",
        )
    return None


def _says(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text.lower() for word in words)


def _room(path: Path) -> str:
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        usage = shutil.disk_usage(there)
    except OSError:
        return "how much is free there is unknown"
    return f"{usage.free / 1e6:,.1f} MB of {usage.total / 1e9:,.1f} GB are free there"
