"""Checks of the explanations.

Belongs here: results for Dagster. Does not belong here: how claims are looked up (`lookup.py`) or judged
(`verifier.py`).
"""

from __future__ import annotations

from dataclasses import asdict

import dagster as dg

from fashionrec_assets.recommendations.explanations.lookup import look_up
from fashionrec_assets.recommendations.explanations.reading import recommended
from fashionrec_assets.recommendations.explanations.tables import EXPLANATIONS
from fashionrec_assets.resources.glue import ShopParam, error, table_checks, table_of
from fashionrec_assets.storage.warehouse import one_row

SAMPLE = 2_000


@dg.asset_check(
    asset="explanations",
    blocking=True,
    description="What published claims state is found again in the warehouse, by SQL that knows nothing of how it was "
    f"found the first time; for {SAMPLE:,} explanations of all surfaces and kinds.",
)
def claims_hold_in_the_warehouse(shop: ShopParam) -> dg.AssetCheckResult:
    found = look_up(shop, SAMPLE)
    claims, wrong = sum(one.claims for one in found), sum(one.wrong for one in found)
    said = f"{claims} claims looked up, {wrong} of them contradicted"
    return error(wrong == 0, said, claims=claims, wrong=wrong, kinds=table_of([asdict(one) for one in found]))


@dg.asset_check(
    asset="explanations", blocking=True, description="Every recommendation of a product has its text, and no other."
)
def every_recommendation_is_explained(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        missing, stray = one_row(
            connection,
            f"SELECT count(*) FILTER (texts.text IS NULL), count(*) FILTER (shown.place IS NULL) "
            f"FROM ({recommended()}) shown FULL JOIN explanations texts USING (surface, subject, item_id)",
        )
    said = f"{missing} recommendations without a text, {stray} texts without a recommendation"
    return error(not missing and not stray, said, missing=missing, stray=stray)


CHECKS = [
    claims_hold_in_the_warehouse,
    every_recommendation_is_explained,
    *table_checks(EXPLANATIONS, "explanations"),
]
