"""Assets of the index room.

Belongs here: when to build, and what the UI shows. Does not belong here: FAISS.
"""

from __future__ import annotations

import dagster as dg
import numpy as np

from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.index.vectors_index import ItemIndex, build
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized
from fashionrec_assets.resources.shop import WHOLE
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.towers.reading import VECTOR_STORE

STAGE = Stage("faiss_index", "index", version="1", upstream=("item_vectors",), settings=("index", "seed"))


@dg.asset(**asset_spec(STAGE, group="index", deps=["item_vectors"], kinds={"faiss"}))
def faiss_index(shop: ShopParam) -> dg.MaterializeResult:
    """The FAISS index over the item vectors: Flat, HNSW or IVF-PQ by the size of the catalog."""
    with shop.stage(STAGE) as run:
        plan = run.plan_whole(shop.digest("item_vectors"), exists=shop.version_or_none(STAGE.name) is not None)
        if plan.todo:
            ids, vectors = stored_vectors(shop, VECTOR_STORE)
            index = build(np.asarray(ids), vectors, shop.settings.index, seed=shop.settings.seed, progress=run.progress)
            version = digest([plan.todo[WHOLE], plan.code_fp])[:16]
            with shop.artifacts.write(STAGE.name, version) as folder:
                index.save(folder)
            with run.commit(plan, {WHOLE: version}):
                pass
            shop.artifacts.prune(STAGE.name, [version])
        config = ItemIndex.load(shop.current(STAGE.name), mmap=True, verify=False).config
        return materialized(
            run, rows=config.items, kind=config.kind, dimension=config.dim, recall_at_10=config.recall_at_10
        )
