"""Bulky per-item outputs (crops, vectors) as Parquet files in hash buckets.

Belongs here: spreading rows over files, replacing a file atomically, and finding out that one is damaged. Does not
belong here: which rows are new or stale (`ledger.py`), what a row means (the rooms).

Every page of a file carries a checksum, and `hashes.json` what each file is to be: its hash, and until the next write
that of the file before it, for a kill may leave either. A file that is neither, or cannot be read, is set aside as
`<bucket>.parquet.damaged` and its rows count as lost: the stage that makes them finds them missing and makes them
again, and then the damaged file goes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fashionrec_assets.storage.files import stamp, write_bytes, write_text

_log = logging.getLogger(__name__)

_FILES = "[0-9]*.parquet"
MANIFEST = "manifest.json"
HASHES = "hashes.json"
READ_THROUGH = "read_through.json"


class StoreDamagedError(RuntimeError):
    """A file of a store cannot be read; its rows are to be made again."""


def bucket_of(key: str, buckets: int) -> int:
    """The bucket of `key`: stable over runs, machines and Python versions."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest(), "big") % buckets


def write_atomically(path: Path, table: pa.Table) -> None:
    """Write Parquet under a temporary name, flush it to disk, rename it: readers see the old file or the new one."""
    write_bytes(path, _parquet(table), durable=True)


def _parquet(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return memoryview(sink.getvalue())


def version_in(path: Path) -> str | None:
    """The `version` that a Parquet file says it is; None if the file is not there, or not with its end."""
    try:
        return (pq.read_metadata(path).metadata or {}).get(b"version", b"").decode()
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError) as error:
        _log.error("%s is damaged and is written again: %s", path, error)
        return None


