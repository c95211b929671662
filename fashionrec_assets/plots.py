"""Small plots for asset metadata.

Belongs here: line plots and box plots, in one style. Does not belong here: the plots of reports (the evaluation
room's).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fashionrec_assets.settings import digest
from fashionrec_assets.storage.files import write_bytes


def line_plot(
    panels: Mapping[str, Mapping[str, Sequence[float | None]]],
    *,
    x_label: str = "epoch",
    mark: int | None = None,
    kept: Path | None = None,
) -> bytes:
    """A PNG with one panel per key of `panels`: its named series against 1, 2, 3, …

    A None is a gap. `mark` draws a vertical line at that x in every panel. The file `kept` keeps the drawing, which is
    drawn anew only when it is to show something else.
    """
    plain = {
        title: {name: [None if y is None else float(y) for y in values] for name, values in series.items()}
        for title, series in panels.items()
    }
    shown = digest([plain, x_label, mark])
    if kept is not None:
        with suppress(OSError):
            drawn = kept.read_bytes()
            if shown.encode() in drawn:
                return drawn
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(panels), 3.0), layout="constrained", dpi=110)
    canvas = FigureCanvasAgg(figure)
    for number, (title, series) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number)
        for name, values in series.items():
            points = [(x, value) for x, value in enumerate(values, start=1) if value is not None]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1.6, label=name)
        if mark is not None:
            axes.axvline(mark, color="0.6", linestyle="--", linewidth=1, label="kept")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(x_label, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False)
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={"Comment": shown})
    if kept is not None:
        write_bytes(kept, buffer.getvalue())
    return buffer.getvalue()


@dataclass(frozen=True)
class Spread:
    """Where values of one group lie: their 5, 25, 50, 75 and 95 % quantiles, None if it has none.

    `rate` is a share of the group in [0, 1] with the bounds of its interval, shown beside the box.
    """

    quantiles: tuple[float, float, float, float, float] | None
    rate: tuple[float, float, float]


def box_plot(groups: Mapping[str, Spread], *, values: str, rates: str) -> bytes:
    """A PNG with one line per group, top to bottom: a box plot of its values, and its rate with the interval.

    `values` and `rates` name the two axes, both from 0 to 1. The whiskers are the 5 and 95 % quantiles.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 1.1 + 0.27 * len(groups)), layout="constrained", dpi=110)
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for place, spread in enumerate(groups.values()):
        if spread.quantiles is not None:
            low, first, median, third, high = spread.quantiles
            left.plot((low, high), (place, place), color="#3b6ea5", linewidth=1.2, zorder=1)
            left.barh(place, third - first, left=first, height=0.6, color="#a9c7e8", edgecolor="#3b6ea5", zorder=2)
            left.plot((median, median), (place - 0.3, place + 0.3), color="#1f3f66", linewidth=1.8, zorder=3)
        rate, low, high = spread.rate
        right.barh(place, rate, height=0.6, color="#e8b36b")
        right.plot((low, high), (place, place), color="#7a4b12", linewidth=1.2)
    left.set_yticks(range(len(groups)), labels=[_plain(name) for name in groups])
    left.set_ylim(len(groups) - 0.5, -0.5)
    for axes, label in ((left, values), (right, rates)):
        axes.set_xlim(0, 1)
        axes.set_xlabel(label, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def _plain(text: str, most: int = 28) -> str:
    """A name from a catalog as a label: matplotlib reads "$" as mathematics and has no glyphs for other scripts."""
    shown = "".join(letter if ord(letter) < 0x2000 and letter.isprintable() else "·" for letter in text)
    shown = shown if len(shown) <= most else shown[: most - 1] + "…"
    return shown.replace("$", r"\$")
