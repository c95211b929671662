"""Checks of the catalog room."""

from __future__ import annotations

import itertools

import dagster as dg

from fashionrec_assets.catalog.reading import cuts, interactions_file
from fashionrec_assets.catalog.tables import FEEDBACK, INTERACTIONS, ITEMS, REJECTS, SESSIONS, SPLITS, USERS
from fashionrec_assets.resources.glue import ShopParam, error, table_checks, warn
from fashionrec_assets.storage.warehouse import one_row

MOST_REJECTED = 0.05
MOST_BROKEN_PHOTOS = 0.05


@dg.asset_check(
    asset="splits",
    blocking=True,
    description="fit, validation and test follow each other in time without overlap or gap.",
)
def splits_do_not_leak(shop: ShopParam) -> dg.AssetCheckResult:
    split = cuts(shop)
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT name, starts_at, ends_at FROM splits ORDER BY starts_at").fetchall()
        counted = dict(
            connection.execute(
                """
                SELECT splits.name, count(log.ts) FROM splits
                LEFT JOIN (
                    SELECT ts FROM read_parquet(?) events JOIN users USING (user_id) WHERE NOT is_bot
                ) log ON log.ts >= splits.starts_at AND log.ts < splits.ends_at
                GROUP BY 1
                """,
                [str(interactions_file(shop))],
            ).fetchall()
        )
        stated = dict(connection.execute("SELECT name, events FROM splits").fetchall())
    in_order = [row[0] for row in rows] == ["fit", "validation", "test"]
    touching = all(before[2] == after[1] for before, after in itertools.pairwise(rows))
    return error(
        in_order and touching and counted == stated and split.validation < split.test < split.end,
        f"in order: {in_order}, without gap or overlap: {touching}, events as stated: {counted == stated}",
    )


@dg.asset_check(asset="interactions", description=f"At most {MOST_REJECTED:.0%} of the log's rows are rejected.")
def few_events_are_rejected(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        accepted = one_row(connection, "SELECT count(*) FROM read_parquet(?)", [str(interactions_file(shop))])
        rejected = one_row(
            connection,
            "SELECT count(*) FROM rejects WHERE table_name = 'interactions' AND NOT row_kept AND reason <> 'duplicate'",
        )
    good, bad = accepted[0], rejected[0]
    share = bad / (good + bad) if good + bad else 0.0
    return warn(share <= MOST_REJECTED, f"{bad} rejected, {good} accepted ({share:.2%})", rejected_share=share)


@dg.asset_check(asset="items", description=f"At most {MOST_BROKEN_PHOTOS:.0%} of the photos named cannot be used.")
def few_photos_are_broken(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        row = one_row(
            connection,
            "SELECT count(*) FILTER (image_status NOT IN ('ok', 'none')), count(*) FILTER (image_status <> 'none') "
            "FROM items",
        )
    broken, named = row
    share = broken / named if named else 0.0
    return warn(share <= MOST_BROKEN_PHOTOS, f"{broken} of {named} photos ({share:.2%}) cannot be used", share=share)


CHECKS = [
    splits_do_not_leak,
    few_events_are_rejected,
    few_photos_are_broken,
    *table_checks(ITEMS, "items"),
    *table_checks(REJECTS, "items"),
    *table_checks(USERS, "users"),
    *table_checks(FEEDBACK, "feedback"),
    *table_checks(SPLITS, "splits"),
    *table_checks(INTERACTIONS, "users", interactions_file),
    *table_checks(SESSIONS, "sessions", lambda shop: shop.current("sessions") / "sessions.parquet"),
]
