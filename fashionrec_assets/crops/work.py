"""What the crop stage does to a batch of photos, in the stage's process or in a worker of a cluster.

Belongs here: photos as bytes in, the stage's rows out. Does not belong here: reading and writing (`assets.py`), how a
garment is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from fashionrec_assets.catalog.photos import PhotoError, decode_photo
from fashionrec_assets.crops.grounding import make_grounder
from fashionrec_assets.crops.pipeline import GroundedCrop, ground_batch
from fashionrec_assets.resources.compute import Made, Work

if TYPE_CHECKING:
    from PIL.Image import Image

PHOTOS_AT_ONCE = 32
"""Photos in memory at a time: they may be of many megabytes."""

CROP_COLUMNS = pa.schema([pa.field("jpeg", pa.binary(), nullable=False)])


@dataclass(frozen=True)
class PhotoRow:
    """A photo as it lies on disk, of an item whose type and category are raw catalog text."""

    item_id: str
    product_type: str | None
    category: str | None
    photo: bytes


class GroundPhotos(Work[list[PhotoRow], Made]):
    """Crops of photos; those that cannot be decoded any more have none."""

    at_once = PHOTOS_AT_ONCE

    @property
    def on_gpu(self) -> bool:
        """A detector is a neural network, the others are not."""
        return self.shop.settings.crops.provider == "grounding_dino"

    def start(self) -> Callable[[list[PhotoRow]], Made]:
        """See `Work.start`."""
        settings = self.shop.settings
        grounder = make_grounder(settings.crops)

        def make(rows: list[PhotoRow]) -> Made:
            read: list[tuple[PhotoRow, Image]] = []
            for row in rows:
                try:
                    read.append((row, decode_photo(row.photo, max_pixels=settings.catalog.max_image_pixels)))
                except PhotoError:
                    continue
            images = [image for _, image in read]
            crops = ground_batch(
                images,
                [row.product_type for row, _ in read],
                grounder,
                settings.crops,
                categories=[row.category for row, _ in read],
            )
            return _made([row.item_id for row, _ in read], [image.size for image in images], crops)

        return make


def _made(keys: list[str], sizes: Sequence[tuple[int, int]], crops: Sequence[GroundedCrop]) -> Made:
    where = [crop.location for crop in crops]
    table_rows = pa.table(
        {
            "item_id": pa.array(keys, pa.string()),
            **{
                name: pa.array([location.box[at] for location in where], pa.int64())
                for at, name in enumerate(("x0", "y0", "x1", "y1"))
            },
            "photo_width": pa.array([width for width, _ in sizes], pa.int64()),
            "photo_height": pa.array([height for _, height in sizes], pa.int64()),
            "method": pa.array([location.method for location in where], pa.string()),
            "reason": pa.array([location.reason for location in where], pa.string()),
            "confidence": pa.array([location.confidence for location in where], pa.float64()),
            "colours": pa.array(
                [[{"name": colour.name, "share": colour.share} for colour in crop.colours] for crop in crops],
                pa.list_(pa.struct([("name", pa.string()), ("share", pa.float64())])),
            ),
        }
    )
    jpegs = pa.table(
        {"item_id": pa.array(keys, pa.string()), "jpeg": pa.array([crop.jpeg for crop in crops], pa.binary())}
    )
    outputs = {key: hashlib.sha256(crop.jpeg).hexdigest() for key, crop in zip(keys, crops, strict=True)}
    return Made(jpegs, outputs, table_rows)
