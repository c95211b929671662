"""Figures of earlier runs, and which of them moved.

Belongs here: comparing two runs. Does not belong here: the table's declaration, reading and writing it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Point:
    """A figure of one run, with its interval where it has one; `at` in UTC, `settings` the fingerprint it ran under."""

    at: datetime
    settings: str
    figure: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Move:
    """A figure that left its last interval by more than was allowed."""

    figure: str
    before: float
    now: float
    beyond: float


def series(points: Iterable[Point]) -> dict[str, list[Point]]:
    """The points of each figure, oldest first."""
    found: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda one: one.at):
        found.setdefault(point.figure, []).append(point)
    return found


def moved(points: Sequence[Point], tolerance: float) -> list[Move]:
    """Figures of the last run further out of their interval in the run before, under the same settings, than allowed.

    `tolerance` is a share of the figure's earlier value. A figure without an interval is compared with its value. The
    furthest first, by that share.
    """
    if not points:
        return []
    last = max(points, key=lambda one: one.at)
    earlier = [one for one in points if one.settings == last.settings and one.at < last.at]
    if not earlier:
        return []
    before_at = max(one.at for one in earlier)
    before: Mapping[str, Point] = {one.figure: one for one in earlier if one.at == before_at}
    found: list[Move] = []
    for now in (one for one in points if one.at == last.at):
        was = before.get(now.figure)
        if was is None:
            continue
        low, high = was.value if was.low is None else was.low, was.value if was.high is None else was.high
        beyond = max(low - now.value, now.value - high)
        scale = max(abs(was.value), 1e-9)
        if beyond > tolerance * scale:
            found.append(Move(now.figure, was.value, now.value, beyond / scale))
    return sorted(found, key=lambda one: (-one.beyond, one.figure))
