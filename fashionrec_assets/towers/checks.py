"""Checks of the towers room."""

from __future__ import annotations

import dagster as dg
import numpy as np

from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.resources.glue import ShopParam, error, ledger_matches_files
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS
from fashionrec_assets.towers.assets import VECTORS
from fashionrec_assets.towers.reading import VECTOR_STORE


@dg.asset_check(
    asset="item_vectors", blocking=True, description="Item vectors are finite, not zero, of the model's width."
)
def item_vectors_are_sound(shop: ShopParam) -> dg.AssetCheckResult:
    keys, found = stored_vectors(shop, VECTOR_STORE)
    broken = int((~np.isfinite(found).all(axis=1)).sum())
    zero = int((np.abs(found).max(axis=1, initial=0) == 0).sum())
    fits = not keys or found.shape[1] == shop.settings.two_tower.dim
    return error(
        broken == 0 and zero == 0 and fits,
        f"{len(keys)} vectors of {found.shape[1]}, {broken} not finite, {zero} zero",
        vectors=len(keys),
        not_finite=broken,
        zero=zero,
    )


CHECKS = [
    item_vectors_are_sound,
    ledger_matches_files(VECTORS, "item_vectors", lambda shop: shop.store(VECTOR_STORE, VECTOR_COLUMNS)),
]
