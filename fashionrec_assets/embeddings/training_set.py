"""The pictures and texts of items, for training a CLIP model and for measuring it.

Belongs here: reading them from the shop, with and without grounding, raw and clarified. Does not belong here: training
(`clip_training.py`), which items are held out (`clip_split.py`).
"""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.format import open_memmap

from fashionrec_assets.catalog.photos import PhotoError, PhotoStore, decode_photo
from fashionrec_assets.crops.assets import CROP_COLUMNS
from fashionrec_assets.embeddings.clip_data import Pairs
from fashionrec_assets.embeddings.images import prepare_images
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.ledger import batches

if TYPE_CHECKING:
    from PIL.Image import Image

PORTION = 256
MOST_PIXELS = 640
"""Longest side of a whole photo in memory: more than any image tower here reads."""

RAW_TEXT = "concat_ws(' ', title, product_type, category, colour, pattern, section, brand, gender, description)"
"""Everything the clarified description is written from, as the shop delivered it."""


def arm_texts(shop: Shop, item_ids: Sequence[str], *, clarified: bool) -> list[str]:
    """For each of `item_ids` its clarified description, or all its raw fields joined; "" where there is none."""
    text = "descriptions.text" if clarified else RAW_TEXT.replace("description)", "items.description)")
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT item_id, {text} FROM items JOIN descriptions USING (item_id) WHERE item_id IN (SELECT unnest(?))",
            [list(item_ids)],
        ).fetchall()
    found = dict(rows)
    return [found.get(item_id) or "" for item_id in item_ids]


def arm_images(shop: Shop, item_ids: Sequence[str], *, grounded: bool) -> list[Image]:
    """For each of `item_ids`, which must have a crop, the crop or the whole photo.

    A photo that can no longer be read is replaced by its crop. LookupError names an item without a crop.
    """
    from PIL import Image

    table = shop.store("crops", CROP_COLUMNS).take(item_ids)
    jpegs = dict(zip(table.column("item_id").to_pylist(), table.column("jpeg").to_pylist(), strict=True))
    missing = [item_id for item_id in item_ids if item_id not in jpegs]
    if missing:
        raise LookupError(f"{missing[0]} has no crop: materialize grounded_crops, then clip_model")
    crops = [Image.open(io.BytesIO(jpegs[item_id]), formats=("JPEG",)).convert("RGB") for item_id in item_ids]
    if grounded:
        return crops
    with shop.warehouse.reader() as connection:
        refs = dict(
            connection.execute(
                "SELECT item_id, image_ref FROM items WHERE item_id IN (SELECT unnest(?))", [list(item_ids)]
            ).fetchall()
        )
    settings = shop.settings
    photos = PhotoStore(settings.raw, settings.catalog)
    whole: list[Image] = []
    for item_id, crop in zip(item_ids, crops, strict=True):
        try:
            photo = decode_photo(photos.read(refs[item_id]), max_pixels=settings.catalog.max_image_pixels)
            photo.thumbnail((MOST_PIXELS, MOST_PIXELS))
            whole.append(photo)
        except PhotoError:
            whole.append(crop)
    return whole


@contextmanager
def training_pairs(
    shop: Shop, item_ids: Sequence[str], size: tuple[int, int], *, grounded: bool, clarified: bool
) -> Generator[Pairs]:
    """The pairs of `item_ids` with pictures of `size` (height, width), which lie in a file, not in memory.

    The file is deleted when the block ends.
    """
    with shop.warehouse.reader() as connection:
        facts = connection.execute(
            "SELECT item_id, coalesce(family_id, item_id), coalesce(product_type, category, '') FROM items "
            "WHERE item_id IN (SELECT unnest(?))",
            [list(item_ids)],
        ).fetchall()
    named = {item_id: (family, kind) for item_id, family, kind in facts}
    shop.spill.mkdir(parents=True, exist_ok=True)
    path = shop.spill / "clip-images.npy"
    images = open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(item_ids), *size, 3))
    try:
        place = {item_id: row for row, item_id in enumerate(item_ids)}
        # Bucket by bucket: any other portion would touch, and read, every file of the store.
        for _, bucket in shop.store("crops", CROP_COLUMNS).group(item_ids):
            for keys in batches(bucket, PORTION):
                rows = [place[key] for key in keys]
                images[rows] = prepare_images(arm_images(shop, keys, grounded=grounded), *size)
        yield Pairs(
            images,
            arm_texts(shop, item_ids, clarified=clarified),
            [named[item_id][0] for item_id in item_ids],
            [named[item_id][1] for item_id in item_ids],
        )
    finally:
        path.unlink(missing_ok=True)
