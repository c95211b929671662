"""The offline grounder: separates the garment from the background with OpenCV, without a model to download.

Belongs here: the background model learnt from the photo's border, the choice among what stands out, and the narrowing
of a worn garment to the part of the figure where its kind is worn. Does not belong here: the proportions of a body
(`body.py`), colours (`colours.py`).

How a photo is read: (1) background is what looks like the border, row by row (walls, floors, gradients) or like one of
the border's main colours; (2) before a busy background GrabCut (Rother et al. 2004) refines what is left; (3) of the
parts, the main one stays, with its like (a pair of shoes), props that the frame cuts off go; (4) what the frame itself
cuts at the top or bottom, or what has a head, is a worn garment: its place on the body gives a seed, and the box is
the extent of the seed's colours around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.crops.body import Region, region_of
from fashionrec_assets.crops.clustering import colour_clusters
from fashionrec_assets.crops.grounding import Found, Location, Mask, Photo, everything
from fashionrec_assets.settings import CropSettings

Span = tuple[int, int, int, int]
Lab = NDArray[np.float32]

WORK_SIDE = 128
"""Longest side, in pixels, at which a photo is read."""
GRABCUT_SIDE = 56
"""Longest side at which GrabCut runs; its time grows with the pixels, and a box needs no more."""
BUSY = 7.0
"""A border whose pixels lie further than this (9 of 10, Lab units) from their neighbourhood's median is busy."""


@dataclass(frozen=True)
class Foreground:
    """What stands out of a photo: `mask` (working size), how sure (0 to 1), and how it is shown.

    `worn` says that the photo shows a figure or a part of one, `above` and `below` that the frame cuts it there.
    """

    mask: Mask
    confidence: float
    worn: bool
    above: bool = False
    below: bool = False


class SegmentationGrounder:
    """`locate` as a provider; photos are independent of each other, so a batch is a loop."""

    name = "segmentation"
    version = "1"

    def __init__(self, settings: CropSettings) -> None:
        self._settings = settings

    def find_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Found]:
        return [find(photo, kind, self._settings) for photo, kind in zip(photos, product_types, strict=True)]

    def locate_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Location]:
        return [found.location for found in self.find_batch(photos, product_types)]


def locate(image: Photo, product_type: str | None, settings: CropSettings) -> Location:
    """The garment in `image` (height, width, 3; RGB, uint8), or the whole image with the reason.

    `product_type` only matters on photos of worn garments. ValueError if `image` has another shape or type.
    """
    return find(image, product_type, settings).location


def find(image: Photo, product_type: str | None, settings: CropSettings) -> Found:
    """`locate`, and the garment's pixels."""
    import cv2

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected an RGB photo (height, width, 3) of uint8, got {image.shape} of {image.dtype}")
    height, width = image.shape[:2]
    if min(height, width) < 8:
        return everything(image, "photo too small to segment")
    small = _shrink(image, WORK_SIDE)
    foreground = segment(small)
    mask = foreground.mask
    if not mask.any():
        return everything(image, "no foreground")
    rows, columns = mask.shape
    if float(mask.sum()) < settings.min_area * rows * columns:
        return everything(image, "foreground too small")
    region = region_of(product_type)
    if foreground.worn and region is not None:
        mask = _worn_part(small, foreground, region)
    box = _extent(mask)
    if (box[2] - box[0]) * (box[3] - box[1]) > 0.95 * rows * columns:
        return everything(image, "foreground touches everything")
    scale_x, scale_y = width / columns, height / rows
    x0, y0 = int(box[0] * scale_x), int(box[1] * scale_y)
    x1, y1 = min(width, int(np.ceil(box[2] * scale_x))), min(height, int(np.ceil(box[3] * scale_y)))
    location = Location((x0, y0, max(x0 + 1, x1), max(y0 + 1, y1)), "segmentation", None, foreground.confidence)
    full = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    inside = full.astype(np.bool_)
    return Found(location, inside) if inside.any() else Found(location, np.ones((height, width), dtype=np.bool_))


def segment(image: Photo) -> Foreground:
    """Foreground of a small photo (`WORK_SIDE` or less); its mask is empty where nothing stands out of the border."""
    lab = _lab(image)
    distance, noise = _unlike_border(lab)
    nothing = Foreground(np.zeros(image.shape[:2], dtype=np.bool_), 0.0, worn=False)
    strong = float(np.quantile(distance, 0.99))
    floor = max(2.5, 1.5 * noise)
    if strong < floor:
        return nothing
    threshold = float(np.clip(0.22 * strong, floor, max(12.0, floor)))
    mask = _tidy(distance > threshold, specks=noise > 3.0)
    if noise > BUSY:
        mask = _grab(image, mask, distance)
    mask = _main_parts(mask, lab)
    if not mask.any():
        return nothing
    worn, above, below = _figure(mask, image)
    confidence = float(np.clip((strong - floor) / 30.0, 0.05, 1.0)) * (0.6 if worn or noise > BUSY else 1.0)
    return Foreground(mask, round(confidence, 4), worn, above, below)


