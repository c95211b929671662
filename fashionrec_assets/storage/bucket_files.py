"""The files of a bucket store: their names, what is in one, and what is noted of them.

Belongs here: that. Does not belong here: which rows a file is to hold, and what to do about one that is damaged
(`buckets.py`).

A bucket is its base, `<bucket>.parquet`, and segments `<bucket>.<number>.parquet` that hold what changed since: rows
that replace those before them, and keys that are no more. Bases say how many segments they have taken in, so that one
which a kill left behind counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fashionrec_assets.storage.files import write_text
from fashionrec_assets.storage.parquet import parquet_bytes

HASHES = "hashes.json"
_NAME = re.compile(r"(\d{4,})(?:\.(\d{6,}))?\.parquet")
_FOLDED, _DROPPED = b"folded", b"dropped"
_LAST = "last"
_ATTEMPTS = 3


def base_name(bucket: int) -> str:
    return f"{bucket:04d}.parquet"


def segment_name(bucket: int, number: int) -> str:
    return f"{bucket:04d}.{number:06d}.parquet"


def number_of(path: Path) -> int:
    """The number of a segment; 0 for a base."""
    match = _NAME.fullmatch(path.name)
    return int(match[2] or 0) if match else 0


def aside(path: Path) -> Path:
    """Where a damaged file is put."""
    return path.with_name(path.name + ".damaged")


def files_in(root: Path) -> dict[int, list[Path]]:
    """Every file of every bucket that has any, in the order in which they were written, the base first."""
    found: dict[int, list[Path]] = {}
    for path in root.iterdir() if root.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match:
            found.setdefault(int(match[1]), []).append(path)
    return {bucket: sorted(found[bucket], key=number_of) for bucket in sorted(found)}


@dataclass(frozen=True)
class Part:
    """What one file says: rows, keys that are no more (of a segment), and the last segment it took in (of a base)."""

    table: pa.Table
    dropped: Sequence[str]
    folded: int


def read_part(path: Path, schema: pa.Schema | None = None) -> Part:
    """One file, every page compared with its checksum: the columns of `schema`, or all. Raises what pyarrow does.

    It is opened once, and so is not put together from what was there before and after another process replaced it.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        said = file.metadata.metadata or {}
        table = file.read(columns=None if schema is None else schema.names)
    if schema is not None:
        table = table.select(schema.names).cast(schema)
    return Part(table, json.loads(said.get(_DROPPED, b"[]")), _folded(said))


def size_of(path: Path) -> tuple[int, int]:
    """(rows and keys that are no more, the last segment it took in) of one file, from its end."""
    metadata = pq.read_metadata(path)
    said = metadata.metadata or {}
    return metadata.num_rows + len(json.loads(said.get(_DROPPED, b"[]"))), _folded(said)


def _folded(said: dict[bytes, bytes]) -> int:
    return int(said.get(_FOLDED, b"0"))


def merged(parts: Sequence[Part]) -> pa.Table:
    """The rows of parts in the order in which they were written: of each key the newest, sorted by key."""
    newest = parts[-1]
    if len(parts) == 1:
        return newest.table
    kept, hidden = [newest.table], [*_keys(newest)]
    for part in reversed(parts[:-1]):
        covered = pc.is_in(part.table.column("item_id"), pa.chunked_array(hidden))  # pyright: ignore[reportAttributeAccessIssue]
        kept.append(part.table.filter(pc.invert(covered)))  # pyright: ignore[reportAttributeAccessIssue]
        hidden += _keys(part)
    return pa.concat_tables(kept).sort_by("item_id")


def _keys(part: Part) -> list[pa.Array]:
    return [*part.table.column("item_id").chunks, pa.array(part.dropped, pa.string())]


def base_bytes(rows: pa.Table, folded: int) -> memoryview:
    """A base: `rows`, in which the segments up to `folded` are taken in."""
    return parquet_bytes(rows.replace_schema_metadata({_FOLDED: str(folded)} if folded else None))


def segment_bytes(rows: pa.Table, dropped: Iterable[str]) -> memoryview:
    """A segment."""
    gone = json.dumps(sorted(dropped), ensure_ascii=False)
    return parquet_bytes(rows.replace_schema_metadata({_DROPPED: gone.encode("utf-8")}))


@dataclass
class Notes:
    """`hashes.json`: what each file is to be, its hash and that of the file before it (a kill may leave either), and
    the last segment of each bucket that is known to have been written."""

    path: Path
    hashes: dict[str, list[str]] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> Notes:
        """The notes there are; none if they are damaged."""
        said = noted(root / HASHES)
        last = said.pop(_LAST, {})
        return cls(root / HASHES, said, dict(last))

    def expect(self, path: Path, data: memoryview, gone: Iterable[Path] = ()) -> None:
        """Put down what a file is going to be, beside what it was, and no longer what is to be removed for it."""
        for one in gone:
            self.hashes.pop(one.name, None)
        self.hashes[path.name] = [*self.hashes.get(path.name, [])[-1:], hash_of(data)]
        self._write()

    def done(self, path: Path) -> None:
        """Put down that a segment is there: from now on it is missed."""
        self.last[path.name.split(".")[0]] = number_of(path)
        self._write()

    def last_of(self, bucket: int) -> int:
        return self.last.get(base_name(bucket).split(".")[0], 0)

    def _write(self) -> None:
        said = {**self.hashes, _LAST: self.last} if self.last else self.hashes
        write_text(self.path, json.dumps(said))


def is_other(path: Path) -> bool:
    """Whether a file is none that was to be. Raises FileNotFoundError."""
    for _ in range(_ATTEMPTS):
        expected = Notes.of(path.parent).hashes.get(path.name)
        if not expected or hash_of(path.read_bytes()) in expected:
            return False
        # Between reading the notes and the file, both may have been written anew.
    return True


def noted(path: Path) -> dict[str, Any]:
    """What is noted in a JSON file; nothing if it is not there or damaged."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def hash_of(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
