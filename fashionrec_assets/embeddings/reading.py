"""What later rooms read of the embeddings, as arrays.

Belongs here: vectors and token states by item (avatars by user), aligned to the ids asked for. Does not belong here:
encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from fashionrec_assets.embeddings.token_store import TOKEN_COLUMNS, tokens_of
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, all_vectors, vectors_of

IMAGE_STORE = "image_vectors"
TEXT_STORE = "text_vectors"
TEXT_TOKEN_STORE = "text_tokens"
IMAGE_TOKEN_STORE = "image_tokens"
AVATAR_STORE = "avatar_vectors"
"""Vectors of users' avatars; the key column `item_id` holds user ids."""


@dataclass(frozen=True)
class Vectors:
    """`values` float32 (n, dim), rows of zeros where `present` bool (n,) is false."""

    values: NDArray[np.float32]
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class Tokens:
    """`states` float16 (n, t, d), zeros where `mask` bool (n, t) is false. An item without any has only those."""

    states: NDArray[np.float16]
    mask: NDArray[np.bool_]


def vectors(shop: Shop, store: str, item_ids: Sequence[str]) -> Vectors:
    """The vectors of `item_ids` (sorted) in `store`, in that order; dim is 1 while the store is empty."""
    keys, found = stored_vectors(shop, store, item_ids)
    # Items without any vector among them still have the width of all others.
    width = found.shape[1] if keys else vectors_of(shop.store(store, VECTOR_COLUMNS).any_row())[1].shape[1]
    values = np.zeros((len(item_ids), width), dtype=np.float32)
    present = np.zeros(len(item_ids), dtype=np.bool_)
    if keys:
        place = {item_id: row for row, item_id in enumerate(item_ids)}
        rows = [place[key] for key in keys]
        values[rows], present[rows] = found, True
    return Vectors(values, present)


def stored_vectors(
    shop: Shop, store: str, item_ids: Sequence[str] | None = None
) -> tuple[list[str], NDArray[np.float32]]:
    """(sorted keys, (n, dim) float32) of what is stored, of all items or of `item_ids`."""
    buckets = shop.store(store, VECTOR_COLUMNS)
    return all_vectors(buckets) if item_ids is None else vectors_of(buckets.take(item_ids))


def tokens(shop: Shop, store: str, item_ids: Sequence[str]) -> Tokens:
    """The token states of `item_ids` (free of duplicates) in `store`, in that order.

    t is the most tokens any item of the store has, asked for or not; t and d are 1 while the store is empty. Read
    bucket by bucket: beside the result, one bucket is in memory. Raises ValueError if states differ in dimension.
    """
    buckets = shop.store(store, TOKEN_COLUMNS)
    counts = buckets.scan(["tokens"]).column("tokens")
    if not len(counts):
        return Tokens(np.zeros((len(item_ids), 1, 1), np.float16), np.zeros((len(item_ids), 1), np.bool_))
    most = pc.max(counts).as_py()  # pyright: ignore[reportAttributeAccessIssue]
    dim = tokens_of(buckets.any_row()).states.shape[1]
    states = np.zeros((len(item_ids), most, dim), dtype=np.float16)
    mask = np.zeros((len(item_ids), most), dtype=np.bool_)
    place = {item_id: row for row, item_id in enumerate(item_ids)}
    for _, keys in buckets.group(item_ids):
        table = buckets.take(keys)
        if not len(table):
            continue
        found = tokens_of(table)
        if found.states.shape[1] != dim:
            raise ValueError(
                f"{store} holds token states of {dim} and of {found.states.shape[1]}: materialize it again"
            )
        real = np.arange(most) < found.counts[:, None]
        padded = np.zeros((len(found), most, dim), dtype=np.float16)
        padded[real] = found.states
        rows = [place[key] for key in table.column("item_id").to_pylist()]
        states[rows], mask[rows] = padded, real
    return Tokens(states, mask)
