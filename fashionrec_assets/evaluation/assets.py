"""Assets of the evaluation room.

Belongs here: gathering what is measured, one call, writing, and what the UI shows. Does not belong here: metrics,
baselines, layout.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from fashionrec_assets.catalog.reading import cuts, event_log, launched
from fashionrec_assets.evaluation.ablation_inputs import work_folder
from fashionrec_assets.evaluation.ncf.study import work_folder as ncf_work_folder
from fashionrec_assets.evaluation.published import publish_figures, published_figures
from fashionrec_assets.evaluation.sample_truth import truth_folder
from fashionrec_assets.evaluation.tables import (
    NCF_ABLATIONS,
    RANKING_ABLATIONS,
    RANKING_REPORT,
    RETRIEVAL_REPORT,
    TECHNIQUE_EFFECTS,
)
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop, StageRun
from fashionrec_assets.storage.files import write_bytes, write_text
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.tables import Table
from fashionrec_assets.storage.warehouse import one_row, replace_rows
from fashionrec_assets.towers.reading import EVALUATION, SELECTION, item_features, user_profiles

if TYPE_CHECKING:
    from fashionrec_assets.catalog.event_log import EventLog
    from fashionrec_assets.catalog.ranking_task import RankingTask
    from fashionrec_assets.evaluation.baselines.oracle import Oracle
    from fashionrec_assets.evaluation.ranking_inputs import TowerInputs
    from fashionrec_assets.evaluation.ranking_report import LearningCurve, RankingReport
    from fashionrec_assets.evaluation.recommender import Entrant
    from fashionrec_assets.evaluation.retrieval_report import RetrievalReport

RANKING = Stage("ranking_report", "report", version="2", settings=("evaluation", "seed"))
ABLATIONS = Stage(
    "ranking_ablations",
    "report",
    version="1",
    settings=(
        "two_tower",
        "seed",
        *(
            f"evaluation.{name}"
            for name in (
                "k",
                "target_behaviours",
                "bootstrap",
                "max_users",
                "ablations",
                "ablation_users",
                "ablation_events",
                "ablation_epochs",
            )
        ),
    ),
)
NCF = Stage(
    "ncf_ablations",
    "report",
    version="2",
    settings=(
        "ncf",
        "synthesis",
        "seed",
        *(
            f"evaluation.{name}"
            for name in (
                "k",
                "target_behaviours",
                "bootstrap",
                "max_cold_users",
                "ablation_users",
                "ablation_events",
                "ablation_epochs",
                "ncf_experiments",
                "ncf_grid",
                "ncf_seeds",
                "ncf_users",
            )
        ),
    ),
)
RETRIEVAL = Stage("retrieval_report", "report", version="1", settings=("retrieval", "evaluation.bootstrap", "seed"))
PREVIOUS = "ranking.previous.json"
RETRIEVAL_PREVIOUS = "retrieval.previous.json"
NCF_PLANNED = "ncf_ablations.planned.json"
"""The variants the last study planned, and why some were left out."""


@dg.asset(
    **asset_spec(
        RANKING,
        group="evaluation",
        deps=[
            "two_tower_model",
            "late_fusion_model",
            "ncf_model",
            "item_vectors",
            "interactions",
            "users",
            "splits",
            "items",
        ],
        kinds={"duckdb", "python"},
        tables=[RANKING_REPORT],
    )
)
def ranking_report(shop: ShopParam) -> dg.MaterializeResult:
    """Late fusion, the two-tower model and the baselines on the held-out test days, with intervals and a verdict."""
    from fashionrec_assets.evaluation.ranking_page import ranking_page
    from fashionrec_assets.evaluation.render import write_page

    with shop.stage(RANKING) as run:
        page = shop.reports / "ranking.html"
        plan = run.plan_whole(
            {
                **{
                    name: shop.version(name)
                    for name in ("interactions_file", "users_file", "two_tower_model", "late_fusion_model", "ncf_model")
                },
                **{name: shop.digest(name) for name in ("splits", "items", "item_vectors")},
            },
            exists=page.exists(),
        )
        if plan.todo:
            report = _measure(shop, run)
            before = published_figures(shop.reports)
            write_page(ranking_page(report), shop.reports, "ranking")
            write_text(shop.reports / PREVIOUS, json.dumps(before, indent=2, sort_keys=True))
            publish_figures(shop.reports, "ranking", report.figures())
            rows = pa.Table.from_pylist(report.records())
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}) as connection:
                replace_rows(connection, RANKING_REPORT, rows)
        with shop.warehouse.reader() as connection:
            overall = connection.execute(
                "SELECT method, round(value, 4) AS 'NDCG@20', round(low, 4) AS low, round(high, 4) AS high, users "
                "FROM ranking_report WHERE slice = 'overall' AND metric = 'ndcg' AND k = 20 ORDER BY value DESC"
            ).fetch_df()
            count = one_row(connection, "SELECT count(*) FROM ranking_report")
        return materialized(
            run,
            rows=count[0],
            ndcg_at_20=table_of(overall.to_dict("records")),
            **_published(shop, "ranking"),
        )


@dg.asset(
    **asset_spec(
        ABLATIONS,
        group="evaluation",
        deps=["two_tower_model", "interactions", "users", "splits", "items"],
        kinds={"duckdb", "pytorch"},
        tables=[RANKING_ABLATIONS],
    )
)
def ranking_ablations(shop: ShopParam) -> dg.MaterializeResult:
    """Reduced two-tower models, each with one choice turned: what fusion, loss, negatives and modalities add.

    They are trained again when the two-tower model is, on a sample of people and of epochs.
    """
    with shop.stage(ABLATIONS) as run:
        page = shop.reports / "ablations.html"
        plan = run.plan_whole({"two_tower_model": shop.model_id("two_tower_model")}, exists=page.exists())
        if plan.todo:
            records = _ablate(shop, run)
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}) as connection:
                replace_rows(connection, RANKING_ABLATIONS, _rows(RANKING_ABLATIONS, records))
            shutil.rmtree(work_folder(shop), ignore_errors=True)
        with shop.warehouse.reader() as connection:
            found = connection.execute(
                "SELECT variant, round(value, 4) AS ndcg, judgement, round(difference, 4) AS difference, "
                "round(difference_low, 4) AS low, round(difference_high, 4) AS high "
                "FROM ranking_ablations WHERE metric = 'ndcg' ORDER BY axis <> 'reference', value DESC"
            ).fetch_df()
            count = one_row(connection, "SELECT count(*) FROM ranking_ablations")
        plot = shop.reports / "ablations.effects.png"
        return materialized(
            run,
            rows=count[0],
            effects=picture(plot.read_bytes(), "gain in NDCG of each technique") if plot.exists() else None,
            variants=table_of(found.to_dict("records")),
            **_published(shop, "ablations"),
        )


@dg.asset(
    **asset_spec(
        NCF,
        group="evaluation",
        deps=[
            "ncf_model",
            "vae_model",
            "text_tokens",
            "image_tokens",
            "avatar_vectors",
            "text_embeddings",
            "image_embeddings",
            "interactions",
            "users",
            "splits",
            "items",
        ],
        kinds={"duckdb", "pytorch"},
        tables=[NCF_ABLATIONS],
    )
)
def ncf_ablations(shop: ShopParam) -> dg.MaterializeResult:
    """Reduced NCF models in six experiments: what VAE samples, fusion, alignment and neural matching add, and to whom.

    They are trained again when the NCF model is, on a sample of people and of epochs.
    """
    with shop.stage(NCF) as run:
        page = shop.reports / "ncf_ablations.html"
        plan = run.plan_whole({"ncf_model": shop.model_id("ncf_model")}, exists=page.exists())
        if plan.todo:
            records = _study(shop, run)
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}) as connection:
                replace_rows(connection, NCF_ABLATIONS, _rows(NCF_ABLATIONS, records))
            shutil.rmtree(ncf_work_folder(shop.home), ignore_errors=True)
        with shop.warehouse.reader() as connection:
            found = connection.execute(
                "SELECT experiment, technique, round(difference, 4) AS difference, round(difference_low, 4) AS low, "
                "round(difference_high, 4) AS high, judgement FROM ncf_ablations "
                "WHERE slice = 'overall' AND metric = 'ndcg' AND reference IS NOT NULL ORDER BY experiment, variant"
            ).fetch_df()
            count = one_row(connection, "SELECT count(*) FROM ncf_ablations")
        plot = shop.reports / "ncf_ablations.effects.png"
        return materialized(
            run,
            rows=count[0],
            effects=picture(plot.read_bytes(), "gain in NDCG of VAE samples") if plot.exists() else None,
            techniques=table_of(found.to_dict("records")),
            **_published(shop, "ncf_ablations"),
        )


@dg.asset(
    **asset_spec(
        RETRIEVAL,
        group="evaluation",
        deps=["clip_model", "clip_arms", "grounded_crops", "clarified_descriptions", "items"],
        kinds={"duckdb", "python"},
        tables=[RETRIEVAL_REPORT, TECHNIQUE_EFFECTS],
    )
)
def retrieval_report(shop: ShopParam) -> dg.MaterializeResult:
    """What the image model finds on held-out items with each technique on and off, and which technique pays."""
    from fashionrec_assets.evaluation.retrieval_inputs import fields_digest

    with shop.stage(RETRIEVAL) as run:
        page = shop.reports / "retrieval.html"
        plan = run.plan_whole(
            {
                **{name: shop.version_or_none(name) for name in ("clip_model", "clip_arms")},
                **{name: shop.digest(name) for name in ("grounded_crops", "clarified_descriptions")},
                "fields": fields_digest(shop),
            },
            exists=page.exists(),
        )
        examples = shop.reports / "retrieval.examples.png"
        if plan.todo:
            report = _retrieve(shop, run)
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}) as connection:
                replace_rows(connection, RETRIEVAL_REPORT, _rows(RETRIEVAL_REPORT, report.records()))
                replace_rows(connection, TECHNIQUE_EFFECTS, _rows(TECHNIQUE_EFFECTS, report.effect_records()))
        with shop.warehouse.reader() as connection:
            effects = connection.execute(
                "SELECT technique, round(difference, 4) AS 'difference in HITS@5', round(low, 4) AS low, "
                "round(high, 4) AS high, judgement FROM technique_effects WHERE slice = 'all' "
                "AND task = 'text_to_image' AND metric = 'hits' AND setting = 'added_last' ORDER BY 1"
            ).fetch_df()
            count = one_row(connection, "SELECT count(*) FROM retrieval_report")
        return materialized(
            run,
            rows=count[0],
            techniques=table_of(effects.to_dict("records")),
            worked_examples=picture(examples.read_bytes(), "queries and their five best")
            if examples.exists()
            else None,
            **_published(shop, "retrieval"),
        )


def _published(shop: Shop, name: str) -> dict[str, dg.MetadataValue]:
    """The page `name` of the reports, as text and by its place."""
    return {
        "report": dg.MetadataValue.md((shop.reports / f"{name}.md").read_text("utf-8")),
        "page": dg.MetadataValue.path((shop.reports / f"{name}.html").resolve()),
    }


def _ablate(shop: Shop, run: StageRun) -> Sequence[Mapping[str, object]]:
    """Train and judge the grid, and write the page, the figures and the plot. Returns the table's rows."""
    from fashionrec_assets.evaluation.ablation_inputs import measure_ablations
    from fashionrec_assets.evaluation.ablation_page import ablation_page, effects_picture, off_page
    from fashionrec_assets.evaluation.render import write_page

    grid, plot = shop.settings.evaluation.ablations, shop.reports / "ablations.effects.png"
    if grid == "off":
        plot.unlink(missing_ok=True)
        write_page(off_page(), shop.reports, "ablations")
        publish_figures(shop.reports, "ablations", {})
        return []
    report = measure_ablations(shop, grid, run.progress)
    write_page(ablation_page(report), shop.reports, "ablations")
    write_bytes(plot, effects_picture(report))
    publish_figures(shop.reports, "ablations", report.flat())
    return report.records()


