"""Where on a figure a kind of garment is: its usual place, moved to where the figure's own colours begin and end.

Belongs here: edges as a compromise between a tailor's expectation and the evidence of colours and silhouette; the
search for what is carried beside the body. Does not belong here: finding the figure (`figure.py`), the expectations
(`body.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.crops.body import Region
from fashionrec_assets.crops.figure import Figure, Plane, by_row, share
from fashionrec_assets.crops.grounding import Mask

Edges = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels, not rounded; may lie outside the photo where the figure does."""

BAND = 0.07
"""Half width, in statures, of the strip around the middle line that is read for hems; arms hang outside of it."""
ROW_TRUST, COLUMN_TRUST, BAG_TRUST = 60.0, 200.0, 100.0
"""What a stature of perfect evidence weighs against the expectation, in nats: round numbers, compared by hand on a part
of the street photos that the published figure leaves out."""
FILLED = 0.3
"""A column belongs to a garment that fills more than this share of it."""


def worn(figure: Figure, region: Region) -> tuple[Edges, Mask]:
    """The box of what is worn in `region`, and the figure's pixels (h, w) that look like it."""
    alike = _alike(figure, region)
    top, bottom = _rows(figure, region, alike)
    first, last = _inside(top, bottom, figure.belief.shape[0])
    likely = figure.belief[first:last] / (1 + np.exp(-2 * np.matmul(figure.colours[first:last], alike)))
    left, right = _columns(figure, region, likely)
    mask = np.zeros(figure.belief.shape, dtype=np.bool_)
    mask[first:last] = likely > 0.4
    return (left, top, right, bottom), mask


def carried(figure: Figure, region: Region) -> tuple[Edges, Mask]:
    """The box of what hangs beside the body, and its pixels: what makes one side of the figure unlike the other."""
    import cv2

    heights, offsets = figure.heights(), figure.offsets()
    stature = figure.stature
    zone = ((heights > 0.28) & (heights < 0.85))[:, None] & (np.abs(offsets) < 0.36)[None]
    solid = np.maximum(figure.belief, _unlike_street(figure))
    odd = np.where(zone, 2 * solid * (1 - _symmetry(figure)) - 0.25, -0.5).astype(np.float32)
    wide, tall = region.breadth * stature, (region.bottom - region.top) * stature
    size = (max(1, round(wide)), max(1, round(tall)))
    mass = cv2.boxFilter(odd, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT) / stature**2
    centre = (region.top + region.bottom) / 2
    usual = -0.5 * ((heights - centre) / region.top_give) ** 2
    beside = -0.5 * ((np.abs(offsets) - 0.8 * region.breadth) / 0.08) ** 2
    row, column = np.unravel_index(int((800 * mass + usual[:, None] + beside[None]).argmax()), mass.shape)
    across, down = (column + 0.5 - wide / 2, column + 0.5 + wide / 2), (row + 0.5 - tall / 2, row + 0.5 + tall / 2)
    first, last = _inside(*down, odd.shape[0])
    left, right = _drawn(odd[first:last].mean(axis=0), across, stature)
    first, last = _inside(left, right, odd.shape[1])
    top, bottom = _drawn(odd[:, first:last].mean(axis=1), down, stature)
    return (left, top, right, bottom), odd > 0


def _alike(figure: Figure, region: Region) -> Plane:
    """Log ratio, for each colour, of the garment's middle to the rest of the figure above and below it."""
    heights = figure.heights()
    strip = np.abs(figure.offsets()) < BAND
    rows = (figure.colours[:, strip] * figure.belief[:, strip, None]).sum(axis=1)
    core = (heights > region.top + 1.5 * region.top_give) & (heights < region.bottom - 1.5 * region.bottom_give)
    if core.sum() < 2:
        core = (heights > region.top) & (heights < region.bottom)
    rest = (heights > 0) & (heights < 1)
    rest &= (heights < region.top - 2 * region.top_give) | (heights > region.bottom + 2 * region.bottom_give)
    inside, outside = rows[core].sum(axis=0), rows[rest].sum(axis=0)
    if not core.any() or not rest.any():
        return np.zeros(rows.shape[1], np.float32)
    inside, outside = inside / (inside.sum() + 1e-6), outside / (outside.sum() + 1e-6)
    return cast(Plane, np.clip(np.log((inside + 0.02) / (outside + 0.02)), -2.5, 2.5))


