"""Assets of the index room.

Belongs here: when to build or update, and what the UI shows. Does not belong here: FAISS.
"""

from __future__ import annotations

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.index.item_index import FILES, IndexConfig, read_config
from fashionrec_assets.index.reading import NAME, vector_outputs
from fashionrec_assets.index.tuning import queries_per_second
from fashionrec_assets.index.updating import Refreshed, Wanted, refresh
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized
from fashionrec_assets.resources.shop import WHOLE, Shop
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Plan, Stage
from fashionrec_assets.towers.reading import VECTOR_STORE

STAGE = Stage(NAME, "index", version="3", upstream=("item_vectors",), settings=("index", "seed"))


@dg.asset(**asset_spec(STAGE, group="index", deps=["item_vectors"], kinds={"faiss"}))
def faiss_index(shop: ShopParam) -> dg.MaterializeResult:
    """The FAISS index over the item vectors: Flat, IVF or IVF-PQ by the size of the catalog and the memory it may take.

    Only changed vectors are read and put in its place, as long as the policy (`index.rebuild_share`) allows.
    """
    settings = shop.settings
    with shop.stage(STAGE) as run:
        held = shop.version_or_none(STAGE.name)
        plan = run.plan_whole(shop.digest("item_vectors"), exists=held is not None)
        done = None
        if plan.todo:
            folder = None if held is None or shop.rebuild else shop.artifacts.folder(STAGE.name, held)
            wanted = _wanted(shop, plan.code_fp)
            done = refresh(folder, wanted, settings.index, seed=settings.seed, progress=run.progress)
            version = _version(plan, done, held)
            with shop.artifacts.write(STAGE.name, version) as draft:
                done.index.save(draft)
            with run.commit(plan, {WHOLE: version}):
                pass
            shop.artifacts.prune(STAGE.name, [version])
        folder = shop.current(STAGE.name)
        config = read_config(folder)
        on_disk = sum((folder / name).stat().st_size for name in FILES.values())
        shown = _shown(config, on_disk) | ({} if done is None else _told(done))
        return materialized(run, rows=config.items, **shown)


def _wanted(shop: Shop, made_with: str) -> Wanted:
    ids, outputs = vector_outputs(shop)

    def fetch(some: NDArray[np.str_]) -> NDArray[np.float32]:
        found, vectors = stored_vectors(shop, VECTOR_STORE, None if len(some) == len(ids) else some.tolist())
        if not np.array_equal(np.asarray(found, np.str_), some):
            raise LookupError("item_vectors and the ledger hold other items: `fashionrec run --select item_vectors`")
        return vectors

    return Wanted(ids, outputs, fetch, made_with)


def _version(plan: Plan, done: Refreshed, held: str | None) -> str:
    """An approximate index that was updated is not the one that is built of the same vectors."""
    history = [held] if done.how == "updated" and done.index.config.kind != "flat" else []
    return digest([plan.todo[WHOLE], plan.code_fp, *history])[:16]


def _shown(config: IndexConfig, on_disk: int) -> dict[str, object]:
    return {
        "kind": config.kind,
        "dimension": config.dim,
        "parameters": config.parameters,
        "recall_at_10": config.recall_at_10,
        "memory_bytes": config.memory_bytes,
        "disk_bytes": on_disk,
        "dead_places": config.places - config.items,
    }


def _told(done: Refreshed) -> dict[str, object]:
    """What only a night that made an index knows. Nothing is measured, or loaded, while the index stays the same."""
    return {
        "how": done.how,
        "why": done.why or None,
        "rows_added": done.added,
        "rows_removed": done.removed,
        "queries_per_second": round(queries_per_second(done.index)),
    }
