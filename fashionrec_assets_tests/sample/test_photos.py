from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fashionrec_assets.sample import photos
from fashionrec_assets.sample.attributes import PRODUCT_TYPES, Wardrobe, draw_wardrobe
from fashionrec_assets.sample.canvas import Cloth


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return draw_wardrobe(48, np.random.default_rng(11))


@pytest.fixture(scope="module")
def drawn(wardrobe: Wardrobe) -> list[photos.Photo]:
    return [photos.draw_photo(wardrobe, row, 3) for row in range(len(wardrobe))]


def test_every_scene_is_drawn_and_every_box_is_tight(wardrobe: Wardrobe, drawn: list[photos.Photo]) -> None:
    assert {photo.scene for photo in drawn} == set(photos.SCENES)
    assert set(wardrobe.types) == set(range(len(PRODUCT_TYPES)))
    for photo in drawn:
        height, width = photo.mask.shape
        assert photo.image.shape == (height, width, 3)
        x0, y0, x1, y1 = photo.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert not photo.mask[:, :x0].any()
        assert not photo.mask[:, x1:].any()
        assert not photo.mask[:y0].any()
        assert not photo.mask[y1:].any()
        assert photo.mask[y0].any()
        assert photo.mask[y1 - 1].any()
        assert photo.mask[:, x0].any()
        assert photo.mask[:, x1 - 1].any()
        assert photo.mask.sum() > 80


def test_the_mask_is_where_the_item_is(
    wardrobe: Wardrobe, drawn: list[photos.Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dye the items: only pixels of the mask change colour, and those of the mask do."""
    plain: Callable[..., Cloth] = photos.cloth_of

    def dyed(*arguments: object) -> Cloth:
        cloth = plain(*arguments)
        dyes = ((250.0, 10.0, 250.0), (10.0, 240.0, 10.0), (240.0, 240.0, 10.0), (10.0, 10.0, 240.0))
        taken = np.array([cloth.colour, cloth.accent])
        far = max(dyes, key=lambda dye: float(np.abs(taken - dye).max(axis=1).min()))
        return replace(cloth, colour=far, accent=far)

    monkeypatch.setattr(photos, "cloth_of", dyed)
    for row, before in enumerate(drawn[:24]):
        after = photos.draw_photo(wardrobe, row, 3)
        change = np.abs(after.image.astype(int) - before.image.astype(int)).max(axis=2)
        # A pixel at the edge may be covered less than half and still change a little.
        inner = cv2.erode(before.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        outer = cv2.dilate(before.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert change[~outer].max(initial=0) < 60
        assert (change[inner] > 20).mean() > 0.9
        assert (before.mask == after.mask).all()


def test_a_worn_photo_shows_other_garments_and_skin(drawn: list[photos.Photo]) -> None:
    shares = [photo.mask.mean() for photo in drawn if photo.scene == "worn"]
    assert np.mean(shares) < 0.4


def test_a_packshot_stands_on_a_light_ground(drawn: list[photos.Photo]) -> None:
    for photo in drawn:
        if photo.scene == "packshot":
            assert photo.image[~photo.mask].mean() > 200


def test_photos_repeat_by_seed(wardrobe: Wardrobe, drawn: list[photos.Photo]) -> None:
    again = photos.draw_photo(wardrobe, 5, 3)
    assert photos.encode_jpeg(again.image) == photos.encode_jpeg(drawn[5].image)
    assert (photos.draw_photo(wardrobe, 5, 4).image.shape != again.image.shape) or (
        photos.draw_photo(wardrobe, 5, 4).image != again.image
    ).any()


def test_variants_of_a_family_differ_in_colour(wardrobe: Wardrobe) -> None:
    families, counts = np.unique(wardrobe.families, return_counts=True)
    rows = np.flatnonzero(wardrobe.families == families[counts > 1][0])
    rng = np.random.default_rng(0)
    colours = {photos.cloth_of(wardrobe, int(row), rng).colour for row in rows}
    assert len(colours) == len(rows)
    assert len({photos.design_of(wardrobe, int(row)) for row in rows}) == 1
