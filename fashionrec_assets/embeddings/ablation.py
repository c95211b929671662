"""The arms of the content ablation of one shop: which there are, their encoders, and the items they are measured on.

Belongs here: finding and loading. Does not belong here: what an arm is (`arms.py`), training (`assets.py`), measuring
(`evaluation`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fashionrec_assets.embeddings.arms import ARMS, FULL, Arm
from fashionrec_assets.embeddings.clip_split import FamilySplit
from fashionrec_assets.embeddings.encoders import Encoders
from fashionrec_assets.embeddings.training_set import arm_images, arm_texts
from fashionrec_assets.resources.shop import Shop

if TYPE_CHECKING:
    from fashionrec_assets.embeddings.clip import ClipEncoder

ARMS_ARTIFACT = "clip_arms"
ARMS_FILE = "arms.json"
ORIGINAL = "original"
"""The folder of the untrained compact model among the arms."""


def held_out_items(shop: Shop) -> list[str]:
    """Sorted ids of the items in the test part that have a crop and a description: no model has seen their families."""
    split = FamilySplit.load(shop.current("clip_model"))
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT item_id, coalesce(family_id, item_id) FROM items JOIN crops USING (item_id) "
            "JOIN descriptions USING (item_id) ORDER BY 1"
        ).fetchall()
    parts = split.parts([family for _, family in rows]) if rows else []
    return [item_id for (item_id, _), part in zip(rows, parts, strict=True) if part == "test"]


def available_arms(shop: Shop) -> tuple[Arm, ...]:
    """The arms that can be measured, in the order of `ARMS`; tuned ones only where they were trained."""
    folder = shop.current(ARMS_ARTIFACT)
    trained = set(json.loads((folder / ARMS_FILE).read_text("utf-8"))["trained"])
    return tuple(arm for arm in ARMS if not arm.tuned or arm.name in trained)


def original_is_random(shop: Shop) -> bool:
    """Whether the arms that are not tuned have random weights: the compact model has no others to start from."""
    return shop.settings.clip.model is None


def arm_encoder(shop: Shop, arm: Arm) -> ClipEncoder:
    """The encoder of an arm among `available_arms`."""
    encoders = Encoders(shop)
    if arm == FULL:
        return encoders.clip_with_text
    if arm.tuned:
        return encoders.load(shop.current(ARMS_ARTIFACT) / arm.name)
    if original_is_random(shop):
        return encoders.load(shop.current(ARMS_ARTIFACT) / ORIGINAL)
    return encoders.original


__all__ = ["arm_encoder", "arm_images", "arm_texts", "available_arms", "held_out_items", "original_is_random"]
