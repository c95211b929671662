from __future__ import annotations

import re

import pytest
from PIL import Image

from fashionrec_assets.evaluation.render import html, markdown
from fashionrec_assets.evaluation.retrieval_page import retrieval_page
from fashionrec_assets.evaluation.retrieval_report import nothing_to_report
from fashionrec_assets.evaluation.worked_examples import Shown, sheet, strip, write_sheet
from fashionrec_assets_tests.evaluation.arms import planted
from fashionrec_assets_tests.evaluation.test_render import HOSTILE, Outline
from fashionrec_assets_tests.evaluation.test_retrieval_report import ALL_HELP, ORIGINALS


def strips_of(report):
    return [
        [Shown(Image.new("RGB", (30, 50), (place * 20, 90, 90)), place, row == example.row)
         for place, row in enumerate(example.best, start=1)]
        for example in report.examples
    ]  # fmt: skip


@pytest.fixture(scope="module")
def report():
    return planted(gains=ALL_HELP, notes=["a note"])


@pytest.fixture(scope="module")
def text(report):
    return html(retrieval_page(report, strips_of(report), "The shop"))


def test_the_page_requests_nothing_and_is_well_formed(text):
    outline = Outline(text)
    assert outline.open == []
    assert not {"script", "link", "iframe", "object"} & set(outline.tags)
    for name, value in outline.attributes:
        if name in ("src", "href", "xlink:href", "srcset"):
            assert value.startswith(("#", "data:image/png;base64,")), (name, value[:40])
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r'src="data:[^"]+"', "", text))
    assert len(set(outline.ids)) == len(outline.ids)
    assert outline.tags.count("img") == 3


def test_the_page_says_what_a_reader_needs(text):
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
    for phrase in (
        "Grounding: pays",
        "Each arm reads its own text",
        "The same questions for every arm",
        "items that lack one of the fields are left out",
        "What each technique adds",
        "2.80 standard errors",
        "Garment fills less than half",
        "Attributes read off the photo",
        "Always the commonest value",
        "Worked examples",
        "no model could exceed",
        "a note",
        "whole families",
        "The shop",
    ):
        assert phrase in plain, phrase
    assert text.index("Grounding: pays") < text.index("At a glance") < text.index("Worked examples")


def test_markdown_tables_are_tables(report):
    blocks = re.findall(r"(?:^\|.*\n)+", markdown(retrieval_page(report)), flags=re.MULTILINE)
    assert len(blocks) == 9
    for block in blocks:
        lines = block.splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_hostile_text_is_text():
    report = planted(gains=ALL_HELP, title=HOSTILE, notes=[HOSTILE])
    page = retrieval_page(report, strips_of(report), HOSTILE)
    outline = Outline(html(page))
    assert "script" not in outline.tags
    assert outline.open == []
    assert "&lt;script&gt;" in html(page)
    assert "<script>" not in markdown(page)


@pytest.mark.parametrize("arms", [ORIGINALS, ORIGINALS[:1]])
def test_pages_of_partial_reports(arms):
    report = planted(gains=ALL_HELP, arms=arms)
    assert Outline(html(retrieval_page(report, strips_of(report)))).open == []
    assert markdown(retrieval_page(report))


def test_a_report_without_figures_is_a_sentence():
    page = retrieval_page(nothing_to_report("Nothing was measured: no <photos>."))
    assert page.sections == ()
    assert "no &lt;photos&gt;" in html(page)
    assert "Nothing was measured" in markdown(page)


def test_a_strip_frames_the_right_one_and_sets_the_missed_one_apart():
    grey = Image.new("RGB", (40, 60), (120, 120, 120))
    five = [Shown(grey, place, False) for place in range(1, 6)]
    found = Image.open(_file(strip([*five[:1], Shown(grey, 2, True), *five[2:]])))
    missed = Image.open(_file(strip([*five, Shown(grey, 37, True)])))
    assert missed.width > found.width
    assert (31, 122, 77) in {colour for _, colour in found.getcolors(1 << 20)}
    assert (31, 122, 77) not in {colour for _, colour in Image.open(_file(strip(five))).getcolors(1 << 20)}


def test_a_sheet_of_any_titles(tmp_path):
    strips = [[Shown(Image.new("RGB", (2000, 10)), 1, True)], [Shown(Image.new("RGB", (1, 900)), 1, False)]]
    titles = ["a title that is far too long for the strip " * 5, "连衣裙 " + HOSTILE]
    assert sheet(list(zip(titles, strips, strict=True))).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="at least one"):
        sheet([])
    path = tmp_path / "sheet.png"
    write_sheet(path, titles, strips)
    assert path.exists()
    write_sheet(path, [], [])
    assert list(tmp_path.iterdir()) == []


def _file(png: bytes):
    import io

    return io.BytesIO(png)