class BucketStore:
    """Rows keyed by `item_id`, spread over `<root>/<bucket>.parquet`, each file sorted by key.

    The number of buckets is fixed when the store is created and kept in its manifest, so that changing the setting
    never hides what is there.
    """

    def __init__(self, root: Path, buckets: int, columns: pa.Schema) -> None:
        self.root = root
        self.schema = pa.schema([pa.field("item_id", pa.string(), nullable=False), *columns])
        self._wanted_buckets = buckets
        self._written: dict[str, list[int]] = {}

    @property
    def buckets(self) -> int:
        manifest = self.root / MANIFEST
        if not manifest.exists() and not self._files():
            return self._wanted_buckets
        try:
            return int(json.loads(manifest.read_text("utf-8"))["buckets"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return self._without_manifest()

    def _without_manifest(self) -> int:
        """The number of buckets that the files there are spread over; files that fit no known number are set aside."""
        for path in self._files():
            try:
                keys = self._table(path, ["item_id"]).column("item_id").to_pylist()
            except StoreDamagedError:
                continue
            if any(bucket_of(key, self._wanted_buckets) != int(path.stem) for key in keys):
                self._set_aside(path, f"{MANIFEST} is lost, and it is not one of {self._wanted_buckets} buckets")
        self._write_manifest()
        return self._wanted_buckets

    def _write_manifest(self) -> None:
        write_text(self.root / MANIFEST, json.dumps({"buckets": self._wanted_buckets}))

    def path(self, bucket: int) -> Path:
        return self.root / f"{bucket:04d}.parquet"

    def group(self, keys: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """(bucket, its keys sorted), for the buckets that `keys` touch, in bucket order."""
        buckets = self.buckets
        grouped: dict[int, list[str]] = {}
        for key in keys:
            grouped.setdefault(bucket_of(key, buckets), []).append(key)
        for bucket in sorted(grouped):
            yield bucket, sorted(grouped[bucket])

    def read(self, bucket: int) -> pa.Table:
        """The rows of one bucket; an absent file is an empty table. Raises StoreDamagedError."""
        path = self.path(bucket)
        if not path.exists():
            return self.schema.empty_table()
        return self._table(path)

    def put(self, rows: pa.Table, drop: Collection[str] = ()) -> None:
        """Insert or replace `rows` and delete the keys in `drop`, file by file, each file atomically.

        Raises StoreDamagedError before a file is touched whose other rows cannot be read.
        """
        if not (self.root / MANIFEST).exists() and not self._files():
            self._write_manifest()
        rows = rows.select(self.schema.names).cast(self.schema)
        keys = rows.column("item_id").to_pylist()
        position = {key: row for row, key in enumerate(keys)}
        for bucket, touched in self.group([*position, *(key for key in drop if key not in position)]):
            kept = self.read(bucket)
            if len(kept):
                kept = kept.filter(pc.invert(pc.is_in(kept.column("item_id"), pa.array(touched, pa.string()))))  # pyright: ignore[reportAttributeAccessIssue]
            fresh = rows.take(pa.array([position[key] for key in touched if key in position], pa.int64()))
            merged = pa.concat_tables([kept, fresh]).sort_by("item_id")
            path = self.path(bucket)
            if len(merged):
                data = _parquet(merged)
                self._note(path, data)
                write_bytes(path, data, durable=True)
                # What this process wrote it need not read to believe.
                self._written[path.name] = stamp(path)
            else:
                path.unlink(missing_ok=True)
            _aside(path).unlink(missing_ok=True)

    def scan(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows sorted by key, of the named `columns` (`item_id` always included). Raises StoreDamagedError."""
        names = self.schema.names if columns is None else ["item_id", *columns]
        parts = [pa.schema([self.schema.field(name) for name in names]).empty_table()]
        return pa.concat_tables([*parts, *(self._table(path, names) for path in self._files())]).sort_by("item_id")

    def take(self, keys: Sequence[str]) -> pa.Table:
        """The rows of `keys` that exist, sorted by key, reading only the buckets they lie in.

        Raises StoreDamagedError.
        """
        wanted = pa.array(sorted(keys), pa.string())
        parts = [self.schema.empty_table()]
        for bucket, _ in self.group(keys):
            rows = self.read(bucket)
            parts.append(rows.filter(pc.is_in(rows.column("item_id"), wanted)))  # pyright: ignore[reportAttributeAccessIssue]
        return pa.concat_tables(parts).sort_by("item_id")

    def any_row(self) -> pa.Table:
        """One row of the store, or none if it is empty: what a caller reads to know the shape of the others."""
        for path in self._files():
            return self._table(path).slice(0, 1)
        return self.schema.empty_table()

    def keys(self) -> set[str]:
        """The keys of all rows that can be read.

        A file that is not the one that was last read through is read through, every page of it, and set aside if it
        is damaged; of the others only the keys are read.
        """
        known = _known(self.root / READ_THROUGH)
        found: set[str] = set()
        now: dict[str, list[int]] = {}
        for path in self._files():
            status = stamp(path)
            if status not in (known.get(path.name), self._written.get(path.name)) and not self._sound(path):
                continue
            with suppress(StoreDamagedError):
                found.update(self._table(path, ["item_id"]).column("item_id").to_pylist())
                now[path.name] = status
        if now != known:
            # It only saves reading: a folder that cannot be written is read through again the next time.
            with suppress(OSError):
                write_text(self.root / READ_THROUGH, json.dumps(now))
        return found

    def _files(self) -> list[Path]:
        return sorted(self.root.glob(_FILES))

    def _table(self, path: Path, names: Sequence[str] | None = None) -> pa.Table:
        """The rows of one file. Raises StoreDamagedError if it is damaged, and sets it aside."""
        schema = pa.schema([self.schema.field(name) for name in names or self.schema.names])
        try:
            return pq.read_table(path, columns=schema.names, schema=schema, page_checksum_verification=True)
        except Exception as error:
            if self._sound(path):
                raise
            raise StoreDamagedError(
                f"{path} was damaged and is set aside ({error}). Run again: the stage that writes the store "
                f"{self.root.name} makes its rows anew."
            ) from None

    def _note(self, path: Path, data: memoryview) -> None:
        """Put down what a file is going to be, beside what it was."""
        hashes = _known(self.root / HASHES)
        hashes[path.name] = [*hashes.get(path.name, [])[-1:], _hash(data)]
        write_text(self.root / HASHES, json.dumps(hashes))

    def _sound(self, path: Path) -> bool:
        """Whether a file is one that was written here and every page of it can be read; if not, it is set aside."""
        try:
            expected = _known(self.root / HASHES).get(path.name)
            if expected and _hash(path.read_bytes()) not in expected:
                self._set_aside(path, "it is not what was written")
                return False
            pq.read_table(path, page_checksum_verification=True)
        except FileNotFoundError:
            return False
        except (pa.ArrowException, OSError) as error:
            # An error with a number is the disk's, not the file's.
            if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
                raise
            self._set_aside(path, str(error))
            return False
        return True

    def _set_aside(self, path: Path, reason: str) -> None:
        _log.error("%s is damaged and set aside, its rows are lost and made again: %s", path, reason)
        with suppress(OSError):
            path.replace(_aside(path))


def _known(path: Path) -> dict[str, Any]:
    """What is noted in a JSON file; nothing if it is not there or damaged."""
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _hash(data: bytes | memoryview) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".damaged")


VECTOR_COLUMNS = pa.schema([pa.field("vector", pa.list_(pa.float32()), nullable=False)])
"""The columns of a store of vectors. Their length is not part of the schema: a new encoder may have another."""


def vector_rows(keys: Sequence[str], vectors: NDArray[np.float32]) -> pa.Table:
    """Rows for a vector store from (n,) keys and (n, dim) vectors."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    offsets = pa.array(np.arange(len(keys) + 1, dtype=np.int32) * vectors.shape[1])
    return pa.table({"item_id": pa.array(list(keys), pa.string()), "vector": pa.ListArray.from_arrays(offsets, flat)})


def vectors_of(table: pa.Table) -> tuple[list[str], NDArray[np.float32]]:
    """(keys, (n, dim) float32) from the rows of a vector store; dim is 1 if there are no rows.

    Raises ValueError if the vectors are not all of one length.
    """
    column = table.column("vector").combine_chunks()
    keys = table.column("item_id").to_pylist()
    if not keys:
        return [], np.zeros((0, 1), dtype=np.float32)
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
    if len(lengths) != 1:
        raise ValueError(f"vectors of different lengths ({lengths}) in one store: materialize its asset again")
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return keys, np.ascontiguousarray(flat, dtype=np.float32).reshape(len(keys), -1)
