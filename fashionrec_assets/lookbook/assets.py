"""The asset of the lookbook.

Belongs here: whether to make it again, one read, one write, and what the UI shows. Does not belong here: content,
pages, pictures.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from fashionrec_assets.crops.assets import CROP_COLUMNS
from fashionrec_assets.lookbook.reports import OWN, reports_digest
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop
from fashionrec_assets.storage.ledger import Stage

STAGE = Stage(
    "lookbook", "report", version="1", settings=("lookbook", "recommendations", "explanations", "ranking", "seed")
)
SHOWN = (
    "items",
    "grounded_crops",
    "business_rules",
    "homepage",
    "similar_items",
    "outfits",
    "styles",
    "style_discovery",
    "explanations",
)
"""Stages whose rows the pages show."""
REPORTS = ("ranking_report", "outfit_report", "discovery_report", "assistant_report", "explanation_report")


@dg.asset(
    **asset_spec(
        STAGE,
        group="lookbook",
        deps=[*SHOWN, "late_fusion_model", "two_tower_model", "faiss_index", "interactions", *REPORTS],
        kinds={"html"},
    )
)
def lookbook(shop: ShopParam) -> dg.MaterializeResult:
    """What a few shoppers see, and why, as pages to leaf through: shelves, looks, styles, similar items, reports."""
    from fashionrec_assets.lookbook.content import gather
    from fashionrec_assets.lookbook.site import INDEX, build

    with shop.stage(STAGE) as run:
        index = shop.reports / OWN / INDEX
        doorway = shop.reports / f"{OWN}.html"
        plan = run.plan_whole(_inputs(shop), exists=index.exists() and doorway.exists())
        if plan.todo:
            content = gather(shop, run.progress)
            built = build(content, shop.store("crops", CROP_COLUMNS), shop.reports, shop.settings, run.progress)
            with run.commit(plan, {WHOLE: built.digest}):
                pass
        return materialized(run, **_about(shop))


def _inputs(shop: Shop) -> dict[str, str]:
    """All that the pages are made from."""
    models = ("late_fusion_model", "two_tower_model", "faiss_index", "interactions_file")
    return {
        **{name: shop.digest(name) for name in SHOWN},
        **{name: shop.version(name) for name in models},
        "reports": reports_digest(shop.reports),
    }


def _about(shop: Shop) -> dict[str, Any]:
    """What the UI shows: where the site lies, how large it is, and some of its photos."""
    from fashionrec_assets.lookbook.site import COVER, INDEX

    site = shop.reports / OWN
    files = [path for path in site.rglob("*") if path.is_file()]
    by_folder: dict[str, list[int]] = {}
    for path in files:
        parts = path.relative_to(site).parts
        by_folder.setdefault(parts[0] if len(parts) > 1 else "pages", []).append(path.stat().st_size)
    cover = (site / COVER).read_bytes()
    index = (site / INDEX).resolve()
    return {
        "page": dg.MetadataValue.path(index),
        "open": dg.MetadataValue.url(index.as_uri()),
        "pages": sum(path.suffix == ".html" for path in files),
        "bytes": sum(path.stat().st_size for path in files),
        "folders": table_of(
            [{"folder": name, "files": len(sizes), "bytes": sum(sizes)} for name, sizes in sorted(by_folder.items())]
        ),
        "cover": picture(cover, "what the first shopper shown sees first") if cover else None,
    }
