from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from fashionrec_assets.evaluation.baselines.blend import Trial
from fashionrec_assets.evaluation.baselines.oracle import Oracle
from fashionrec_assets.evaluation.ranking_page import ranking_page
from fashionrec_assets.evaluation.ranking_report import LearningCurve, Verdict, evaluate
from fashionrec_assets.evaluation.recommender import Entrant
from fashionrec_assets.evaluation.render import Page, Section, html, markdown, write_page
from fashionrec_assets_tests.evaluation.shop import random_tasks
from fashionrec_assets_tests.evaluation.test_ranking_report import SETTINGS, Noisy

HOSTILE = '<script>alert("x")</script> | *b* $x_{ & \x00 `'
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Outline(HTMLParser):
    """Tags, attributes and whether every element is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.ids = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def report_of(title, description="What it does."):
    task = random_tasks(4)[1]
    methods = [
        Entrant(Noisy.of(task, "two_tower", 0.3, 1), 2.0, title, description, is_baseline=False),
        Entrant(Noisy.of(task, "blend", 2.0, 2), 1.0, "Tuned blend", "A sum."),
    ]
    curve = LearningCurve(f"{title} by epoch", "epoch", [1, 2, 3], {"validation NDCG@10": [0.1, 0.2, 0.15]})
    return evaluate(
        task,
        methods,
        SETTINGS,
        oracle=Oracle(Noisy.of(task, "o", 0.01).score),
        blend_trials=[Trial((1.0, 2.0, 0.0), 0.1)],
        learning_curves=[curve],
        notes=[f"a note about {title}"],
    )


@pytest.fixture(scope="module")
def page():
    return ranking_page(report_of_without_clock(), "The shop")


@pytest.fixture(scope="module")
def text(page):
    return html(page)


def test_the_page_requests_nothing(text):
    outline = Outline(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(outline.tags)
    for name, value in outline.attributes:
        if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert value.startswith("#"), (name, value)
    assert not re.search(r"(https?:)?//[a-z]", text)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_the_page_is_well_formed_and_its_ids_are_its_own(text):
    outline = Outline(text)
    assert outline.open == []
    assert outline.tags.count("title") == 1
    assert len(set(outline.ids)) == len(outline.ids)
    for name, value in outline.attributes:
        if name == "href":
            assert value[1:] in outline.ids


def test_the_page_says_what_a_reader_needs(text):
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
    for phrase in (
        "Two-tower beats Tuned blend",
        "Nothing later reaches them",
        "new to the person",
        "ranks the whole pool",
        "bootstrap",
        "NDCG@10",
        "Recall@5",
        "Oracle",
        "Cold users",
        "The shop",
    ):
        assert phrase in plain, phrase
    assert text.index("Two-tower beats") < text.index("At a glance") < text.index("All methods")
    assert text.count('<svg class="plot"') == 5 + 2 * 3
    assert "var(--ink)" in text
    assert not re.search(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]", text)
    assert re.search(r'class="best"><strong>\.\d{4}</strong>', text)


def test_hostile_text_is_text():
    page = ranking_page(report_of(HOSTILE, HOSTILE), HOSTILE)
    hostile = html(page)
    outline = Outline(hostile)
    assert "script" not in outline.tags
    assert outline.open == []
    assert "&lt;script&gt;" in hostile
    plain = markdown(page)
    assert "<script>" not in plain
    assert "&lt;script&gt;" in plain
    for line in plain.splitlines():
        if "&lt;script" in line and line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in range(5, 24)


def test_markdown_tables_are_tables(page):
    blocks = re.findall(r"(?:^\|.*\n)+", markdown(page), flags=re.MULTILINE)
    assert len(blocks) == 5 + 4
    for block in blocks:
        lines = block.splitlines()
        assert set(lines[1]) <= set("|-: ")
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
        assert len(lines) > 2


def test_same_report_same_bytes(page, text):
    assert html(page) == text
    assert html(ranking_page(report_of_without_clock(), "The shop")) == text


def report_of_without_clock():
    from dataclasses import replace

    report = report_of("Two-tower")
    return replace(report, methods=tuple(replace(method, score_seconds=0.0) for method in report.methods))


def test_files_are_written_whole(page, tmp_path):
    paths = write_page(page, tmp_path / "reports", "ranking")
    assert [path.name for path in paths] == ["ranking.html", "ranking.md"]
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["ranking.html", "ranking.md"]
    assert paths[0].read_text("utf-8").startswith("<!DOCTYPE html>")


def test_any_report_can_use_the_page():
    page = Page("Retrieval", "Shop", "", [Verdict("bad", "No.")], [Section("One", points=["a < b"])], "end")
    assert "a &lt; b" in html(page)
    assert "**No**: No." in markdown(page)
