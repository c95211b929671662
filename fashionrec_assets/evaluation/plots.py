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
_INK = "#010203"
_MUTED = "#040506"
_GRID = "#070809"
_MODEL = "#0a0b0c"
_BASELINE = "#0d0e0f"
_ORACLE = "#101112"
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--line)",
    _MODEL: "var(--accent)",
    _BASELINE: "var(--plain)",
    _ORACLE: "var(--gold)",
}
_CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#7f7f7f", "#b2182b")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_WIDTH = 5.6


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


def _draw(name: str, height: float, paint: Callable[[Axes], None], description: str) -> Markup:
    import matplotlib as mpl
    from matplotlib.figure import Figure as NewFigure

    style: dict[str, object] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 11,
        "text.parse_math": False,
        "text.color": _INK,
        "axes.edgecolor": _GRID,
        "axes.labelcolor": _MUTED,
        "xtick.color": _MUTED,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    with mpl.rc_context(style):  # pyright: ignore[reportArgumentType]
        figure: Figure = NewFigure(figsize=(_WIDTH, height), layout="constrained")
        paint(figure.add_subplot())
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


def interval_plot(name: str, bars: Sequence[Bar], x_label: str) -> Markup:
    """Horizontal bars, best on top, each with its interval and its value written at the end."""
    colours = {"model": _MODEL, "oracle": _ORACLE}
    ordered = sorted(bars, key=lambda bar: bar.value)

    def paint(axes: Axes) -> None:
        places = list(range(len(ordered)))
        axes.barh(
            places,
            [bar.value for bar in ordered],
            height=0.62,
            color=[colours.get(bar.role, _BASELINE) for bar in ordered],
        )
        reach = max([bar.high if bar.high is not None else bar.value for bar in ordered] + [1e-9])
        for place, bar in zip(places, ordered, strict=True):
            end = bar.value
            if bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [place, place], color=_INK, linewidth=1.4, solid_capstyle="butt")
                for edge in (bar.low, bar.high):
                    axes.plot([edge, edge], [place - 0.14, place + 0.14], color=_INK, linewidth=1.4)
                end = bar.high
            text = f"{bar.value:.4f}".removeprefix("0")
            axes.text(end + reach * 0.02, place, text, va="center", fontsize=10, color=_INK)
        axes.set_yticks(places, [plain_label(bar.label, 22) for bar in ordered])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, reach * 1.17)
        axes.set_xlabel(x_label)
        axes.grid(axis="x", color=_GRID, linewidth=0.6)
        axes.set_axisbelow(True)

    return _draw(name, 0.9 + 0.36 * len(ordered), paint, f"{x_label} of {len(ordered)} methods, with intervals")


def difference_plot(name: str, bars: Sequence[Bar], x_label: str) -> Markup:
    """Points with their intervals around a line at zero, in the given order, the first on top."""

    def paint(axes: Axes) -> None:
        places = list(range(len(bars)))[::-1]
        axes.axvline(0, color=_MUTED, linewidth=1)
        reach = max([abs(end) for bar in bars for end in (bar.low, bar.high, bar.value) if end is not None] + [1e-9])
        for place, bar in zip(places, bars, strict=True):
            colour = _MODEL if bar.role == "model" else _BASELINE
            if bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [place, place], color=_INK, linewidth=1.4, solid_capstyle="butt")
                for edge in (bar.low, bar.high):
                    axes.plot([edge, edge], [place - 0.14, place + 0.14], color=_INK, linewidth=1.4)
            axes.plot([bar.value], [place], marker="o", markersize=7, color=colour, zorder=3)
            sign = "+" if bar.value >= 0 else "−"
            text = sign + f"{abs(bar.value):.4f}".removeprefix("0")
            axes.text(bar.value, place + 0.22, text, ha="center", fontsize=10, color=_INK)
        axes.set_yticks(places, [plain_label(bar.label, 30) for bar in bars])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(-reach * 1.15, reach * 1.15)
        axes.set_ylim(-0.6, len(bars) - 0.3)
        axes.set_xlabel(x_label)
        axes.grid(axis="x", color=_GRID, linewidth=0.6)
        axes.set_axisbelow(True)

    return _draw(name, 0.9 + 0.46 * len(bars), paint, f"{x_label}: {len(bars)} differences, with intervals")


def line_plot(name: str, lines: Sequence[Line], x_label: str, y_label: str, *, log_x: bool = False) -> Markup:
    """Lines told apart by colour and marker, with a legend underneath; the model's is the thick one."""

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator, NullLocator

        for position, line in enumerate(lines):
            special = {"model": _MODEL, "oracle": _ORACLE}.get(line.role)
            axes.plot(
                list(line.x),
                list(line.y),
                label=plain_label(line.label, 26),
                color=special or _CYCLE[position % len(_CYCLE)],
                marker=_MARKERS[position % len(_MARKERS)],
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
        axes.grid(color=_GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        if len(lines) > 1:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=10)

    height = 3.1 + (0.24 * math.ceil(len(lines) / 2) if len(lines) > 1 else 0)
    return _draw(name, height, paint, f"{y_label} by {x_label} for {len(lines)} series")
