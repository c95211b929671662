"""Plots of reports as SVG that lives inside the page: no request, no fixed background, readable in light and dark.

Belongs here: drawing. Does not belong here: figures, wording, HTML pages. matplotlib is imported inside functions.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that become CSS variables once drawn, so that one drawing follows the reader's colour scheme.
INK = "#010203"
MUTED = "#040506"
GRID = "#070809"
MODEL = "#0a0b0c"
BASELINE = "#0d0e0f"
ORACLE = "#101112"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    MODEL: "var(--accent)",
    BASELINE: "var(--plain)",
    ORACLE: "var(--gold)",
}
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#7f7f7f", "#b2182b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_WIDTH = 5.6
_LABEL = 30


@dataclass(frozen=True)
class Bar:
    """One line of an interval plot. `role` is model, baseline or oracle."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    role: str = "baseline"


@dataclass(frozen=True)
class Line:
    label: str
    x: Sequence[float]
    y: Sequence[float]
    role: str = "baseline"


def plain_label(text: str, limit: int = 40) -> str:
    """Text that can stand in a drawing: no control characters, not too long."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _figure(height: float, paint: Callable[[Axes], None]) -> Figure:
    from matplotlib.figure import Figure as NewFigure

    figure: Figure = NewFigure(figsize=(_WIDTH, height), layout="constrained")
    paint(figure.add_subplot())
    return figure


def _style(name: str) -> dict[str, object]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 11,
        "text.parse_math": False,
        "text.color": INK,
        "axes.edgecolor": GRID,
        "axes.labelcolor": MUTED,
        "xtick.color": MUTED,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }


def draw(name: str, height: float, paint: Callable[[Axes], None], description: str) -> Markup:
    """What `paint` draws on a pair of axes `height` inches high, as SVG for a page; `name` makes its ids unique."""
    import matplotlib as mpl

    with mpl.rc_context(_style(name)):  # pyright: ignore[reportArgumentType]
        figure = _figure(height, paint)
        figure.patch.set_alpha(0)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        target = io.StringIO()
        quiet = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(target, format="svg", metadata=quiet)
    return inline_svg(target.getvalue(), name, description)


def inline_svg(svg: str, name: str, description: str) -> Markup:
    """matplotlib's SVG document as an element of a page: sized by its container, ids of its own, colours by CSS."""
    body = svg[svg.index("<svg") :]
    head, rest = body[: body.index(">") + 1], body[body.index(">") + 1 :]
    box = re.search(r'viewBox="([^"]+)"', head)
    label = Markup.escape(plain_label(description, 200))
    viewbox = box.group(1) if box else "0 0 400 300"
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', rest)
    rest = re.sub(r'\bxlink:href="#([^"]+)"', rf'href="#{name}-\1"', rest)
    rest = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", rest)
    # An SVG's own style sheet would reach every other drawing of the page.
    rest = re.sub(r"<style[^>]*>.*?</style>", "", rest, flags=re.DOTALL)
    rest = re.sub(r"font: ([0-9.]+)px[^;\"]*", r"font-size: \1px; font-family: inherit", rest)
    for stand_in, variable in _VARIABLES.items():
        rest = rest.replace(stand_in, variable)
    return Markup(f'<svg class="plot" role="img" aria-label="{label}" viewBox="{viewbox}">') + Markup(rest)


def interval_plot(name: str, bars: Sequence[Bar], x_label: str, *, digits: int = 4) -> Markup:
    """Horizontal bars, largest on top, each with its interval and its value, to `digits`, written at the end."""
    colours = {"model": MODEL, "oracle": ORACLE}
    ordered = sorted(bars, key=lambda bar: bar.value)

    def paint(axes: Axes) -> None:
        places = list(range(len(ordered)))
        axes.barh(
            places,
            [bar.value for bar in ordered],
            height=0.62,
            color=[colours.get(bar.role, BASELINE) for bar in ordered],
        )
        reach = max([bar.high if bar.high is not None else bar.value for bar in ordered] + [1e-9])
        for place, bar in zip(places, ordered, strict=True):
            end = bar.value
            if bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [place, place], color=INK, linewidth=1.4, solid_capstyle="butt")
                for edge in (bar.low, bar.high):
                    axes.plot([edge, edge], [place - 0.14, place + 0.14], color=INK, linewidth=1.4)
                end = bar.high
            text = f"{bar.value:.{digits}f}"
            text = text.removeprefix("0") if digits > 1 else text
            axes.text(end + reach * 0.02, place, text, va="center", fontsize=10, color=INK)
        axes.set_yticks(places, [plain_label(bar.label, _LABEL) for bar in ordered])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, reach * 1.17)
        axes.set_xlabel(x_label)
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)

    return draw(name, 0.9 + 0.36 * len(ordered), paint, f"{x_label} of {len(ordered)} methods, with intervals")


