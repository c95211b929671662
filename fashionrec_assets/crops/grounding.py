"""What every grounder shares: the box it returns, the protocol it follows, and cutting a crop out of a photo.

Belongs here: `Location`, `Grounder`, the registry of grounders, `cut` and `encode_jpeg`. Does not belong here: how a
box is found (`segmentation.py`, and one module for each further grounder).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.settings import CropSettings

if TYPE_CHECKING:
    from PIL.Image import Image

Photo = NDArray[np.uint8]
"""One RGB photo, (height, width, 3)."""

Mask = NDArray[np.bool_]
"""Which pixels of a photo are meant, (height, width)."""

Box = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in pixels of the source photo, half-open: x1 and y1 are outside."""

Method = Literal["segmentation", "grounding_dino", "whole_image"]


@dataclass(frozen=True)
class Location:
    """Where the garment is, how that was found, and why the whole photo was taken where it was.

    `reason` is None unless `method` is "whole_image". `confidence` is in [0, 1] and is only comparable within one
    grounder; a fallback has confidence 0.
    """

    box: Box
    method: Method
    reason: str | None
    confidence: float

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 < x1 and 0 <= y0 < y1):
            raise ValueError(f"a box needs 0 <= x0 < x1 and 0 <= y0 < y1, but this one is {self.box}")
        if (self.method == "whole_image") != (self.reason is not None):
            raise ValueError("a whole-image location needs a reason, and only that one may have one")


@dataclass(frozen=True)
class Found:
    """A location and the garment's own pixels, (height, width) of the photo; all of the box where nothing is known."""

    location: Location
    mask: Mask


class Grounder(Protocol):
    """Finds the garment in photos. `name` and `version` are part of the ledger's code fingerprint."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def find_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Found]:
        """One location and mask for each photo, in order; never raises for a photo it cannot read anything in."""
        ...

    def locate_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Location]:
        """The locations of `find_batch`."""
        ...


@runtime_checkable
class CategoryGrounder(Protocol):
    """What a grounder also offers that reads an item's category beside its type."""

    def find_in_categories(
        self, photos: Sequence[Photo], product_types: Sequence[str | None], categories: Sequence[str | None]
    ) -> list[Found]:
        """As `Grounder.find_batch`; types and categories are raw catalog text."""
        ...


GROUNDERS: dict[str, str] = {
    "segmentation": "fashionrec_assets.crops.segmentation:SegmentationGrounder",
    "grounding_dino": "fashionrec_assets.crops.grounding_dino:GroundingDinoGrounder",
    "whole_image": "fashionrec_assets.crops.grounding:WholeImageGrounder",
}
"""Provider name to `module:callable`; the callable takes a `CropSettings` and returns a `Grounder`."""


VERSIONED = frozenset({"model", "revision", "box_threshold", "text_threshold", "precision", "batch_size"})
"""Settings that one grounder alone reads. Its `version` covers those that change a box, so that they make nothing stale
where another grounder is in force."""


def make_grounder(settings: CropSettings) -> Grounder:
    """The grounder that `settings.provider` names; ValueError names the known ones if it is none of them."""
    target = GROUNDERS.get(settings.provider)
    if target is None:
        raise ValueError(f"unknown crop provider {settings.provider!r}; known are {', '.join(sorted(GROUNDERS))}")
    module, _, attribute = target.partition(":")
    factory = cast(Callable[[CropSettings], Grounder], getattr(import_module(module), attribute))
    return factory(settings)


def whole_image(photo: Photo, reason: str) -> Location:
    """The counted fallback: all of `photo`, with the reason."""
    height, width = photo.shape[:2]
    return Location((0, 0, width, height), "whole_image", reason, 0.0)


def everything(photo: Photo, reason: str) -> Found:
    """The counted fallback as a `Found`: every pixel may be the garment."""
    return Found(whole_image(photo, reason), np.ones(photo.shape[:2], dtype=np.bool_))


class WholeImageGrounder:
    """Takes every photo as it is: the off switch that the ablation compares grounding against."""

    name = "whole_image"
    version = "1"

    def __init__(self, settings: CropSettings) -> None:
        del settings

    def find_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Found]:
        del product_types
        return [everything(photo, "grounding is switched off") for photo in photos]

    def locate_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Location]:
        return [found.location for found in self.find_batch(photos, product_types)]


def intersection_over_union(first: Sequence[float], second: Sequence[float]) -> float:
    """Overlap of two half-open boxes in [0, 1]; 0 where either is empty."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return float(overlap / (sum(areas) - overlap))


def cut(image: Image, location: Location, settings: CropSettings) -> Image:
    """The crop of `image` at `location`: widened by the margin, clipped to the photo, no side over `max_side`.

    A fallback is not widened (it is the whole photo already). ValueError if the box lies outside the image.
    """
    from PIL.Image import Resampling

    x0, y0, x1, y1 = location.box
    if x1 > image.width or y1 > image.height:
        raise ValueError(f"box {location.box} is not inside an image of {image.width}x{image.height} pixels")
    dx, dy = round((x1 - x0) * settings.margin), round((y1 - y0) * settings.margin)
    crop = image.crop((max(0, x0 - dx), max(0, y0 - dy), min(image.width, x1 + dx), min(image.height, y1 + dy)))
    if max(crop.size) > settings.max_side:
        scale = settings.max_side / max(crop.size)
        size = (max(1, round(crop.width * scale)), max(1, round(crop.height * scale)))
        crop = crop.resize(size, Resampling.LANCZOS)
    return crop


def encode_jpeg(crop: Image, quality: int) -> bytes:
    """`crop` as JPEG bytes without metadata: the same pixels give the same bytes with one Pillow build."""
    buffer = io.BytesIO()
    crop.convert("RGB").save(buffer, format="JPEG", quality=quality, subsampling=0, optimize=False, exif=b"")
    return buffer.getvalue()