def _study(shop: Shop, run: StageRun) -> Sequence[Mapping[str, object]]:
    """Run and judge the experiments, and write the page, the figures, the plan and the plot. Returns table rows."""
    from fashionrec_assets.evaluation.ncf.page import effects_picture, ncf_page, off_page
    from fashionrec_assets.evaluation.render import write_page

    plot = shop.reports / "ncf_ablations.effects.png"
    plot.unlink(missing_ok=True)
    if not shop.settings.evaluation.ncf_experiments:
        write_page(off_page(), shop.reports, "ncf_ablations")
        publish_figures(shop.reports, "ncf_ablations", {})
        write_text(shop.reports / NCF_PLANNED, json.dumps({"planned": [], "left_out": {}}))
        return []
    from fashionrec_assets.evaluation.ncf.inputs import measure_ncf

    report = measure_ncf(shop, run.progress)
    write_page(ncf_page(report), shop.reports, "ncf_ablations")
    if drawn := effects_picture(report):
        write_bytes(plot, drawn)
    publish_figures(shop.reports, "ncf_ablations", report.flat())
    write_text(shop.reports / NCF_PLANNED, json.dumps(report.completeness(), indent=2))
    return report.records()


def _rows(table: Table, records: Sequence[Mapping[str, object]]) -> pa.Table:
    return pa.table({name: [record[name] for record in records] for name in table.column_names})


