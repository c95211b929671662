"""What later rooms, and applications, read of the index, and what it is to hold.

Belongs here: opening the index that is in force, while another may be taking its place; the ledger's word on the item
vectors. Does not belong here: search.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.index.ids import strings
from fashionrec_assets.index.item_index import IndexFilesError, ItemIndex
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.reading import VECTOR_STORE

NAME = "faiss_index"


def current_index(shop: Shop, *, mmap: bool = False) -> ItemIndex:
    """The index in force; with `mmap`, its vectors stay on disk and are paged in as they are searched.

    What it returns stays whole and searchable while an update takes its place and deletes its files. Its files are
    verified by the manifest of the artifact. Raises LookupError if there is none yet, ArtifactMissingError or
    IndexFilesError, with the remedy, if it is gone or damaged.
    """
    version = shop.version(NAME)
    while True:
        try:
            return ItemIndex.load(shop.artifacts.folder(NAME, version), mmap=mmap, verify=False)
        except (FileNotFoundError, IndexFilesError):
            # Between the ledger's answer and the files another version may have come into force.
            before, version = version, shop.version(NAME)
            if version == before:
                raise


def vector_outputs(shop: Shop) -> tuple[NDArray[np.str_], pa.Array]:
    """Ids (n,), sorted, of the items that have a vector, and the `output_fp` of each one's, as the ledger has them."""
    with shop.warehouse.reader() as connection:
        rows = connection.sql(
            "SELECT key, output_fp FROM ledger WHERE stage = ? ORDER BY key", params=[VECTOR_STORE]
        ).to_arrow_table()
    return strings(rows.column("key")), rows.column("output_fp").combine_chunks().cast(pa.string())
