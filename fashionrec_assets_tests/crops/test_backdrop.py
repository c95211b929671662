"""A plain backdrop is taken off the box; what could be the garment never is."""

from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.crops.backdrop import without_backdrop
from fashionrec_assets.crops.colours import dominant_colours
from fashionrec_assets_tests.crops.scenes import cluttered, packshot


def test_the_ground_around_a_garment_does_not_count() -> None:
    photo, box = packshot()
    mask = without_backdrop(photo, box)
    assert mask.shape == photo.shape[:2]
    x0, y0, x1, y1 = box
    assert not mask[:y0].any() and not mask[:, :x0].any() and not mask[y1:].any() and not mask[:, x1:].any()
    assert mask[130, 96]
    assert not mask[180, 40]
    assert [colour.name for colour in dominant_colours(photo, mask)] == ["red"]


def test_without_a_box_the_garment_still_gives_the_colours() -> None:
    photo, _ = packshot((28, 40, 84), background=(230, 200, 60))
    mask = without_backdrop(photo, (0, 0, photo.shape[1], photo.shape[0]))
    assert dominant_colours(photo, mask)[0].name == "dark blue"


def test_the_backdrops_colour_inside_the_garment_stays() -> None:
    photo = np.full((200, 160, 3), 245, np.uint8)
    photo[40:160, 40:120] = (30, 30, 34)
    photo[90:110, 70:90] = 245
    mask = without_backdrop(photo, (30, 30, 130, 170))
    assert mask[100, 80]
    assert not mask[35, 35]


def test_a_garment_of_the_backdrops_colour_is_not_taken_off_itself() -> None:
    photo, box = packshot((238, 238, 236), background=(240, 240, 238))
    mask = without_backdrop(photo, box)
    x0, y0, x1, y1 = box
    assert mask.sum() == (x1 - x0) * (y1 - y0)


def test_a_busy_photo_gives_all_but_the_whole_box() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    assert without_backdrop(photo, (20, 20, 60, 90)).sum() > 0.98 * 40 * 70


def test_a_box_that_leaves_no_frame_is_kept_whole() -> None:
    photo, _ = cluttered()
    height, width = photo.shape[:2]
    assert without_backdrop(photo, (0, 0, width, height - 3)).sum() == width * (height - 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2000, 3), (7, 5)])
def test_photos_of_any_shape_have_a_pixel_left(shape: tuple[int, int]) -> None:
    photo = np.full((*shape, 3), 200, np.uint8)
    box = (0, 0, shape[1], shape[0])
    assert without_backdrop(photo, box).any()
    assert without_backdrop(photo, (0, 0, 1, 1)).sum() == 1


def test_stripes_of_the_backdrops_colour_stay() -> None:
    photo = np.full((256, 192, 3), 246, np.uint8)
    for top in range(60, 200, 8):
        photo[top : top + 4, 40:150] = (30, 120, 70)
    mask = without_backdrop(photo, (30, 50, 160, 210))
    assert {colour.name for colour in dominant_colours(photo, mask)} >= {"green", "white"}
    assert mask[66, 90]
    assert not mask[55, 35]
