"""Small plots for asset metadata.

Belongs here: one line plot, in one style. Does not belong here: the plots of reports (the evaluation room's).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence


def line_plot(
    panels: Mapping[str, Mapping[str, Sequence[float | None]]], *, x_label: str = "epoch", mark: int | None = None
) -> bytes:
    """A PNG with one panel per key of `panels`: its named series against 1, 2, 3, …

    A None is a gap. `mark` draws a vertical line at that x in every panel.
    """
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
    canvas.print_png(buffer)
    return buffer.getvalue()
