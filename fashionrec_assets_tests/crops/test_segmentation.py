"""The offline grounder finds drawn garments, and falls back where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.crops.grounding import intersection_over_union
from fashionrec_assets.crops.segmentation import SegmentationGrounder, find, locate
from fashionrec_assets.settings import CropSettings
from fashionrec_assets_tests.crops.scenes import cluttered, figure, packshot

SETTINGS = CropSettings()


@pytest.mark.parametrize("colour", [(180, 30, 40), (20, 20, 24), (252, 252, 252), (205, 190, 170)])
def test_a_packshot_is_found_in_any_colour(colour: tuple[int, int, int]) -> None:
    photo, box = packshot(colour, background=(228, 228, 226))
    location = locate(photo, None, SETTINGS)
    assert location.method == "segmentation"
    assert location.reason is None
    assert intersection_over_union(location.box, box) > 0.85


def test_props_cut_off_by_the_frame_are_left_out() -> None:
    photo, box = cluttered()
    assert intersection_over_union(locate(photo, "sweater", SETTINGS).box, box) > 0.8


@pytest.mark.parametrize("kind", ["t-shirt", "trousers", "shoes"])
def test_the_product_type_picks_the_garment_on_a_figure(kind: str) -> None:
    photo, box = figure()[kind]
    assert intersection_over_union(locate(photo, kind, SETTINGS).box, box) > 0.6


def test_a_figure_without_a_known_type_is_taken_whole() -> None:
    photo, _ = figure()["t-shirt"]
    x0, y0, x1, y1 = locate(photo, "mystery", SETTINGS).box
    assert y1 - y0 > 200
    assert x1 - x0 > 50


def test_the_mask_marks_the_garment() -> None:
    photo, box = packshot()
    mask = find(photo, None, SETTINGS).mask
    assert mask.shape == photo.shape[:2]
    assert mask[130, 96]
    assert not mask[20, 20]
    assert not mask[: box[1] - 8].any()


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (np.full((256, 192, 3), 200, np.uint8), "no foreground"),
        (np.zeros((1, 1, 3), np.uint8), "photo too small to segment"),
        (np.zeros((300, 2, 3), np.uint8), "photo too small to segment"),
    ],
)
def test_a_photo_without_a_garment_falls_back_with_the_reason(photo: np.ndarray, reason: str) -> None:
    location = locate(photo, "dress", SETTINGS)
    assert (location.method, location.reason, location.confidence) == ("whole_image", reason, 0.0)
    assert location.box == (0, 0, photo.shape[1], photo.shape[0])


def test_a_speck_is_no_garment() -> None:
    photo = np.full((256, 192, 3), 230, np.uint8)
    photo[120:148, 90:118] = (200, 20, 20)
    assert locate(photo, None, SETTINGS).reason == "foreground too small"


@pytest.mark.parametrize("shape", [(9, 9), (40, 400), (400, 40), (1200, 900), (8, 200)])
def test_boxes_lie_inside_photos_of_any_shape(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0])
    photo = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for kind in (None, "dress", "shoes", "hat", "bag"):
        x0, y0, x1, y1 = locate(photo, kind, SETTINGS).box
        assert 0 <= x0 < x1 <= shape[1]
        assert 0 <= y0 < y1 <= shape[0]


def test_the_same_photo_gives_the_same_box_in_any_batch() -> None:
    grounder = SegmentationGrounder(SETTINGS)
    noise = np.random.default_rng(0).integers(0, 256, (200, 150, 3), dtype=np.uint8)
    photos = [packshot()[0], noise, figure()["shoes"][0]]
    kinds = ["t-shirt", "coat", "shoes"]
    alone = [grounder.locate_batch([photo], [kind])[0] for photo, kind in zip(photos, kinds, strict=True)]
    assert grounder.locate_batch(photos, kinds) == alone
    assert grounder.locate_batch(photos[::-1], kinds[::-1]) == alone[::-1]


@pytest.mark.parametrize(
    "photo", [np.zeros((20, 20), np.uint8), np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 3))]
)
def test_anything_but_rgb_bytes_is_refused(photo: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected an RGB photo"):
        locate(photo, None, SETTINGS)
