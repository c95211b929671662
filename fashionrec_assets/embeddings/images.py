"""Crops as arrays of one size for an image tower.

Belongs here: fitting a crop into a fixed frame. Does not belong here: cutting it out of a photo (`crops`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

FILL = 255
"""Grey level of the padding: product photos are mostly shot on white."""


def prepare_images(images: Sequence[Image], height: int, width: int) -> NDArray[np.uint8]:
    """RGB crops as (n, height, width, 3): scaled to fit without distortion, centred on white.

    The same as open_clip's preprocessing with `resize_mode` "longest" and `fill_color` 255, but on bytes.
    """
    from PIL.Image import Resampling

    result = np.full((len(images), height, width, 3), FILL, dtype=np.uint8)
    for number, image in enumerate(images):
        scale = min(height / image.height, width / image.width)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = np.asarray(image.convert("RGB").resize(size, Resampling.BICUBIC))
        top, left = (height - size[1]) // 2, (width - size[0]) // 2
        result[number, top : top + size[1], left : left + size[0]] = small
    return result