def difference_plot(name: str, bars: Sequence[Bar], x_label: str) -> Markup:
    """Points with their intervals around a line at zero, in the given order, the first on top; values at the edge."""

    return draw(
        name,
        _difference_height(bars),
        _difference_painter(bars, x_label),
        f"{x_label}: {len(bars)} differences, with intervals",
    )


def difference_picture(bars: Sequence[Bar], x_label: str) -> bytes:
    """`difference_plot` as a PNG on white, for where no page is."""
    import matplotlib as mpl

    with mpl.rc_context(_style("picture")):  # pyright: ignore[reportArgumentType]
        target = io.BytesIO()
        paint = _difference_painter(bars, x_label, model="#a8325e", baseline="#7b899b", grid="#dedbd5")
        _figure(_difference_height(bars), paint).savefig(target, format="png", dpi=110)
    return target.getvalue()


def _difference_height(bars: Sequence[Bar]) -> float:
    return 0.9 + 0.36 * len(bars)


def _difference_painter(
    bars: Sequence[Bar], x_label: str, *, model: str = MODEL, baseline: str = BASELINE, grid: str = GRID
) -> Callable[[Axes], None]:
    def paint(axes: Axes) -> None:
        places = list(range(len(bars)))[::-1]
        axes.axvline(0, color=MUTED, linewidth=1)
        reach = max([abs(end) for bar in bars for end in (bar.low, bar.high, bar.value) if end is not None] + [1e-9])
        for place, bar in zip(places, bars, strict=True):
            colour = model if bar.role == "model" else baseline
            if bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [place, place], color=INK, linewidth=1.4, solid_capstyle="butt")
                for edge in (bar.low, bar.high):
                    axes.plot([edge, edge], [place - 0.14, place + 0.14], color=INK, linewidth=1.4)
            axes.plot([bar.value], [place], marker="o", markersize=7, color=colour, zorder=3)
            sign = "+" if bar.value >= 0 else "−"
            text = sign + f"{abs(bar.value):.4f}".removeprefix("0")
            # In a column of their own: beside its point a value would lie on the line at zero, or on an interval.
            edge_of_axes = axes.get_yaxis_transform()
            axes.text(1.02, place, text, transform=edge_of_axes, va="center", fontsize=10, color=INK)
        axes.set_yticks(places, [plain_label(bar.label, _LABEL) for bar in bars])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(-reach * 1.15, reach * 1.15)
        axes.set_ylim(-0.6, len(bars) - 0.4)
        axes.set_xlabel(x_label)
        axes.grid(axis="x", color=grid, linewidth=0.6)
        axes.set_axisbelow(True)

    return paint


def line_plot(name: str, lines: Sequence[Line], x_label: str, y_label: str, *, log_x: bool = False) -> Markup:
    """Lines told apart by colour and marker, with a legend underneath; the model's is the thick one."""

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator, NullLocator

        for position, line in enumerate(lines):
            special = {"model": MODEL, "oracle": ORACLE}.get(line.role)
            axes.plot(
                list(line.x),
                list(line.y),
                label=plain_label(line.label, _LABEL),
                color=special or CYCLE[position % len(CYCLE)],
                marker=MARKERS[position % len(MARKERS)],
                markersize=4,
                linewidth=2.6 if line.role == "model" else 1.4,
                linestyle="--" if line.role == "oracle" else "-",
                zorder=3 if line.role == "model" else 2,
            )
        if log_x:
            ticks = sorted({value for line in lines for value in line.x})
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.set_xlabel(plain_label(x_label))
        axes.set_ylabel(plain_label(y_label))
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        if len(lines) > 1:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=10)

    height = 3.1 + (0.24 * math.ceil(len(lines) / 2) if len(lines) > 1 else 0)
    return draw(name, height, paint, f"{y_label} by {x_label} for {len(lines)} series")
