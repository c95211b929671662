"""The one plot the study needs beside the common ones: figures along a scale of steps, with their intervals.

Belongs here: drawing. Does not belong here: plots of other reports (`plots.py`, `group_plots.py`, whose style this
shares), figures, wording.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from fashionrec_assets.evaluation.group_plots import Group
from fashionrec_assets.evaluation.plots import CYCLE, GRID, MARKERS, MODEL, ORACLE, draw, plain_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def step_plot(name: str, steps: Sequence[str], groups: Sequence[Group], x_label: str, y_label: str) -> Markup:
    """A line per group over evenly spaced `steps`, each point with its interval; a step without a point is skipped.

    Lines are moved a little to the side of each other, so that intervals at one step do not hide one another.
    """

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        apart = min(0.06, 0.3 / max(len(groups), 1))
        for position, group in enumerate(groups):
            colour = {"model": MODEL, "oracle": ORACLE}.get(group.role) or CYCLE[position % len(CYCLE)]
            shift = (position - (len(groups) - 1) / 2) * apart
            there = [(at + shift, point) for at, point in enumerate(group.points) if point is not None]
            for at, (_, low, high) in there:
                axes.plot([at, at], [low, high], color=colour, linewidth=1.4, alpha=0.75, solid_capstyle="butt")
            axes.plot(
                [at for at, _ in there],
                [value for _, (value, _, _) in there],
                label=plain_label(group.label, 26),
                color=colour,
                marker=MARKERS[position % len(MARKERS)],
                markersize=6 if group.role == "model" else 5,
                linewidth=2.4 if group.role == "model" else 1.4,
                zorder=3,
            )
        axes.set_xticks(range(len(steps)), [plain_label(step, 14) for step in steps])
        # Ticks that change while the layout is made leave the label beside them without room.
        low, high = axes.get_ylim()
        axes.set_yticks([tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high])
        axes.set_ylim(low, high)
        axes.set_xlim(-0.4, len(steps) - 0.6)
        axes.set_xlabel(plain_label(x_label, 60))
        axes.set_ylabel(plain_label(y_label))
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=10)

    height = 3.1 + 0.24 * math.ceil(len(groups) / 2)
    return draw(name, height, paint, f"{y_label} by {x_label} for {len(groups)} series, with intervals")
