"""Content digests of raw files: what tells that an input has changed.

Belongs here: digests of files and folders, and remembering them. Does not belong here: what depends on them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path


def file_digest(path: Path, known: MutableMapping[str, tuple[int, int, str]] | None = None) -> str:
    """SHA-256 of the file's bytes, in hexadecimal, read in chunks.

    With `known`, a file whose size and modification time are those noted there is not read again, and what is read
    is noted, under `noted_name(path)`. Raises OSError if the file cannot be read.
    """
    return _digest(str(path), path.stat(), known)


def noted_name(path: Path | str) -> str:
    """What a path is noted as: a digest, for a shop may call a picture by the name of a user."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()


def path_digest(path: Path, known: MutableMapping[str, tuple[int, int, str]] | None = None) -> str:
    """The digest of a file; of a folder, the digest of its files' relative paths and digests, links not followed."""
    if not path.is_dir():
        return file_digest(path, known)
    return combined_digest((name, _digest(entry.path, entry.stat(), known)) for name, entry in _files_below(str(path)))


def combined_digest(parts: Iterable[tuple[str, str]]) -> str:
    """One digest of (name, digest) pairs, in their order."""
    total = hashlib.sha256()
    for name, digest in parts:
        encoded = name.encode("utf-8", "surrogateescape")
        total.update(f"{len(encoded)}:".encode() + encoded + digest.encode())
    return total.hexdigest()


def _digest(path: str, found: os.stat_result, known: MutableMapping[str, tuple[int, int, str]] | None) -> str:
    name = noted_name(path)
    before = known.get(name) if known is not None else None
    if before is not None and (before[0], before[1]) == (found.st_size, found.st_mtime_ns):
        return before[2]
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if known is not None:
        known[name] = (found.st_size, found.st_mtime_ns, digest)
    return digest


def _files_below(folder: str, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path relative to the first folder, entry) of each file: those of a folder by name, then those of its folders."""
    # A large shop has a photo for each item: what the listing already knows of a file is not asked again.
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found:
        if entry.is_file(follow_symlinks=False):
            yield prefix + entry.name, entry
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path, prefix + entry.name + os.sep)
