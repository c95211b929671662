"""Checks of style discovery."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.recommendations.styles.naming import MOST_OF
from fashionrec_assets.recommendations.styles.tables import ITEM_STYLES, STYLE_PICKS, STYLES, USER_STYLES
from fashionrec_assets.resources.glue import ShopParam, error, table_checks
from fashionrec_assets.storage.warehouse import one_row


@dg.asset_check(asset="styles", blocking=True, description="Every item of the catalog has exactly one style.")
def every_item_has_one_style(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        items, broken = one_row(
            connection,
            "SELECT count(*), count(*) FILTER (n <> 1) FROM ("
            "SELECT items.item_id, count(style_id) AS n FROM items LEFT JOIN item_styles USING (item_id) GROUP BY 1)",
        )
    return error(broken == 0, f"{items} items, {broken} of them without exactly one style", items=items, broken=broken)


@dg.asset_check(
    asset="styles", blocking=True, description="Names of styles differ, and each is true of most of its items."
)
def names_are_true_of_most_items(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT name, truth FROM styles WHERE size > 0 ORDER BY truth").fetchall()
    untrue = [name for name, truth in rows if truth <= MOST_OF]
    twice = len(rows) - len({name for name, _ in rows})
    said = f"{len(rows)} names, {len(untrue)} not true of most of their items, {twice} given twice"
    return error(not untrue and not twice, said, least_truth=rows[0][1] if rows else None, untrue=", ".join(untrue))


@dg.asset_check(
    asset="style_discovery",
    blocking=True,
    description="Lists are ranked from 1 without gaps, of items new to the user.",
)
def picks_are_new_to_the_user(shop: ShopParam) -> dg.AssetCheckResult:
    from fashionrec_assets.catalog.reading import interactions_file

    with shop.warehouse.reader() as connection:
        gaps = one_row(
            connection,
            "SELECT count(*) FROM (SELECT user_id FROM style_picks GROUP BY user_id "
            "HAVING max(rank) <> count(*) OR min(rank) <> 1 OR count(DISTINCT item_id) <> count(*))",
        )[0]
        known = one_row(
            connection,
            "SELECT count(*) FROM style_picks SEMI JOIN read_parquet(?) log USING (user_id, item_id)",
            [str(interactions_file(shop))],
        )[0]
    return error(
        gaps == 0 and known == 0,
        f"{gaps} lists with a gap or an item twice, {known} picks that the user has turned to before",
        gaps=gaps,
        known=known,
    )


CHECKS = [
    every_item_has_one_style,
    names_are_true_of_most_items,
    picks_are_new_to_the_user,
    *table_checks(STYLES, "styles"),
    *table_checks(ITEM_STYLES, "styles"),
    *table_checks(USER_STYLES, "styles"),
    *table_checks(STYLE_PICKS, "style_discovery"),
]
