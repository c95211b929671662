"""Garments are found at their place on a person, with edges where the person's colours change."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fashionrec_assets.crops.body import CARRIED, DRESS, FEET
from fashionrec_assets.crops.figure import Figure
from fashionrec_assets.crops.grounding import intersection_over_union
from fashionrec_assets.crops.layout import carried, worn
from fashionrec_assets.crops.segmentation import find, locate
from fashionrec_assets.settings import CropSettings
from fashionrec_assets_tests.crops.scenes import street

SETTINGS = CropSettings()


@pytest.mark.parametrize("kind", ["dress", "shoes"])
def test_each_garment_of_a_person_on_a_street(kind: str) -> None:
    photo, boxes = street()
    found = find(photo, kind, SETTINGS)
    assert found.location.reason is None
    assert intersection_over_union(found.location.box, boxes[kind]) > (0.8 if kind == "dress" else 0.5)
    x0, y0, x1, y1 = found.location.box
    assert found.mask[y0:y1, x0:x1].mean() > 0.4
    assert found.mask.sum() == found.mask[y0:y1, x0:x1].sum()


def test_the_hem_is_where_the_colour_ends() -> None:
    hems = []
    for hem in (0.55, 0.70, 0.88):
        photo, boxes = street(hem=hem)
        box = locate(photo, "dress", SETTINGS).box
        assert abs(box[3] - boxes["dress"][3]) < 12
        hems.append(box[3])
    assert hems == sorted(hems)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_bag_is_on_the_side_where_it_hangs(side: str) -> None:
    photo, boxes = street(bag=side)
    assert intersection_over_union(locate(photo, "handbag", SETTINGS).box, boxes["bag"]) > 0.5


def test_of_an_unknown_kind_the_whole_person_is_taken() -> None:
    photo, boxes = street()
    assert intersection_over_union(locate(photo, "mystery", SETTINGS).box, boxes["person"]) > 0.75


def plain_figure(shape: tuple[int, int], **changes: float) -> Figure:
    """A figure without any evidence: one colour everywhere."""
    blank = np.ones(shape, np.float32)
    figure = Figure(blank / 2, 0 * blank, blank[..., None], shape[1] / 2, 5.0, 80.0, 0.5)
    return dataclasses.replace(figure, **changes)


def test_without_evidence_the_usual_rows_stand() -> None:
    (_, top, _, bottom), _ = worn(plain_figure((96, 64)), DRESS)
    assert top == pytest.approx(5 + 80 * DRESS.top, abs=0.6)
    assert bottom == pytest.approx(5 + 80 * DRESS.bottom, abs=0.6)


@pytest.mark.parametrize("changes", [{"crown": -300.0, "stature": 600.0}, {"crown": 90.0}, {"middle": -40.0}])
@pytest.mark.parametrize("region", [DRESS, FEET, CARRIED], ids=lambda region: region.name)
def test_figures_outside_the_photo_give_boxes_all_the_same(changes: dict[str, float], region) -> None:
    figure = plain_figure((96, 64), **changes)
    (x0, y0, x1, y1), mask = (carried if region.carried else worn)(figure, region)
    assert x0 < x1 and y0 < y1
    assert np.isfinite([x0, y0, x1, y1]).all()
    assert mask.shape == (96, 64)
