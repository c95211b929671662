"""A standing person in a photo: which pixels are the figure, and where crown, soles and middle line are.

Belongs here: the silhouette a drawing school teaches, the soft separation of figure and background around it, and the
evidence that somebody is standing there at all. Does not belong here: where on the figure a garment is (`layout.py`),
kinds of garments (`body.py`), photos on plain backgrounds (`segmentation.py`).

How a street photo is read: (1) its colours are soft clusters; (2) a figure is expected upright in the middle, as
full-length photos are taken; (3) in turns, each row's figure colours and background colours (left and right apart) are
learnt from the present belief, and each pixel is believed anew (expectation-maximisation), smoothed along edges by a
guided filter (He, Sun and Tang 2010); (4) the silhouette is laid over the belief in all sizes and places, and crown
and soles are drawn to where the figure ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.crops.clustering import colour_clusters, memberships
from fashionrec_assets.crops.grounding import Mask

Plane = NDArray[np.floating]

COLOURS = 20
"""Clusters a photo's colours are put into."""
SPREAD = 6.0
"""Width of a cluster, in Lab units with lightness at 0.7 of its weight."""

_SILHOUETTE = (
    (0.00, 0.000), (0.02, 0.045), (0.06, 0.062), (0.10, 0.055), (0.135, 0.040), (0.155, 0.050), (0.18, 0.125),
    (0.22, 0.145), (0.30, 0.150), (0.52, 0.150), (0.56, 0.115), (0.62, 0.100), (0.72, 0.085), (0.82, 0.075),
    (0.92, 0.070), (0.96, 0.085), (1.00, 0.085),
)  # fmt: skip
"""Half widths of a standing figure 7.5 heads tall with hanging arms, by height from the crown; shares of stature."""
_SOFT = 0.03
_PAD, _WIDE = 0.04, 0.62
"""What the template shows around the figure: above and below, and its whole width; shares of stature."""

LEAST_SIDE = 24
"""Pixels; heads and feet cannot be told apart on less."""
PRESENT = 0.9
"""`_presence` and fitness together from which on somebody is standing there."""

_PARTS = ((0.02, 0.13, 0.045), (0.20, 0.45, 0.09), (0.50, 0.70, 0.08), (0.72, 0.95, 0.075))
"""Head, trunk, thighs and shins: first and last height and half width, shares of stature."""


@dataclass(frozen=True)
class Figure:
    """A person in a photo of (h, w) pixels.

    `belief` (h, w): probability of being figure, knowing where figures stand; `evidence` (h, w): log odds by colour
    alone; `colours` (h, w, k): soft colour clusters. `middle`, `crown` and `stature` are in pixels; crown and soles
    may lie outside the photo. `clarity` in [0, 1]: how much speaks for somebody standing there.
    """

    belief: Plane
    evidence: Plane
    colours: NDArray[np.float32]
    middle: float
    crown: float
    stature: float
    clarity: float

    def heights(self) -> NDArray[np.float64]:
        """Height of each row of pixels: 0 at the crown, 1 at the soles."""
        return (np.arange(self.belief.shape[0]) + 0.5 - self.crown) / self.stature

    def offsets(self) -> NDArray[np.float64]:
        """Distance of each column of pixels from the middle line, left negative, in shares of stature."""
        return (np.arange(self.belief.shape[1]) + 0.5 - self.middle) / self.stature


def standing_figure(photo_lab: Plane, flesh: Mask, *, lean: float = 0.0) -> Figure | None:
    """The person who stands in the middle of a small photo (h, w, 3; Lab), whose skin is `flesh` (h, w), or None.

    `lean` over 0 takes less for granted, under 0 more, on the scale of `PRESENT`. Photos that cut the figure at the
    neck or the legs are not for this module: they have no crown and no soles.
    """
    height, width = photo_lab.shape[:2]
    if min(height, width) < LEAST_SIDE:
        return None
    colours = soft_colours(photo_lab)
    expected = _expected(height, width)
    evidence = _evidence(colours, photo_lab[..., 0] / 100, 1.8 * expected)
    odds = evidence + 0.6 * expected
    fitness, middle, crown, stature = _lay(odds)
    figure = Figure(_probability(odds), evidence, colours, middle, crown, stature, 0.0)
    presence = fitness + _presence(figure, flesh)
    if presence + lean < PRESENT:
        return None
    crown, stature = _ends(figure)
    return Figure(figure.belief, evidence, colours, middle, crown, stature, min(1.0, presence / 3))


