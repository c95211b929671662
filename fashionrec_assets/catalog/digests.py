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
    is noted. Raises OSError if the file cannot be read.
    """
    found = path.stat()
    before = known.get(str(path)) if known is not None else None
    if before is not None and (before[0], before[1]) == (found.st_size, found.st_mtime_ns):
        return before[2]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if known is not None:
        known[str(path)] = (found.st_size, found.st_mtime_ns, digest)
    return digest


def path_digest(path: Path, known: MutableMapping[str, tuple[int, int, str]] | None = None) -> str:
    """The digest of a file; of a folder, the digest of its files' relative paths and digests, links not followed."""
    if not path.is_dir():
        return file_digest(path, known)
    return combined_digest((str(file.relative_to(path)), file_digest(file, known)) for file in _files_below(path))


def combined_digest(parts: Iterable[tuple[str, str]]) -> str:
    """One digest of (name, digest) pairs, in their order."""
    total = hashlib.sha256()
    for name, digest in parts:
        encoded = name.encode("utf-8", "surrogateescape")
        total.update(f"{len(encoded)}:".encode() + encoded + digest.encode())
    return total.hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path
