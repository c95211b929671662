"""Garments on clean silhouettes, and what a figure carries."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.crops.foreground import segment
from fashionrec_assets.crops.grounding import intersection_over_union
from fashionrec_assets.crops.pixels import shrunk
from fashionrec_assets.crops.segmentation import locate
from fashionrec_assets.settings import CropSettings
from fashionrec_assets_tests.crops.scenes import figure, packshot

SETTINGS = CropSettings()
BAG = (128, 128, 160, 170)


def with_bag(*, mirrored: bool = False) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    photo = figure()["t-shirt"][0].copy()
    x0, y0, x1, y1 = BAG
    photo[y0:y1, x0:x1] = (30, 120, 60)
    photo[y0 - 20 : y0, 125:130] = (30, 120, 60)
    if mirrored:
        return np.ascontiguousarray(photo[:, ::-1]), (photo.shape[1] - x1, y0, photo.shape[1] - x0, y1)
    return photo, BAG


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_bag_beside_a_figure_is_found_on_its_side(mirrored: bool) -> None:
    photo, box = with_bag(mirrored=mirrored)
    assert intersection_over_union(locate(photo, "bag", SETTINGS).box, box) > 0.35


def test_a_bag_on_its_own_is_taken_whole() -> None:
    photo, box = packshot((120, 70, 40))
    assert intersection_over_union(locate(photo, "bag", SETTINGS).box, box) > 0.85


def test_a_pale_shirt_before_a_pale_wall_belongs_to_the_figure() -> None:
    photo = figure()["t-shirt"][0].copy()
    photo[np.all(photo == (196, 30, 40), axis=2)] = (240, 242, 244)
    found = segment(shrunk(photo, 128))
    assert found.worn
    assert found.mask[45, 48]
    assert intersection_over_union(locate(photo, "t-shirt", SETTINGS).box, figure()["t-shirt"][1]) > 0.6


@pytest.mark.parametrize(("cloth", "worn"), [((214, 160, 126), False), ((40, 70, 160), True)])
def test_cloth_of_the_colour_of_skin_is_no_head(cloth: tuple[int, int, int], worn: bool) -> None:
    photo = np.full((256, 192, 3), 240, np.uint8)
    photo[30:70, 82:110] = (214, 160, 126)
    photo[70:230, 66:126] = cloth
    assert segment(shrunk(photo, 128)).worn is worn
