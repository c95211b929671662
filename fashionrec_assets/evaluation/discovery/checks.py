"""Checks of the discovery report."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.evaluation.discovery.tables import DISCOVERY_REPORT
from fashionrec_assets.evaluation.published import published_figures
from fashionrec_assets.resources.glue import ShopParam, error, table_checks, warn


@dg.asset_check(
    asset="discovery_report",
    description="Turning the exploration dial up makes no user's picks more relevant or less novel.",
)
def exploration_is_monotone(shop: ShopParam) -> dg.AssetCheckResult:
    broken = published_figures(shop.reports).get("discovery.exploration.broken")
    if broken is None:
        return error(False, "no discovery report has been published: materialize discovery_report")
    return error(broken == 0, f"{broken:g} steps of users go the wrong way", broken=broken)


@dg.asset_check(asset="discovery_report", description="No step of a curve goes against its way by more than chance.")
def curves_go_their_way(shop: ShopParam) -> dg.AssetCheckResult:
    figures = published_figures(shop.reports)
    found = {dial: figures.get(f"discovery.{dial}.inversions", 0.0) for dial in ("diversity", "exploration")}
    said = ", ".join(f"{dial}: {count:g}" for dial, count in found.items())
    return warn(not any(found.values()), f"steps against the expected way by more than chance: {said}", **found)


CHECKS = [exploration_is_monotone, curves_go_their_way, *table_checks(DISCOVERY_REPORT, "discovery_report")]
