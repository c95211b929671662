"""Cloth on pixels: anti-aliased shapes, patterns, light and shadow, and which pixels of the item stay visible.

Belongs here: how any shape is painted. Does not belong here: the shapes of garments (`garments`) and what a photo
shows (`photos`). Imports OpenCV, so it is imported only when photos are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Plane = NDArray[np.floating]
"""A number per pixel; float32 wherever speed matters."""
RGB = tuple[float, float, float]
_SUPERSAMPLING = 3
_SHIFT = 4
_NOISE_SIDE = 512


@dataclass(frozen=True)
class View:
    """From body units (heads; x to the right, y down from the crown) to pixels."""

    scale: float
    x: float
    y: float
    angle: float = 0.0

    def apply(self, points: Points) -> Points:
        """float (n, 2) body units to float (n, 2) pixels."""
        cos, sin = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        x, y = points[:, 0], points[:, 1]
        return np.stack([x * cos - y * sin + self.x, x * sin + y * cos + self.y], axis=1)

    def grid(self, x0: int, y0: int, x1: int, y1: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Body coordinates of the pixel centres of a window, two (y1 - y0, x1 - x0) arrays."""
        px = ((np.arange(x0, x1) + 0.5 - self.x) / self.scale).astype(np.float32)
        py = ((np.arange(y0, y1) + 0.5 - self.y) / self.scale).astype(np.float32)[:, None]
        cos, sin = np.float32(math.cos(self.angle)), np.float32(math.sin(self.angle))
        return np.asarray(px * cos + py * sin, np.float32), np.asarray(py * cos - px * sin, np.float32)


@dataclass
class Shape:
    """Polygons in body units. `holes` show what lies behind; `trims` repaint parts with a tone (1 is the cloth);
    `accents` repaint parts with the accent colour; `lines` are seams (points, tone, width in body units)."""

    parts: list[Points] = field(default_factory=list)
    holes: list[Points] = field(default_factory=list)
    trims: list[tuple[Points, float]] = field(default_factory=list)
    accents: list[Points] = field(default_factory=list)
    lines: list[tuple[Points, float, float]] = field(default_factory=list)

    def bounds(self) -> tuple[float, float, float, float]:
        points = np.concatenate(self.parts)
        low, high = points.min(axis=0), points.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@dataclass(frozen=True)
class Cloth:
    """What a shape is made of. `period`: size of the pattern in body units. `folds`, `sheen`: strength of the light."""

    colour: RGB
    accent: RGB
    pattern: str = "solid"
    texture: str = "plain"
    period: float = 0.3
    direction: float = 0.0
    folds: float = 1.0
    sheen: float = 1.0
    seed: int = 0
    emblem: tuple[float, float, float] | None = None
    """Centre and size of the logo pattern's emblem, body units."""


def chaikin(points: Points, rounds: int = 2, *, closed: bool = True) -> Points:
    """Chaikin's corner cutting: every round replaces a corner by two points a quarter in from it."""
    for _ in range(rounds):
        nexts = np.roll(points, -1, axis=0) if closed else points[1:]
        here = points if closed else points[:-1]
        cut = np.empty((2 * len(here), 2))
        cut[0::2] = 0.75 * here + 0.25 * nexts
        cut[1::2] = 0.25 * here + 0.75 * nexts
        points = cut if closed else np.concatenate([points[:1], cut, points[-1:]])
    return points


def ellipse(x: float, y: float, rx: float, ry: float, sides: int = 28) -> Points:
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def limb(centre: Sequence[tuple[float, float]] | Points, half_widths: Sequence[float]) -> Points:
    """The outline of a tube along a centre line."""
    line, widths = np.array(centre, float), np.array(half_widths, float)
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * widths[:, None]
    return np.concatenate([line + normal, (line - normal)[::-1]])


def moved(points: Points, dx: float, dy: float) -> Points:
    return points + np.array([dx, dy])


def mirrored(points: Points) -> Points:
    return points * (-1.0, 1.0)


