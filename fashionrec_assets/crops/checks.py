"""Checks of the crops room."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.crops.assets import CROP_COLUMNS, STAGE
from fashionrec_assets.crops.rates import EVERY_TYPE, FEWEST, SMALLEST_JUMP, jumps, rates
from fashionrec_assets.crops.tables import AT_WORK, CROPS, RATES
from fashionrec_assets.resources.glue import ShopParam, error, ledger_matches_files, table_checks, table_of, warn
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


@dg.asset_check(
    asset="grounded_crops",
    description=f"No type's photos of the last run are kept whole more often than those before it: by "
    f"{SMALLEST_JUMP:.0%} or more, and by more than chance explains, among {FEWEST} photos or more.",
)
def fallbacks_did_not_jump(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        found = rates(connection)
    jumped = jumps(found)
    if not any(rate.before for rate in found):
        return warn(True, "nothing to compare with before the second run")
    shown = [
        {
            "type": rate.kind,
            "kept whole before": f"{rate.before_whole} of {rate.before}",
            "kept whole in the last run": f"{rate.fresh_whole} of {rate.fresh}",
            "chance of that": f"{chance:.1g}",
        }
        for rate, chance in jumped
    ]
    said = ", ".join(
        f"{rate.kind} {rate.before_whole / rate.before:.0%} → {rate.fresh_whole / rate.fresh:.0%}"
        for rate, _ in jumped[:5]
    )
    overall = next(rate for rate in found if rate.kind == EVERY_TYPE)
    return warn(
        not jumped,
        f"kept whole more often than before: {said}" if jumped else f"no type among {overall.fresh} photos",
        jumps=table_of(shown),
    )


CHECKS = [
    boxes_lie_inside_photos,
    few_fallbacks,
    fallbacks_did_not_jump,
    ledger_matches_files(STAGE, "grounded_crops", lambda shop: shop.store("crops", CROP_COLUMNS)),
    *(check for table in (CROPS, RATES, AT_WORK) for check in table_checks(table, "grounded_crops")),
]
