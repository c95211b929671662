"""Truth, coverage, and the figures made of both."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.explanations.counterfactual import Faithfulness, Trial
from fashionrec_assets.evaluation.explanations.grounds import (
    cites_the_weightiest,
    is_covered,
    true_claims,
    weight_cited,
)
from fashionrec_assets.evaluation.explanations.history import Point, moved
from fashionrec_assets.evaluation.explanations.page import explanation_page
from fashionrec_assets.evaluation.explanations.report import (
    ALL,
    ExplanationReport,
    Figure,
    counted,
    examples,
    faithfulness_figures,
    measure,
    untrue,
)
from fashionrec_assets.evaluation.explanations.simulation import recoveries
from fashionrec_assets.evaluation.explanations.tables import EXPLANATION_HISTORY, EXPLANATION_REPORT
from fashionrec_assets.evaluation.explanations.texts import Vocabulary
from fashionrec_assets.evaluation.render import html, markdown
from fashionrec_assets.recommendations.explanations.facts import Fact
from fashionrec_assets.settings import ExplanationSettings
from fashionrec_assets_tests.evaluation.explanations.made import BLACK, made

SETTINGS = ExplanationSettings()
VOCABULARY = Vocabulary(["black", "coat", "red", "dress"])
T1, T2 = datetime(2024, 3, 1), datetime(2024, 3, 2)


def figures(rows: list) -> dict[str, Figure]:
    return {one.key: one for one in measure(rows, VOCABULARY, SETTINGS, bootstrap=200, seed=1)}


def test_a_claim_that_says_more_than_its_fact_is_found() -> None:
    good, bad = made(["f1", "f2"]), made(["f1", "f2"], said={"f1": "39 people turned to it in the last 7 days"})
    assert true_claims(good, SETTINGS) == (2, 2)
    assert true_claims(bad, SETTINGS) == (1, 2)
    assert is_covered(good, SETTINGS) and not is_covered(bad, SETTINGS)
    found = figures([good, bad])
    assert found["homepage.claim_precision"].value == 0.75
    assert found["homepage.texts_covered"].value == 0.5
    wrong = untrue([good, bad], SETTINGS)
    assert [one.text for one, _ in wrong] == [bad.text]
    assert wrong[0][1]


def test_an_explanation_is_held_against_the_facts_as_they_are_now() -> None:
    stale = made(["f1"], facts=[Fact("f1", "popularity", number=40, base=7)])
    assert true_claims(stale, SETTINGS) == (0, 1)


def test_refused_claims_count_before_the_check_only() -> None:
    found = figures([made(["f1", "f2"], rejected=2), made(["f1"])])
    assert found["homepage.claim_precision_before"].value == pytest.approx(3 / 5)
    assert found["homepage.claim_precision"].value == 1


def test_coverage_of_the_weightiest_fact_and_of_weight() -> None:
    assert cites_the_weightiest(made(["f1"])) is True
    assert cites_the_weightiest(made(["f2", "f3"])) is False
    assert weight_cited(made(["f2", "f3"])) == pytest.approx(0.5)
    weightless = made(["f2"], facts=[Fact("f2", "shared", "colour", "black", number=5, base=23)])
    assert cites_the_weightiest(weightless) is None and weight_cited(weightless) is None
    negative = made(["f2"], facts=[BLACK, Fact("f9", "price", number=5, base=5, weight=-1)])
    assert weight_cited(negative) == 1
    found = figures([made(["f1"]), made(["f2"]), weightless])
    assert found["homepage.cites_weightiest"].value == 0.5
    assert found["homepage.cites_weightiest"].explanations == 2


def test_features_of_cited_facts_must_stand_in_the_text() -> None:
    found = figures([made(["f2", "f3"]), made(["f2"], said={"f2": "It is like 5 of the 23 items you turned to"})])
    assert found["homepage.fmr"].value == pytest.approx(2 / 3)
    assert found["homepage.fcr"].value == 0.5
    assert found["homepage.div"].value == 0


def test_surfaces_have_figures_of_their_own_and_one_alone_none_of_all() -> None:
    rows = [made(["f1"]), made(["f2"], surface="style")]
    assert {key.partition(".")[0] for key in figures(rows)} == {ALL, "homepage", "style"}
    assert {key.partition(".")[0] for key in figures(rows[:1])} == {"homepage"}
    assert figures([]) == {}


def test_intervals_draw_readers() -> None:
    """A hundred explanations of one reader tell no more about others than one does."""
    alike = [made(["f1"] if reader % 2 else ["f2"], subject=str(reader)) for reader in range(10) for _ in range(100)]
    apart = [made(["f1"] if at % 2 else ["f2"], subject=str(at)) for at in range(1000)]
    wide, narrow = (figures(rows)["homepage.cites_weightiest"] for rows in (alike, apart))
    assert wide.low is not None and wide.high is not None and narrow.low is not None and narrow.high is not None
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_a_figure_moves_when_it_leaves_its_last_interval_by_more_than_allowed() -> None:
    past = [
        Point(T1, "s", "a.usr", 0.5, 0.4, 0.6),
        Point(T1, "s", "a.fmr", 0.5),
        Point(T1, "other", "a.div", 0.1),
    ]
    now = [Point(T2, "s", "a.usr", 0.64, 0.6, 0.7), Point(T2, "s", "a.fmr", 0.51), Point(T2, "s", "a.div", 9.0)]
    assert [(one.figure, one.before, one.now) for one in moved([*past, *now], 0.05)] == [("a.usr", 0.5, 0.64)]
    assert moved([*past, *now], 0.1) == []
    assert [one.figure for one in moved([*past, *now], 0.01)] == ["a.usr", "a.fmr"]
    assert moved(past, 0.0) == [] and moved([], 0.0) == []
    low = [Point(T1, "s", "x", 0.5, 0.4, 0.6), Point(T2, "s", "x", 0.3)]
    assert [one.beyond for one in moved(low, 0.05)] == [pytest.approx(0.2)]


def whole() -> ExplanationReport:
    rows = [made(["f1", "f2"], subject="<b>x</b>"), made(["f2"], surface="style", said={"f2": "<i>Buy</i> it now"})]
    test = Faithfulness(
        Interval(0.4, 0.3, 0.5), Interval(-0.1, -0.2, 0.0), Interval(np.inf, np.inf, np.inf), Interval(0.4, 0.3, 0.5),
        Interval(2.0, 1.5, 2.5), (Trial(0, 0, (1,), (2,)),), np.array([[0.4, -0.1]]), 3, 2,
    )  # fmt: skip
    made_of = [*measure(rows, VOCABULARY, SETTINGS, bootstrap=50, seed=1), *faithfulness_figures(test)]
    points = [Point(at, "s", one.key, one.value, one.low, one.high) for at in (T1, T2) for one in made_of]
    return ExplanationReport(
        tuple(made_of),
        counted(rows, lambda one: one.explanation.lead or "nothing"),
        counted(rows, lambda one: one.explanation.writer),
        {},
        untrue(rows, SETTINGS),
        examples(rows),
        2,
        test,
        recoveries((2,), users=40),
        history=tuple(points),
    )


def test_the_page_says_what_is_wrong_and_escapes_every_text() -> None:
    page = explanation_page(whole())
    assert [one.tone for one in page.verdicts] == ["bad", "good", "note"]
    assert "rises by 10.5 %" in page.verdicts[1].text
    text = html(page)
    assert "<i>Buy" not in text and "&lt;i&gt;Buy" in text
    assert "Not run: feedback.judges names no models." in text
    assert "∞" in markdown(page)
    assert 'id="drift-' in text
    assert explanation_page(ExplanationReport((), {}, {}, {}, (), (), 0)).verdicts[0].tone == "note"


def test_records_fit_their_tables_and_an_infinite_ratio_is_no_figure() -> None:
    report = whole()
    assert set(report.records()[0]) == set(EXPLANATION_REPORT.column_names)
    assert set(report.latest()[0]) == set(EXPLANATION_HISTORY.column_names)
    assert {row["run_at"] for row in report.latest()} == {T2}
    published = report.published()
    assert published["explanations.homepage.drop_cited.low"] == 0.3
    assert "explanations.homepage.drop_ratio" not in published
    assert all(np.isfinite(value) for value in published.values())
