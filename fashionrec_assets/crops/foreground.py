"""What stands out of a photo's background, and whether it is a worn garment.

Belongs here: the background model learnt from the photo's border, GrabCut before a busy one (Rother et al. 2004), the
choice among what stands out, the signs of a figure. Does not belong here: the street photo (`figure.py`), the part of
a figure where a kind is worn (`cohesion.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.crops.clustering import colour_clusters
from fashionrec_assets.crops.grounding import Mask, Photo
from fashionrec_assets.crops.pixels import Lab, extent, far, lab_of, shrunk, skin

GRABCUT_SIDE = 56
"""Longest side at which GrabCut runs; its time grows with the pixels, and a box needs no more."""
FAINT = 7.0
"""Lab units that clothes differ from a wall at the least."""
EVEN = 2.0
"""A border less uneven than this, in the same way as `BUSY`, is a plain wall."""
BUSY = 7.0
"""A border whose pixels lie further than this (9 of 10, Lab units) from their neighbourhood's median is busy."""


@dataclass(frozen=True)
class Border:
    """What the border of a photo says about its pixels.

    `distance` (height, width): how unlike the border each one is, Lab units; `noise`: how uneven the border itself is
    (9 of 10 pixels, Lab units).
    """

    distance: NDArray[np.float32]
    noise: float

    @property
    def strong(self) -> float:
        """The distance of what stands out most."""
        return float(np.quantile(self.distance, 0.99))

    @property
    def floor(self) -> float:
        """A smaller distance says nothing."""
        return max(2.5, 1.5 * self.noise)

    @property
    def threshold(self) -> float:
        """The distance from which on a pixel stands out."""
        return float(np.clip(0.22 * self.strong, self.floor, max(12.0, self.floor)))

    @property
    def faint(self) -> float:
        """A threshold that keeps pale clothes before a pale wall, and shadows."""
        return float(np.clip(0.22 * self.strong, self.floor, max(FAINT, self.floor)))

    @property
    def doubt(self) -> float:
        """Share of the pixels near the threshold, in [0, 1]: small where garment and background differ cleanly."""
        threshold = self.threshold
        return float(((self.distance > 0.5 * threshold) & (self.distance < 1.7 * threshold)).mean())


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


def unlike_border(lab: Lab) -> Border:
    """What the border of a photo says about each of its pixels."""
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
        uneven.append(far(side, smooth[:, None]).ravel())
    noise = float(min(np.quantile(part, 0.9) for part in uneven))
    left, right = medians
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    distance = far(lab, (left[:, None] * (1 - across) + right[:, None] * across).astype(np.float32))
    for side in medians:
        distance = np.minimum(distance, far(lab, side[:, None]))
    # The main colours of the frame, without the middle of its top and bottom, where figures are cut off.
    third = max(1, width // 4)
    frame = [left, right]
    for rows in (lab[:thick], lab[height - thick :]):
        frame += [rows[:, :third].reshape(-1, 3), rows[:, width - third :].reshape(-1, 3)]
    pixels = np.concatenate(frame)
    centres, sizes = colour_clusters(pixels, 4)
    for centre in centres[sizes >= 0.15]:
        distance = np.minimum(distance, far(lab, centre))
    # The median takes noise away and leaves edges where they are, as averages would not.
    return Border(cast(NDArray[np.float32], cv2.medianBlur(distance, 3)), noise)


def segment(image: Photo, border: Border | None = None) -> Foreground:
    """Foreground of a small photo (`WORK_SIDE` or less); its mask is empty where nothing stands out of the border."""
    lab = lab_of(image)
    border = border or unlike_border(lab)
    noise, strong, floor = border.noise, border.strong, border.floor
    nothing = Foreground(np.zeros(image.shape[:2], dtype=np.bool_), 0.0, worn=False)
    if strong < floor:
        return nothing
    mask = _parts(image, lab, border, border.threshold)
    if not mask.any():
        return nothing
    worn, above, below = _figure(mask, image)
    if noise <= EVEN and border.threshold > border.faint:
        # A pale shirt before a pale wall is lost with the shadows that a thing on its own had better lose.
        fainter = _parts(image, lab, border, border.faint)
        signs = _figure(fainter, image)
        if signs[0]:
            mask, (worn, above, below) = fainter, signs
    confidence = float(np.clip((strong - floor) / 30.0, 0.05, 1.0)) * (0.6 if worn or noise > BUSY else 1.0)
    return Foreground(mask, round(confidence, 4), worn, above, below)


def _parts(image: Photo, lab: Lab, border: Border, threshold: float) -> Mask:
    """The main parts of what is further than `threshold` from the border's colours."""
    mask = _tidy(border.distance > threshold, specks=border.noise > 3.0)
    if border.noise > BUSY:
        mask = _grab(image, mask, border.distance)
    return _main_parts(mask, lab)


def _figure(mask: Mask, image: Photo) -> tuple[bool, bool, bool]:
    """Whether `mask` is a figure or a part of one, and whether the frame cuts it above and below."""
    x0, y0, x1, y1 = extent(mask)
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


def _has_head(widths: NDArray[np.float64], flesh: NDArray[np.int64], all_: NDArray[np.int64]) -> bool:
    """Whether a silhouette starts with something narrow and partly skin-coloured on broad shoulders."""
    height = len(widths)
    for share in (0.13, 0.22, 0.4):
        rows = max(2, round(height * share))
        below = widths[rows : max(rows + 1, min(height, 3 * rows))]
        if len(below) == 0:
            return False
        narrow = float(np.median(widths[:rows])) < 0.72 * float(np.quantile(below, 0.8))
        shown = float(flesh[:rows].sum()) / float(max(1, all_[:rows].sum()))
        trunk = float(flesh[rows : 3 * rows].sum()) / float(max(1, all_[rows : 3 * rows].sum()))
        # Cloth of the colour of skin has it everywhere.
        if narrow and shown > 0.12 and shown > 1.1 * trunk:
            return True
    return False


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

    small = shrunk(image, GRABCUT_SIDE)
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
