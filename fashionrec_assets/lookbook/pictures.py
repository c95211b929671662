"""Small photos for pages.

Belongs here: shrinking crops, naming their files, one picture of several. Does not belong here: cutting crops out of
photos (`crops`), where photos stand on a page.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fashionrec_assets.settings import LookbookSettings
from fashionrec_assets.storage.buckets import BucketStore

FOLDER = "photos"
_PAPER = (244, 241, 236)
_CELL = (150, 200)


@dataclass(frozen=True)
class Photo:
    """A file of the site: its address from the site's root, and its size in pixels."""

    path: str
    width: int
    height: int


def slug(item_id: str) -> str:
    """What files about an item are called: ids of catalogs may hold anything."""
    return hashlib.sha256(item_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def write_photos(store: BucketStore, ids: Iterable[str], folder: Path, settings: LookbookSettings) -> dict[str, Photo]:
    """Write the crop of each of `ids` that has one as a small JPEG under the site's root `folder`."""
    table = store.take(sorted(set(ids)))
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    photos: dict[str, Photo] = {}
    for item_id, jpeg in zip(table.column("item_id").to_pylist(), table.column("jpeg").to_pylist(), strict=True):
        data, size = thumbnail(jpeg, settings.photo_side, settings.photo_quality)
        path = f"{FOLDER}/{slug(item_id)}.jpg"
        (folder / path).write_bytes(data)
        photos[item_id] = Photo(path, *size)
    return photos


def thumbnail(jpeg: bytes, side: int, quality: int) -> tuple[bytes, tuple[int, int]]:
    """The picture no wider or higher than `side` pixels, as JPEG, and its width and height."""
    from PIL import Image

    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as opened:
        opened.draft("RGB", (side, side))
        image = opened.convert("RGB")
    image.thumbnail((side, side))
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=quality, optimize=True)
    return sink.getvalue(), image.size


def sheet(photos: Mapping[str, Photo], ids: Iterable[str], folder: Path, most: int = 8) -> bytes:
    """A JPEG of the first `most` of `ids` that have a photo, side by side; empty if none has."""
    from PIL import Image, ImageOps

    chosen = [photos[item] for item in ids if item in photos][:most]
    if not chosen:
        return b""
    width, height = _CELL
    image = Image.new("RGB", (width * len(chosen), height), _PAPER)
    for place, photo in enumerate(chosen):
        with Image.open(folder / photo.path, formats=("JPEG",)) as opened:
            image.paste(ImageOps.pad(opened, (width - 8, height - 8), color=_PAPER), (place * width + 4, 4))
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=85)
    return sink.getvalue()
