"""Assets of the towers room.

Belongs here: reading the plan and the inputs, one call, writing, and what the UI shows. Does not belong here: models,
losses, training.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.catalog.reading import Cuts, cuts, event_log, launched, training_rows
from fashionrec_assets.plots import line_plot
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture
from fashionrec_assets.resources.shop import Shop, StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.ledger import ModelPlan, Stage
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS
from fashionrec_assets.towers.reading import (
    CATEGORIES,
    EVALUATION,
    SELECTION,
    SERVED,
    VECTOR_STORE,
    feedback,
    feedback_rows,
    item_features,
    user_profiles,
)
from fashionrec_assets.towers.work import ItemVectors

if TYPE_CHECKING:
    from fashionrec_assets.towers.artifact import TwoTower
    from fashionrec_assets.towers.training import FittedTwoTower

MODEL = Stage(
    "two_tower_model",
    "model",
    version="3",
    settings=(
        "two_tower",
        "seed",
        "source",
        "splits",
        "catalog.session_gap_minutes",
        "evaluation.target_behaviours",
    ),
)
MODELS = (SELECTION, EVALUATION, SERVED)
CURVE = "curve.json"
VECTORS = Stage(
    "item_vectors",
    "item",
    version="3",
    rows="SELECT * FROM items",
    reads=(*CATEGORIES, "price", "launched_at"),
    upstream=("text_embeddings", "image_embeddings"),
)


@dg.asset(
    **asset_spec(
        MODEL,
        group="towers",
        deps=["interactions", "users", "items", "splits", "feedback", "text_embeddings", "image_embeddings"],
        kinds={"pytorch"},
    )
)
def two_tower_model(shop: ShopParam) -> dg.MaterializeResult:
    """The session-aware two-tower model, three times: before validation, before test, and up to now.

    The first chooses the number of epochs on the validation days, the second is what reports measure on the test days,
    the third is served.
    """
    with shop.stage(MODEL) as run:
        version = shop.version_or_none(MODEL.name)
        planned = run.plan_model(
            _rows(shop, before=_newest(shop, cuts(shop))),
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
        curve = json.loads((shop.current(MODEL.name) / CURVE).read_text("utf-8"))
        return materialized(
            run,
            model_id=shop.model_id(MODEL.name),
            epochs=curve["epochs"],
            best_validation_ndcg=max((epoch["ndcg"] for epoch in curve[SELECTION]), default=None),
            training_seconds=round(sum(epoch["seconds"] for name in MODELS for epoch in curve[name]), 1),
            started_from=curve["start"] or "scratch",
            changed_share_since_training=0.0 if fitted else round(planned.share, 4),
            learning_curve=picture(_plot(shop, curve), "training loss and validation NDCG by epoch"),
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
        store = shop.store(VECTOR_STORE, VECTOR_COLUMNS)
        plan = run.plan(present=store.keys(), model=shop.model_id(MODEL.name))
        run.by_bucket(plan, store, ItemVectors(shop), lambda keys: item_features(shop, keys))
        return materialized(run, rows=len(store.keys()), dimension=shop.settings.two_tower.dim)


def _newest(shop: Shop, split: Cuts) -> int:
    """UTC seconds: what happened from then on reaches none of the models."""
    return split.end if shop.settings.two_tower.refit else split.test


def _rows(shop: Shop, *, before: int) -> dict[str, str]:
    """A fingerprint of what is known of each item before `before` (UTC seconds): events, and answers to explanations.

    Where nobody answered, it is that of the events alone.
    """
    rows = training_rows(shop, before=before)
    return rows | {item: f"{rows.get(item, '')}+{said}" for item, said in feedback_rows(shop, before=before).items()}


def _train(shop: Shop, run: StageRun, planned: ModelPlan) -> FittedTwoTower:
    from fashionrec_assets.towers.training import fit_two_tower
    from fashionrec_assets.towers.validation import validation_ndcg

    settings, split = shop.settings, cuts(shop)
    log = event_log(shop)
    features = item_features(shop, log.item_ids.tolist())
    profiles = user_profiles(shop, log.user_ids.tolist())
    targets = np.isin(log.behaviours, [BEHAVIOURS.index(name) for name in settings.evaluation.target_behaviours])
    window = log.select(targets).between(split.validation, split.test)
    history = log.between(None, split.validation)
    on_sale = launched(shop) < split.test

    def judge(model: TwoTower) -> float:
        return validation_ndcg(
            model,
            history,
            window,
            features,
            on_sale=on_sale,
            as_of=split.validation,
            profiles=profiles,
            seed=settings.seed,
        )

    start, starts = _starts(shop, planned)
    content = {name: shop.digest(name) for name in ("text_embeddings", "image_embeddings", "items")}
    made_of = {"rows": planned.plan.todo, "code": planned.plan.code_fp, "start": start, **content}
    ends = {SELECTION: split.validation, EVALUATION: split.test, SERVED: split.end}
    said = {name: feedback(shop, log, before=before) for name, before in ends.items()}
    fit = partial(
        fit_two_tower,
        history,
        log.between(None, split.test),
        features,
        settings.two_tower,
        seed=settings.seed,
        data_digest=digest({**made_of, "users": shop.version("users_file")}),
        evaluate=judge,
        full=log.between(None, split.end) if settings.two_tower.refit else None,
        profiles=profiles,
        feedback={name: one for name, one in said.items() if one is not None},
        session_gap=settings.catalog.session_gap_minutes * 60,
        starts=starts,
        checkpoints=shop.spill / MODEL.name,
    )
    fitted = shop.compute.train(lambda progress: fit(progress=progress), run.progress)
    served = fitted.served or fitted.evaluation
    with shop.artifacts.write(MODEL.name, served.model.model_id) as folder:
        curves: dict[str, Any] = {"epochs": fitted.epochs, "start": start, "code": planned.plan.code_fp, SERVED: []}
        for name, trained in ((SELECTION, fitted.selection), (EVALUATION, fitted.evaluation), (SERVED, served)):
            trained.model.save(folder / name)
            curves[name] = [] if trained is fitted.evaluation and name == SERVED else trained.curve
        (folder / CURVE).write_text(json.dumps(curves, default=asdict, indent=2), "utf-8")
    with shop.warehouse.writer() as connection:
        ledger.record_model(connection, planned, served.model.model_id)
    shutil.rmtree(shop.spill / MODEL.name, ignore_errors=True)
    return fitted


def _starts(shop: Shop, planned: ModelPlan) -> tuple[str | None, dict[str, TwoTower]]:
    """The version in force and its models, if training may go on from them: only data changed, and no cut moved back.

    A full refresh and a retraining begin from the beginning.
    """
    from fashionrec_assets.towers.artifact import TwoTower

    version = shop.version_or_none(MODEL.name)
    if version is None or shop.anew or not shop.settings.two_tower.warm_start:
        return None, {}
    folder = shop.artifacts.folder(MODEL.name, version)
    if json.loads((folder / CURVE).read_text("utf-8")).get("code") != planned.plan.code_fp:
        return None, {}
    models = {name: TwoTower.load(folder / name) for name in MODELS}
    split = cuts(shop)
    latest = {SELECTION: split.validation, EVALUATION: split.test, SERVED: split.end}
    if any(model.cut > latest[name] for name, model in models.items()):
        return None, {}
    return version, models


def _forget(shop: Shop, planned: ModelPlan, version: str) -> None:
    """Take deleted items out of the models' vocabularies; everyone else's vector stays as it is."""
    from fashionrec_assets.towers.artifact import TwoTower

    old = shop.artifacts.folder(MODEL.name, version)
    gone = np.asarray(planned.gone, dtype=np.str_)
    models = {name: TwoTower.load(old / name).forget(gone) for name in MODELS}
    served = models[SERVED]
    renamed = f"{served.model_id}.{digest(served.item_ids.tolist())[:8]}"
    with shop.artifacts.write(MODEL.name, renamed) as folder:
        for name, model in models.items():
            model.save(folder / name)
        (folder / CURVE).write_bytes((old / CURVE).read_bytes())
    with shop.warehouse.writer() as connection:
        ledger.forget_training_rows(connection, planned, renamed)


def _plot(shop: Shop, curve: dict[str, Any]) -> bytes:
    return line_plot(
        {
            "training loss": {
                "before validation": [epoch["loss"] for epoch in curve[SELECTION]],
                "before test": [epoch["loss"] for epoch in curve[EVALUATION]],
                "up to now": [epoch["loss"] for epoch in curve[SERVED]],
            },
            "validation NDCG@20": {"before validation": [epoch["ndcg"] for epoch in curve[SELECTION]]},
        },
        mark=curve["epochs"],
        kept=shop.home / "cache" / "two_tower_model.png",
    )
