"""Checks of the descriptions room."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.descriptions.tables import DESCRIPTIONS, LLM_BATCHES, LLM_DESCRIPTIONS
from fashionrec_assets.resources.glue import ShopParam, error, table_checks, warn
from fashionrec_assets.storage.warehouse import one_row

MOST_EMPTY = 0.05
MOST_FALLBACKS = 0.05


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


@dg.asset_check(
    asset="clarified_descriptions",
    description=f"At most {MOST_FALLBACKS:.0%} of the items a language model was to describe have the fallback text.",
)
def few_fallbacks(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT status, reason, count(*) FROM llm_descriptions GROUP BY ALL ORDER BY 3 DESC, 2"
        ).fetchall()
    total = sum(count for *_, count in rows)
    fallbacks = [(status, reason, count) for status, reason, count in rows if status != "written"]
    share = sum(count for *_, count in fallbacks) / total if total else 0.0
    waiting = sum(count for status, _, count in fallbacks if status == "waiting")
    said = "no item was given to a language model" if not total else f"{share:.1%} of {total} items have the fallback"
    said += "".join(f"; {reason}: {count}" for _, reason, count in fallbacks)
    said += f". The next run goes on with {waiting} of them" if waiting else ""
    return warn(share <= MOST_FALLBACKS, said, share=share, waiting=waiting)


CHECKS = [
    every_item_is_described,
    few_empty_descriptions,
    few_fallbacks,
    *table_checks(DESCRIPTIONS, "clarified_descriptions"),
    *table_checks(LLM_BATCHES, "clarified_descriptions"),
    *table_checks(LLM_DESCRIPTIONS, "clarified_descriptions"),
]
