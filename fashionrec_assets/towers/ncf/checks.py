"""Checks of NCF."""

from __future__ import annotations

import json

import dagster as dg

from fashionrec_assets.catalog.reading import cuts
from fashionrec_assets.resources.glue import ShopParam, error, warn
from fashionrec_assets.synthesis.reading import CHOSEN, SWEEP
from fashionrec_assets.towers.ncf.assets import MODEL


@dg.asset_check(
    asset=MODEL.name, blocking=True, description="The model is finite, and saw nothing from the test days on."
)
def ncf_model_is_sound(shop: ShopParam) -> dg.AssetCheckResult:
    import torch

    from fashionrec_assets.towers.ncf.model import Ncf

    model = Ncf.load(shop.current(MODEL.name))
    broken = [name for name, value in model.module.state_dict().items() if not bool(torch.isfinite(value).all())]
    late = model.cut > cuts(shop).test
    return error(
        not broken and not late,
        f"{len(model.item_ids)} items and {len(model.user_ids)} users with vectors of their own; "
        f"{len(broken)} parameters not finite{', events of the test days in it' if late else ''}",
        items=len(model.item_ids),
        users=len(model.user_ids),
        not_finite=", ".join(broken) or None,
    )


@dg.asset_check(asset=SWEEP, description="Synthetic rows help on the validation days, beyond chance.")
def augmentation_pays(shop: ShopParam) -> dg.AssetCheckResult:
    found = json.loads((shop.current(SWEEP) / CHOSEN).read_text("utf-8"))
    knobs = ("degree", "weight", "temperature")
    best = next(trial for trial in found["trials"] if all(trial[name] == found[name] for name in knobs))
    said = f"best degree {found['degree']:g}: gain {best['gain']:+.4f} ({best['low']:+.4f} to {best['high']:+.4f})"
    return warn(found["pays"], said + ("" if found["pays"] else "; ncf_model is trained without synthetic rows"))


CHECKS = [ncf_model_is_sound, augmentation_pays]
