"""The part of a clean silhouette where a kind of garment is worn, as a rule grown by colour from its middle.

Belongs here: worn garments on backgrounds plain enough for an exact mask, of figures that the frame may cut. Does not
belong here: street photos, whose silhouettes are only probable (`layout.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from fashionrec_assets.crops.body import Region
from fashionrec_assets.crops.clustering import colour_clusters
from fashionrec_assets.crops.figure import Figure, soft_colours
from fashionrec_assets.crops.foreground import Foreground
from fashionrec_assets.crops.grounding import Mask, Photo
from fashionrec_assets.crops.layout import Edges, carried, worn
from fashionrec_assets.crops.pixels import Span, extent, far, lab_of, skin


def worn_part(image: Photo, figure: Foreground, region: Region) -> Mask:
    """The part of a figure's mask that is the garment worn, or the thing carried, in `region`; never empty."""
    if region.carried:
        return _laid(image, figure, region, carried) if _is_person(figure) else figure.mask
    return _laid(image, figure, region, worn) if region.apart else _grown(image, figure, region)


def _is_person(figure: Foreground) -> bool:
    """Whether the silhouette is cut at both ends or slim: a bag on its own is neither."""
    x0, y0, x1, y1 = extent(figure.mask)
    return (figure.above and figure.below) or y1 - y0 > 1.9 * (x1 - x0)


def _laid(
    image: Photo, figure: Foreground, region: Region, lay: Callable[[Figure, Region], tuple[Edges, Mask]]
) -> Mask:
    """What `lay` finds on the silhouette, for what has no middle to grow from."""
    mask = figure.mask
    crown, soles = _stature(figure, extent(mask), region)
    belief = mask.astype(np.float32)
    middle = float(np.median(np.nonzero(mask)[1])) + 0.5
    person = Figure(belief, 12 * belief - 6, soft_colours(lab_of(image)), middle, crown, soles - crown, 1.0)
    (x0, y0, x1, y1), alike = lay(person, region)
    height, width = mask.shape
    box = np.zeros_like(mask)
    box[max(0, int(y0)) : min(height, int(np.ceil(y1))), max(0, int(x0)) : min(width, int(np.ceil(x1)))] = True
    for part in (mask & alike & box, mask & box):
        if part.any():
            return part
    return mask


def _grown(image: Photo, figure: Foreground, region: Region) -> Mask:
    """The part of a figure's mask that is the garment worn in `region`, grown by colour."""
    mask = figure.mask
    span = extent(mask)
    _, y0, _, y1 = span
    crown, soles = _stature(figure, span, region)
    tall = soles - crown
    top = float(np.clip(crown + region.top * tall, y0, y1))
    bottom = float(np.clip(crown + region.bottom * tall, y0, y1))
    least = max(3.0, 0.06 * (y1 - y0))
    if bottom - top < least:
        # The frame cuts the place off by our estimate; the photo was taken to show it, so it is at that end.
        top, bottom = (y0, y0 + least) if bottom <= (y0 + y1) / 2 else (y1 - least, y1)
    seed = _seed(mask, top, bottom, region)
    if not seed.any():
        return mask
    slack = min(0.10 * tall, 0.5 * (bottom - top))
    allowed = np.zeros_like(mask)
    allowed[max(0, int(top - slack)) : int(np.ceil(bottom + slack))] = True
    grown = _grow(image, mask & allowed, seed)
    return grown if grown.any() else seed


def _stature(figure: Foreground, span: Span, region: Region) -> tuple[float, float]:
    """The rows of a figure's crown and soles, outside the photo where the frame cuts the figure.

    What the frame cuts off follows from the photographer's habit of putting the garment in the middle, and, for heads
    and feet, which cannot be there, from a standing figure being about four times as tall as it is broad.
    """
    _, y0, _, y1 = span
    if not figure.above and not figure.below:
        return y0, y1
    middle = figure.mask.shape[0] / 2
    place = (region.top + region.bottom) / 2
    tall = 4.0 * float(np.quantile(figure.mask[y0:y1].sum(axis=1), 0.9))
    if figure.above and figure.below:
        top = min(float(y0), middle - place * tall)
        return top, max(float(y1), top + tall)
    if figure.above:
        top = (middle - place * y1) / (1 - place) if place < 0.8 else y1 - 1.2 * tall
        return min(float(y0), top), y1
    bottom = y0 + (middle - y0) / place if place > 0.2 else y0 + tall
    return y0, max(float(y1), bottom)


def _seed(mask: Mask, top: float, bottom: float, region: Region) -> Mask:
    """The inner part of the region's rows, and of the figure's columns in them; of a head the upper part."""
    inner = 0.25 * (bottom - top)
    first = int(top) if region.top == 0 else int(top + inner)
    last = max(first + 1, int(np.ceil(bottom - (2 if region.top == 0 else 1) * inner)))
    seed = np.zeros_like(mask)
    part = mask[first:last]
    columns = np.flatnonzero(part.any(axis=0))
    if len(columns) == 0:
        return seed
    left, right = int(columns[0]), int(columns[-1]) + 1
    trim = int(0.5 * (1 - 0.55 * region.width) * (right - left))
    seed[first:last, left + trim : right - trim] = part[:, left + trim : right - trim]
    return seed


def _grow(image: Photo, inside: Mask, seed: Mask) -> Mask:
    """The pixels of `inside` that carry the seed's colours and hang together with it."""
    import cv2

    lab = lab_of(cast(Photo, cv2.GaussianBlur(image, (3, 3), 0)))
    flesh = skin(image)
    cloth = seed & ~flesh
    core = cloth if cloth.sum() >= 0.3 * seed.sum() else seed
    pixels = lab[core]
    centres, sizes = colour_clusters(pixels, 4)
    distance = np.full(inside.shape, np.inf, dtype=np.float32)
    for centre in centres[sizes >= 0.12]:
        distance = np.minimum(distance, far(lab, centre))
    alike = inside & (distance < 14.0)
    if core is cloth:
        alike &= ~flesh | seed
    alike = cv2.morphologyEx(alike.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    alike = cv2.morphologyEx(alike, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(np.bool_) & inside
    count, parts = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    if count <= 1:
        return seed
    touched = np.bincount(parts[seed], minlength=count)
    touched[0] = 0
    areas = np.bincount(parts.ravel(), minlength=count)
    keep = (touched > 0) & (areas >= 0.1 * areas[1:].max(initial=1))
    keep[0] = False
    return np.isin(parts, np.flatnonzero(keep)) if keep.any() else seed
