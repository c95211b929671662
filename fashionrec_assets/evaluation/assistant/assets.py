"""The asset of the assistant's report.

Belongs here: one call, writing, and what the UI shows. Does not belong here: measuring (`study.py`), layout
(`page.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from fashionrec_assets.evaluation.published import publish_figures, published_figures
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop
from fashionrec_assets.storage.ledger import Stage

ASSISTANT = Stage(
    "assistant_report", "report", version="1", settings=("assistant", "evaluation.bootstrap", "explanations", "seed")
)
STEM = "assistant"


@dg.asset(
    **asset_spec(
        ASSISTANT,
        group="evaluation",
        deps=[
            "items",
            "business_rules",
            "clarified_descriptions",
            "text_embeddings",
            "image_embeddings",
            "clip_model",
            "two_tower_model",
            "item_vectors",
            "interactions",
            "users",
            "splits",
        ],
        kinds={"duckdb", "python"},
    )
)
def assistant_report(shop: ShopParam) -> dg.MaterializeResult:
    """What the assistant understands, whether its answers keep to it, and what constraints and taste add to search."""
    with shop.stage(ASSISTANT) as run:
        page = shop.reports / f"{STEM}.html"
        plan = run.plan_whole(_inputs(shop), exists=page.exists())
        if plan.todo:
            from fashionrec_assets.evaluation.assistant.page import assistant_page
            from fashionrec_assets.evaluation.assistant.study import measure_assistant
            from fashionrec_assets.evaluation.render import write_page

            report = measure_assistant(shop, run.progress)
            write_page(assistant_page(report), shop.reports, STEM)
            publish_figures(shop.reports, STEM, report.flat())
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}):
                pass
        return materialized(
            run,
            **_shown(published_figures(shop.reports)),
            report=dg.MetadataValue.md((shop.reports / f"{STEM}.md").read_text("utf-8")),
            page=dg.MetadataValue.path(page.resolve()),
        )


def _inputs(shop: Shop) -> dict[str, str | None]:
    versions = ("interactions_file", "users_file", "two_tower_model", "clip_model")
    stages = (
        "items",
        "business_rules",
        "clarified_descriptions",
        "text_embeddings",
        "image_embeddings",
        "item_vectors",
        "splits",
    )
    return {
        **{name: shop.version_or_none(name) for name in versions},
        **{name: shop.digest(name) for name in stages},
    }


def _shown(figures: Mapping[str, float]) -> dict[str, Any]:
    names = sorted(
        name
        for name in figures
        if name.startswith("assistant.") and not name.endswith((".low", ".high", ".p50", ".p95"))
    )
    rows = [
        {"figure": name.removeprefix("assistant."), "value": round(figures[name], 4)}
        | {bound: round(figures[f"{name}.{bound}"], 4) for bound in ("low", "high") if f"{name}.{bound}" in figures}
        for name in names
        if f"{name}.low" in figures
    ]
    return {
        "figures": table_of(rows),
        "queries": int(figures["assistant.queries"]),
        "seconds_p50": round(figures["assistant.seconds.p50"], 4),
        "seconds_p95": round(figures["assistant.seconds.p95"], 4),
    }
