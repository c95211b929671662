"""One batch of photos through grounding, cutting, colour measurement and encoding: what the crop stage runs.

Belongs here: the order of the steps for a batch, free of storage. Does not belong here: each step's method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionrec_assets.crops.colours import ColourShare, dominant_colours
from fashionrec_assets.crops.grounding import CategoryGrounder, Found, Grounder, Location, Photo, cut, encode_jpeg
from fashionrec_assets.settings import CropSettings

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class GroundedCrop:
    """What the crop stage keeps of one photo; `size` is the crop's (width, height) in pixels."""

    location: Location
    jpeg: bytes
    size: tuple[int, int]
    colours: tuple[ColourShare, ...]


def ground_batch(
    photos: Sequence[Image],
    product_types: Sequence[str | None],
    grounder: Grounder,
    settings: CropSettings,
    *,
    categories: Sequence[str | None] | None = None,
) -> list[GroundedCrop]:
    """Locate, cut, encode and measure RGB `photos`; results are in order and independent of the other photos.

    A grounder that reads no category gets it in place of a type that is not known; either may be None.
    """
    arrays = [np.asarray(photo.convert("RGB")) for photo in photos]
    located = _located(arrays, product_types, categories or [None] * len(photos), grounder)
    results: list[GroundedCrop] = []
    for photo, array, found in zip(photos, arrays, located, strict=True):
        crop = cut(photo, found.location, settings)
        colours = dominant_colours(array, found.mask)
        results.append(GroundedCrop(found.location, encode_jpeg(crop, settings.jpeg_quality), crop.size, colours))
    return results


def _located(
    photos: Sequence[Photo],
    product_types: Sequence[str | None],
    categories: Sequence[str | None],
    grounder: Grounder,
) -> list[Found]:
    if isinstance(grounder, CategoryGrounder):
        return grounder.find_in_categories(photos, product_types, categories)
    kinds = [category if kind is None else kind for kind, category in zip(product_types, categories, strict=True)]
    return grounder.find_batch(photos, kinds)
