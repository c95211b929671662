"""Checks of the promotion room.

Belongs here: what must hold of a release before it is served, of the served one, and of what was decided. Does not
belong here: deciding.
"""

from __future__ import annotations

import dagster as dg
import duckdb

from fashionrec_assets.promotion.shown import comparison_picture, comparison_row
from fashionrec_assets.resources.glue import ShopParam, error, picture, table_of, warn
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.release_notes import Release
from fashionrec_assets.storage.releases import ReleaseError, Releases
from fashionrec_assets.storage.tables import literal, quote
from fashionrec_assets.storage.warehouse import one_row

_NONE = "no release has been made yet: run `fashionrec run`"


@dg.asset_check(
    asset="release",
    blocking=True,
    description="Every file of the newest release is as it was written, and its tables name only items it knows.",
)
def release_is_whole(shop: ShopParam) -> dg.AssetCheckResult:
    releases = Releases.of(shop.home)
    newest = _newest(shop, releases)
    if newest is None:
        return error(False, _NONE)
    problems = releases.problems(newest.version) or _strangers(releases, newest)
    said = f"{len(newest.files)} files, {newest.bytes:,} bytes"
    return error(not problems, "; ".join(problems[:5]) or said, files=len(newest.files), problems=len(problems))


@dg.asset_check(
    asset="served_release", description="The link names a release that is there, with every file as it was written."
)
def served_release_is_whole(shop: ShopParam) -> dg.AssetCheckResult:
    releases = Releases.of(shop.home)
    served = releases.served()
    if served is None:
        return error(False, _NONE)
    problems = releases.problems(served)
    remedy = "; `fashionrec promote` another release, or run again" if problems else ""
    return error(not problems, f"{'; '.join(problems[:5]) or f'{served} is whole'}{remedy}", served=served)


@dg.asset_check(
    asset="served_release",
    description="The newest release is served: its models are not worse than those served before it, on the frozen "
    "slice. Fails, with the numbers, for as long as a release is blocked.",
)
def challenger_is_not_worse(shop: ShopParam) -> dg.AssetCheckResult:
    releases = Releases.of(shop.home)
    newest, served = _newest(shop, releases), releases.served()
    if newest is None or served is None:
        return error(False, _NONE)
    verdict = releases.state().verdicts.get(newest.version)
    if verdict is None:
        return error(served == newest.version, f"{served} is served; nothing was decided about {newest.version} yet")
    found = verdict.comparison
    shown = {
        "served": served,
        "newest": newest.version,
        "comparison": None if found is None else table_of([comparison_row(found)]),
        "interval": None if found is None else picture(comparison_picture(found), "challenger against champion"),
        **({} if found is None else found.model_dump(exclude={"metric", "k", "evaluation"})),
    }
    said = f"release {newest.version} is {verdict.decision}: {verdict.why}"
    if verdict.decision == "set aside":
        # Somebody decided so, and knows.
        return warn(served == newest.version, said, **shown)
    return error(served == newest.version, said, **shown)


def _newest(shop: Shop, releases: Releases) -> Release | None:
    try:
        return releases.read(shop.version("release"))
    except (ReleaseError, LookupError):
        return None


def _strangers(releases: Releases, release: Release) -> list[str]:
    """Tables with rows about items that the release does not know: parts of different nights; or without a page."""
    folder, found = releases.folder(release.version), list[str]()
    paths = {name: f"read_parquet({literal(str(folder / table.file))})" for name, table in release.tables.items()}
    with duckdb.connect() as connection:
        for name, table in release.tables.items():
            for column in table.items:
                unknown = one_row(
                    connection,
                    f"SELECT count(*) FROM {paths[name]} WHERE {quote(column)} IS NOT NULL "
                    f"AND {quote(column)} NOT IN (SELECT item_id FROM {paths['items']})",
                )[0]
                if unknown:
                    found.append(f"{name}: {unknown:,} rows whose {column} is no item of the release")
        if not one_row(connection, f"SELECT count(*) FROM {paths['popular_items']}")[0]:
            found.append("popular_items is empty: shoppers nobody knows would see nothing")
    return found


CHECKS = [release_is_whole, served_release_is_whole, challenger_is_not_worse]
