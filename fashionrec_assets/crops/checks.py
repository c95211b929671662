"""Checks of the crops room."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.crops.assets import CROP_COLUMNS, STAGE
from fashionrec_assets.crops.tables import CROPS
from fashionrec_assets.resources.glue import ShopParam, error, ledger_matches_files, table_checks, warn
from fashionrec_assets.storage.warehouse import one_row

MOST_FALLBACKS = 0.5


@dg.asset_check(
    asset="grounded_crops", blocking=True, description="Every crop box lies inside its photo and has an area."
)
def boxes_lie_inside_photos(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        outside = one_row(
            connection,
            """
            SELECT count(*), any_value(item_id) FROM crops
            WHERE x0 < 0 OR y0 < 0 OR x1 > photo_width OR y1 > photo_height OR x1 <= x0 OR y1 <= y0
            """,
        )
    count, example = outside or (0, None)
    return error(
        count == 0, f"{count} boxes outside their photo" + (f", e.g. {example}" if count else ""), outside=count
    )


@dg.asset_check(
    asset="grounded_crops", description=f"At most {MOST_FALLBACKS:.0%} of photos fall back to the whole image."
)
def few_fallbacks(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        row = one_row(connection, "SELECT count(*), count(*) FILTER (method = 'whole_image') FROM crops")
    total, fallbacks = row
    share = fallbacks / total if total else 0.0
    return warn(
        share <= MOST_FALLBACKS, f"{fallbacks} of {total} photos ({share:.1%}) kept whole", fallback_share=share
    )


CHECKS = [
    boxes_lie_inside_photos,
    few_fallbacks,
    ledger_matches_files(STAGE, "grounded_crops", lambda shop: shop.store("crops", CROP_COLUMNS)),
    *table_checks(CROPS, "grounded_crops"),
]
