"""Small helpers over pixels that every way of reading a photo shares.

Belongs here: sizes, colour spaces, skin, bounding boxes. Does not belong here: any notion of garment or figure.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.crops.grounding import Mask, Photo

Lab = NDArray[np.float32]
"""CIE Lab, (height, width, 3), L in 0 to 100."""

Span = tuple[int, int, int, int]
"""(x0, y0, x1, y1), half-open."""


def shrunk(image: Photo, side: int) -> Photo:
    import cv2

    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale)))
    return cast(Photo, cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def lab_of(image: Photo) -> Lab:
    import cv2

    return cast(Lab, cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB))


def far(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of colours; lightness counts less, for shadows change nothing else."""
    difference = first - second
    difference[..., 0] *= 0.8
    return cast(NDArray[np.float32], np.sqrt(np.einsum("...c,...c->...", difference, difference)))


def skin(image: Photo) -> Mask:
    """Pixels of human-skin colour (Chai and Ngan 1999 bounds in YCrCb); cloth of that colour passes too."""
    import cv2

    ycrcb = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    cr, cb = ycrcb[..., 1], ycrcb[..., 2]
    return (cr >= 136) & (cr <= 178) & (cb >= 77) & (cb <= 127) & (ycrcb[..., 0] >= 40)


def extent(mask: Mask) -> Span:
    """Half-open bounding box of `mask`, which must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
