"""What the published reports say, to be shown beside what they are about.

Belongs here: taking verdicts and plots out of the pages that the evaluation published. Does not belong here: measuring,
drawing, layout.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from fashionrec_assets.evaluation.published import published_reports
from fashionrec_assets.settings import digest

OWN = "lookbook"
_ORDER = ("ranking", "outfits", "discovery", "assistant", "explanations")
_PLOTS = 2
_LARGEST_PLOT = 150_000
"""Characters of a drawing beyond which it stays in its report."""

_VERDICT = re.compile(r"^- \*\*(?P<word>[A-Z][a-z]+)\*\*: (?P<text>.+)$", re.MULTILINE)
_FIGURE = re.compile(
    r'<figure>\s*<figcaption>(?P<caption>.*?)</figcaption>\s*(?P<svg><svg class="plot".*?</svg>)\s*</figure>', re.DOTALL
)
_HEADING = re.compile(r"<h2>(.*?)</h2>", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\|`*_\[\]~])")
_ID = re.compile(r'\bid="([^"]+)"')


@dataclass(frozen=True)
class Verdict:
    """`word`: Yes, No, Undecided or Note."""

    word: str
    text: str


@dataclass(frozen=True)
class Plot:
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Report:
    """`page`: the file's name in the folder of the reports."""

    name: str
    title: str
    lead: str
    page: str
    verdicts: tuple[Verdict, ...]
    plots: tuple[Plot, ...]


def read_reports(folder: Path) -> list[Report]:
    """Every report published in `folder` but the lookbook itself: those on what shoppers see first."""
    found = {name: path for name, path in published_reports(folder).items() if name != OWN}
    order = {name: place for place, name in enumerate(_ORDER)}
    return [_report(name, found[name]) for name in sorted(found, key=lambda name: (order.get(name, len(order)), name))]


def reports_digest(folder: Path) -> str:
    """Hash of everything `read_reports` gives."""
    shown = [
        [one.name, one.title, one.lead, one.page, *((v.word, v.text) for v in one.verdicts), *map(str, one.plots)]
        for one in read_reports(folder)
    ]
    return digest(shown)


def _report(name: str, page: Path) -> Report:
    text = page.with_suffix(".md")
    words = text.read_text("utf-8") if text.exists() else ""
    # What comes before the first section is the title, the lead and the verdicts.
    head = words.split("\n## ", 1)[0]
    lines = [line for line in head.splitlines() if line.strip() and not _VERDICT.match(line)]
    title = _plain(lines[0].removeprefix("# ")) if lines and lines[0].startswith("# ") else name.replace("_", " ")
    lead = _plain(lines[1]) if len(lines) > 1 else ""
    verdicts = tuple(Verdict(match["word"], _plain(match["text"])) for match in _VERDICT.finditer(head))
    return Report(name, title, lead, page.name, verdicts, _plots(name, page.read_text("utf-8")))


def _plots(name: str, page: str) -> tuple[Plot, ...]:
    """The first drawings of a page, with ids that no other report's drawing has."""
    plots: list[Plot] = []
    for match in _FIGURE.finditer(page):
        if len(match["svg"]) > _LARGEST_PLOT or len(plots) == _PLOTS:
            continue
        prefix = f"{name}-{len(plots)}-"
        svg = _ID.sub(rf'id="{prefix}\1"', match["svg"])
        svg = re.sub(r'href="#', f'href="#{prefix}', svg)
        svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
        caption = _text(re.sub(r"<small>.*?</small>", "", match["caption"], flags=re.DOTALL))
        section = [_text(head) for head in _HEADING.findall(page, 0, match.start())][-1:]
        # The drawing was escaped when it was drawn, and is passed on as it is.
        plots.append(Plot(" · ".join([*section, caption]), Markup(svg)))
    return tuple(plots)


def _text(markup: str) -> str:
    """The text of a piece of a report's HTML."""
    return html.unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def _plain(markdown: str) -> str:
    """The text of a line of a report's Markdown."""
    return html.unescape(_ESCAPED.sub(r"\1", markdown)).strip()
