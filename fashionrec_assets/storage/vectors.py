"""Vectors as the rows of a bucket store.

Belongs here: their columns, to rows and back. Does not belong here: where rows lie (`buckets.py`), what a vector says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fashionrec_assets.storage.buckets import BucketStore

VECTOR_COLUMNS = pa.schema([pa.field("vector", pa.list_(pa.float32()), nullable=False)])
"""The columns of a store of vectors. Their length is not part of the schema: a new encoder may have another."""
_DIFFERENT = "vectors of different lengths ({}) in one store: materialize its asset again"


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
        raise ValueError(_DIFFERENT.format(lengths))
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return keys, np.ascontiguousarray(flat, dtype=np.float32).reshape(len(keys), -1)


def all_vectors(store: BucketStore) -> tuple[list[str], NDArray[np.float32]]:
    """What `vectors_of` gives of all rows of a store, sorted by key; beside what it gives, it reads them only once.

    Raises as `vectors_of` and the store do.
    """
    parts = [vectors_of(rows) for bucket in range(store.buckets) if len(rows := store.read(bucket))]
    lengths = sorted({vectors.shape[1] for _, vectors in parts})
    if not parts:
        return vectors_of(store.schema.empty_table())
    if len(lengths) != 1:
        raise ValueError(_DIFFERENT.format(lengths))
    keys = pa.array([key for part, _ in parts for key in part], pa.string())
    order = pc.sort_indices(keys)  # pyright: ignore[reportAttributeAccessIssue]
    place = np.empty(len(keys), np.int64)
    place[order.to_numpy()] = np.arange(len(keys))
    found, done = np.empty((len(keys), lengths[0]), np.float32), 0
    while parts:
        # Let go of, bucket by bucket, as it is copied.
        vectors = parts.pop(0)[1]
        found[place[done : done + len(vectors)]] = vectors
        done += len(vectors)
    return keys.take(order).to_pylist(), found