def soft_colours(lab: Plane) -> NDArray[np.float32]:
    """(h, w, k) memberships of a photo's pixels (h, w, 3; Lab) in its own main colours."""
    pixels = np.ascontiguousarray((lab * np.array([0.7, 1, 1], np.float32)).reshape(-1, 3))
    centres, _ = colour_clusters(pixels[::3], COLOURS, rounds=8)
    return memberships(pixels, centres, SPREAD).reshape(*lab.shape[:2], -1)


def _probability(odds: Plane) -> Plane:
    return cast(Plane, (1 / (1 + np.exp(-np.clip(odds, -8, 8)))).astype(np.float32))


@lru_cache(maxsize=512)
def _template(stature: float) -> tuple[Plane, int]:
    """The silhouette of a figure of `stature` pixels, 1 inside to -1 outside, and the row of its crown."""
    rows, columns = round(stature * (1 + 2 * _PAD)), round(stature * _WIDE) | 1
    heights = (np.arange(rows) + 0.5) / stature - _PAD
    offsets = (np.arange(columns) - columns // 2) / stature
    known, halves = zip(*_SILHOUETTE, strict=True)
    half = np.interp(heights, known, halves, left=-0.02, right=-0.02)
    inside = np.tanh((half[:, None] - np.abs(offsets)[None]) / (2 * _SOFT))
    return inside.astype(np.float32), round(_PAD * stature)


@lru_cache(maxsize=256)
def _expected(height: int, width: int) -> Plane:
    """Where a full-length photo shows its figure before one has looked, from 1 (there) to -1: several framings."""
    import cv2

    mean = np.zeros((height, width), np.float32)
    framings = ((0.04, 0.97), (0.08, 0.93), (0.13, 0.95), (0.10, 0.85))
    for top, bottom in framings:
        inside, crown = _template((bottom - top) * height)
        rows, columns = inside.shape
        canvas = np.full((height + 2 * rows, width + 2 * columns), -1, np.float32)
        first, left = round(top * height) - crown + rows, width // 2 - columns // 2 + columns
        canvas[first : first + rows, left : left + columns] = inside
        mean += canvas[rows : rows + height, columns : columns + width] / len(framings)
    blurred = cast(Plane, cv2.GaussianBlur(mean, (0, 0), width * 0.05))
    blurred.setflags(write=False)
    return blurred


def _evidence(colours: NDArray[np.float32], guide: Plane, prior: Plane) -> Plane:
    """Log odds of figure against background by colour, (h, w), after three turns from `prior` log odds."""
    height, width = prior.shape
    across = np.linspace(0, 1, width, dtype=np.float32)[None]
    belief = _probability(2 * prior)
    odds = np.zeros_like(prior)
    for _ in range(3):
        away = (1 - belief) ** 2
        tables = (
            by_row(colours, belief**2, 0.08 * height),
            by_row(colours, away * (1 - across), 0.05 * height),
            by_row(colours, away * across, 0.05 * height),
        )
        everywhere = share(tables[1].sum(axis=0) + tables[2].sum(axis=0))
        local = [
            0.8 * share(table) + 0.2 * overall
            for table, overall in zip(tables, (share(tables[0].sum(axis=0)), everywhere, everywhere), strict=True)
        ]
        figure, left, right = np.moveaxis(np.matmul(colours, np.stack(local, axis=2)), 2, 0)
        ratio = np.log((figure + 0.004) / (left * (1 - across) + right * across + 0.004))
        odds = _guided((2.2 * ratio).astype(np.float32), guide)
        belief = _probability(odds + prior)
    return odds


def by_row(colours: NDArray[np.float32], weight: Plane, sigma: float) -> Plane:
    """(h, k) how much of each colour the rows hold under `weight`, each row with its neighbours' share."""
    import cv2

    table = np.matmul(weight[:, None, :], colours)[:, 0]
    size = int(6 * sigma) | 1
    return cast(Plane, cv2.GaussianBlur(table, (1, size), sigmaX=0.1, sigmaY=sigma, borderType=cv2.BORDER_REPLICATE))


def share(table: Plane) -> Plane:
    return cast(Plane, table / (table.sum(axis=-1, keepdims=True) + 1e-6))


def _guided(plane: Plane, guide: Plane) -> Plane:
    """`plane` smoothed without crossing the edges of `guide`; OpenCV has it in its contributed modules only."""
    import cv2

    def mean(values: Plane) -> Plane:
        return cast(Plane, cv2.blur(values, (5, 5)))

    centre, level = mean(guide), mean(plane)
    slope = (mean(guide * plane) - centre * level) / (mean(guide * guide) - centre * centre + 0.002)
    return mean(slope) * guide + mean(level - slope * centre)


def _lay(odds: Plane) -> tuple[float, float, float, float]:
    """Fitness (below 1), middle column, crown row and stature of the silhouette that fits `odds` best."""
    import cv2

    height, width = odds.shape
    sure = np.tanh(odds / 3).astype(np.float32)
    best = (-np.inf, 0.0, 0.0, 0.0)
    for stature in np.linspace(0.62 * height, height, 14):
        inside, crown = _template(round(float(stature), 2))
        above, beside = max(0, (inside.shape[0] - height) // 2 + 4 + crown), inside.shape[1] // 2
        canvas = cv2.copyMakeBorder(sure, above, above, beside, beside, cv2.BORDER_CONSTANT, value=0)
        if canvas.shape[0] < inside.shape[0]:
            continue
        fits = cv2.matchTemplate(canvas, inside, cv2.TM_CCORR) / float(np.linalg.norm(inside) * np.sqrt(sure.size))
        middles = np.arange(fits.shape[1]) - beside + inside.shape[1] // 2
        fits = fits - 0.67 * ((middles / width - 0.5) ** 2)[None]
        row, column = np.unravel_index(int(fits.argmax()), fits.shape)
        if fits[row, column] > best[0]:
            best = (float(fits[row, column]), float(middles[column]), float(row - above + crown), float(stature))
    return best


def _presence(figure: Figure, flesh: Mask) -> float:
    """How much speaks for a whole person being there; minus infinity where the frame cuts the figure.

    For it: the faintest of head, trunk, thighs and shins is likelier figure than what is far beside it, and has other
    colours than what is near; the head shows more skin than its surroundings. Against it: figure where a person is
    narrow, beside the head and the shins; there a hanging garment is broad.
    """
    likely, colours = _probability(figure.evidence), figure.colours
    heights, aside = figure.heights(), np.abs(figure.offsets())
    if _mean(likely[:2][:, aside < 0.05]) > 0.9 or _mean(likely[-2:][:, aside < 0.1]) > 0.75:
        return -np.inf
    clear, unlike = 1.0, 1.0
    for first, last, half in _PARTS:
        rows = (heights >= first) & (heights < last)
        clear = min(clear, _mean(likely[rows][:, aside < half]) - _mean(likely[rows][:, aside > 0.3]))
        part = colours[rows][:, aside < 0.8 * half].sum(axis=(0, 1))
        near = colours[rows][:, (aside > 0.14) & (aside < 0.34)].sum(axis=(0, 1))
        unlike = min(unlike, 1 - float(np.sqrt(share(part) * share(near)).sum()))
    face = flesh[(heights > 0.03) & (heights < 0.15)]
    skin = _mean(face[:, aside < 0.045]) - _mean(face[:, (aside > 0.1) & (aside < 0.25)])
    head, shins = likely[(heights > 0) & (heights < 0.12)], likely[(heights > 0.75) & (heights < 0.95)]
    broad = _mean(head[:, (aside > 0.08) & (aside < 0.2)]) + _mean(shins[:, (aside > 0.13) & (aside < 0.25)])
    return clear + 2 * unlike + 0.6 * float(np.clip(skin, -0.5, 0.6)) - broad


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if values.size else 0.0


def _ends(figure: Figure) -> tuple[float, float]:
    """Crown and stature, each end drawn, by at most 7 % of the stature, to where the figure's belief ends."""
    height = figure.belief.shape[0]
    aside = np.abs(figure.offsets())
    soles, reach = figure.crown + figure.stature, 0.07 * figure.stature
    head = figure.belief[:, aside <= 0.05].mean(axis=1) - 0.25
    feet = figure.belief[:, aside <= 0.10].mean(axis=1) - 0.20
    first, last = int(max(0, figure.crown - reach)), int(min(height, figure.crown + reach)) + 1
    crown = figure.crown
    if last - first >= 2:
        crown = float(first + int(np.append(np.cumsum(head[first:last][::-1])[::-1], 0).argmax()))
    first, last = int(max(0, soles - reach)), int(min(height, soles + reach)) + 1
    if last - first >= 2:
        soles = float(first + int(np.insert(np.cumsum(feet[first:last]), 0, 0).argmax()))
    return (crown, soles - crown) if soles - crown > 0.3 * height else (figure.crown, figure.stature)
