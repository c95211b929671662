"""Bulky per-item outputs (crops, vectors) as Parquet files in hash buckets.

Belongs here: spreading rows over buckets, writing what changed, atomically, and finding out that a file is damaged.
Does not belong here: which rows are new or stale (`ledger.py`), what a row means (the rooms), what a file looks like
(`bucket_files.py`), vectors as rows (`vectors.py`).

A few changed rows of a large bucket are written as a segment beside its base, and readers put the two together; once
segments are many, or hold much of the bucket, the next write takes them into the base. A small bucket is its base.

Every page of a file carries a checksum, and `hashes.json` what each file is to be. If one file of a bucket is neither
that nor readable, or a segment is gone, all its files are set aside as `<file>.damaged` and its rows count as lost,
for the rows of a base are not those that a segment replaced: the stage that makes them finds them missing and makes
them again, and then the damaged files go.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from fashionrec_assets.storage import bucket_files as files
from fashionrec_assets.storage.bucket_files import Notes, Part
from fashionrec_assets.storage.files import stamp, write_bytes, write_text

_log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
READ_THROUGH = "read_through.json"
BOOKKEEPING = (files.HASHES, READ_THROUGH)
"""Files of a store that say nothing about its rows."""

SMALL = 256
"""Rows up to which a bucket has no segments: writing all of it costs no more than one."""
_SHARE = 0.25
"""Of a bucket's rows, what its segments may hold."""
_MOST_SEGMENTS = 16
_ATTEMPTS = 5


class StoreDamagedError(RuntimeError):
    """A file of a store cannot be read; its rows are to be made again."""


