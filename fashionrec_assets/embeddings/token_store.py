"""Token states as arrays and as rows of a bucket store.

Belongs here: the array form, its Arrow form, what a store of them holds. Does not belong here: encoding
(`token_encoders.py`, `clip.py`), reading by item (`reading.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fashionrec_assets.storage.buckets import BucketStore

if TYPE_CHECKING:
    from torch import Tensor

TOKEN_COLUMNS = pa.schema(
    [
        pa.field("states", pa.list_(pa.float16()), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
        pa.field("tokens_before", pa.int32(), nullable=False),
    ]
)
"""The columns of a store of token states, (tokens, d) of them in a row one after another. Half precision: what reads
them projects and normalises them, and single precision would double what is by far the largest store of a shop."""


@dataclass(frozen=True)
class TokenStates:
    """States of the tokens of n rows, one row's after another's.

    `states` float16 (sum of `counts`, d), `counts` int32 (n,) the tokens of each row, and `before` int32 (n,) how many
    it had before some were cut off or averaged.
    """

    states: NDArray[np.float16]
    counts: NDArray[np.int32]
    before: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.counts)

    def rows(self) -> list[NDArray[np.float16]]:
        """The states of each row, (tokens, d)."""
        return np.split(self.states, np.cumsum(self.counts)[:-1]) if len(self) else []

    @classmethod
    def of_grids(cls, states: NDArray[np.floating], before: int) -> TokenStates:
        """From (n, t, d), every row with `t` tokens that were `before`."""
        count, kept, dim = states.shape
        return cls(
            np.ascontiguousarray(states, dtype=np.float16).reshape(count * kept, dim),
            np.full(count, kept, dtype=np.int32),
            np.full(count, before, dtype=np.int32),
        )

    @classmethod
    def joined(cls, parts: Sequence[TokenStates]) -> TokenStates:
        """The rows of all `parts`, in order; d is 1 if there are none."""
        if not parts:
            return cls(np.zeros((0, 1), np.float16), np.zeros(0, np.int32), np.zeros(0, np.int32))
        return cls(
            np.concatenate([part.states for part in parts]),
            np.concatenate([part.counts for part in parts]),
            np.concatenate([part.before for part in parts]),
        )


def averaged_texts(states: Tensor, real: Tensor, most: int) -> list[NDArray[np.float16]]:
    """For each text of a batch float16 (at most `most`, d): its `states` (n, t, d) where they are `real` (n, t),
    neighbours averaged where there are more."""
    from torch.nn.functional import adaptive_avg_pool1d

    found: dict[int, NDArray[np.float16]] = {}
    counts = real.sum(1)
    for count in counts.unique().tolist():
        rows = (counts == count).nonzero().squeeze(1)
        some = states[rows][real[rows]].unflatten(0, (len(rows), count))
        if count > most:
            some = adaptive_avg_pool1d(some.transpose(1, 2), most).transpose(1, 2)
        found.update(zip(rows.tolist(), some.half().cpu().contiguous().numpy(), strict=True))
    return [found[row] for row in range(len(states))]


def token_rows(keys: Sequence[str], found: TokenStates) -> pa.Table:
    """Rows for a token store from (n,) keys and the states of as many rows."""
    offsets = np.concatenate([[0], np.cumsum(found.counts, dtype=np.int64)]) * found.states.shape[1]
    flat = pa.array(np.ascontiguousarray(found.states).reshape(-1))
    return pa.table(
        {
            "item_id": pa.array(list(keys), pa.string()),
            "states": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat),
            "tokens": pa.array(found.counts),
            "tokens_before": pa.array(found.before),
        }
    )


def tokens_of(table: pa.Table) -> TokenStates:
    """The states in rows of a token store, in their order.

    Raises ValueError if they are not all of one dimension, or a row has none.
    """
    if not len(table):
        return TokenStates.joined([])
    column = table.column("states").combine_chunks()
    counts = table.column("tokens").to_numpy().astype(np.int32)
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)  # pyright: ignore[reportAttributeAccessIssue]
    if (counts < 1).any():
        raise ValueError("rows without a token in a store of them: materialize its asset again")
    dims = np.unique(lengths / counts)
    if len(dims) != 1:
        raise ValueError(f"token states of different dimensions ({dims}) in one store: materialize its asset again")
    states = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, int(dims[0]))
    return TokenStates(states, counts, table.column("tokens_before").to_numpy().astype(np.int32))


@dataclass(frozen=True)
class Holdings:
    """What a token store holds: rows, tokens of a row, the share of rows that had more of them, and bytes on disk."""

    rows: int
    dim: int
    mean_tokens: float
    p95_tokens: float
    share_shortened: float
    bytes: int


def holdings(store: BucketStore) -> Holdings | None:
    """What `store` holds, or None if that is nothing. Reads the counts, not the states."""
    table = store.scan(["tokens", "tokens_before"])
    if not len(table):
        return None
    counts, before = table.column("tokens").to_numpy(), table.column("tokens_before").to_numpy()
    return Holdings(
        rows=len(table),
        dim=tokens_of(store.any_row()).states.shape[1],
        mean_tokens=float(counts.mean()),
        p95_tokens=float(np.percentile(counts, 95)),
        share_shortened=float((counts < before).mean()),
        bytes=sum(path.stat().st_size for path in store.root.glob("[0-9]*.parquet")),
    )
