"""Text of a catalog in pages, reports, drawings and Dagster's metadata: shown, never obeyed."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from jinja2 import nodes
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

import fashionrec_assets
from fashionrec_assets.evaluation import render
from fashionrec_assets.evaluation.plots import Bar, interval_plot
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Page, Picture, Section, TableLine
from fashionrec_assets.evaluation.words import Verdict
from fashionrec_assets.lookbook import site
from fashionrec_assets.lookbook.reports import read_reports
from fashionrec_assets.resources.glue import picture
from fashionrec_assets.resources.markdown import inert
from fashionrec_assets_tests.security.hostile import LIVE, examples, texts

PACKAGE = Path(str(fashionrec_assets.__file__)).parent
MARKDOWN = MarkdownIt("commonmark").enable("table").enable("strikethrough")
PNG = b"\x89PNG\r\n\x1a\n"


class Outline(HTMLParser):
    """The tags and attributes a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.tags.append("!--")


DRAWN = interval_plot("plot", [Bar("a", 1.0, 0.5, 1.5)], "x")


def page_of(text: str) -> Page:
    """A page with `text` wherever a page has text."""
    table = FigureTable(text, [text, text], [TableLine(text, [Cell(text, text)])])
    section = Section(
        text,
        text,
        drawings=[Drawing(text, DRAWN, text)],
        tables=[table],
        pictures=[Picture(text, PNG, text, text)],
        terms=[(text, text)],
        points=[text],
    )
    return Page(text, text, text, [Verdict("good", text)], [section], text)


def kinds(markdown: str) -> list[str]:
    def walk(tokens: list[Token]) -> list[str]:
        return [kind for token in tokens for kind in (token.type, *walk(token.children or []))]

    return walk(MARKDOWN.parse(markdown))


PLAIN = page_of("words")
PLAIN_OUTLINE = Outline(render.html(PLAIN))
PLAIN_KINDS = kinds(render.markdown(PLAIN))


@examples(0.5)
@given(text=texts)
def test_a_report_has_the_same_tags_whatever_the_text(text: str) -> None:
    found = Outline(render.html(page_of(text)))
    expected = PLAIN_OUTLINE.tags
    if not text:
        # Some elements are left out where there is nothing to say.
        assert set(found.tags) <= set(expected)
        return
    assert found.tags == expected
    names = {name for name, _ in found.attributes}
    assert not any(name.startswith("on") for name in names) and names <= {name for name, _ in PLAIN_OUTLINE.attributes}
    addresses = [value or "" for name, value in found.attributes if name in ("href", "src")]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in addresses)


@given(text=texts)
def test_the_same_report_as_markdown_has_the_same_parts(text: str) -> None:
    words = " ".join(text.split())
    found = kinds(render.markdown(page_of(text if words else "x")))
    live = {
        "link_open",
        "image",
        "html_inline",
        "html_block",
        "code_inline",
        "fence",
        "code_block",
        "em_open",
        "s_open",
    }
    assert not live & set(found)
    assert found.count("td_open") == PLAIN_KINDS.count("td_open")
    assert found.count("strong_open") == PLAIN_KINDS.count("strong_open")


@given(text=texts)
def test_inert_text_is_shown_as_it_is(text: str) -> None:
    words = " ".join(text.split())
    said = MARKDOWN.render(f"- start {inert(text)} end")
    assert Outline(said).tags == ["ul", "li"]
    # A NUL byte is shown as the replacement character, as the standard wants.
    assert " ".join("".join(Outline(said).text).split()) == " ".join(
        f"start {words} end".replace("\0", "\ufffd").split()
    )
    assert "\n" not in inert(text)


@pytest.mark.parametrize("text", LIVE)
def test_a_picture_in_dagsters_metadata_is_the_picture_alone(text: str) -> None:
    found = picture(PNG, text).value
    assert isinstance(found, str)
    outline = Outline(MARKDOWN.render(found))
    assert outline.tags == ["p", "img"]
    assert [value for name, value in outline.attributes if name == "src"] == ["data:image/png;base64,iVBORw0KGgo="]


def test_a_drawing_shows_hostile_labels_as_text() -> None:
    import xml.etree.ElementTree as ElementTree

    svg = str(interval_plot("plot", [Bar(text, 1.0, 0.5, 1.5) for text in LIVE], "x"))
    assert "&lt;script&gt;" in svg
    found = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(_declared(svg)).iter()}
    assert not found & {"script", "a", "foreignObject", "image", "iframe", "style", "animate", "set"}
    assert not re.search(r"<[^>]*\son\w+\s*=", svg)


def _declared(svg: str) -> str:
    return svg.replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ', 1
    )


@examples(0.3)
@given(text=texts)
def test_a_report_read_back_for_the_lookbook_says_the_same(text: str) -> None:
    from tempfile import TemporaryDirectory

    words = " ".join(text.split())
    page = page_of(words or "x")
    with TemporaryDirectory() as folder:
        render.write_page(page, Path(folder), "ranking")
        (found,) = read_reports(Path(folder))
    if words and not words[0].isspace() and "\0" not in words and "&" not in words:
        assert [verdict.text for verdict in found.verdicts] == [words]
    assert all("<script" not in str(plot.svg) for plot in found.plots)


def test_every_template_escapes_and_none_lets_text_through() -> None:
    for environment in (render.environment(), site.environment()):
        assert environment.autoescape is True
        names = environment.list_templates()
        assert len(names) >= 4
        for name in names:
            if not name.endswith((".html", ".jinja")):
                continue
            source, _, _ = environment.loader.get_source(environment, name)  # pyright: ignore[reportOptionalMemberAccess]
            tree = environment.parse(source)
            filters = {node.name for node in tree.find_all(nodes.Filter)}
            assert filters <= {"md", "length", "lower", "urlencode", "default", "join", "round", "format", "first"}, (
                name
            )
            assert not list(
                tree.find_all((nodes.MarkSafe, nodes.MarkSafeIfAutoescape, nodes.ScopedEvalContextModifier))
            )
            assert "autoescape" not in source and not re.search(r"\son\w+=|javascript:|<script", source), name


MARKED = {
    "evaluation/group_plots.py",
    "evaluation/ncf/drawings.py",
    "evaluation/plots.py",
    "evaluation/render.py",
    "lookbook/reports.py",
}
"""The modules that may say of a text that it is HTML already: drawings, whose texts matplotlib escapes, and Markdown,
which `inert` made."""


def test_only_drawings_are_passed_into_a_page_as_they_are() -> None:
    found: set[str] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        if "Markup" not in text and "autoescape" not in text:
            continue
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Name | ast.Attribute) and "Markup" in ast.unparse(node):
                found.add(name)
            if isinstance(node, ast.keyword) and node.arg == "autoescape" and ast.unparse(node.value) != "True":
                assert name in {"descriptions/prompts.py", "recommendations/explanations/prompt.py"}, name
    assert found == MARKED


def test_markup_is_what_the_scan_takes_it_for() -> None:
    assert str(Markup("<b>{}</b>").format("<i>")) == "<b>&lt;i&gt;</b>"
