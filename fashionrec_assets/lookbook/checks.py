"""Checks of the lookbook."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.lookbook.inspection import faults, large_pages
from fashionrec_assets.lookbook.reports import OWN
from fashionrec_assets.resources.glue import ShopParam, error


@dg.asset_check(
    asset="lookbook", blocking=True, description="No page requests anything, runs anything, or links to nowhere."
)
def pages_stand_on_their_own(shop: ShopParam) -> dg.AssetCheckResult:
    found = faults(shop.reports / OWN)
    wrong = [*found.reaching_out, *found.broken]
    said = f"{found.pages} pages; {len(found.reaching_out)} addresses outside, {len(found.broken)} broken links"
    said += f" (e.g. {wrong[0]}); materialize lookbook again" if wrong else ""
    return error(found.pages > 0 and not wrong, said, pages=found.pages)


@dg.asset_check(asset="lookbook", description="No page is larger than the settings allow.")
def pages_are_small(shop: ShopParam) -> dg.AssetCheckResult:
    most = shop.settings.lookbook.largest_page
    large = large_pages(shop.reports / OWN, most)
    said = f"{len(large)} pages have more than {most:,} bytes"
    said += f" (e.g. {large[0]}); show fewer looks or neighbours" if large else ""
    return error(not large, said)


CHECKS = [pages_stand_on_their_own, pages_are_small]
