"""Where styles and items lie on the map of styles, in the units of a drawing.

Belongs here: scaling, sizes of circles, which labels fit. Does not belong here: the map itself (`recommendations`),
the drawing (`templates/styles.html`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fashionrec_assets.lookbook.rows import Style

WIDTH, HEIGHT = 1000, 640
PEEK = (96, 128)
_MARGIN = 60
_SMALLEST, _LARGEST = 13, 25
COLOURS = 8
_LABEL_CHARS = 34
_CHAR_WIDTH, _LINE = 7.0, 16


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    colour: int


@dataclass(frozen=True)
class Centre:
    """A style's circle; `label` is empty where its name would lie over another."""

    style_id: int
    name: str
    label: str
    x: float
    y: float
    radius: float
    colour: int

    @property
    def peek_x(self) -> float:
        """Where a small picture of the style goes, `PEEK` in size: beside the circle, towards the middle."""
        beside = self.x + self.radius + 6 if self.x < WIDTH / 2 else self.x - self.radius - 6 - PEEK[0]
        return round(beside, 1)

    @property
    def peek_y(self) -> float:
        return round(min(max(self.y - PEEK[1] / 2, 4), HEIGHT - PEEK[1] - 4), 1)


@dataclass(frozen=True)
class StyleMap:
    points: tuple[Point, ...]
    centres: tuple[Centre, ...]


def style_map(styles: Sequence[Style], points: Sequence[tuple[int, float, float]]) -> StyleMap:
    """The map of `styles`, the largest first, and of `points` (style, x, y)."""
    xs = [style.x for style in styles] + [x for _, x, _ in points]
    ys = [style.y for style in styles] + [y for _, _, y in points]
    if not xs:
        return StyleMap((), ())
    across, up = _Scale.of(xs, WIDTH), _Scale.of(ys, HEIGHT)
    colours = {style.style_id: place % COLOURS for place, style in enumerate(styles)}
    largest = max((style.size for style in styles), default=1) or 1
    placed = [
        (
            style,
            across.at(style.x),
            # The map's second coordinate grows upwards, a drawing's downwards.
            HEIGHT - up.at(style.y),
            round(_SMALLEST + (_LARGEST - _SMALLEST) * (style.size / largest) ** 0.5, 1),
        )
        for style in styles
    ]
    labels = _labels(placed)
    centres = tuple(
        Centre(style.style_id, style.name, labels[style.style_id], x, y, radius, colours[style.style_id])
        for style, x, y, radius in placed
    )
    dots = tuple(
        Point(across.at(x), round(HEIGHT - up.at(y), 1), colours[style]) for style, x, y in points if style in colours
    )
    return StyleMap(dots, centres)


@dataclass(frozen=True)
class _Scale:
    low: float
    span: float
    size: int

    @classmethod
    def of(cls, values: Sequence[float], size: int) -> _Scale:
        return cls(min(values), max(max(values) - min(values), 1e-9), size)

    def at(self, value: float) -> float:
        return round(_MARGIN + (value - self.low) / self.span * (self.size - 2 * _MARGIN), 1)


def _labels(placed: Sequence[tuple[Style, float, float, float]]) -> Mapping[int, str]:
    """Style -> its name, or nothing where it would lie over a circle or the name of a larger style."""
    taken = [(x - r, y - r, x + r, y + r) for _, x, y, r in placed]
    labels: dict[int, str] = {}
    for own, (style, x, y, radius) in enumerate(placed):
        name = style.name if len(style.name) <= _LABEL_CHARS else style.name[: _LABEL_CHARS - 1].rstrip() + "…"
        half, top = len(name) * _CHAR_WIDTH / 2, y + radius
        box = (x - half, top, x + half, top + _LINE)
        inside = box[0] >= 0 and box[2] <= WIDTH and box[3] <= HEIGHT
        free = not any(_meet(box, other) for at, other in enumerate(taken) if at != own)
        labels[style.style_id] = name if inside and free else ""
        if inside and free:
            taken.append(box)
    return labels


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
