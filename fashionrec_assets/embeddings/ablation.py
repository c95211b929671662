"""The arms of the content ablation of one shop: which there are, their encoders, and the items they are measured on.

Belongs here: finding and loading. Does not belong here: what an arm is (`arms.py`), training (`assets.py`), measuring
(`evaluation`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionrec_assets.embeddings.arms import ARMS, FULL, Arm
from fashionrec_assets.embeddings.clip_split import FamilySplit
from fashionrec_assets.embeddings.encoders import Encoders
from fashionrec_assets.embeddings.training_set import arm_images, arm_texts
from fashionrec_assets.resources.shop import Shop

if TYPE_CHECKING:
    from fashionrec_assets.embeddings.clip import ClipEncoder

ARMS_ARTIFACT = "clip_arms"
ARMS_FILE = "arms.json"
SEEN = "seen.json"
ORIGINAL = "original"
"""The folder of the untrained compact model among the arms."""


def held_out_items(shop: Shop) -> list[str]:
    """Sorted ids of the items in the test part that have a crop and a description, and that no model has seen.

    An item whose family was renamed after training can lie in the test part although the model learned from it: then
    its whole family is left out.
    """
    folder = shop.current("clip_model")
    split, seen = FamilySplit.load(folder), seen_items(folder)
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT item_id, coalesce(family_id, item_id) FROM items JOIN crops USING (item_id) "
            "JOIN descriptions USING (item_id) ORDER BY 1"
        ).fetchall()
    known = {family for item_id, family in rows if item_mark(item_id) in seen}
    parts = split.parts([family for _, family in rows]) if rows else []
    return [
        item_id for (item_id, family), part in zip(rows, parts, strict=True) if part == "test" and family not in known
    ]


def held_out_marks(shop: Shop, split: FamilySplit) -> set[str]:
    """Marks of the items whose family lies in the test part of `split`."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT item_id, coalesce(family_id, item_id) FROM items ORDER BY 1").fetchall()
    parts = split.parts([family for _, family in rows]) if rows else []
    return {item_mark(item_id) for (item_id, _), part in zip(rows, parts, strict=True) if part == "test"}


def item_mark(item_id: str) -> str:
    """What a model's folder keeps of an item it has seen: a deleted item leaves no trace of its id."""
    return hashlib.sha256(item_id.encode()).hexdigest()[:16]


def seen_items(folder: Path) -> set[str]:
    """Marks of what a trained model, or one it started from, was trained or chosen on; none if it was not trained."""
    path = folder / SEEN
    return set(json.loads(path.read_text("utf-8"))) if path.exists() else set()


def write_seen(folder: Path, marks: Iterable[str]) -> None:
    """Write what `seen_items` reads."""
    (folder / SEEN).write_text(json.dumps(sorted(marks)), "utf-8")


def arms_facts(folder: Path) -> dict[str, Any]:
    """What `arms.json` says: the `model` the arms stand beside, which were `trained`, and their `curves`."""
    return json.loads((folder / ARMS_FILE).read_text("utf-8"))


def available_arms(shop: Shop) -> tuple[Arm, ...]:
    """The arms that can be measured, in the order of `ARMS`; tuned ones only where they were trained.

    Only the model in force where there are no arms, or where they stand beside an earlier model: their test part may be
    another one.
    """
    version = shop.version_or_none(ARMS_ARTIFACT)
    if version is None:
        return (FULL,)
    facts = arms_facts(shop.artifacts.folder(ARMS_ARTIFACT, version))
    if facts["model"] != shop.version("clip_model"):
        return (FULL,)
    return tuple(arm for arm in ARMS if not arm.tuned or arm.name in facts["trained"])


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