def _retrieve(shop: Shop, run: StageRun) -> RetrievalReport:
    """Measure, and write the page, the figures and the sheet of examples."""
    from fashionrec_assets.evaluation.render import write_page
    from fashionrec_assets.evaluation.retrieval_inputs import example_strips, measure_retrieval
    from fashionrec_assets.evaluation.retrieval_page import retrieval_page
    from fashionrec_assets.evaluation.worked_examples import write_sheet

    report, held_out = measure_retrieval(shop, run.progress)
    strips = example_strips(shop, report, held_out)
    before = published_figures(shop.reports)
    write_page(retrieval_page(report, strips), shop.reports, "retrieval")
    write_sheet(shop.reports / "retrieval.examples.png", [example.text for example in report.examples], strips)
    write_text(shop.reports / RETRIEVAL_PREVIOUS, json.dumps(before, indent=2, sort_keys=True))
    publish_figures(shop.reports, "retrieval", report.figures())
    return report


def _measure(shop: Shop, run: StageRun) -> RankingReport:
    from fashionrec_assets.catalog.ranking_task import ranking_tasks
    from fashionrec_assets.evaluation.baselines.suite import fit_baselines
    from fashionrec_assets.evaluation.late_fusion_inputs import late_fusion_inputs
    from fashionrec_assets.evaluation.ncf.inputs import ncf_entrant
    from fashionrec_assets.evaluation.ranking_inputs import (
        conversion_scores,
        list_views,
        modality_weights,
        seed_runs,
    )
    from fashionrec_assets.evaluation.ranking_report import evaluate
    from fashionrec_assets.ranking.reading import item_texts

    settings = shop.settings
    log = event_log(shop)
    validation, test = ranking_tasks(
        log,
        cuts(shop),
        launched_at=launched(shop),
        target_behaviours=settings.evaluation.target_behaviours,
        max_users=settings.evaluation.max_users,
        max_cold_users=settings.evaluation.max_cold_users,
        seed=settings.seed,
    )
    baselines = fit_baselines(validation, test, item_texts(shop), settings.evaluation, seed=settings.seed)
    model, curve, tower = _two_tower(shop, test)
    fusion, heads = late_fusion_inputs(shop, test), conversion_scores(tower, test)
    return evaluate(
        test,
        [*fusion.entrants, model, ncf_entrant(shop, test), *baselines.entrants],
        settings.evaluation,
        oracle=_oracle(shop, log),
        seed=settings.seed,
        notes=baselines.notes,
        blend_trials=baselines.blend_trials,
        learning_curves=[curve],
        extra_seeds=[*fusion.seeds, *seed_runs(shop, test, tower, run.progress)],
        behaviour_scores=[fusion.behaviours, *([heads] if heads else [])],
        modality_weights=modality_weights(tower, test),
        views=list_views(tower.features),
        progress=run.progress,
    )


