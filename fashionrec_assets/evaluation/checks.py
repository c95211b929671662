"""Checks of the evaluation room."""

from __future__ import annotations

import json
from collections.abc import Sequence

import dagster as dg

from fashionrec_assets.evaluation.assets import NCF_PLANNED, PREVIOUS, RETRIEVAL_PREVIOUS
from fashionrec_assets.evaluation.published import published_figures
from fashionrec_assets.evaluation.tables import (
    NCF_ABLATIONS,
    RANKING_ABLATIONS,
    RANKING_REPORT,
    RETRIEVAL_REPORT,
    TECHNIQUE_EFFECTS,
)
from fashionrec_assets.resources.glue import ShopParam, error, table_checks, table_of, warn
from fashionrec_assets.resources.shop import Shop

HEADLINES = ("ranking.late_fusion.ndcg@20", "ranking.two_tower.ndcg@20")
"""Of the ranking that is served."""
RETRIEVAL_HEADLINES = tuple(f"retrieval.{arm}.text_to_image.hits@5" for arm in ("full", "grounded+clarified"))
"""Of the model that is served: fine-tuned, or as it came."""


@dg.asset_check(asset="ranking_report", description="The model's NDCG@20 is not below the last report's interval.")
def report_has_not_regressed(shop: ShopParam) -> dg.AssetCheckResult:
    return _not_regressed(shop, PREVIOUS, HEADLINES)


@dg.asset_check(
    asset="retrieval_report", description="Text to image HITS@5 of the model is not below the last report's interval."
)
def retrieval_has_not_regressed(shop: ShopParam) -> dg.AssetCheckResult:
    return _not_regressed(shop, RETRIEVAL_PREVIOUS, RETRIEVAL_HEADLINES)


def _not_regressed(shop: Shop, previous: str, headlines: Sequence[str]) -> dg.AssetCheckResult:
    path = shop.reports / previous
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    figures = published_figures(shop.reports)
    headline = next((key for key in headlines if key in figures and f"{key}.low" in before), None)
    if headline is None:
        return warn(True, "there is no earlier report to compare with")
    now, floor = figures[headline], before[f"{headline}.low"]
    return warn(
        now >= floor, f"{headline} is {now:.4f}; the last report's interval began at {floor:.4f}", now=now, floor=floor
    )


@dg.asset_check(asset="retrieval_report", description="No technique of the content half is judged to do harm.")
def no_technique_harms(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT technique, verdict FROM technique_effects WHERE verdict IS NOT NULL AND judgement = 'harms' "
            "ORDER BY 1"
        ).fetchall()
    harmful = ", ".join(name for name, _ in rows)
    said = [{"technique": name, "verdict": text} for name, text in rows]
    return warn(not rows, f"harms: {harmful}" if rows else "none does harm", verdicts=table_of(said))


@dg.asset_check(asset="ranking_report", description="The model's NDCG@20 is not below that of the blend of baselines.")
def model_beats_the_blend(shop: ShopParam) -> dg.AssetCheckResult:
    figures = published_figures(shop.reports)
    headline, blend = next((key for key in HEADLINES if key in figures), None), figures.get("ranking.blend.ndcg@20")
    if headline is None or blend is None:
        return warn(False, "the report has no figures for the model and the blend")
    model = figures[headline]
    return warn(model >= blend, f"{headline} is {model:.4f}, the blend's {blend:.4f}", model=model, blend=blend)


@dg.asset_check(asset="ncf_ablations", description="VAE samples in the training data are nowhere judged to do harm.")
def vae_pays(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT variant, technique, judgement, difference, difference_low, difference_high FROM ncf_ablations "
            "WHERE subject = 'vae' AND slice = 'overall' AND metric = 'ndcg' ORDER BY variant"
        ).fetchall()
    harmful = [row for row in rows if row[2] == "harms"]
    if not rows:
        return warn(True, "no experiment with VAE samples was run")
    columns = ("variant", "technique", "judgement", "difference in NDCG", "low", "high")
    said: list[dict[str, object]] = [dict(zip(columns, row, strict=True)) for row in rows]
    words = f"do harm: {'; '.join(row[1] for row in harmful)}; set synthesis.degree to 0, or see the diagnosis"
    paying = sum(row[2] == "pays" for row in rows)
    passed = f"do no harm; they pay in {paying} of {len(rows)} comparisons"
    return warn(not harmful, words if harmful else passed, comparisons=table_of(said))


@dg.asset_check(asset="ncf_ablations", description="Every variant of the study has figures, or a note says why not.")
def ncf_ablations_complete(shop: ShopParam) -> dg.AssetCheckResult:
    path = shop.reports / NCF_PLANNED
    if not path.exists():
        return error(False, "there is no study yet: materialize ncf_ablations")
    found = json.loads(path.read_text("utf-8"))
    with shop.warehouse.reader() as connection:
        there = {row[0] for row in connection.execute("SELECT DISTINCT variant FROM ncf_ablations").fetchall()}
    missing = [name for name in found["planned"] if name not in there and name not in found["left_out"]]
    left_out = [{"variant": name, "why": why} for name, why in found["left_out"].items()]
    words = f"{len(found['planned'])} variants, {len(left_out)} left out with a reason"
    return error(
        not missing,
        f"no figures and no reason: {', '.join(missing)}; materialize ncf_ablations again" if missing else words,
        left_out=table_of(left_out),
    )


CHECKS = [
    report_has_not_regressed,
    model_beats_the_blend,
    retrieval_has_not_regressed,
    no_technique_harms,
    vae_pays,
    ncf_ablations_complete,
    *table_checks(RANKING_REPORT, "ranking_report"),
    *table_checks(RANKING_ABLATIONS, "ranking_ablations"),
    *table_checks(NCF_ABLATIONS, "ncf_ablations"),
    *table_checks(RETRIEVAL_REPORT, "retrieval_report"),
    *table_checks(TECHNIQUE_EFFECTS, "retrieval_report"),
]
