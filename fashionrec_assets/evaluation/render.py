"""Reports as one self-contained HTML page and as Markdown, from the same description of a page.

Belongs here: the parts a report's page is made of, and turning them into text. Does not belong here: what any report
says (`ranking_page.py` and its like), measuring, drawing (`plots.py`).

Every text is escaped by the templates; only the SVG of `plots.py`, whose texts matplotlib escapes, is passed as is.
Pictures lie inside the page as data.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fashionrec_assets.evaluation.words import Verdict
from fashionrec_assets.resources.markdown import inert
from fashionrec_assets.storage.files import write_text

_MARKS = {"good": "✓", "bad": "✗", "undecided": "?", "note": "•"}
_WORDS = {"good": "Yes", "bad": "No", "undecided": "Undecided", "note": "Note"}


@dataclass(frozen=True)
class Cell:
    """A value of a table, with a smaller remark such as its interval. `kind`: best, better, worse, unclear or empty."""

    text: str
    small: str = ""
    kind: str = ""


@dataclass(frozen=True)
class TableLine:
    """A row: its head and its cells. `role`: model, oracle or empty."""

    head: str
    cells: Sequence[Cell]
    role: str = ""


@dataclass(frozen=True)
class FigureTable:
    """`heads` includes the head of the first column."""

    caption: str
    heads: Sequence[str]
    lines: Sequence[TableLine]


@dataclass(frozen=True)
class Drawing:
    """A plot made by `plots.py`."""

    title: str
    svg: Markup
    hint: str = ""


@dataclass(frozen=True)
class Picture:
    """A photo-like picture; `alt` says what it shows to whoever cannot see it. `kind`: good, bad or empty."""

    title: str
    png: bytes
    alt: str
    hint: str = ""
    kind: str = ""

    @property
    def data(self) -> str:
        """The picture as an address that requests nothing."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


@dataclass(frozen=True)
class Section:
    """Drawings, tables, pictures, terms and points, shown in this order."""

    title: str
    hint: str = ""
    drawings: Sequence[Drawing] = ()
    tables: Sequence[FigureTable] = ()
    pictures: Sequence[Picture] = ()
    terms: Sequence[tuple[str, str]] = ()
    points: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """A whole report: verdicts first, then sections."""

    title: str
    kicker: str
    lead: str
    verdicts: Sequence[Verdict]
    sections: Sequence[Section]
    footer: str


def environment() -> Environment:
    """The templates of this room, escaping by default; an unknown variable is an error."""
    templates = Environment(
        loader=PackageLoader("fashionrec_assets.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["md"] = lambda value: Markup(inert(value))
    return templates


def _fields(page: Page) -> dict[str, object]:
    return {
        "title": page.title,
        "kicker": page.kicker,
        "lead": page.lead,
        "verdicts": page.verdicts,
        "sections": page.sections,
        "footer": page.footer,
    }


def html(page: Page) -> str:
    """The page as one HTML document that requests nothing."""
    return environment().get_template("report.html").render(**_fields(page), marks=_MARKS)


def markdown(page: Page) -> str:
    """The page without its plots, for a terminal, a pull request or the Dagster UI."""
    return environment().get_template("report.md.jinja").render(**_fields(page), words=_WORDS)


def write_page(page: Page, folder: Path, stem: str) -> tuple[Path, Path]:
    """Writes `<stem>.html` and `<stem>.md` into `folder`, each complete or not at all. Returns their paths."""
    paths: list[Path] = []
    for suffix, text in ((".html", html(page)), (".md", markdown(page))):
        path = folder / f"{stem}{suffix}"
        write_text(path, text)
        paths.append(path)
    return paths[0], paths[1]
