"""Families keep their part, whole, while a catalog grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fashionrec_assets.embeddings.clip_split import FamilySplit
from fashionrec_assets.settings import ClipSettings

FAMILIES = [f"f{number % 300}" for number in range(900)]


def test_families_are_never_split() -> None:
    parts = FamilySplit.choose(FAMILIES, ClipSettings(), seed=1).parts(FAMILIES)
    sides: dict[str, set[str]] = {}
    for family, part in zip(FAMILIES, parts.tolist(), strict=True):
        sides.setdefault(family, set()).add(part)
    assert all(len(side) == 1 for side in sides.values())
    shares = {part: float((parts == part).mean()) for part in ("train", "validation", "test")}
    assert 0.14 < shares["test"] < 0.26
    assert 0.05 < shares["validation"] < 0.16


def test_a_kept_split_does_not_move_when_the_catalog_grows(tmp_path: Path) -> None:
    settings = ClipSettings(test_most=100)
    split = FamilySplit.choose(FAMILIES, settings, seed=1)
    split.save(tmp_path)
    kept = FamilySplit.load(tmp_path)
    assert kept == split
    assert FamilySplit.load_or_none(tmp_path) == split
    assert FamilySplit.load_or_none(tmp_path / "older model") is None
    grown = [*FAMILIES, *(f"new{number}" for number in range(5000))]
    assert (kept.parts(grown)[:900] == split.parts(FAMILIES)).all()
    fresh = FamilySplit.choose(grown, settings, seed=1)
    assert fresh.test_below < kept.test_below, "a fresh draw would hand held-out families to training's other side"
    assert not set(np.array(grown)[fresh.parts(grown) == "test"]) - set(np.array(grown)[kept.parts(grown) == "test"])


def test_it_knows_the_settings_it_was_chosen_for() -> None:
    split = FamilySplit.choose(FAMILIES, ClipSettings(), seed=1)
    assert split.fits(ClipSettings(epochs=99), 1200, seed=1)
    assert not split.fits(ClipSettings(test_share=0.3), 900, seed=1)
    assert not split.fits(ClipSettings(), 900, seed=2)
    assert not split.fits(ClipSettings(), 2000, seed=1), "a trial must not fix the parts of the whole catalog"
    assert (FamilySplit.choose(FAMILIES, ClipSettings(), seed=2).parts(FAMILIES) != split.parts(FAMILIES)).any()


def test_parts_too_small_to_decide_anything_stay_empty() -> None:
    parts = FamilySplit.choose(["a", "b", "c"], ClipSettings(), seed=1).parts(["a", "b", "c"])
    assert (parts == "train").all()
    assert FamilySplit.choose([], ClipSettings(), seed=1).parts([]).tolist() == []
