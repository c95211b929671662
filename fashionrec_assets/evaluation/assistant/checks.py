"""Checks of the assistant's report."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.evaluation.published import published_figures
from fashionrec_assets.resources.glue import ShopParam, error

KEPT = "assistant.constraints_kept"


@dg.asset_check(
    asset="assistant_report",
    description="Every item the assistant showed satisfies the constraints it read, as others checked it.",
)
def answers_keep_their_constraints(shop: ShopParam) -> dg.AssetCheckResult:
    kept = published_figures(shop.reports).get(KEPT)
    if kept is None:
        return error(True, "no items were shown: there was nothing to check")
    return error(kept == 1.0, f"{kept:.2%} of the items shown satisfy every constraint", share=kept)


CHECKS = [answers_keep_their_constraints]