class Noise:
    """Smooth random fields, made once per process and cut from at random offsets."""

    def __init__(self) -> None:
        rng = np.random.default_rng(20240304)
        side = _NOISE_SIDE

        def smooth(sx: float, sy: float) -> NDArray[np.float32]:
            field_ = rng.normal(size=(side, side)).astype(np.float32)
            field_ = cv2.GaussianBlur(field_, (0, 0), sx, sigmaY=sy, borderType=cv2.BORDER_REFLECT)
            return (field_ / field_.std()).astype(np.float32)

        self.grain = rng.normal(size=(side, side)).astype(np.float32)
        self.folds = [smooth(5, 16), smooth(4, 24), smooth(7, 11), smooth(3.5, 14)]
        self.clouds = [smooth(22, 22), smooth(40, 30)]
        self.grainwood = smooth(1.2, 40)

    @staticmethod
    def cut(source: NDArray[np.float32], height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """A random (height, width) window."""
        y = int(rng.integers(max(1, source.shape[0] - height)))
        x = int(rng.integers(max(1, source.shape[1] - width)))
        return source[y : y + height, x : x + width]


_noise: list[Noise] = []


def noise() -> Noise:
    if not _noise:
        _noise.append(Noise())
    return _noise[0]


class Canvas:
    """A photo in the making. `image`: float32 (H, W, 3), 0 to 255 RGB. `visible`: float32 (H, W), how much of each
    pixel shows the item; whatever is painted later over the item reduces it."""

    def __init__(self, image: NDArray[np.float32]) -> None:
        self.image = image
        self.visible = np.zeros(image.shape[:2], np.float32)

    @property
    def height(self) -> int:
        return self.image.shape[0]

    @property
    def width(self) -> int:
        return self.image.shape[1]

    def _window(self, points: Points, margin: float = 2.0) -> tuple[int, int, int, int] | None:
        low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
        x0, y0 = max(0, int(np.floor(low[0]))), max(0, int(np.floor(low[1])))
        x1, y1 = min(self.width, int(np.ceil(high[0]))), min(self.height, int(np.ceil(high[1])))
        return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None

    def paint(
        self, shape: Shape, cloth: Cloth, view: View, rng: np.random.Generator, *, item: bool = False,
        shadow: float = 0.0,
    ) -> None:  # fmt: skip
        """Paint `shape`, made of `cloth`, over what is there. `item`: it belongs to the item on sale."""
        parts = [view.apply(part) for part in shape.parts]
        window = self._window(np.concatenate(parts), 14.0 if shadow else 2.0)
        if window is None:
            return
        x0, y0, x1, y1 = window
        alpha = coverage(parts, [view.apply(hole) for hole in shape.holes], window)
        if shadow:
            self._cast_shadow(alpha, window, shadow)
        texture = fabric(cloth, view, window, rng)
        self._decorate(texture, shape, cloth, view, window)
        light = _light(alpha, cloth, rng)
        painted = texture.astype(np.float32)
        painted *= light[..., None]
        np.clip(painted, 0, 255, out=painted)
        region = self.image[y0:y1, x0:x1]
        painted -= region
        painted *= alpha[..., None]
        region += painted
        seen = self.visible[y0:y1, x0:x1]
        seen *= 1 - alpha
        if item:
            seen += alpha

    def _cast_shadow(self, alpha: NDArray[np.float32], window: tuple[int, int, int, int], strength: float) -> None:
        x0, y0, x1, y1 = window
        soft = np.zeros_like(alpha)
        soft[4:, 3:] = _blurred(alpha, 4.0)[:-4, :-3]
        soft *= np.float32(-strength)
        soft += 1
        self.image[y0:y1, x0:x1] *= soft[..., None]

    def _decorate(
        self, texture: NDArray[np.uint8], shape: Shape, cloth: Cloth, view: View, window: tuple[int, int, int, int]
    ) -> None:
        offset = np.array(window[:2], float)

        def fixed(points: Points) -> NDArray[np.int32]:
            return np.round((view.apply(points) - offset - 0.5) * 2**_SHIFT).astype(np.int32)

        base = np.array(cloth.colour)
        for points, tone in shape.trims:
            cv2.fillPoly(texture, [fixed(points)], _tone(base, tone), cv2.LINE_AA, _SHIFT)
        for points in shape.accents:
            cv2.fillPoly(texture, [fixed(points)], _tone(np.array(cloth.accent), 1.0), cv2.LINE_AA, _SHIFT)
        for points, tone, width in shape.lines:
            thickness = max(1, round(width * view.scale))
            cv2.polylines(texture, [fixed(points)], False, _tone(base, tone), thickness, cv2.LINE_AA, _SHIFT)


def coverage(
    parts: Sequence[Points], holes: Sequence[Points], window: tuple[int, int, int, int]
) -> NDArray[np.float32]:
    """float32 (y1 - y0, x1 - x0): the share of each pixel of `window` inside `parts` and outside `holes`."""
    x0, y0, x1, y1 = window
    big = np.zeros(((y1 - y0) * _SUPERSAMPLING, (x1 - x0) * _SUPERSAMPLING), np.uint8)
    for polygons, value in ((parts, 255), (holes, 0)):
        for polygon in polygons:
            corners = np.round((polygon - (x0, y0)) * _SUPERSAMPLING - 0.5).astype(np.int32)
            cv2.fillPoly(big, [corners], (value,))
    small = cv2.resize(big, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255.0


def _tone(colour: NDArray[np.float64], tone: float) -> tuple[float, float, float]:
    """The colour times the tone; black cloth is lifted so that a darker seam or a lighter one can be told."""
    lifted = colour * tone + (tone - 1) * 26.0
    r, g, b = np.clip(lifted, 0, 255).tolist()
    return r, g, b


def _light(alpha: NDArray[np.float32], cloth: Cloth, rng: np.random.Generator) -> NDArray[np.float32]:
    """Light falling from the upper left on a padded shape with folds, about 1."""
    height, width = alpha.shape
    sigma = max(2.0, min(height, width) * 0.07)
    body = _blurred(alpha, sigma)
    gx = cv2.Sobel(body, cv2.CV_32F, 1, 0, ksize=3)
    gy = cv2.Sobel(body, cv2.CV_32F, 0, 1, ksize=3)
    bank = noise()
    folds = bank.cut(bank.folds[int(rng.integers(len(bank.folds)))], height, width, rng)
    gx *= np.float32(sigma * 0.104 * cloth.sheen)
    gy *= np.float32(sigma * 0.065 * cloth.sheen)
    light = folds * np.float32(0.055 * cloth.folds)
    light += gx
    light += gy
    light += 1
    light *= np.minimum(body * np.float32(0.208), np.float32(0.16)) + np.float32(0.86)
    return light


def _blurred(alpha: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian blur, zero outside; wide ones on a copy of half the size, where they cost an eighth."""
    height, width = alpha.shape
    margin = math.ceil(2 * sigma)
    padded = cv2.copyMakeBorder(alpha, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(0.0,))
    full = (padded.shape[1], padded.shape[0])
    half = cv2.resize(padded, (max(1, full[0] // 2), max(1, full[1] // 2)), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.GaussianBlur(half, (0, 0), sigma / 2), full, interpolation=cv2.INTER_LINEAR)
    return np.asarray(soft[margin : margin + height, margin : margin + width], np.float32)


def fabric(cloth: Cloth, view: View, window: tuple[int, int, int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 (h, w, 3): the flat cloth over a window, pattern fixed to the garment."""
    x0, y0, x1, y1 = window
    if cloth.pattern == "solid" and cloth.texture == "plain":
        return np.full((y1 - y0, x1 - x0, 3), np.clip(np.array(cloth.colour), 0, 255).astype(np.uint8))
    u, v = view.grid(x0, y0, x1, y1)
    base, accent = np.array(cloth.colour, np.float32), np.array(cloth.accent, np.float32)
    mix = _pattern(cloth, u, v, view.scale)
    flat = np.empty((y1 - y0, x1 - x0, 3), np.float32)
    flat[:] = base
    if mix is not None:
        flat += (accent - base) * mix[..., None]
    if cloth.texture == "knit":
        rib = np.sin((u + 0.02 * np.sin(v * 90)) * 2 * np.pi / 0.085)
        flat *= (1 + 0.07 * rib)[..., None]
    elif cloth.texture == "denim":
        bank = noise()
        flat *= (1 + 0.035 * bank.cut(bank.grain, y1 - y0, x1 - x0, rng))[..., None]
    elif cloth.texture == "weave":
        flat *= (1 + 0.03 * np.sin((u + v) * 2 * np.pi / 0.07))[..., None]
    return np.clip(flat, 0, 255).astype(np.uint8)


def _edge(distance: Plane, scale: float) -> Plane:
    """1 inside (distance < 0), 0 outside, one pixel of transition; distances in body units."""
    return np.clip(0.5 - distance * np.float32(scale), 0, 1)


def _wave(position: Plane, period: float) -> Plane:
    """Distance to the nearest multiple of `period`."""
    return np.abs((position / period + 0.5) % 1.0 - 0.5) * np.float32(period)


def _pattern(cloth: Cloth, u: Plane, v: Plane, scale: float) -> Plane | None:
    period = max(cloth.period, 4.5 / scale)  # finer than the pixels would be grey
    cos, sin = np.float32(np.cos(cloth.direction)), np.float32(np.sin(cloth.direction))
    along, across = u * cos + v * sin, v * cos - u * sin
    if cloth.pattern == "stripes":
        return _edge(_wave(across, period) - np.float32(period * 0.2), scale)
    if cloth.pattern == "check":
        wide = np.float32(period * 1.6)
        one = _edge(_wave(across, float(wide)) - wide * np.float32(0.22), scale)
        two = _edge(_wave(along, float(wide)) - wide * np.float32(0.22), scale)
        return 0.5 * one + 0.5 * two
    if cloth.pattern == "dots":
        row = np.floor(across / period)
        du = _wave(along + np.float32(period / 2) * (row % 2), period)
        dv = np.abs(across / period - row - 0.5) * np.float32(period)
        return _edge(np.sqrt(du**2 + dv**2) - np.float32(period * 0.27), scale)
    if cloth.pattern == "floral":
        return _flowers(cloth, u, v, period * 1.9, scale)
    if cloth.pattern == "logo" and cloth.emblem is not None:
        return _emblem(cloth, u, v, scale)
    return None


def _flowers(cloth: Cloth, u: Plane, v: Plane, period: float, scale: float) -> Plane:
    rng = np.random.default_rng(cloth.seed)
    table = rng.random((16, 16, 3)).astype(np.float32)
    petals = int(rng.integers(4, 7))
    row, column = np.floor(v / period), np.floor(u / period)
    cell = table[row.astype(np.int64) % 16, column.astype(np.int64) % 16]
    du = (u / period - column - 0.5 - 0.36 * (cell[..., 0] - 0.5)) * np.float32(period)
    dv = (v / period - row - 0.5 - 0.36 * (cell[..., 1] - 0.5)) * np.float32(period)
    radius = np.sqrt(du**2 + dv**2)
    turn = np.arctan2(dv, du) + 6.3 * cell[..., 2]
    outline = np.float32(period) * (0.24 + 0.07 * cell[..., 2]) * (0.72 + 0.28 * np.cos(petals * turn))
    return _edge(radius - outline, scale) * (1 - 0.75 * _edge(radius - np.float32(period * 0.08), scale))


def _emblem(cloth: Cloth, u: Plane, v: Plane, scale: float) -> Plane:
    assert cloth.emblem is not None
    cx, cy, size = cloth.emblem
    rng = np.random.default_rng(cloth.seed)
    kind = int(rng.integers(4))
    du, dv = (u - np.float32(cx)) / np.float32(size), (v - np.float32(cy)) / np.float32(size)
    radius = np.sqrt(du**2 + dv**2)
    scale = scale * size
    if kind == 0:  # a ring with a bar
        bar = np.maximum(np.abs(du) - 1.0, np.abs(dv) - 0.2)
        return np.maximum(_edge(np.abs(radius - 0.8) - 0.16, scale), _edge(bar, scale))
    if kind == 1:  # a star
        spikes = 0.62 + 0.34 * np.cos(5 * (np.arctan2(dv, du) + np.float32(np.pi / 2)))
        return _edge(radius - spikes, scale)
    if kind == 2:  # three chevrons
        bend = np.abs(((dv + 0.6 * np.abs(du)) / 0.5 + 0.5) % 1.0 - 0.5) * 0.5 - 0.13
        inside = np.maximum(np.abs(du) - 0.9, np.abs(dv) - 0.8)
        return np.minimum(_edge(bend, scale), _edge(inside, scale))
    block = np.maximum(np.abs(du) - 1.05, np.abs(dv) - 0.55)  # a block with letters knocked out
    letters = np.maximum(_wave(du, 0.5) - 0.08, np.abs(dv) - 0.32)
    return np.clip(_edge(block, scale) - _edge(letters, scale), 0, 1)


def box_of(visible: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """The half-open pixel box (x0, y0, x1, y1) of the pixels that show at least half of the item.

    Raises ValueError where none does.
    """
    mask = visible >= 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        raise ValueError("the item is nowhere to be seen")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
