"""What later rooms read of the embeddings, as arrays.

Belongs here: vectors by item, aligned to the ids asked for. Does not belong here: encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.buckets import VECTOR_COLUMNS, vectors_of

IMAGE_STORE = "image_vectors"
TEXT_STORE = "text_vectors"


@dataclass(frozen=True)
class Vectors:
    """`values` float32 (n, dim), rows of zeros where `present` bool (n,) is false."""

    values: NDArray[np.float32]
    present: NDArray[np.bool_]


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
    return vectors_of(buckets.scan() if item_ids is None else buckets.take(item_ids))
