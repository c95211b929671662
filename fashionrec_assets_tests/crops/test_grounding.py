"""Locations, the registry, cutting and encoding."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashionrec_assets.crops.grounding import (
    GROUNDERS,
    Location,
    cut,
    encode_jpeg,
    intersection_over_union,
    make_grounder,
)
from fashionrec_assets.crops.pipeline import ground_batch
from fashionrec_assets.settings import CropSettings
from fashionrec_assets_tests.crops.scenes import packshot
from fashionrec_assets_tests.crops.tiny_dino import grounding_dino

SETTINGS = CropSettings(margin=0.1, max_side=64)


def test_a_location_must_be_a_box_and_give_a_reason_only_for_a_fallback() -> None:
    with pytest.raises(ValueError, match="x0 < x1"):
        Location((5, 0, 5, 9), "segmentation", None, 1.0)
    with pytest.raises(ValueError, match="reason"):
        Location((0, 0, 5, 9), "whole_image", None, 0.0)
    with pytest.raises(ValueError, match="reason"):
        Location((0, 0, 5, 9), "segmentation", "because", 0.5)


def test_every_registered_grounder_can_be_made_and_answers(tmp_path: Path) -> None:
    photo = packshot()[0]
    model = str(grounding_dino(tmp_path / "tiny"))
    for name in GROUNDERS:
        grounder = make_grounder(CropSettings.model_validate({"provider": name, "model": model}))
        assert (grounder.name, bool(grounder.version)) == (name, True)
        found = grounder.find_batch([photo, photo], ["t-shirt", None])
        assert [one.location for one in found] == grounder.locate_batch([photo, photo], ["t-shirt", None])
        assert all(one.mask.shape == photo.shape[:2] for one in found)


def test_an_unknown_provider_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known are grounding_dino, segmentation"):
        make_grounder(CropSettings.model_construct(provider="magic"))  # type: ignore[arg-type]


def test_a_cut_has_a_margin_is_clipped_and_not_too_large() -> None:
    image = Image.fromarray(np.arange(100 * 100 * 3, dtype=np.uint32).reshape(100, 100, 3).astype(np.uint8))
    small = cut(image, Location((40, 40, 60, 60), "segmentation", None, 1.0), SETTINGS)
    assert small.size == (24, 24)
    clipped = cut(image, Location((0, 0, 30, 20), "segmentation", None, 1.0), SETTINGS)
    assert clipped.size == (33, 22)
    large = cut(image, Location((0, 0, 100, 50), "segmentation", None, 1.0), SETTINGS)
    assert max(large.size) == 64
    with pytest.raises(ValueError, match="not inside"):
        cut(image, Location((0, 0, 101, 50), "segmentation", None, 1.0), SETTINGS)


def test_jpeg_bytes_are_stable_and_decode_to_the_crop() -> None:
    crop = Image.fromarray(packshot()[0])
    first, second = encode_jpeg(crop, 90), encode_jpeg(crop.copy(), 90)
    assert first == second
    decoded = Image.open(io.BytesIO(first))
    assert decoded.size == crop.size
    assert np.abs(np.asarray(decoded).astype(int) - np.asarray(crop)).mean() < 3
    assert len(encode_jpeg(crop, 40)) < len(first)


def test_overlap() -> None:
    assert intersection_over_union((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert intersection_over_union((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert intersection_over_union((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def test_a_batch_gives_crops_with_their_colours() -> None:
    photos = [Image.fromarray(packshot()[0]), Image.new("RGB", (60, 80), (20, 60, 160))]
    settings = CropSettings()
    first, second = ground_batch(photos, ["t-shirt", None], make_grounder(settings), settings)
    assert first.colours[0].name == "red"
    assert first.location.method == "segmentation"
    assert Image.open(io.BytesIO(first.jpeg)).size == first.size
    assert second.location.reason == "no foreground"
    assert second.size == (60, 80)
    assert second.colours[0].name in {"blue", "dark blue"}