def bucket_of(key: str, buckets: int) -> int:
    """The bucket of `key`: stable over runs, machines and Python versions."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest(), "big") % buckets


@dataclass
class Written:
    """What a store has written since it was opened: rows (and keys that are no more), bytes, and files."""

    rows: int = 0
    bytes: int = 0
    files: int = 0


class BucketStore:
    """Rows keyed by `item_id`, spread over the files of `<root>`, each file sorted by key.

    The number of buckets is fixed when the store is created and kept in its manifest, so that changing the setting
    never hides what is there. One process writes; others may read meanwhile.
    """

    def __init__(self, root: Path, buckets: int, columns: pa.Schema) -> None:
        self.root = root
        self.schema = pa.schema([pa.field("item_id", pa.string(), nullable=False), *columns])
        self.written = Written()
        self._wanted_buckets = buckets
        self._stamps: dict[str, list[int]] = {}
        """Of the files this process wrote: what it wrote it need not read to believe."""

    @property
    def buckets(self) -> int:
        manifest = self.root / MANIFEST
        if not manifest.exists() and not files.files_in(self.root):
            return self._wanted_buckets
        try:
            return int(json.loads(manifest.read_text("utf-8"))["buckets"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return self._without_manifest()

    def _without_manifest(self) -> int:
        """The number of buckets that the files there are spread over; files that fit no known number are set aside."""
        for bucket in files.files_in(self.root):
            try:
                keys = self._rows(bucket, ["item_id"]).column("item_id").to_pylist()
            except StoreDamagedError:
                continue
            if any(bucket_of(key, self._wanted_buckets) != bucket for key in keys):
                self._set_aside(bucket, f"{MANIFEST} is lost, and it is not one of {self._wanted_buckets} buckets")
        self._write_manifest()
        return self._wanted_buckets

    def _write_manifest(self) -> None:
        write_text(self.root / MANIFEST, json.dumps({"buckets": self._wanted_buckets}))

    def path(self, bucket: int) -> Path:
        """The base of a bucket."""
        return self.root / files.base_name(bucket)

    def files(self) -> list[Path]:
        """Every file that holds rows."""
        return [path for paths in files.files_in(self.root).values() for path in paths]

    def stamp(self, bucket: int) -> list[int]:
        """Inode, size and modification time of every file of a bucket, one after the other; empty if it has none.

        While it is the same, so are the rows.
        """
        found: list[int] = []
        for path in files.files_in(self.root).get(bucket, ()):
            with suppress(FileNotFoundError):
                found += [path.stat().st_ino, *stamp(path)]
        return found

    def group(self, keys: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """(bucket, its keys sorted), for the buckets that `keys` touch, in bucket order."""
        buckets = self.buckets
        grouped: dict[int, list[str]] = {}
        for key in keys:
            grouped.setdefault(bucket_of(key, buckets), []).append(key)
        for bucket in sorted(grouped):
            yield bucket, sorted(grouped[bucket])

    def read(self, bucket: int) -> pa.Table:
        """The rows of one bucket, sorted by key; one without files is an empty table. Raises StoreDamagedError."""
        return self._rows(bucket)

    def put(self, rows: pa.Table, drop: Collection[str] = ()) -> None:
        """Insert or replace `rows` and delete the keys in `drop`, bucket by bucket, each in one step.

        What is deleted or replaced may stay in a file, where nobody reads it, until `fold` or a later write. Raises
        StoreDamagedError before a bucket is touched whose other rows cannot be read.
        """
        if not (self.root / MANIFEST).exists() and not files.files_in(self.root):
            self._write_manifest()
        rows = rows.select(self.schema.names).cast(self.schema)
        keys = rows.column("item_id").to_pylist()
        position = {key: row for row, key in enumerate(keys)}
        for bucket, touched in self.group([*position, *(key for key in drop if key not in position)]):
            fresh = rows.take(pa.array([position[key] for key in touched if key in position], pa.int64()))
            self._change(bucket, fresh, [key for key in touched if key not in position])

    def fold(self) -> None:
        """Take every segment into its base: no row that was deleted or replaced is left in any file."""
        for bucket, paths in files.files_in(self.root).items():
            if len(paths) > 1:
                self._fold(bucket, self.schema.empty_table(), [])

    def _change(self, bucket: int, fresh: pa.Table, drop: list[str]) -> None:
        """Write the changes of one bucket: as a segment if it is large and they are few, else all of it anew."""
        rows, number = self._room_for_segment(bucket, len(fresh) + len(drop))
        if not rows:
            self._fold(bucket, fresh, drop)
            return
        if drop:
            there = set(self._rows(bucket, ["item_id"]).column("item_id").to_pylist())
            drop = [key for key in drop if key in there]
        if len(fresh) or drop:
            path = self.root / files.segment_name(bucket, number)
            self._write(path, files.segment_bytes(fresh, drop), len(fresh) + len(drop))
            Notes.of(self.root).done(path)

    def _room_for_segment(self, bucket: int, changes: int) -> tuple[int, int]:
        """(rows of the base, the number of a further segment); (0, 0) if the bucket is to be written whole."""
        last = Notes.of(self.root).last_of(bucket)
        paths = files.files_in(self.root).get(bucket, [])
        try:
            sizes = [files.size_of(path) for path in paths]
        except (pa.ArrowException, OSError, ValueError):
            return 0, 0
        if not paths or files.number_of(paths[0]) or sizes[0][0] <= SMALL:
            return 0, 0
        rows, folded = sizes[0]
        # Not all buckets in one night: each has a number of its own.
        most = _MOST_SEGMENTS - bucket % (_MOST_SEGMENTS // 2)
        if len(paths) > most or changes + sum(size for size, _ in sizes[1:]) > _SHARE * rows:
            return 0, 0
        return rows, 1 + max(folded, last, files.number_of(paths[-1]))

    def _fold(self, bucket: int, fresh: pa.Table, drop: list[str]) -> None:
        """Write a bucket whole, with its changes, and remove the segments that are in it then."""
        kept = self._rows(bucket)
        paths = files.files_in(self.root).get(bucket, [])
        touched = pa.array([*fresh.column("item_id").to_pylist(), *drop], pa.string())
        if len(kept) and len(touched):
            kept = kept.filter(pc.invert(pc.is_in(kept.column("item_id"), touched)))  # pyright: ignore[reportAttributeAccessIssue]
        rows = pa.concat_tables([kept, fresh]).sort_by("item_id")
        segments = [path for path in paths if files.number_of(path)]
        folded = max([Notes.of(self.root).last_of(bucket), *map(files.number_of, segments)])
        if len(rows) or segments:
            # An emptied bucket needs its base until its segments are gone.
            self._write(self.path(bucket), files.base_bytes(rows, folded), len(rows), gone=segments)
        for path in segments:
            path.unlink(missing_ok=True)
        if not len(rows):
            self.path(bucket).unlink(missing_ok=True)
        for path in self.root.glob(f"{files.base_name(bucket).split('.')[0]}.*.damaged"):
            path.unlink(missing_ok=True)

    def _write(self, path: Path, data: memoryview, rows: int, gone: Sequence[Path] = ()) -> None:
        Notes.of(self.root).expect(path, data, gone)
        write_bytes(path, data, durable=True)
        self._stamps[path.name] = stamp(path)
        self.written = Written(self.written.rows + rows, self.written.bytes + len(data), self.written.files + 1)

    def scan(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows sorted by key, of the named `columns` (`item_id` always included). Raises StoreDamagedError."""
        names = self.schema.names if columns is None else ["item_id", *columns]
        parts = [self._schema(names).empty_table()]
        parts += [self._rows(bucket, names) for bucket in files.files_in(self.root)]
        return pa.concat_tables(parts).sort_by("item_id")

    def take(self, keys: Sequence[str]) -> pa.Table:
        """The rows of `keys` that exist, sorted by key, reading only the buckets they lie in, and of those only what
        was written lately if it is all there.

        Raises StoreDamagedError.
        """
        parts = [self.schema.empty_table()]
        notes, there = Notes.of(self.root), files.files_in(self.root)
        for bucket, wanted in self.group(keys):
            lately = _of(self._segments(there.get(bucket, []), notes.last_of(bucket)), wanted)
            parts.append(lately if len(lately) == len(wanted) else _of(self.read(bucket), wanted))
        return pa.concat_tables(parts).sort_by("item_id")

    def any_row(self) -> pa.Table:
        """One row of the store, or none if it is empty: what a caller reads to know the shape of the others."""
        for bucket in files.files_in(self.root):
            rows = self._rows(bucket).slice(0, 1)
            if len(rows):
                return rows
        return self.schema.empty_table()

    def keys(self) -> set[str]:
        """The keys of all rows that can be read.

        A file that is not the one that was last read through is read through, every page of it, and set aside with its
        bucket if it is damaged; of the others only the keys are read.
        """
        known = files.noted(self.root / READ_THROUGH)
        found: set[str] = set()
        now: dict[str, list[int]] = {}
        for bucket, paths in files.files_in(self.root).items():
            stamps: dict[str, list[int]] = {}
            for path in paths:
                # What another process took into its base meanwhile is read there.
                with suppress(FileNotFoundError):
                    stamps[path.name] = stamp(path)
            news = [name for name in stamps if stamps[name] not in (known.get(name), self._stamps.get(name))]
            if all(self._sound(self.root / name) for name in news):
                with suppress(StoreDamagedError):
                    found.update(self._rows(bucket, ["item_id"]).column("item_id").to_pylist())
                    now |= stamps
        if now != known:
            # It only saves reading: a folder that cannot be written is read through again the next time.
            with suppress(OSError):
                write_text(self.root / READ_THROUGH, json.dumps(now))
        return found

    def _schema(self, names: Sequence[str] | None) -> pa.Schema:
        return pa.schema([self.schema.field(name) for name in names or self.schema.names])

    def _rows(self, bucket: int, names: Sequence[str] | None = None) -> pa.Table:
        """The rows of one bucket. Raises StoreDamagedError if a file of it is damaged or gone, and sets all aside."""
        schema, wrong = self._schema(names), ""
        for attempt in range(_ATTEMPTS):
            time.sleep(0.01 * attempt)
            # In this order: what is noted was there before the listing, and a base is not older than its listing. What
            # is still missing was taken into a base after it was listed, and is there at another attempt.
            last = Notes.of(self.root).last_of(bucket)
            paths = files.files_in(self.root).get(bucket, [])
            try:
                parts = [self._part(path, schema) for path in paths]
            except FileNotFoundError:
                continue
            if not parts:
                return schema.empty_table()
            wrong = _incomplete([files.number_of(path) for path in paths], parts[0].folded, last)
            if not wrong:
                base, later = parts[0], zip(paths[1:], parts[1:], strict=True)
                return files.merged([base, *(part for path, part in later if files.number_of(path) > base.folded)])
        self._set_aside(bucket, wrong or "its files are not there")
        raise self._lost(self.path(bucket), wrong)

    def _segments(self, paths: Sequence[Path], last: int) -> pa.Table:
        """The rows in the segments of a bucket of the files `paths`; none if its base is to be read with them."""
        try:
            folded = files.size_of(paths[0])[1] if len(paths) > 1 else 0
            later = [path for path in paths[1:] if files.number_of(path) > folded]
            if not later or _incomplete([files.number_of(path) for path in paths], folded, last):
                return self.schema.empty_table()
            return files.merged([files.read_part(path, self.schema) for path in later])
        except (pa.ArrowException, OSError, ValueError):
            # What is wrong with them is told, and dealt with, by whoever reads the whole bucket.
            return self.schema.empty_table()

    def _part(self, path: Path, schema: pa.Schema) -> Part:
        """What one file says. Raises StoreDamagedError if it is damaged, and sets its bucket aside."""
        try:
            return files.read_part(path, schema)
        except FileNotFoundError:
            raise
        except Exception as error:
            if path.exists() and self._sound(path):
                raise
            raise self._lost(path, error) from None

    def _lost(self, path: Path, reason: object) -> StoreDamagedError:
        return StoreDamagedError(
            f"{path} was damaged and is set aside ({reason}). Run again: the stage that writes the store "
            f"{self.root.name} makes its rows anew."
        )

    def _sound(self, path: Path) -> bool:
        """Whether a file is one that was written here and every page of it can be read; if not, it is set aside.

        One that is gone is not damaged: whether it is missed, the files of its bucket say together.
        """
        bucket = int(path.name.split(".")[0])
        try:
            if files.is_other(path):
                self._set_aside(bucket, f"{path.name} is not what was written")
                return False
            files.read_part(path)
        except FileNotFoundError:
            return True
        except (pa.ArrowException, OSError, ValueError) as error:
            # An error with a number is the disk's, not the file's.
            if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
                raise
            self._set_aside(bucket, f"{path.name}: {error}")
            return False
        return True

    def _set_aside(self, bucket: int, reason: str) -> None:
        """Put away all files of a bucket, the base first: segments without one are known to be incomplete."""
        _log.error("%s is damaged and set aside, its rows are lost and made again: %s", self.path(bucket), reason)
        for path in files.files_in(self.root).get(bucket, ()):
            with suppress(OSError):
                path.replace(files.aside(path))


def _of(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Those of `rows` whose key is one of `keys`."""
    return rows.filter(pc.is_in(rows.column("item_id"), pa.array(keys, pa.string())))  # pyright: ignore[reportAttributeAccessIssue]


def _incomplete(numbers: Sequence[int], folded: int, last: int) -> str:
    """What is missing of a bucket whose files have these numbers, sorted, the base 0; empty if nothing is."""
    if numbers[0]:
        return "its base is gone"
    there = [number for number in numbers if number > folded]
    missing = sorted({*range(folded + 1, max([last, *there], default=0) + 1)} - {*there})
    return f"segment {missing[0]} is gone" if missing else ""
