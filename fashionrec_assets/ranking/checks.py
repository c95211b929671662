"""Checks of the ranking room."""

from __future__ import annotations

import dagster as dg
import numpy as np

from fashionrec_assets.ranking.assets import MODEL
from fashionrec_assets.resources.glue import ShopParam, error
from fashionrec_assets.towers.reading import EVALUATION, SERVED


@dg.asset_check(
    asset="late_fusion_model", blocking=True, description="The rankers load, and their weights are finite numbers."
)
def rankers_are_sound(shop: ShopParam) -> dg.AssetCheckResult:
    from fashionrec_assets.ranking.ranker import Ranker

    folder = shop.current(MODEL.name)
    broken = [
        name
        for name in (EVALUATION, SERVED)
        for network in Ranker.load(folder / name).networks
        if not all(bool(np.isfinite(value.numpy()).all()) for value in network.state_dict().values())
    ]
    return error(not broken, f"rankers with weights that are no numbers: {', '.join(broken) or 'none'}")


CHECKS = [rankers_are_sound]
