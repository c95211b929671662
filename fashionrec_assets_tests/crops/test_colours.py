"""Colours are measured on the garment and named by the palette."""

from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.crops.colours import PALETTE, dominant_colours
from fashionrec_assets.crops.segmentation import find
from fashionrec_assets.settings import CropSettings
from fashionrec_assets_tests.crops.scenes import packshot


def patch(*colours: tuple[int, int, int]) -> np.ndarray:
    """Vertical stripes of equal width."""
    width = 120 // len(colours)
    return np.concatenate([np.full((90, width, 3), colour, np.uint8) for colour in colours], axis=1)


@pytest.mark.parametrize("name", sorted(PALETTE))
def test_every_colour_of_the_palette_is_called_by_its_name(name: str) -> None:
    for example in PALETTE[name]:
        photo = patch(example)
        (only,) = dominant_colours(photo, np.ones(photo.shape[:2], np.bool_))
        assert (only.name, only.share) == (name, 1.0)


def test_shares_follow_the_area_and_small_ones_are_dropped() -> None:
    photo = patch((196, 30, 40), (196, 30, 40), (196, 30, 40), (250, 250, 250))
    photo[:5, :5] = (44, 98, 190)
    first, second = dominant_colours(photo, np.ones(photo.shape[:2], np.bool_))
    assert (first.name, second.name) == ("red", "white")
    assert first.share == pytest.approx(0.75, abs=0.05)


def test_the_background_does_not_count() -> None:
    photo, _ = packshot((28, 40, 84), background=(230, 200, 60))
    colours = dominant_colours(photo, find(photo, None, CropSettings()).mask)
    assert colours[0].name == "dark blue"
    assert all(colour.name not in {"yellow", "mustard"} for colour in colours)


def test_the_same_pixels_give_the_same_colours() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    mask = np.ones((80, 60), np.bool_)
    assert dominant_colours(photo, mask) == dominant_colours(photo.copy(), mask)


def test_a_single_pixel_has_a_colour_and_no_pixel_is_an_error() -> None:
    photo = np.full((1, 1, 3), 250, np.uint8)
    assert dominant_colours(photo, np.ones((1, 1), np.bool_))[0].name == "white"
    with pytest.raises(ValueError, match="does not mark"):
        dominant_colours(photo, np.zeros((1, 1), np.bool_))
    with pytest.raises(ValueError, match="does not mark"):
        dominant_colours(photo, np.ones((2, 2), np.bool_))
