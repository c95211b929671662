"""Checks of the recommendations room."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.catalog.reading import cuts, interactions_file
from fashionrec_assets.recommendations.rules import RuleSet, breaches
from fashionrec_assets.recommendations.tables import (
    BUSINESS_RULES,
    HOMEPAGE,
    POPULAR_ITEMS,
    RULE_REJECTS,
    SIMILAR_ITEMS,
)
from fashionrec_assets.resources.glue import ShopParam, error, table_checks, table_of, warn
from fashionrec_assets.storage.warehouse import one_row


@dg.asset_check(
    asset="homepage",
    blocking=True,
    description="Every page, and every shelf of it, is ranked from 1 without gaps, and no item stands twice on a page.",
)
def pages_are_ranked_without_gaps(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        broken, torn = one_row(
            connection,
            """
            SELECT
                (SELECT count(*) FROM (
                    SELECT user_id FROM homepage GROUP BY user_id
                    HAVING max(rank) <> count(*) OR min(rank) <> 1 OR count(DISTINCT item_id) <> count(*)
                )),
                (SELECT count(*) FROM (
                    SELECT user_id FROM homepage GROUP BY user_id, shelf
                    HAVING max(shelf_rank) <> count(*) OR min(shelf_rank) <> 1
                        OR max(rank) - min(rank) <> count(*) - 1
                ))
            """,
        )
    return error(
        broken == torn == 0,
        f"{broken} pages with a gap in their ranks or an item twice, {torn} shelves with a gap",
        pages=broken,
        shelves=torn,
    )


@dg.asset_check(
    asset="homepage",
    blocking=True,
    description="Every event that a fact or an anchor tells of is in the interactions, as it is told.",
)
def facts_of_history_are_in_the_log(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        told, invented = one_row(
            connection,
            """
            WITH facts AS (SELECT user_id, unnest(facts) AS fact FROM homepage),
            told AS (
                SELECT DISTINCT user_id, fact.item AS item_id, fact.what AS behaviour, fact."at" AS ts
                FROM facts WHERE fact.kind = 'history'
                UNION SELECT DISTINCT user_id, anchor_id, anchor_behaviour, NULL FROM homepage
                WHERE anchor_id IS NOT NULL
            )
            SELECT count(*), count(*) FILTER (NOT EXISTS (
                SELECT 1 FROM read_parquet(?) log
                WHERE log.user_id = told.user_id AND log.item_id = told.item_id AND log.behaviour = told.behaviour
                    AND (told.ts IS NULL OR log.ts = told.ts)
            ))
            FROM told
            """,
            [str(interactions_file(shop))],
        )
    return error(
        invented == 0, f"{told} events told of, {invented} of them not in the log", told=told, invented=invented
    )


@dg.asset_check(asset="homepage", blocking=True, description="No page breaks a business rule that is in force.")
def pages_keep_the_business_rules(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        rules = RuleSet.read(connection).in_force(cuts(shop).end).rules
        broken = {rule: breaches(connection, rule) for rule in rules}
    failed = {rule: count for rule, count in broken.items() if count}
    return error(
        not failed,
        f"{len(rules)} rules in force"
        + "".join(f"; line {rule.line} ({rule.rule}) is broken {count} times" for rule, count in failed.items()),
        rules=table_of(
            [
                {"line": rule.line, "rule": rule.rule, "field": rule.field, "value": rule.value, "broken": count}
                for rule, count in broken.items()
            ]
        ),
    )


@dg.asset_check(
    asset="business_rules",
    description="Every line of the rules file is a rule, and every rule concerns some item of the catalog.",
)
def rules_are_understood(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        rejects = connection.execute("SELECT line, reason, value FROM rule_rejects ORDER BY line LIMIT 20").fetchall()
        idle = connection.execute(
            "SELECT line FROM business_rules WHERE items = 0 AND rule <> 'price_band' ORDER BY line LIMIT 20"
        ).fetchall()
    said = [f"line {line} is no rule: {reason} ({value})" for line, reason, value in rejects]
    said += [f"line {line} concerns no item" for (line,) in idle]
    return warn(not said, "; ".join(said) or "every line is understood", lines=len(said))


CHECKS = [
    pages_are_ranked_without_gaps,
    facts_of_history_are_in_the_log,
    pages_keep_the_business_rules,
    rules_are_understood,
    *table_checks(BUSINESS_RULES, "business_rules"),
    *table_checks(RULE_REJECTS, "business_rules"),
    *table_checks(HOMEPAGE, "homepage"),
    *table_checks(POPULAR_ITEMS, "homepage"),
    *table_checks(SIMILAR_ITEMS, "similar_items"),
]
