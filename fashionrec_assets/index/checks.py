"""Checks of the index room."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.index.assets import STAGE
from fashionrec_assets.index.vectors_index import ItemIndex, measure_recall
from fashionrec_assets.resources.glue import ShopParam, error
from fashionrec_assets.towers.reading import VECTOR_STORE


@dg.asset_check(
    asset="faiss_index", blocking=True, description="The index holds every item of the catalog, no other, undamaged."
)
def index_holds_the_catalog(shop: ShopParam) -> dg.AssetCheckResult:
    index = ItemIndex.load(shop.current(STAGE.name))
    with shop.warehouse.reader() as connection:
        catalog = {row[0] for row in connection.execute("SELECT item_id FROM items").fetchall()}
    held = set(index.ids.tolist())
    missing, stray = sorted(catalog - held), sorted(held - catalog)
    return error(
        not missing and not stray,
        f"{len(held)} items indexed, {len(missing)} missing, {len(stray)} not in the catalog",
        indexed=len(held),
        missing=len(missing),
        stray=len(stray),
    )


@dg.asset_check(asset="faiss_index", blocking=True, description="Recall@10 against exact search meets the target.")
def index_recall_meets_target(shop: ShopParam) -> dg.AssetCheckResult:
    settings = shop.settings
    index = ItemIndex.load(shop.current(STAGE.name), verify=False)
    _, vectors = stored_vectors(shop, VECTOR_STORE)
    recall = measure_recall(index, vectors, sample=settings.index.recall_sample, seed=settings.seed)
    target = settings.index.recall_target
    return error(recall >= target, f"recall@10 {recall:.4f}, target {target:.4f}", recall_at_10=recall, target=target)


CHECKS = [index_holds_the_catalog, index_recall_meets_target]
