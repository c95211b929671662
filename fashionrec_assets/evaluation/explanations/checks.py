"""Checks of the report on explanations."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.evaluation.explanations.counterfactual import LEAST_RATIO
from fashionrec_assets.evaluation.explanations.history import moved
from fashionrec_assets.evaluation.explanations.inputs import history
from fashionrec_assets.evaluation.explanations.tables import EXPLANATION_HISTORY, EXPLANATION_REPORT
from fashionrec_assets.resources.glue import ShopParam, error, table_checks, table_of, warn


@dg.asset_check(
    asset="explanation_report", description="No published claim that was looked at says more than the fact it cites."
)
def published_claims_hold(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT surface, figure, value, explanations FROM explanation_report "
            "WHERE figure IN ('claim_precision', 'texts_covered') ORDER BY 1, 2"
        ).fetchall()
    broken = [f"{surface}: {figure} is {value:.4f}" for surface, figure, value, _ in rows if value < 1]
    looked_at = max((row[3] for row in rows), default=0)
    said = "; ".join(broken) + "; materialize explanations again" if broken else f"{looked_at} looked at, all hold"
    return error(not broken, said, explanations=looked_at)


@dg.asset_check(
    asset="explanation_report",
    description=f"Cited events cost an item at least {LEAST_RATIO:g} times what as many random ones do.",
)
def cited_events_carry_the_recommendation(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT figure, value, low, high FROM explanation_report WHERE figure LIKE 'drop_%'"
        ).fetchall()
    found = {figure: (value, low, high) for figure, value, low, high in rows}
    if "drop_margin" not in found:
        return warn(True, "no explanation of the homepage cites an event: there is nothing to take away")
    value, low, high = found["drop_margin"]
    cited, random = found["drop_cited"][0], found["drop_random"][0]
    said = f"{cited:.4f} against {random:.4f}; cited less {LEAST_RATIO:g} times random: {low:.4f} to {high:.4f}"
    return warn(value >= 0, said, cited=cited, random=random)


@dg.asset_check(
    asset="explanation_report", description="No figure left its last interval by more than the settings allow."
)
def explanations_have_not_drifted(shop: ShopParam) -> dg.AssetCheckResult:
    tolerance = shop.settings.feedback.drift
    moves = moved(history(shop), tolerance)
    shown = [{"figure": one.figure, "before": one.before, "now": one.now, "beyond": one.beyond} for one in moves]
    said = f"{len(moves)} figures moved, {moves[0].figure} the most" if moves else "no figure moved"
    return warn(not moves, said, moves=table_of(shown))


CHECKS = [
    published_claims_hold,
    cited_events_carry_the_recommendation,
    explanations_have_not_drifted,
    *table_checks(EXPLANATION_REPORT, "explanation_report"),
    *table_checks(EXPLANATION_HISTORY, "explanation_report"),
]
