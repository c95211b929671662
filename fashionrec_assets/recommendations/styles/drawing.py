"""The map of the styles as a picture.

Belongs here: drawing. Does not belong here: where things lie (`clusters.py`), names.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_POINTS = 4_000
_COLOURS = 20


def style_map(
    places: NDArray[np.floating], style: NDArray[np.int64], centres: NDArray[np.floating], names: Sequence[str]
) -> bytes:
    """A PNG: the items' `places` (n, 2) coloured by `style` (n,), and the numbered `centres` (k, 2), with a key."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 0.6 + max(6.0, 0.24 * len(names))), layout="constrained", dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes, key = figure.subplots(1, 2, width_ratios=(7, 4))
    palette = colormaps["tab20"](np.arange(_COLOURS))
    step = max(1, len(places) // _MOST_POINTS)
    shown = np.arange(0, len(places), step)
    colours = palette[style[shown] % _COLOURS]
    axes.scatter(places[shown, 0], places[shown, 1], s=9, c=colours, alpha=0.55, linewidths=0)
    for number, (x, y) in enumerate(centres):
        axes.text(
            float(x),
            float(y),
            str(number + 1),
            fontsize=9,
            ha="center",
            va="center",
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": palette[number % _COLOURS]},
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("items by their main differences of style", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    key.axis("off")
    sizes = np.bincount(style, minlength=len(names))
    for number, name in enumerate(names):
        height = 1 - (number + 0.5) / max(len(names), 1)
        key.scatter([0.02], [height], s=40, color=palette[number % _COLOURS], transform=key.transAxes, clip_on=False)
        text = f"{number + 1}  {_plain(name, 46)}  ({sizes[number]})"
        key.text(0.06, height, text, fontsize=9, va="center", transform=key.transAxes)
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def _plain(text: str, most: int) -> str:
    """A name from a catalog as a label: matplotlib reads "$" as mathematics and has no glyphs for other scripts."""
    shown = "".join(letter if ord(letter) < 0x2100 and letter.isprintable() else "·" for letter in text)
    shown = shown if len(shown) <= most else shown[: most - 1] + "…"
    return shown.replace("$", r"\$")