def _two_tower(shop: Shop, test: RankingTask) -> tuple[Entrant, LearningCurve, TowerInputs]:
    from fashionrec_assets.evaluation.ranking_inputs import TowerInputs
    from fashionrec_assets.evaluation.ranking_report import LearningCurve
    from fashionrec_assets.evaluation.recommender import Entrant
    from fashionrec_assets.towers.artifact import TwoTower
    from fashionrec_assets.towers.recommender import TwoTowerRecommender

    folder = shop.current("two_tower_model")
    curve: dict[str, Any] = json.loads((folder / "curve.json").read_text("utf-8"))
    features = item_features(shop, test.history.item_ids.tolist())
    started = time.perf_counter()
    profiles = user_profiles(shop, test.history.user_ids.tolist())
    model = TwoTower.load(folder / EVALUATION)
    recommender = TwoTowerRecommender(model, test.history, features, as_of=test.start, profiles=profiles)
    encoding = time.perf_counter() - started
    training = sum(epoch["seconds"] for epoch in curve[SELECTION] + curve[EVALUATION])
    entrant = Entrant(
        recommender,
        training + encoding,
        "Two-tower",
        "A transformer over the user's recent events against text, image and ID of each item.",
        is_baseline=False,
    )
    epochs = curve[SELECTION]
    series = {
        "training loss": [epoch["loss"] for epoch in epochs],
        "validation NDCG@20": [epoch["ndcg"] for epoch in epochs],
    }
    learning = LearningCurve(
        "Two-tower: choosing the number of epochs", "epoch", [epoch["epoch"] for epoch in epochs], series
    )
    return entrant, learning, TowerInputs(model, features, profiles)


def _oracle(shop: Shop, log: EventLog) -> Oracle | None:
    folder = truth_folder(shop.settings)
    if folder is None:
        return None
    from fashionrec_assets.evaluation.baselines.oracle import Oracle
    from fashionrec_assets.sample.truth import load_truth

    truth = load_truth(folder)
    return Oracle(lambda rows: truth.utility(log.user_ids[rows].tolist(), log.item_ids.tolist()))
