"""Bulky per-item outputs (crops, vectors) as Parquet files in hash buckets.

Belongs here: spreading rows over files and replacing a file atomically. Does not belong here: which rows are new or
stale (`ledger.py`), what a row means (the rooms).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fashionrec_assets.storage.files import write_text


def bucket_of(key: str, buckets: int) -> int:
    """The bucket of `key`: stable over runs, machines and Python versions."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest(), "big") % buckets


def write_atomically(path: Path, table: pa.Table) -> None:
    """Write Parquet under a temporary name, flush it to disk, rename it: readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as sink:
        pq.write_table(table, sink, compression="zstd")
        sink.flush()
        os.fsync(sink.fileno())
    draft.replace(path)


class BucketStore:
    """Rows keyed by `item_id`, spread over `<root>/<bucket>.parquet`, each file sorted by key.

    The number of buckets is fixed when the store is created and kept in its manifest, so that changing the setting
    never hides what is there.
    """

    def __init__(self, root: Path, buckets: int, columns: pa.Schema) -> None:
        self.root = root
        self.schema = pa.schema([pa.field("item_id", pa.string(), nullable=False), *columns])
        self._wanted_buckets = buckets

    @property
    def buckets(self) -> int:
        manifest = self.root / "manifest.json"
        if manifest.exists():
            return int(json.loads(manifest.read_text("utf-8"))["buckets"])
        return self._wanted_buckets

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
        """The rows of one bucket; an absent file is an empty table."""
        path = self.path(bucket)
        if not path.exists():
            return self.schema.empty_table()
        return pq.read_table(path, schema=self.schema)

    def put(self, rows: pa.Table, drop: Collection[str] = ()) -> None:
        """Insert or replace `rows` and delete the keys in `drop`, file by file, each file atomically."""
        manifest = self.root / "manifest.json"
        if not manifest.exists():
            write_text(manifest, json.dumps({"buckets": self._wanted_buckets}))
        rows = rows.select(self.schema.names).cast(self.schema)
        keys = rows.column("item_id").to_pylist()
        position = {key: row for row, key in enumerate(keys)}
        for bucket, touched in self.group([*position, *(key for key in drop if key not in position)]):
            kept = self.read(bucket)
            if len(kept):
                kept = kept.filter(pc.invert(pc.is_in(kept.column("item_id"), pa.array(touched, pa.string()))))  # pyright: ignore[reportAttributeAccessIssue]
            fresh = rows.take(pa.array([position[key] for key in touched if key in position], pa.int64()))
            merged = pa.concat_tables([kept, fresh]).sort_by("item_id")
            if len(merged):
                write_atomically(self.path(bucket), merged)
            else:
                self.path(bucket).unlink(missing_ok=True)

    def scan(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows sorted by key, of the named `columns` (`item_id` always included)."""
        names = self.schema.names if columns is None else ["item_id", *columns]
        schema = pa.schema([self.schema.field(name) for name in names])
        files = sorted(self.root.glob("[0-9]*.parquet"))
        if not files:
            return schema.empty_table()
        return pa.concat_tables([pq.read_table(path, columns=names, schema=schema) for path in files]).sort_by(
            "item_id"
        )

    def take(self, keys: Sequence[str]) -> pa.Table:
        """The rows of `keys` that exist, sorted by key, reading only the buckets they lie in."""
        wanted = pa.array(sorted(keys), pa.string())
        parts = [self.schema.empty_table()]
        for bucket, _ in self.group(keys):
            rows = self.read(bucket)
            parts.append(rows.filter(pc.is_in(rows.column("item_id"), wanted)))  # pyright: ignore[reportAttributeAccessIssue]
        return pa.concat_tables(parts).sort_by("item_id")

    def any_row(self) -> pa.Table:
        """One row of the store, or none if it is empty: what a caller reads to know the shape of the others."""
        for path in sorted(self.root.glob("[0-9]*.parquet")):
            return pq.read_table(path, schema=self.schema).slice(0, 1)
        return self.schema.empty_table()

    def keys(self) -> set[str]:
        return set(self.scan([]).column("item_id").to_pylist())


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
