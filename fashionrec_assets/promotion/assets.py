"""Assets of the promotion room.

Belongs here: when to make a release and when to decide, one call each, and what the UI shows. Does not belong here:
content, comparisons, folders.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from fashionrec_assets.catalog.reading import items_file
from fashionrec_assets.promotion.content import gather, sources
from fashionrec_assets.promotion.decision import consider, settled
from fashionrec_assets.promotion.scoring import Gauge
from fashionrec_assets.promotion.shown import comparison_picture, comparison_row, release_rows
from fashionrec_assets.promotion.withdrawn import withdrawn, write_withdrawn
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.release_notes import Release
from fashionrec_assets.storage.releases import Releases

WITHDRAWN = Stage("withdrawn_items", "table", version="1")
RELEASE = Stage("release", "release", version="1")
SERVED = Stage("served_release", "release", version="1", settings=("promotion", "seed"))
_SHOWN = ("version", "sequence", "created", "state", "ndcg", "compared_difference", "compared_low", "why")


@dg.asset(**asset_spec(WITHDRAWN, group="promotion", deps=["items"], kinds={"parquet"}))
def withdrawn_items(shop: ShopParam) -> dg.MaterializeResult:
    """Items that left the catalog while a kept release shows them: their rows are left out wherever it is read."""
    releases = Releases.of(shop.home)
    with shop.stage(WITHDRAWN) as run:
        plan = run.plan_whole({"items": shop.version("items_file")}, exists=releases.withdrawn.exists())
        if plan.todo:
            write_withdrawn(releases, items_file(shop))
            with run.commit(plan, {WHOLE: digest(withdrawn(releases))}):
                pass
        return materialized(run, rows=len(withdrawn(releases)))


@dg.asset(
    **asset_spec(
        RELEASE,
        group="promotion",
        deps=[
            WITHDRAWN.name,
            "items",
            "splits",
            "text_embeddings",
            "image_embeddings",
            "two_tower_model",
            "late_fusion_model",
            "faiss_index",
            "business_rules",
            "homepage",
            "similar_items",
            "styles",
            "style_discovery",
            "outfits",
            "explanations",
            "ranking_report",
        ],
        kinds={"parquet", "faiss"},
    )
)
def release(shop: ShopParam) -> dg.MaterializeResult:
    """Models, index and recommendations of today as one immutable folder, with what they were made from.

    Files that did not change since an earlier release take no room: they are the same file.
    """
    releases = Releases.of(shop.home)
    with shop.stage(RELEASE) as run:
        releases.heal()
        found = sources(shop)
        plan = run.plan_whole(found, exists=releases.whole(_made(shop)))
        if plan.todo:
            content = gather(shop, found)
            made = releases.add(content.files, content.tables, content.made_from)
            with run.commit(plan, {WHOLE: made.version}):
                pass
        candidate = releases.read(shop.version(RELEASE.name))
        return materialized(run, **_about(candidate))


@dg.asset(
    **asset_spec(
        SERVED,
        group="promotion",
        deps=[release, "interactions", "users", "splits", "items", "text_embeddings", "image_embeddings"],
        kinds={"python"},
    )
)
def served_release(shop: ShopParam) -> dg.MaterializeResult:
    """What applications read: the newest release, if it is not worse than the one before on the frozen slice.

    Everything is switched in one step. A release that is not promoted stays, and so does the one that is served.
    """
    releases, settings = Releases.of(shop.home), shop.settings.promotion
    with shop.stage(SERVED) as run:
        releases.heal()
        candidate, served = releases.read(shop.version(RELEASE.name)), releases.served()
        done = settled(releases, candidate.version)
        plan = run.plan_whole({"release": candidate.version, "served": served}, exists=done)
        if plan.todo:
            _decide(shop, releases, candidate)
            served = releases.served()
            after = run.plan_whole_of(SERVED, {"release": candidate.version, "served": served}, exists=False)
            with run.commit(after, {WHOLE: served or ""}):
                pass
        pruned = releases.prune(settings.keep, also=[candidate.version])
        return materialized(run, pruned=len(pruned), **_standing(releases, candidate))


def _made(shop: Shop) -> str:
    """The newest release, or an empty string."""
    try:
        return shop.version(RELEASE.name)
    except LookupError:
        return ""


def _decide(shop: Shop, releases: Releases, candidate: Release) -> None:
    """Promote the candidate, or refuse it, and write down why."""
    gauge = Gauge(shop, releases)
    consider(releases, candidate, shop.settings.promotion, gauge.figures, gauge.evaluation, shop.settings.seed)


def _about(made: Release) -> dict[str, Any]:
    """The metadata of a release: what it holds and was made from."""
    said = made.made_from
    return {
        "version": made.version,
        "sequence": made.sequence,
        "parent": made.parent,
        "files": len(made.files),
        "bytes": made.bytes,
        "models": table_of([{"model": name, "id": one} for name, one in said.models.items()]),
        "stages": table_of(
            [{"stage": name, "data version": one, "code": said.code[name]} for name, one in said.stages.items()]
        ),
        "figures": table_of([{"figure": name, "value": value} for name, value in said.figures.items()]),
        "settings_digest": said.settings_digest,
    }


def _standing(releases: Releases, candidate: Release) -> dict[str, Any]:
    """The metadata of what is served, and of what was decided about the newest release."""
    verdict = releases.state().verdicts.get(candidate.version)
    found = None if verdict is None else verdict.comparison
    return {
        "served": releases.served(),
        "newest": candidate.version,
        "decision": None if verdict is None else f"{verdict.decision}: {verdict.why}",
        "comparison": None if found is None else table_of([comparison_row(found)]),
        "interval": None if found is None else picture(comparison_picture(found), "challenger against champion"),
        "releases": table_of([{name: row[name] for name in _SHOWN} for row in release_rows(releases)]),
    }
