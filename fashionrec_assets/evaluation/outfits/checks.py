"""Checks of the report about matching recommendations.

Belongs here: what must hold of the figures. Does not belong here: figures.
"""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.evaluation.outfits.methods import CATEGORY, COUNTS
from fashionrec_assets.evaluation.outfits.tables import OUTFIT_REPORT
from fashionrec_assets.resources.glue import ShopParam, table_checks, warn


@dg.asset_check(
    asset="outfit_report",
    description="The outfit model is not beaten by co-purchase counts or by popularity within fitting categories.",
)
def the_outfit_model_is_worth_having(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT setting, method, ahead, ahead_low, ahead_high FROM outfit_report WHERE metric = 'recall' "
            "AND method IN (?, ?) ORDER BY setting, method",
            [COUNTS, CATEGORY],
        ).fetchall()
    beaten = [f"{method} ({setting})" for setting, method, _, _, high in rows if high < 0]
    told = "; ".join(
        f"{setting}, {method}: {ahead:+.4f}, {low:+.4f} to {high:+.4f}" for setting, method, ahead, low, high in rows
    )
    return warn(not beaten, told or "no basket to measure on", beaten=", ".join(beaten) or None)


CHECKS = [the_outfit_model_is_worth_having, *table_checks(OUTFIT_REPORT, "outfit_report")]
