"""Checks of the recommendations room."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.catalog.reading import interactions_file
from fashionrec_assets.recommendations.tables import HOMEPAGE, POPULAR_ITEMS, SIMILAR_ITEMS
from fashionrec_assets.resources.glue import ShopParam, error, table_checks
from fashionrec_assets.storage.warehouse import one_row


@dg.asset_check(asset="homepage", blocking=True, description="Every page is ranked from 1 without gaps.")
def pages_are_ranked_without_gaps(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        row = one_row(
            connection,
            "SELECT count(*) FROM (SELECT user_id FROM homepage GROUP BY user_id "
            "HAVING max(rank) <> count(*) OR min(rank) <> 1)",
        )
    broken = row[0]
    return error(broken == 0, f"{broken} pages with a gap in their ranks", broken=broken)


@dg.asset_check(
    asset="homepage", blocking=True, description="Every event a row rests on is in the interactions, as it is told."
)
def evidence_is_in_the_log(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        row = one_row(
            connection,
            """
            WITH told AS (
                SELECT user_id, unnest(evidence_items) AS item_id, unnest(evidence_behaviours) AS behaviour,
                       unnest(evidence_times) AS ts
                FROM homepage
            )
            SELECT count(*), count(*) FILTER (log.user_id IS NULL)
            FROM (SELECT DISTINCT * FROM told) told
            LEFT JOIN read_parquet(?) log USING (user_id, item_id, behaviour, ts)
            """,
            [str(interactions_file(shop))],
        )
    told, invented = row
    return error(
        invented == 0, f"{told} events cited, {invented} of them not in the log", cited=told, invented=invented
    )


CHECKS = [
    pages_are_ranked_without_gaps,
    evidence_is_in_the_log,
    *table_checks(HOMEPAGE, "homepage"),
    *table_checks(POPULAR_ITEMS, "homepage"),
    *table_checks(SIMILAR_ITEMS, "similar_items"),
]