def _rows(figure: Figure, region: Region, alike: Plane) -> tuple[float, float]:
    """Top and bottom: at the usual heights, moved to where the strip begins and ends to carry the garment's colours."""
    strip = np.abs(figure.offsets()) < BAND
    rows = (figure.colours[:, strip] * figure.belief[:, strip, None]).sum(axis=1)
    sums = np.insert(np.cumsum(np.clip(rows @ alike / (rows.sum(axis=1) + 1e-3), -1, 1)), 0, 0)
    stature = figure.stature
    trust = ROW_TRUST / stature
    top = _edge(-sums * trust, figure.crown + region.top * stature, region.top_give * stature)
    bottom = _edge(sums * trust, figure.crown + region.bottom * stature, region.bottom_give * stature)
    return top, max(bottom, top + 2)


def _columns(figure: Figure, region: Region, likely: Plane) -> tuple[float, float]:
    """Left and right: the usual breadth, moved to where the rows' columns are filled."""
    sums = np.insert(np.cumsum(likely.mean(axis=0) - FILLED), 0, 0) * (COLUMN_TRUST / figure.stature)
    half, give = region.breadth * figure.stature / 2, 0.035 * figure.stature
    left = _edge(-sums, figure.middle - half, give)
    right = _edge(sums, figure.middle + half, give)
    return left, max(right, left + 2)


def _drawn(profile: Plane, edges: Sequence[float], stature: float) -> tuple[float, float]:
    """Two edges moved to where `profile` changes its sign."""
    sums = np.insert(np.cumsum(profile), 0, 0) * (BAG_TRUST / stature)
    first, last = _edge(-sums, edges[0], 0.04 * stature), _edge(sums, edges[1], 0.04 * stature)
    return first, max(last, first + 2)


def _edge(gains: NDArray[np.floating], usual: float, give: float) -> float:
    """The expected edge where one at position i gains `gains[i]` nats and is `usual` within `give` (normal)."""
    places = np.arange(int(np.floor(usual - 3 * give)), int(np.ceil(usual + 3 * give)) + 1)
    places = places[(places >= 0) & (places < len(gains))]
    if len(places) == 0:
        return usual
    nats = gains[places] - 0.5 * ((places - usual) / give) ** 2
    weights = np.exp(nats - nats.max())
    return float((weights * places).sum() / weights.sum())


def _inside(first: float, last: float, length: int) -> tuple[int, int]:
    """A half-open range of at least one whole pixel inside `length` pixels."""
    start = int(np.clip(first, 0, length - 1))
    return start, int(np.clip(last, start + 1, length))


def _unlike_street(figure: Figure) -> Plane:
    """How foreign each pixel's colours are to the same rows far beside the figure: 1 never seen there.

    The belief alone would not do: a bright bag stands where no figure is expected, and passes for background.
    """
    height = figure.belief.shape[0]
    far = np.abs(figure.offsets()) > 0.36
    if far.sum() < 4:
        far[:2] = far[-2:] = True
    weight = np.repeat(far[None].astype(np.float32), height, axis=0)
    street = share(by_row(figure.colours, weight, 0.06 * height))
    seen = np.matmul(figure.colours, (0.7 * street + 0.3 * street.mean(axis=0))[..., None])[..., 0]
    return 0.01 / (seen + 0.01)


def _symmetry(figure: Figure) -> Plane:
    """How alike the colours around each pixel and around its mirror image are (Bhattacharyya, 1 the same)."""
    import cv2

    width, clusters = figure.colours.shape[1:]
    size = max(3, int(0.06 * figure.stature) | 1)
    layers = [cv2.blur(np.ascontiguousarray(figure.colours[..., layer]), (size, size)) for layer in range(clusters)]
    near = np.sqrt(np.maximum(np.stack(layers, axis=2), 0))
    mirrored = np.clip(round(2 * (figure.middle - 0.5)) - np.arange(width), 0, width - 1)
    return cast(Plane, np.einsum("yxk,yxk->yx", near, near[:, mirrored]))
