"""The offline grounder: finds the garment with OpenCV and what is known of bodies, without a model to download.

Belongs here: which way a photo is read, and the box that comes of it. Does not belong here: the ways themselves
(`foreground.py` and `cohesion.py` for plain backgrounds, `figure.py` and `layout.py` for street photos).

How a photo is read: where the border is uneven and a person stands in the middle, the garment is at its kind's place
on that person. Else the garment is what stands out of the border; where that is a worn garment, it is the part of it
at its kind's place that hangs together by colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fashionrec_assets.crops.body import WHOLE, Region, region_of
from fashionrec_assets.crops.cohesion import worn_part
from fashionrec_assets.crops.figure import standing_figure
from fashionrec_assets.crops.foreground import EVEN, Border, segment, unlike_border
from fashionrec_assets.crops.grounding import Box, Found, Location, Mask, Photo, everything
from fashionrec_assets.crops.layout import carried, worn
from fashionrec_assets.crops.pixels import extent, lab_of, shrunk, skin
from fashionrec_assets.settings import CropSettings

WORK_SIDE = 128
"""Longest side, in pixels, at which a photo is read."""
FIGURE_SIDE = 96
"""Longest side at which a standing figure is looked for."""


class SegmentationGrounder:
    """`locate` as a provider; photos are independent of each other, so a batch is a loop."""

    name = "segmentation"
    version = "2"

    def __init__(self, settings: CropSettings) -> None:
        self._settings = settings

    def find_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Found]:
        return [find(photo, kind, self._settings) for photo, kind in zip(photos, product_types, strict=True)]

    def locate_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Location]:
        return [found.location for found in self.find_batch(photos, product_types)]


def locate(image: Photo, product_type: str | None, settings: CropSettings) -> Location:
    """The garment in `image` (height, width, 3; RGB, uint8), or the whole image with the reason.

    `product_type` only matters on photos of worn garments. ValueError if `image` has another shape or type.
    """
    return find(image, product_type, settings).location


def find(image: Photo, product_type: str | None, settings: CropSettings) -> Found:
    """`locate`, and the garment's pixels."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected an RGB photo (height, width, 3) of uint8, got {image.shape} of {image.dtype}")
    if min(image.shape[:2]) < 8:
        return everything(image, "photo too small to segment")
    small = shrunk(image, WORK_SIDE)
    border = unlike_border(lab_of(small))
    region = region_of(product_type)
    if border.noise > EVEN:
        found = _on_street(image, region, border)
        if found is not None:
            return found
    foreground = segment(small, border)
    mask = foreground.mask
    if not mask.any():
        return everything(image, "no foreground")
    if float(mask.sum()) < settings.min_area * mask.size:
        return everything(image, "foreground too small")
    if foreground.worn and region is not None:
        mask = worn_part(small, foreground, region)
    box = extent(mask)
    if (box[2] - box[0]) * (box[3] - box[1]) > 0.95 * mask.size:
        return everything(image, "foreground touches everything")
    return _found(image, box, mask, foreground.confidence)


def _on_street(image: Photo, region: Region | None, border: Border) -> Found | None:
    """What the person in the middle wears in `region` (None: all of them), or None where nobody is sure to be."""
    small = shrunk(image, FIGURE_SIDE)
    # The less the border tells garment from background, the less it takes to believe in a person.
    figure = standing_figure(lab_of(small), skin(small), lean=float(np.clip(3 * (border.doubt - 0.2), -0.45, 0.75)))
    if figure is None:
        return None
    edges, mask = carried(figure, region) if region is not None and region.carried else worn(figure, region or WHOLE)
    return _found(image, edges, mask, round(0.6 * figure.clarity, 4))


def _found(image: Photo, edges: Sequence[float], mask: Mask, confidence: float) -> Found:
    """`edges` and `mask`, both in pixels of a smaller copy of `image`, as its box and the garment's pixels in it."""
    import cv2

    (height, width), (rows, columns) = image.shape[:2], mask.shape
    x0, x1 = _whole_pixels(edges[0] * width / columns, edges[2] * width / columns, width)
    y0, y1 = _whole_pixels(edges[1] * height / rows, edges[3] * height / rows, height)
    box: Box = (x0, y0, x1, y1)
    large = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    inside = np.zeros((height, width), dtype=np.bool_)
    inside[y0:y1, x0:x1] = large[y0:y1, x0:x1]
    if not inside.any():
        inside[y0:y1, x0:x1] = True
    return Found(Location(box, "segmentation", None, confidence), inside)


def _whole_pixels(first: float, last: float, length: int) -> tuple[int, int]:
    """The pixels from `first` to `last` that `length` pixels have; at least one."""
    start = int(np.clip(np.floor(first), 0, length - 1))
    return start, int(np.clip(np.ceil(last), start + 1, length))
