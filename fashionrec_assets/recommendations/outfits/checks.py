"""Checks of matching recommendations.

Belongs here: what must hold of `outfits` and `complements`. Does not belong here: how they are made.
"""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.catalog.reading import interactions_file
from fashionrec_assets.recommendations.outfits.slots import audience_of, slot_of
from fashionrec_assets.recommendations.outfits.tables import COMPLEMENTS, OUTFITS
from fashionrec_assets.resources.glue import ShopParam, error, table_checks
from fashionrec_assets.storage.warehouse import Connection, one_row


@dg.asset_check(
    asset="outfits",
    blocking=True,
    description="Nothing goes with an item of its own slot or family, or made for others; a look has no item twice.",
)
def what_goes_together_can_be_worn_together(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        worn = {
            row[0]: (slot_of(*row[1:4]), audience_of(*row[4:6]), row[6])
            for row in connection.execute(
                "SELECT item_id, category, product_type, title, gender, section, family_id FROM items"
            ).fetchall()
        }
        together = connection.execute(
            "SELECT anchor_id, item_id FROM complements UNION SELECT anchor_id, item_id FROM outfits"
        ).fetchall()
        twice, gaps = _repeats(connection), _gaps(connection)
    same_slot = same_family = strangers = 0
    for anchor, item in together:
        (slot, audience, family), (other_slot, other_audience, other_family) = worn[anchor], worn[item]
        same_slot += other_slot is None or slot == other_slot
        same_family += anchor == item or (family is not None and family == other_family)
        strangers += audience != other_audience and (
            "anyone" not in (audience, other_audience) or "kids" in (audience, other_audience)
        )
    broken = {
        "same slot": same_slot,
        "same family": same_family,
        "for others": strangers,
        "twice in a look": twice,
        "gaps in ranks": gaps,
    }
    said = ", ".join(f"{name}: {count}" for name, count in broken.items())
    return error(not any(broken.values()), f"{len(together)} pairs; {said}", pairs=len(together))


@dg.asset_check(asset="outfits", blocking=True, description="Every pairing told is in the log as often as it is told.")
def pairings_are_in_the_log(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        told, wrong = one_row(
            connection,
            """
            WITH told AS (
                SELECT anchor_id, item_id, fact.number AS number
                FROM (SELECT anchor_id, item_id, unnest(facts) AS fact FROM complements)
                WHERE fact.kind = 'pairing' ORDER BY sha256(anchor_id || item_id) LIMIT 2000
            ), days AS (
                SELECT DISTINCT user_id, item_id, CAST(ts AS DATE) AS day FROM read_parquet(?)
            ), counted AS (
                SELECT told.anchor_id, told.item_id, any_value(told.number) AS number, count(first.user_id) AS days
                FROM told LEFT JOIN days AS first ON first.item_id = told.anchor_id AND EXISTS (
                    SELECT 1 FROM days AS second WHERE second.item_id = told.item_id
                    AND second.user_id = first.user_id AND second.day = first.day
                ) GROUP BY ALL
            )
            SELECT count(*), count(*) FILTER (number > days) FROM counted
            """,
            [str(interactions_file(shop))],
        )
    return error(wrong == 0, f"{told} pairings looked up, {wrong} of them told more often than seen", told=told)


def _repeats(connection: Connection) -> int:
    return one_row(
        connection,
        "SELECT count(*) FROM (SELECT 1 FROM outfits GROUP BY anchor_id, item_id HAVING count(*) > 1)",
    )[0]


def _gaps(connection: Connection) -> int:
    return one_row(
        connection,
        "SELECT count(*) FROM (SELECT 1 FROM complements GROUP BY anchor_id "
        "HAVING max(rank) <> count(*) OR min(rank) <> 1)",
    )[0]


CHECKS = [
    what_goes_together_can_be_worn_together,
    pairings_are_in_the_log,
    *table_checks(OUTFITS, "outfits"),
    *table_checks(COMPLEMENTS, "outfits"),
]
