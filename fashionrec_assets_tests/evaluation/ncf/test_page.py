from __future__ import annotations

from dataclasses import replace

import pytest

from fashionrec_assets.evaluation.group_plots import Group
from fashionrec_assets.evaluation.ncf.drawings import step_plot
from fashionrec_assets.evaluation.ncf.page import effects_picture, ncf_page, off_page
from fashionrec_assets.evaluation.ncf.verdicts import ncf_verdicts
from fashionrec_assets.evaluation.render import html, markdown
from fashionrec_assets_tests.evaluation.ncf.study_shop import FakeTrainer, study
from fashionrec_assets_tests.evaluation.test_render import HOSTILE, Outline


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return study(tmp_path_factory.mktemp("work"))[0]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return study(tmp_path_factory.mktemp("work"), ncf_grid="full", ncf_seeds=2, users=60, bootstrap=50)[0]


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_open_questions_come_first(report):
    texts = [plain(verdict.text) for verdict in ncf_verdicts(report)]
    assert [text.split(",")[0] for text in texts[:3]] == ["Open question 1"] * 3
    samples = texts[0]
    assert "pays: VAE samples under" in samples and "+." in samples
    assert samples.count("VAE samples under intermediate fusion") == 1
    assert "with all events" not in samples, "the same comparison is said once"
    by_slice = next(text for text in texts if "for whom" in text)
    assert "cold items" in by_slice and "people without events" in by_slice
    degree = next(verdict for verdict in ncf_verdicts(report) if "of the degrees tried" in verdict.text)
    assert degree.tone == "good" and "is 50 %" in plain(degree.text)
    alignment = next(text for text in texts if text.startswith("Open question 2"))
    assert "cannot be told from chance: alignment of text and photos" in alignment
    rules = next(verdict for verdict in ncf_verdicts(report) if verdict.text.startswith("Open question 3"))
    assert "pays:" in rules.text and "VAE samples over random samples (50 %)" in plain(rules.text)
    assert "VAE samples over attribute swap (50 %)" in plain(rules.text), "the same figures, but another comparison"
    filling = next(text for text in texts if "ID of a cold item" in text)
    assert "by NDCG@10 of cold items" in filling and "overall)" in filling


def test_no_samples_at_all_may_be_best(tmp_path):
    class Harmful(FakeTrainer):
        def noise(self, variant):
            return 0.5 if variant.augmentation is None else 1.5

    report, _ = study(tmp_path, Harmful(), ncf_experiments=(3,))
    said = next(verdict for verdict in ncf_verdicts(report) if "of the degrees tried" in verdict.text)
    assert said.tone == "bad"
    assert "none at all" in said.text
    page = html(ncf_page(report))
    assert "VAE samples that hurt" in page and "synthesis.degree" in page


def test_the_page_has_a_section_for_each_experiment(report):
    page = ncf_page(report, "The shop")
    titles = [section.title for section in page.sections]
    assert titles[0] == "Diagnosis"
    assert len(titles) == 6 + 3
    assert titles[1] == "Text, photos, IDs, or all of them" and titles[6] == "How user and item are matched"
    by_title = {section.title: section for section in page.sections}
    for title in titles[1:7]:
        assert by_title[title].drawings, title
        assert len(by_title[title].tables) >= 2, title
    cold = by_title["Items and people without events"]
    assert [table.caption for table in cold.tables][2:] == ["NDCG@10 by slice", "Recall@10 by slice", "MSE by slice"]
    assert "Content-kNN, untrained" in [line.head for line in cold.tables[0].lines]
    text = html(page)
    outline = Outline(text)
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert "Platt scaling" in text and "Base-rate MSE" in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "Open question 3" in markdown(page)


def test_the_full_grid_has_its_lines(full):
    page = ncf_page(full)
    outline = Outline(html(page))
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    third = next(section for section in page.sections if "kind and degree" in section.title)
    assert "NDCG's deviation over seeds" in third.tables[0].heads
    assert "200 %" in third.drawings[0].svg
    assert effects_picture(full).startswith(b"\x89PNG")


def test_nothing_found_is_said_in_words(tmp_path):
    report, _ = study(tmp_path, ncf_experiments=(1,))
    section = ncf_page(report).sections[0]
    assert section.points == ["Nothing found. Looked for: " + section.points[0].split("Looked for: ")[1]]
    assert "low precision with a high error" in section.points[0]
    assert effects_picture(report) is None, "no samples were tried"


def test_what_is_left_out_is_said(tmp_path):
    report, _ = study(tmp_path, FakeTrainer(left_out="attributes"), ncf_experiments=(3,))
    assert "Attribute swap, 50 % (augmentation by kind and degree) is left out: no item has attributes" in plain(
        markdown(ncf_page(report))
    )


def test_hostile_names_are_escaped(report):
    outcomes = tuple(
        replace(one, variant=replace(one.variant, title=HOSTILE, technique=HOSTILE)) for one in report.outcomes
    )
    hostile = replace(report, outcomes=outcomes, left_out={"x": HOSTILE}, notes=(HOSTILE,))
    page = ncf_page(hostile, HOSTILE)
    text = html(page)
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    assert Outline(text).open == []
    assert "<script>" not in markdown(page)


def test_the_page_where_it_is_switched_off():
    assert "evaluation.ncf_experiments" in html(off_page())


def test_steps_without_a_point_are_skipped():
    points = [(0.1, 0.05, 0.15), None, (0.2, 0.1, 0.3)]
    svg = step_plot("s", ["none", "10 %", "50 %"], [Group("one", points), Group("two", points[::-1])], "degree", "NDCG")
    assert "10 %" in svg and "degree" in svg and "NDCG" in svg and "two" in svg
