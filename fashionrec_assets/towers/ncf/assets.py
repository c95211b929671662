"""Assets of NCF: the sweep of augmentation, and the model.

Belongs here: reading the plan and the inputs, one call, writing, and what the UI shows. Does not belong here: models,
training, generators.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from fashionrec_assets.catalog.event_log import sample_people
from fashionrec_assets.catalog.reading import cuts, training_rows
from fashionrec_assets.plots import line_plot
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture, table_of
from fashionrec_assets.resources.shop import Shop, StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.ledger import ModelPlan, Stage
from fashionrec_assets.synthesis.reading import CHOSEN, SWEEP, chosen_augmentation, item_content
from fashionrec_assets.towers.ncf.reading import NcfInputs

if TYPE_CHECKING:
    from fashionrec_assets.towers.ncf.examples import WeightedRows

SWEEP_STAGE = Stage(
    SWEEP,
    "report",
    version="3",
    settings=("ncf", "synthesis", "seed", "source", "splits", "evaluation.target_behaviours", "evaluation.ncf_users"),
)
MODEL = Stage(
    "ncf_model",
    "model",
    version="3",
    settings=("ncf", "synthesis", "seed", "source", "splits", "evaluation.target_behaviours"),
)
SUMMARY = "summary.json"
INPUTS = ["text_tokens", "image_tokens", "avatar_vectors", "text_embeddings", "image_embeddings"]
BEHAVIOUR = ["interactions", "users", "splits", "items"]


@dg.asset(**asset_spec(SWEEP_STAGE, group="towers", deps=[*INPUTS, *BEHAVIOUR], kinds={"pytorch"}))
def augmentation_sweep(shop: ShopParam) -> dg.MaterializeResult:
    """How many synthetic rows, of what weight, serve the people of the validation days best, and whether any do.

    Reduced models, each with a VAE and NCF that saw only what came before those days. It is made again when the
    encoders are, or once more than the tolerated share of the log has changed.
    """
    with shop.stage(SWEEP_STAGE) as run:
        planned = _plan(shop, run, before=cuts(shop).validation)
        if planned.plan.todo:
            _sweep(shop, run, planned)
        elif planned.gone:
            # What came out are figures, which name no item: a deleted one only leaves what they were made from.
            version = shop.version(SWEEP)
            with shop.warehouse.writer() as connection:
                ledger.forget_training_rows(connection, planned, version)
        shop.artifacts.prune(SWEEP, [shop.version(SWEEP)])
        found = json.loads((shop.current(SWEEP) / CHOSEN).read_text("utf-8"))
        return materialized(
            run,
            best_degree=found["degree"],
            best_weight=found["weight"],
            best_temperature=found["temperature"],
            pays=found["pays"],
            trials=table_of(found["trials"]),
        )


@dg.asset(
    **asset_spec(
        MODEL,
        group="towers",
        deps=["augmentation_sweep", "vae_synthetic_samples", *INPUTS, *BEHAVIOUR],
        kinds={"pytorch"},
    )
)
def ncf_model(shop: ShopParam) -> dg.MaterializeResult:
    """NeuMF over fused token states, trained on what came before the test days.

    With the synthetic rows where the sweep found that they pay, or where the settings ask for them. The ID embeddings
    of items without events are generated from their content.
    """
    with shop.stage(MODEL) as run:
        augmentation = chosen_augmentation(shop)
        used = augmentation.pays and augmentation.degree > 0
        amount = digest([augmentation.degree, augmentation.temperature, augmentation.weight]) if used else "none"
        planned = _plan(shop, run, before=cuts(shop).test, synthetic=amount)
        if planned.plan.todo:
            _train(shop, run, planned, augmentation.weight if used else None)
        else:
            left = _users_gone(shop)
            if planned.gone or left:
                _forget(shop, planned, left)
        shop.artifacts.prune(MODEL.name, [shop.version(MODEL.name)])
        found = json.loads((shop.current(MODEL.name) / SUMMARY).read_text("utf-8"))
        curve: list[dict[str, Any]] = found["curve"]
        plot = line_plot(
            {
                "training loss": {"ranking": [epoch["loss"] for epoch in curve]},
                "people kept back": {"NDCG@20": [epoch["ndcg"] for epoch in curve]},
            },
            kept=shop.home / "cache" / "ncf_model.png",
        )
        return materialized(
            run,
            model_id=shop.model_id(MODEL.name),
            reads=", ".join(found["reads"]),
            synthetic_rows=found["synthetic"],
            synthetic_rows_pay=augmentation.pays,
            lift_of_new_items=found["lift"],
            ndcg_on_people_kept_back=found["ndcg"],
            training_seconds=round(found["seconds"], 1),
            learning_curve=picture(plot, "training loss, and NDCG of the people kept back, by epoch"),
        )


def _plan(shop: Shop, run: StageRun, *, before: int, **models: str) -> ModelPlan:
    return run.plan_model(
        training_rows(shop, before=before),
        tolerance=shop.settings.two_tower.retrain_share,
        exists=shop.version_or_none(run.stage.name) is not None,
        text=shop.model_id("text_model"),
        image=shop.model_id("clip_model"),
        tokens=digest(shop.settings.value("tokens")),
        **models,
    )


def _sweep(shop: Shop, run: StageRun, planned: ModelPlan) -> None:
    from fashionrec_assets.catalog.ranking_task import ranking_task
    from fashionrec_assets.towers.ncf.augmentation import records, sweep

    inputs, settings, split = NcfInputs.of(shop), shop.settings, cuts(shop)
    task = ranking_task(
        inputs.log,
        name="validation",
        start=split.validation,
        end=split.test,
        target_behaviours=settings.evaluation.target_behaviours,
        launched_at=inputs.launched_at,
        max_users=settings.evaluation.ncf_users,
        max_cold_users=0,
        seed=settings.seed,
    )
    people = sample_people(task.history, 10**9, settings.ncf.sweep_events, settings.seed)
    found = sweep(
        inputs.keep_back(people, split.validation),
        task,
        inputs.items,
        inputs.users,
        item_content(shop, task.history, split.validation),
        settings.ncf,
        settings.synthesis,
        seed=settings.seed,
        progress=run.progress,
    )
    version = digest([planned.plan.todo, planned.plan.code_fp])[:16]
    with shop.artifacts.write(SWEEP, version) as folder:
        said = {**found.chosen(), "trials": records(found.trials)}
        (folder / CHOSEN).write_text(json.dumps(said, indent=2), "utf-8")
    with shop.warehouse.writer() as connection:
        ledger.record_model(connection, planned, version)


def _train(shop: Shop, run: StageRun, planned: ModelPlan, weight: float | None) -> None:
    """`weight` of a synthetic row; None: without them."""
    from fashionrec_assets.towers.ncf.recommender import chosen_lift
    from fashionrec_assets.towers.ncf.training import reduce_tokens, train_ncf

    inputs, settings, split = NcfInputs.of(shop), shop.settings, cuts(shop)
    kept = inputs.keep_back(inputs.log.between(None, split.test), split.test)
    # What was made for the people kept back was made from the days taken away from them.
    rows = None if weight is None else _synthetic(shop, inputs, weight).without(kept.task.users)
    reduced = reduce_tokens(kept.training, inputs.items, settings.ncf)
    trained = train_ncf(
        kept,
        inputs.items,
        inputs.users,
        settings.ncf,
        seed=settings.seed,
        synthetic=rows,
        reduced=reduced,
        progress=run.progress,
    )
    lift = chosen_lift(
        trained.model, kept, inputs.items, inputs.users, reduced[1], settings.synthesis, seed=settings.seed
    )
    summary = {
        "reads": trained.model.modalities,
        "synthetic": 0 if rows is None else len(rows),
        "lift": lift,
        "ndcg": round(trained.ndcg, 4),
        "seconds": trained.seconds,
        "curve": [asdict(epoch) for epoch in trained.curve],
    }
    version = digest([planned.plan.todo, planned.plan.code_fp])[:16]
    with shop.artifacts.write(MODEL.name, version) as folder:
        trained.model.save(folder)
        (folder / SUMMARY).write_text(json.dumps(summary, indent=2), "utf-8")
    with shop.warehouse.writer() as connection:
        ledger.record_model(connection, planned, version)


def _synthetic(shop: Shop, inputs: NcfInputs, weight: float) -> WeightedRows:
    """The table of synthetic rows, each at the time of the row it was made from."""
    import numpy as np

    from fashionrec_assets.synthesis.reading import synthetic_rows
    from fashionrec_assets.towers.ncf.examples import WeightedRows

    made = synthetic_rows(shop, inputs.log)
    with shop.warehouse.reader() as connection:
        found = connection.execute("SELECT epoch(source_ts) FROM vae_synthetic_samples ORDER BY sample").fetchall()
    times = np.asarray([int(row[0]) for row in found], dtype=np.int64)
    return WeightedRows(made.users, made.items, made.labels, times, weight)


def _users_gone(shop: Shop) -> list[str]:
    """Users with a vector of their own who are in the shop no longer."""
    from fashionrec_assets.towers.ncf.model import CONFIG

    learned = json.loads((shop.current(MODEL.name) / CONFIG).read_text("utf-8"))["user_ids"]
    with shop.warehouse.reader() as connection:
        found = connection.execute(
            "SELECT name FROM (SELECT unnest(?) AS name) WHERE name NOT IN (SELECT user_id FROM users) ORDER BY 1",
            [learned],
        )
        return [row[0] for row in found.fetchall()]


def _forget(shop: Shop, planned: ModelPlan, users: list[str]) -> None:
    """Take deleted items and users out of the model's vocabularies; everyone else's vector stays as it is."""
    import numpy as np

    from fashionrec_assets.towers.ncf.model import Ncf

    old = shop.current(MODEL.name)
    model = Ncf.load(old).forget(np.asarray(planned.gone, dtype=np.str_), np.asarray(users, dtype=np.str_))
    renamed = f"{shop.model_id(MODEL.name)}.{digest([model.item_ids.tolist(), model.user_ids.tolist()])[:8]}"
    with shop.artifacts.write(MODEL.name, renamed) as folder:
        model.save(folder)
        (folder / SUMMARY).write_bytes((old / SUMMARY).read_bytes())
    with shop.warehouse.writer() as connection:
        ledger.forget_training_rows(connection, planned, renamed)
