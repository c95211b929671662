"""Assets of the towers room.

Belongs here: reading the plan and the inputs, one call, writing, and what the UI shows. Does not belong here: models,
losses, training.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.catalog.reading import cuts, event_log, launched, training_rows
from fashionrec_assets.plots import line_plot
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture
from fashionrec_assets.resources.shop import Made, Shop, StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.buckets import VECTOR_COLUMNS, vector_rows
from fashionrec_assets.storage.ledger import ModelPlan, Stage
from fashionrec_assets.towers.reading import CATEGORIES, VECTOR_STORE, item_features

if TYPE_CHECKING:
    from fashionrec_assets.towers.artifact import TwoTower
    from fashionrec_assets.towers.training import FittedTwoTower

MODEL = Stage(
    "two_tower_model",
    "model",
    version="1",
    settings=("two_tower", "seed", "splits", "evaluation.target_behaviours"),
)
VECTORS = Stage(
    "item_vectors",
    "item",
    version="1",
    rows="SELECT * FROM items",
    reads=CATEGORIES,
    upstream=("text_embeddings", "image_embeddings"),
)


@dg.asset(
    **asset_spec(
        MODEL,
        group="towers",
        deps=["interactions", "splits", "text_embeddings", "image_embeddings"],
        kinds={"pytorch"},
    )
)
def two_tower_model(shop: ShopParam) -> dg.MaterializeResult:
    """The session-aware two-tower model, trained on the events before the test days.

    The number of epochs is chosen on the validation days by a model that saw only what came before them.
    """
    with shop.stage(MODEL) as run:
        version = shop.version_or_none(MODEL.name)
        planned = run.plan_model(
            training_rows(shop, before=cuts(shop).test),
            tolerance=shop.settings.two_tower.retrain_share,
            exists=version is not None,
            text=shop.model_id("text_model"),
            image=shop.model_id("clip_model"),
        )
        fitted = None
        if planned.plan.todo:
            fitted = _train(shop, run, planned)
        elif planned.gone and version is not None:
            _forget(shop, planned, version)
        shop.artifacts.prune(MODEL.name, [shop.version(MODEL.name)])
        curve = json.loads((shop.current(MODEL.name) / "curve.json").read_text("utf-8"))
        return materialized(
            run,
            model_id=shop.model_id(MODEL.name),
            epochs=curve["epochs"],
            best_validation_ndcg=max((epoch["ndcg"] for epoch in curve["selection"]), default=None),
            training_seconds=round(sum(epoch["seconds"] for epoch in curve["selection"] + curve["final"]), 1),
            changed_share_since_training=0.0 if fitted else round(planned.share, 4),
            learning_curve=picture(_plot(curve), "training loss and validation NDCG by epoch"),
        )


@dg.asset(
    **asset_spec(
        VECTORS,
        group="towers",
        deps=["two_tower_model", "text_embeddings", "image_embeddings", "items"],
        kinds={"pytorch", "parquet"},
    )
)
def item_vectors(shop: ShopParam) -> dg.MaterializeResult:
    """One vector per item from the item tower, for inner-product search with user vectors."""
    with shop.stage(VECTORS) as run:
        folder = shop.current(MODEL.name)
        store = shop.store(VECTOR_STORE, VECTOR_COLUMNS)
        plan = run.plan(present=store.keys(), model=shop.model_id(MODEL.name))
        model: TwoTower | None = None

        def compute(keys: list[str]) -> Made:
            nonlocal model
            from fashionrec_assets.towers.artifact import TwoTower

            model = model or TwoTower.load(folder)
            made = model.item_vectors(item_features(shop, keys))
            outputs = {
                key: hashlib.sha256(vector.tobytes()).hexdigest() for key, vector in zip(keys, made, strict=True)
            }
            return Made(vector_rows(keys, made), outputs)

        run.by_bucket(plan, store, compute)
        return materialized(run, rows=len(store.keys()), dimension=shop.settings.two_tower.dim)


def _train(shop: Shop, run: StageRun, planned: ModelPlan) -> FittedTwoTower:
    from fashionrec_assets.towers.training import fit_two_tower
    from fashionrec_assets.towers.validation import validation_ndcg

    settings, split = shop.settings, cuts(shop)
    log = event_log(shop)
    features = item_features(shop, log.item_ids.tolist())
    targets = np.isin(log.behaviours, [BEHAVIOURS.index(name) for name in settings.evaluation.target_behaviours])
    window = log.select(targets).between(split.validation, split.test)
    history = log.between(None, split.validation)
    on_sale = launched(shop) < split.test

    def judge(model: TwoTower) -> float:
        return validation_ndcg(
            model, history, window, features, on_sale=on_sale, as_of=split.validation, seed=settings.seed
        )

    content = {name: shop.digest(name) for name in ("text_embeddings", "image_embeddings")}
    fitted = fit_two_tower(
        history,
        log.between(None, split.test),
        features,
        settings.two_tower,
        seed=settings.seed,
        data_digest=digest({"rows": planned.plan.todo, "code": planned.plan.code_fp, **content}),
        evaluate=judge,
        progress=run.progress,
    )
    version = fitted.model.model_id
    with shop.artifacts.write(MODEL.name, version) as folder:
        fitted.model.save(folder)
        curves = {"epochs": fitted.epochs, "selection": fitted.chosen.curve, "final": fitted.final.curve}
        (folder / "curve.json").write_text(json.dumps(curves, default=asdict, indent=2), "utf-8")
    with shop.warehouse.writer() as connection:
        ledger.record_model(connection, planned, version)
    return fitted


def _forget(shop: Shop, planned: ModelPlan, version: str) -> None:
    """Take deleted items out of the model's vocabulary; everyone else's vector stays as it is."""
    from fashionrec_assets.towers.artifact import TwoTower

    old = shop.artifacts.folder(MODEL.name, version)
    model = TwoTower.load(old).forget(np.asarray(planned.gone, dtype=np.str_))
    renamed = f"{model.model_id}.{digest(model.item_ids.tolist())[:8]}"
    with shop.artifacts.write(MODEL.name, renamed) as folder:
        model.save(folder)
        (folder / "curve.json").write_bytes((old / "curve.json").read_bytes())
    with shop.warehouse.writer() as connection:
        ledger.forget_training_rows(connection, planned, renamed)


def _plot(curve: dict[str, Any]) -> bytes:
    return line_plot(
        {
            "training loss": {
                "fit, before validation": [epoch["loss"] for epoch in curve["selection"]],
                "refit, before test": [epoch["loss"] for epoch in curve["final"]],
            },
            "validation NDCG@20": {"fit": [epoch["ndcg"] for epoch in curve["selection"]]},
        },
        mark=curve["epochs"],
    )
