"""A person is found before a busy background, and nobody where nobody is."""

from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.crops.figure import Figure, soft_colours, standing_figure
from fashionrec_assets.crops.grounding import Photo
from fashionrec_assets.crops.pixels import lab_of, shrunk, skin
from fashionrec_assets_tests.crops.scenes import street


def read(photo: Photo, lean: float = 0.0) -> Figure | None:
    small = shrunk(photo, 96)
    return standing_figure(lab_of(small), skin(small), lean=lean)


@pytest.mark.parametrize("seed", [5, 8])
def test_crown_soles_and_middle_of_a_person_are_found(seed: int) -> None:
    photo, boxes = street(seed=seed)
    figure = read(photo)
    assert figure is not None
    x0, y0, x1, y1 = boxes["person"]
    scale, tall = photo.shape[0] / 96, y1 - y0
    assert abs(figure.crown * scale - y0) < 0.05 * tall
    assert abs((figure.crown + figure.stature) * scale - y1) < 0.03 * tall
    assert abs(figure.middle * scale - (x0 + x1) / 2) < 0.02 * tall
    assert 0.5 < figure.clarity <= 1


def test_belief_is_on_the_person_and_not_beside() -> None:
    photo, boxes = street()
    figure = read(photo)
    assert figure is not None
    assert figure.belief.shape == figure.evidence.shape == figure.colours.shape[:2]
    x0, y0, x1, y1 = (round(value * 96 / photo.shape[0]) for value in boxes["dress"])
    assert figure.belief[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].mean() > 0.9
    assert figure.belief[:, :8].mean() < 0.1


def test_a_street_without_a_person_has_none() -> None:
    assert read(street(person=False)[0]) is None


def test_a_person_whom_the_frame_cuts_is_not_a_standing_figure() -> None:
    photo, boxes = street()
    cut = np.ascontiguousarray(photo[boxes["dress"][1] + 10 : boxes["dress"][3] - 10])
    assert read(cut) is None


def test_lean_decides_what_is_doubtful() -> None:
    photo, _ = street()
    assert read(photo, lean=-9) is None
    assert read(np.full((96, 64, 3), 128, np.uint8), lean=9) is not None


def test_soft_colours_are_shares() -> None:
    colours = soft_colours(lab_of(shrunk(street()[0], 96)))
    assert colours.shape[:2] == (96, 64)
    assert np.allclose(colours.sum(axis=2), 1, atol=1e-4)
