"""Checks of the embeddings room."""

from __future__ import annotations

import dagster as dg
import numpy as np

from fashionrec_assets.embeddings.assets import IMAGES, TEXTS
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, stored_vectors
from fashionrec_assets.resources.glue import ShopParam, error, ledger_matches_files
from fashionrec_assets.storage.buckets import VECTOR_COLUMNS

NORM_TOLERANCE = 1e-3


def unit_vector_check(asset: str, store: str) -> dg.AssetChecksDefinition:
    """The blocking check that the vectors of a store are finite, of length one, and of one dimension."""

    @dg.asset_check(
        asset=asset,
        name=f"{store}_are_unit_vectors",
        blocking=True,
        description="Vectors are finite and of length one.",
    )
    def check(shop: ShopParam) -> dg.AssetCheckResult:
        keys, vectors = stored_vectors(shop, store)
        broken = int((~np.isfinite(vectors).all(axis=1)).sum())
        off = int((np.abs(np.linalg.norm(vectors, axis=1) - 1) > NORM_TOLERANCE).sum())
        return error(
            broken == 0 and off == 0,
            f"{len(keys)} vectors of {vectors.shape[1]}: {broken} not finite, {off} not of length one",
            vectors=len(keys),
            dimension=vectors.shape[1],
            not_finite=broken,
            not_unit=off,
        )

    return check


CHECKS = [
    unit_vector_check("image_embeddings", IMAGE_STORE),
    unit_vector_check("text_embeddings", TEXT_STORE),
    *(
        ledger_matches_files(stage, asset, lambda shop, store=store: shop.store(store, VECTOR_COLUMNS))
        for stage, asset, store in ((IMAGES, "image_embeddings", IMAGE_STORE), (TEXTS, "text_embeddings", TEXT_STORE))
    ),
]
