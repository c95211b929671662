"""Checks of the evaluation room."""

from __future__ import annotations

import json

import dagster as dg

from fashionrec_assets.evaluation.assets import PREVIOUS
from fashionrec_assets.evaluation.published import published_figures
from fashionrec_assets.evaluation.tables import RANKING_REPORT
from fashionrec_assets.resources.glue import ShopParam, table_checks, warn

HEADLINE = "ranking.two_tower.ndcg@20"


@dg.asset_check(asset="ranking_report", description="The model's NDCG@20 is not below the last report's interval.")
def report_has_not_regressed(shop: ShopParam) -> dg.AssetCheckResult:
    path = shop.reports / PREVIOUS
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    now = published_figures(shop.reports).get(HEADLINE)
    floor = before.get(f"{HEADLINE}.low")
    if now is None or floor is None:
        return warn(True, "there is no earlier report to compare with")
    return warn(
        now >= floor, f"NDCG@20 {now:.4f}; the last report's interval began at {floor:.4f}", now=now, floor=floor
    )


@dg.asset_check(asset="ranking_report", description="The model's NDCG@20 is not below that of the blend of baselines.")
def model_beats_the_blend(shop: ShopParam) -> dg.AssetCheckResult:
    figures = published_figures(shop.reports)
    model, blend = figures.get(HEADLINE), figures.get("ranking.blend.ndcg@20")
    if model is None or blend is None:
        return warn(False, "the report has no figures for the model and the blend")
    return warn(model >= blend, f"two-tower {model:.4f}, blend {blend:.4f}", two_tower=model, blend=blend)


CHECKS = [report_has_not_regressed, model_beats_the_blend, *table_checks(RANKING_REPORT, "ranking_report")]
