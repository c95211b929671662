"""Plots of figures that come in groups: by bucket, as shares of a whole, and of what was foretold against what came.

Belongs here: drawing. Does not belong here: plots of one figure per method (`plots.py`, whose style this shares),
wording.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from fashionrec_assets.evaluation.plots import CYCLE, GRID, INK, MARKERS, MODEL, MUTED, ORACLE, draw, plain_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DECADES = 10_000.0
"""A logarithmic axis goes no further down from its largest value: what is rarer still is nothing to look at."""

Point = tuple[float, float, float]
"""A value with the ends of its interval."""


@dataclass(frozen=True)
class Group:
    """One method's points over the buckets, None where it has none. `role` as in `plots.Bar`."""

    label: str
    points: Sequence[Point | None]
    role: str = "baseline"


def bucket_plot(name: str, buckets: Sequence[str], groups: Sequence[Group], y_label: str) -> Markup:
    """Side by side in each bucket one point per group, with its interval; colours and markers tell groups apart."""

    def paint(axes: Axes) -> None:
        width = 0.7 / max(len(groups), 1)
        for position, group in enumerate(groups):
            colour = {"model": MODEL, "oracle": ORACLE}.get(group.role) or CYCLE[position % len(CYCLE)]
            shift = (position - (len(groups) - 1) / 2) * width
            first = True
            for bucket, point in enumerate(group.points):
                if point is None:
                    continue
                value, low, high = point
                axes.plot([bucket + shift] * 2, [low, high], color=colour, linewidth=1.4, alpha=0.75)
                axes.plot(
                    [bucket + shift],
                    [value],
                    marker=MARKERS[position % len(MARKERS)],
                    markersize=7 if group.role == "model" else 5,
                    color=colour,
                    linestyle="none",
                    label=plain_label(group.label, 26) if first else None,
                    zorder=3,
                )
                first = False
        axes.set_xticks(range(len(buckets)), [plain_label(bucket, 14) for bucket in buckets])
        axes.set_xlim(-0.5, len(buckets) - 0.5)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(plain_label(y_label))
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.tick_params(axis="x", length=0)
        axes.set_axisbelow(True)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=10)

    height = 3.1 + 0.24 * math.ceil(len(groups) / 2)
    return draw(name, height, paint, f"{y_label} in {len(buckets)} buckets for {len(groups)} methods")


def share_plot(name: str, parts: Sequence[str], rows: Mapping[str, Sequence[float]]) -> Markup:
    """One bar per row, cut into `parts` that add up to 1; shares of 6 % and more are written on it."""

    def paint(axes: Axes) -> None:
        places = list(range(len(rows)))[::-1]
        for place, shares in zip(places, rows.values(), strict=True):
            left = 0.0
            for position, share in enumerate(shares):
                colour = CYCLE[position % len(CYCLE)]
                label = plain_label(parts[position], 26) if place == places[0] else None
                axes.barh(place, share, left=left, height=0.62, color=colour, label=label)
                if share >= 0.06:
                    text = f"{100 * share:.0f}"
                    axes.text(left + share / 2, place, text, ha="center", va="center", fontsize=9, color="#ffffff")
                left += share
        axes.set_yticks(places, [plain_label(label, 30) for label in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, fontsize=10)

    height = 0.9 + 0.46 * len(rows) + 0.24 * math.ceil(len(parts) / 3)
    return draw(name, height, paint, f"shares of {len(parts)} parts in {len(rows)} groups")


def reliability_plot(name: str, lines: Mapping[str, Sequence[tuple[float, float]]], x_label: str) -> Markup:
    """What was foretold (x) against what came (y), both as rates, on logarithmic axes where they span decades.

    Points at which nothing was foretold or nothing came are left out.
    """
    drawn = {label: [point for point in points if min(point) > 0] for label, points in lines.items()}

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import FuncFormatter, NullLocator

        every = [value for points in drawn.values() for point in points for value in point]
        high = max(every, default=1.0)
        low = max(min(every, default=0.01), high / _DECADES)
        axes.plot([low, high], [low, high], color=MUTED, linestyle="--", linewidth=1, label="as foretold")
        for position, (label, points) in enumerate(drawn.items()):
            axes.plot(
                [foretold for foretold, _ in points],
                [came for _, came in points],
                color=CYCLE[position % len(CYCLE)],
                marker=MARKERS[position % len(MARKERS)],
                markersize=4,
                linewidth=1.4,
                label=plain_label(label, 26),
            )
        if high > 30 * low:
            axes.set_xscale("log")
            axes.set_yscale("log", nonpositive="mask")
            axes.set_xlim(low * 0.8, high * 1.25)
            axes.set_ylim(low * 0.8, high * 1.25)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
            axis.set_minor_locator(NullLocator())
        axes.tick_params(axis="both", colors=INK)
        axes.set_xlabel(plain_label(x_label))
        axes.set_ylabel("came")
        axes.grid(color=GRID, linewidth=0.6)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=10)

    height = 3.3 + 0.24 * math.ceil((len(lines) + 1) / 2)
    return draw(name, height, paint, f"{x_label} against what came, for {len(lines)} behaviours")
