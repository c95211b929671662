"""Checks of the index room."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.index.assets import STAGE
from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.index.reading import current_index, vector_outputs
from fashionrec_assets.index.tuning import measure_recall
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
        catalog = {row[0] for row in connection.execute("SELECT item_id FROM items").fetchall()}
    held = dict(zip(index.ids.tolist(), index.outputs.to_pylist(), strict=True))
    missing, stray = sorted(catalog - held.keys()), sorted(held.keys() - catalog)
    ids, outputs = vector_outputs(shop)
    newest = zip(ids.tolist(), outputs.to_pylist(), strict=True)
    outdated = sum(held.get(item, output) != output for item, output in newest)
    return error(
        not missing and not stray and not outdated,
        f"{len(held)} items indexed, {len(missing)} missing, {len(stray)} not in the catalog, {outdated} outdated",
        indexed=len(held),
        missing=len(missing),
        stray=len(stray),
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
