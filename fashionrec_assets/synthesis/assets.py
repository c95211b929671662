"""Assets of the synthesis room.

Belongs here: reading the plan and the inputs, one call, writing, and what the UI shows. Does not belong here: models,
generators, figures.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg

from fashionrec_assets.catalog.reading import cuts, training_rows
from fashionrec_assets.plots import line_plot
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop, StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.warehouse import replace_rows
from fashionrec_assets.synthesis.augment import MODEL_SETTINGS
from fashionrec_assets.synthesis.reading import MODEL, SWEEP, Augmentation, SynthesisInputs, chosen_augmentation
from fashionrec_assets.synthesis.tables import VAE_SYNTHETIC_SAMPLES, samples_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fashionrec_assets.synthesis.conditional_vae import RowVae, VaeEpoch

MODEL_STAGE = Stage(
    MODEL,
    "model",
    version="1",
    settings=(*(f"synthesis.{name}" for name in MODEL_SETTINGS), "seed", "source", "splits"),
)
SAMPLES_STAGE = Stage(VAE_SYNTHETIC_SAMPLES.name, "table", version="1", settings=("seed", "source", "splits"))
QUALITY = "quality.json"
EXAMPLES = 10


@dg.asset(
    **asset_spec(
        MODEL_STAGE,
        group="synthesis",
        deps=["text_embeddings", "image_embeddings", "interactions", "splits", "items"],
        kinds={"pytorch"},
    )
)
def vae_model(shop: ShopParam) -> dg.MaterializeResult:
    """A conditional VAE over (user, item, preference), trained on what came before the test days.

    It is trained again when the encoders are, or once more than the tolerated share of the log has changed.
    """
    from fashionrec_assets.synthesis.conditional_vae import RowVae

    with shop.stage(MODEL_STAGE) as run:
        version = shop.version_or_none(MODEL)
        planned = run.plan_model(
            training_rows(shop, before=cuts(shop).test),
            tolerance=shop.settings.two_tower.retrain_share,
            exists=version is not None,
            text=shop.model_id("text_model"),
            image=shop.model_id("clip_model"),
        )
        if planned.plan.todo:
            model = _train(shop, run)
            with shop.artifacts.write(MODEL, model.model_id) as folder:
                model.save(folder)
            with shop.warehouse.writer() as connection:
                ledger.record_model(connection, planned, model.model_id)
        elif planned.gone and version is not None:
            # The model holds no item by name: what is forgotten of a deleted one is that it was trained on.
            with shop.warehouse.writer() as connection:
                ledger.forget_training_rows(connection, planned, version)
        shop.artifacts.prune(MODEL, [shop.version(MODEL)])
        found = RowVae.load(shop.current(MODEL))
        last = found.curve[-1]
        return materialized(
            run,
            model_id=found.model_id,
            epochs=len(found.curve),
            squared_error_of_the_item=round(last.item, 4),
            cross_entropy_of_the_preference=round(last.preference, 4),
            kl_nats=round(found.posterior.kl, 3),
            active_units=found.posterior.active,
            latent_units=found.posterior.latent,
            posterior=found.posterior.words,
            changed_share_since_training=0.0 if planned.plan.todo else round(planned.share, 4),
            learning_curve=picture(_plot(shop, found.curve), "reconstruction, KL and active units by epoch"),
        )


@dg.asset(
    **asset_spec(
        SAMPLES_STAGE,
        group="synthesis",
        deps=[MODEL, SWEEP, "interactions", "items", "splits"],
        kinds={"duckdb", "pytorch"},
        tables=[VAE_SYNTHETIC_SAMPLES],
    )
)
def vae_synthetic_samples(shop: ShopParam) -> dg.MaterializeResult:
    """Pseudo-labelled rows drawn from the VAE, as many as the settings say, else as the sweep found best.

    The best of the degrees that were tried, whether or not it pays: that is what the metadata says.
    """
    with shop.stage(SAMPLES_STAGE) as run:
        augmentation = chosen_augmentation(shop)
        plan = run.plan_whole(
            {
                "rows": training_rows(shop, before=cuts(shop).test),
                "content": [shop.digest(name) for name in ("text_embeddings", "image_embeddings", "items")],
                "amount": [augmentation.degree, augmentation.temperature],
            },
            exists=shop.version_or_none(SAMPLES_STAGE.name) is not None,
            vae=shop.version(MODEL),
        )
        if plan.todo:
            _draw(shop, run, plan, augmentation)
        shop.artifacts.prune(SAMPLES_STAGE.name, [shop.version(SAMPLES_STAGE.name)])
        quality = json.loads((shop.current(SAMPLES_STAGE.name) / QUALITY).read_text("utf-8"))
        figures = [
            {"figure": name, "value": None if value is None else float(value)} for name, value in quality.items()
        ]
        return materialized(
            run,
            rows=quality["rows"],
            degree_asked_for=augmentation.degree,
            temperature=augmentation.temperature,
            pays=augmentation.pays,
            quality=table_of(figures),
            examples=table_of(_examples(shop)),
        )


def _train(shop: Shop, run: StageRun) -> RowVae:
    from fashionrec_assets.synthesis.augment import generator_version
    from fashionrec_assets.synthesis.conditional_vae import train_row_vae

    inputs, settings, seed = SynthesisInputs.of(shop), shop.settings.synthesis, shop.settings.seed
    name = generator_version("vae", inputs.rows, inputs.content, settings, seed=seed)
    return train_row_vae(inputs.rows, inputs.content, settings, seed=seed, model_id=name, progress=run.progress)


def _draw(shop: Shop, run: StageRun, plan: ledger.Plan, augmentation: Augmentation) -> None:
    """Fill the table, and write what is measured of it."""
    from fashionrec_assets.synthesis.conditional_vae import RowVae, VaeGenerator
    from fashionrec_assets.synthesis.quality import measure

    inputs, seed = SynthesisInputs.of(shop), shop.settings.seed
    source = VaeGenerator(RowVae.load(shop.current(MODEL)), inputs.rows, inputs.content)
    count, temperature = round(augmentation.degree * len(inputs.rows)), augmentation.temperature
    made = source.draw(count, temperature=temperature, seed=seed)
    quality = measure(made, inputs.rows, inputs.content, seed=seed)
    table = samples_table(
        made, inputs.rows, inputs.log, temperature=temperature, generator=source.name, version=source.version
    )
    version = digest([plan.todo[WHOLE], plan.code_fp])[:16]
    with shop.artifacts.write(SAMPLES_STAGE.name, version) as folder:
        (folder / QUALITY).write_text(json.dumps(asdict(quality), indent=2), "utf-8")
    with run.commit(plan, {WHOLE: version}) as connection:
        replace_rows(connection, VAE_SYNTHETIC_SAMPLES, table)
    run.progress(len(made), count)


def _examples(shop: Shop) -> list[dict[str, object]]:
    with shop.warehouse.reader() as connection:
        found = connection.sql(
            f"""
            SELECT source.title AS source_item, source_label, generated.title AS generated_item,
                   round(label, 3) AS label
            FROM vae_synthetic_samples made
            JOIN items source ON source.item_id = made.source_item_id
            JOIN items generated ON generated.item_id = made.item_id
            ORDER BY sha256(CAST(sample AS VARCHAR)), sample LIMIT {EXAMPLES}
            """
        )
        return found.to_arrow_table().to_pylist()


def _plot(shop: Shop, curve: Sequence[VaeEpoch]) -> bytes:
    return line_plot(
        {
            "reconstruction": {
                "item, squared error / 2": [epoch.item for epoch in curve],
                "preference, cross-entropy": [epoch.preference for epoch in curve],
            },
            "KL in nats a row": {"KL": [epoch.kl for epoch in curve]},
            "active units": {"active": [epoch.active for epoch in curve]},
        },
        kept=shop.home / "cache" / "vae_model.png",
    )
