"""Checks of the index room."""

from __future__ import annotations

import dagster as dg
import numpy as np

from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.index.assets import STAGE
from fashionrec_assets.index.ids import strings
from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.index.reading import current_index, vector_outputs
from fashionrec_assets.index.tuning import measure_recall
from fashionrec_assets.index.updating import unchanged_rows
from fashionrec_assets.resources.glue import ShopParam, error
from fashionrec_assets.towers.reading import VECTOR_STORE


@dg.asset_check(
    asset="faiss_index",
    blocking=True,
    description="The index holds every item of the catalog, no other, undamaged, each with its newest vector.",
)
def index_holds_the_catalog(shop: ShopParam) -> dg.AssetCheckResult:
    index = ItemIndex.load(shop.current(STAGE.name))
    with shop.warehouse.reader() as connection:
        catalog = strings(connection.sql("SELECT item_id FROM items").to_arrow_table().column("item_id"))
    missing, stray = len(np.setdiff1d(catalog, index.ids)), len(np.setdiff1d(index.ids, catalog))
    ids, outputs = vector_outputs(shop)
    outdated = int((unchanged_rows(index, ids, outputs) < 0).sum()) - len(np.setdiff1d(ids, index.ids))
    return error(
        not missing and not stray and not outdated,
        f"{len(index)} items indexed, {missing} missing, {stray} not in the catalog, {outdated} outdated",
        indexed=len(index),
        missing=missing,
        stray=stray,
        outdated=outdated,
    )


@dg.asset_check(asset="faiss_index", blocking=True, description="Recall@10 against exact search meets the target.")
def index_recall_meets_target(shop: ShopParam) -> dg.AssetCheckResult:
    settings = shop.settings
    index = current_index(shop)
    _, vectors = stored_vectors(shop, VECTOR_STORE)
    recall = measure_recall(index, vectors, size=settings.index.recall_sample, seed=settings.seed)
    target = settings.index.recall_target
    return error(recall >= target, f"recall@10 {recall:.4f}, target {target:.4f}", recall_at_10=recall, target=target)


CHECKS = [index_holds_the_catalog, index_recall_meets_target]
