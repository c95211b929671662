"""Checks of the descriptions room."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.descriptions.tables import DESCRIPTIONS
from fashionrec_assets.resources.glue import ShopParam, error, table_checks, warn
from fashionrec_assets.storage.warehouse import one_row

MOST_EMPTY = 0.05


@dg.asset_check(
    asset="clarified_descriptions", blocking=True, description="Every item of the catalog has a description."
)
def every_item_is_described(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        row = one_row(
            connection,
            "SELECT count(*), any_value(item_id) FROM items WHERE item_id NOT IN (SELECT item_id FROM descriptions)",
        )
    missing, example = row
    return error(missing == 0, f"{missing} items without a description" + (f", e.g. {example}" if missing else ""))


@dg.asset_check(
    asset="clarified_descriptions",
    description=f"At most {MOST_EMPTY:.0%} of descriptions say nothing about their item.",
)
def few_empty_descriptions(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        row = one_row(connection, "SELECT count(*), count(*) FILTER (len(attributes) = 0) FROM descriptions")
    total, empty = row
    share = empty / total if total else 0.0
    return warn(share <= MOST_EMPTY, f"{empty} of {total} descriptions ({share:.1%}) have no attribute", share=share)


CHECKS = [every_item_is_described, few_empty_descriptions, *table_checks(DESCRIPTIONS, "clarified_descriptions")]
