"""Which pixels of a box are plainly not the garment, for grounders that find boxes and no outlines.

Belongs here: telling a plain backdrop apart. Does not belong here: finding the garment (`grounding_dino.py`,
`segmentation.py`), naming colours (`colours.py`).
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.crops.clustering import colour_clusters
from fashionrec_assets.crops.grounding import Box, Mask, Photo

WORK_SIDE = 192
"""Longest side, in pixels, at which a photo is looked at."""
ALIKE = 9.0
"""Distance in CIE Lab within which a pixel has a backdrop's colour."""
STRIPE = 5
"""Pixels, at that size: what is narrower is not ground but a stripe of the garment that has its colour."""
LEAST_LEFT = 0.3
"""A smaller share of the box left over means that the garment has the backdrop's colour: then the whole box counts."""
LEAST_LEFT_OF_ALL = 0.1
"""The same of a whole photo, in which the garment may be small."""


def without_backdrop(photo: Photo, box: Box) -> Mask:
    """The pixels of `box` without the backdrop around the garment; (height, width) of `photo`, never empty.

    A backdrop pixel has one of the main colours of the photo's frame outside the box, and hangs together with the box's
    edge through such pixels: white buttons on a black shirt stay. Without this the colours of a shoe on white ground
    would be white first, for half of its box is ground. Where the frame shows no main colour (a street, a room), or too
    little would be left, all of the box counts.
    """
    import cv2

    height, width = photo.shape[:2]
    whole = np.zeros((height, width), dtype=np.bool_)
    x0, y0, x1, y1 = box
    whole[y0:y1, x0:x1] = True
    scale = min(1.0, WORK_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    inside = cv2.resize(whole.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    if not inside.any():
        return whole
    plain = _plain(cast(NDArray[np.float32], lab), inside) & inside
    kept = inside & ~_reached(plain, inside)
    least = LEAST_LEFT_OF_ALL if inside.all() else LEAST_LEFT
    if kept.sum() == inside.sum() or kept.sum() < least * inside.sum():
        return whole
    large = cv2.resize(kept.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(np.bool_) & whole
    return large if large.any() else whole


def _plain(lab: NDArray[np.float32], inside: Mask) -> Mask:
    """Pixels with one of the main colours of the frame: of its part outside the box, if there is enough of it."""
    height, width = inside.shape
    thick = max(1, round(0.03 * max(height, width)))
    ring = np.ones_like(inside)
    ring[thick : height - thick, thick : width - thick] = False
    outside = ring & ~inside
    # A box that is the whole photo leaves no frame outside it; its own frame is the best guess.
    frame = ring if inside.all() else outside
    if frame.sum() < 0.1 * ring.sum():
        return np.zeros_like(inside)
    centres, shares = colour_clusters(lab[frame], 4)
    plain = np.zeros_like(inside)
    for centre in centres[shares >= 0.2]:
        plain |= np.linalg.norm(lab - centre, axis=2) < ALIKE
    return plain


def _reached(plain: Mask, inside: Mask) -> Mask:
    """The parts of `plain` that touch the edge of the box `inside`, without what is as thin as a stripe of cloth."""
    import cv2

    # Beyond the box nothing is known: it must not make the backdrop at the box's edge look thin.
    thick = cv2.morphologyEx((plain | ~inside).astype(np.uint8), cv2.MORPH_OPEN, np.ones((STRIPE, STRIPE), np.uint8))
    plain = plain & thick.astype(np.bool_)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    edge = np.zeros_like(inside)
    edge[rows[[0, -1]]] = True
    edge[:, columns[[0, -1]]] = True
    _, parts = cv2.connectedComponents(plain.astype(np.uint8), connectivity=4)
    touching = np.unique(parts[edge & plain])
    return np.isin(parts, touching) & plain