def skin(image: Photo) -> Mask:
    """Pixels of human-skin colour (Chai and Ngan 1999 bounds in YCrCb); cloth of that colour passes too."""
    import cv2

    ycrcb = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    cr, cb = ycrcb[..., 1], ycrcb[..., 2]
    return (cr >= 136) & (cr <= 178) & (cb >= 77) & (cb <= 127) & (ycrcb[..., 0] >= 40)


def _shrink(image: Photo, side: int) -> Photo:
    import cv2

    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale)))
    return cast(Photo, cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _lab(image: Photo) -> Lab:
    import cv2

    return cast(Lab, cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB))


def _far(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of colours; lightness counts less, for shadows change nothing else."""
    difference = first - second
    difference[..., 0] *= 0.8
    return cast(NDArray[np.float32], np.sqrt(np.einsum("...c,...c->...", difference, difference)))


def _unlike_border(lab: Lab) -> tuple[NDArray[np.float32], float]:
    """How unlike the border each pixel is (Lab units), and how uneven the border itself is (9 of 10 pixels)."""
    import cv2

    height, width = lab.shape[:2]
    thick = max(1, round(width * 0.03))
    sides = [lab[:, :thick], lab[:, width - thick :]]
    reach = max(1, round(height * 0.02))
    medians: list[NDArray[np.float32]] = []
    uneven: list[NDArray[np.float32]] = []
    for side in sides:
        column = np.median(side, axis=1)
        padded = np.pad(column, ((reach, reach), (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
        smooth = np.median(windows, axis=2).astype(np.float32)
        medians.append(smooth)
        uneven.append(_far(side, smooth[:, None]).ravel())
    noise = float(min(np.quantile(part, 0.9) for part in uneven))
    left, right = medians
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    distance = _far(lab, (left[:, None] * (1 - across) + right[:, None] * across).astype(np.float32))
    for side in medians:
        distance = np.minimum(distance, _far(lab, side[:, None]))
    # The main colours of the frame, without the middle of its top and bottom, where figures are cut off.
    third = max(1, width // 4)
    frame = [left, right]
    for rows in (lab[:thick], lab[height - thick :]):
        frame += [rows[:, :third].reshape(-1, 3), rows[:, width - third :].reshape(-1, 3)]
    pixels = np.concatenate(frame)
    centres, sizes = colour_clusters(pixels, 4)
    for centre in centres[sizes >= 0.15]:
        distance = np.minimum(distance, _far(lab, centre))
    # The median takes noise away and leaves edges where they are, as averages would not.
    return cast(NDArray[np.float32], cv2.medianBlur(distance, 3)), noise


def _tidy(mask: Mask, *, specks: bool) -> Mask:
    """`mask` with gaps closed and holes filled, and, where there are `specks`, without what is a pixel thin."""
    import cv2

    small = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    if specks:
        # An odd kernel: an even one would move the mask by half a pixel.
        small = cv2.morphologyEx(small, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return _fill(cast(NDArray[np.uint8], small))


def _fill(mask: NDArray[np.uint8]) -> Mask:
    """`mask` with its holes filled: what the background cannot be reached from belongs to the object."""
    import cv2

    padded = np.pad(mask, 1)
    cv2.floodFill(padded, None, (0, 0), 2)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return cast(Mask, (padded != 2)[1:-1, 1:-1])


def _grab(image: Photo, mask: Mask, distance: NDArray[np.float32]) -> Mask:
    """`mask` refined by GrabCut before a busy background, with the middle of the photo as the likelier place."""
    import cv2

    small = _shrink(image, GRABCUT_SIDE)
    height, width = small.shape[:2]
    size = (width, height)
    near = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    far = cv2.resize(distance, size, interpolation=cv2.INTER_AREA)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    prior = np.exp(-0.5 * ((x / 0.42) ** 2 + (y / 0.8) ** 2))
    score = 0.6 * far / max(1e-6, float(np.quantile(far, 0.95))) + 0.6 * prior
    state = np.full((height, width), cv2.GC_PR_BGD, dtype=np.uint8)
    state[near & (score > 0.62)] = cv2.GC_PR_FGD
    state[near & (prior > 0.75) & (far > np.quantile(far, 0.75))] = cv2.GC_FGD
    edge = max(1, round(width * 0.05))
    state[:, :edge] = state[:, width - edge :] = cv2.GC_BGD
    if not near.any() or not ((state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)).any():
        return mask
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(small[..., ::-1])
    cv2.grabCut(bgr, state, None, background, foreground, 1, cv2.GC_INIT_WITH_MASK)  # pyright: ignore[reportCallIssue, reportArgumentType]
    found = ((state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)).astype(np.uint8)
    if not found.any():
        return mask
    large = cv2.resize(found, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_NEAREST)
    return _tidy(large.astype(np.bool_), specks=True)


def _main_parts(mask: Mask, lab: Lab) -> Mask:
    """The main part of `mask` (large and central), and parts like it in size or colour that the frame does not cut."""
    import cv2

    height, width = mask.shape
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count <= 1:
        return mask
    stats, centres = stats[1:], centres[1:]
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    x0, y0 = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    x1, y1 = x0 + stats[:, cv2.CC_STAT_WIDTH], y0 + stats[:, cv2.CC_STAT_HEIGHT]
    offset = np.hypot((centres[:, 0] / width - 0.5) * 2, (centres[:, 1] / height - 0.5) * 1.2)
    beside = (x0 <= 1) | (x1 >= width - 1)
    cut = beside | (y0 <= 1) | (y1 >= height - 1)
    weight = areas * np.exp(-1.5 * offset**2) * np.where(beside, 0.4, 1.0)
    main = int(np.argmax(weight))
    colours = [lab[labels == number + 1].mean(axis=0) for number in range(len(areas))]
    keep = np.zeros(len(areas), dtype=np.bool_)
    for number in range(len(areas)):
        like = float(np.linalg.norm(colours[number] - colours[main])) < 18.0
        whole = not cut[number] or bool(cut[main] and not beside[number])
        keep[number] = whole and areas[number] >= (0.03 if like else 0.3) * areas[main] and offset[number] < 0.9
    keep[main] = True
    return np.isin(labels, np.flatnonzero(keep) + 1)


def _extent(mask: Mask) -> Span:
    """Half-open bounding box of `mask`, which must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _figure(mask: Mask, image: Photo) -> tuple[bool, bool, bool]:
    """Whether `mask` is a figure or a part of one, and whether the frame cuts it above and below."""
    x0, y0, x1, y1 = _extent(mask)
    height, width = mask.shape
    part = mask[y0:y1, x0:x1]
    widths = part.sum(axis=1).astype(np.float64)
    above, below = y0 <= 1, y1 >= height - 1
    tall = y1 - y0
    if (x0 <= 1 and x1 >= width - 1 and above) or tall < 0.5 * height:
        return False, above, below
    flesh = (skin(image) & mask)[y0:y1]
    if above:
        return True, above, below
    head = _has_head(widths, flesh.sum(axis=1), part.sum(axis=1))
    slim = tall > 1.5 * float(np.quantile(widths, 0.9))
    return head and (below or slim), above, below


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


def _has_head(widths: NDArray[np.float64], flesh: NDArray[np.int64], all_: NDArray[np.int64]) -> bool:
    """Whether a silhouette starts with something narrow and partly skin-coloured on broad shoulders."""
    height = len(widths)
    for share in (0.13, 0.22, 0.4):
        rows = max(2, round(height * share))
        below = widths[rows : max(rows + 1, min(height, 3 * rows))]
        if len(below) == 0:
            return False
        narrow = float(np.median(widths[:rows])) < 0.72 * float(np.quantile(below, 0.8))
        if narrow and float(flesh[:rows].sum()) > 0.12 * float(max(1, all_[:rows].sum())):
            return True
    return False


def _worn_part(image: Photo, figure: Foreground, region: Region) -> Mask:
    """The part of a figure's mask that is the garment worn in `region`; never empty."""
    mask = figure.mask
    span = _extent(mask)
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

    lab = _lab(cast(Photo, cv2.GaussianBlur(image, (3, 3), 0)))
    flesh = skin(image)
    cloth = seed & ~flesh
    core = cloth if cloth.sum() >= 0.3 * seed.sum() else seed
    pixels = lab[core]
    centres, sizes = colour_clusters(pixels, 4)
    distance = np.full(inside.shape, np.inf, dtype=np.float32)
    for centre in centres[sizes >= 0.12]:
        distance = np.minimum(distance, _far(lab, centre))
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
