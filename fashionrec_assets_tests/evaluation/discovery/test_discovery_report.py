from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.discovery.curves import Curve, Scored, diversity_curve, exploration_curve
from fashionrec_assets.evaluation.discovery.page import discovery_page, discovery_verdicts
from fashionrec_assets.evaluation.discovery.report import (
    DiscoveryReport,
    MeasuredCurve,
    NamedStyle,
    agreement,
    measured,
)
from fashionrec_assets.evaluation.render import html, markdown
from fashionrec_assets.recommendations.styles.picks import Candidates, Pool, Profiles, unexplored_pool
from fashionrec_assets.settings import StyleSettings
from fashionrec_assets_tests.evaluation.shop import random_tasks

SETTINGS = StyleSettings(picks=4, per_style=2, exploration=0.4)


def scored_of(task: RankingTask, rng: np.random.Generator) -> Scored:
    """Every item of the pool that a user does not have, the targets a little higher than the rest."""
    rows = np.flatnonzero(task.has_history)
    open_to = task.pool & ~task.seen[task.users[rows]].toarray().astype(bool)
    place, items = np.nonzero(open_to)
    owner = rows[place]
    wanted = np.zeros((len(task.users), task.n_items), bool)
    wanted[task.target_rows, task.target_items] = True
    scores = rng.normal(size=len(owner)) + 1.5 * wanted[owner, items]
    return Scored(owner, items, scores, 1 / (1 + np.exp(3 - scores)))


def curves() -> tuple[MeasuredCurve, MeasuredCurve]:
    rng = np.random.default_rng(1)
    task = random_tasks()[1]
    scored = scored_of(task, rng)
    content = rng.normal(size=(task.n_items, 8)).astype(np.float32)
    style = rng.integers(0, 6, task.n_items)
    rows = np.flatnonzero(task.has_history)
    profiles = Profiles.of(task.history, style, 6, task.users[rows].astype(np.int64))
    distances = rng.random((6, 6)) * (1 - np.eye(6))
    place = np.searchsorted(rows, scored.owner)
    pool = unexplored_pool(
        Candidates(place, scored.items, scored.scores), profiles, style, np.arange(task.n_items), distances, 0.1
    )
    first = diversity_curve(task, scored, content, 0.3, 10)
    second = exploration_curve(task, rows, pool, scored, SETTINGS)
    return measured(first, draws=200, seed=0), measured(second, draws=200, seed=0)


DIVERSITY, EXPLORATION = curves()


def test_the_diversity_dial_gives_diversity_for_relevance() -> None:
    values = DIVERSITY.curve.values
    assert DIVERSITY.curve.at[0] == 0 and 0.3 in DIVERSITY.curve.at and DIVERSITY.curve.at[-1] == 1
    assert values["diversity"][-1].mean() > values["diversity"][0].mean() + 0.05
    assert values["chance"][-1].mean() < values["chance"][0].mean()
    assert values["ndcg"][-1].mean() < values["ndcg"][0].mean()


def test_the_exploration_dial_is_monotone_for_every_user() -> None:
    assert EXPLORATION.broken() == 0
    relevance, novelty = EXPLORATION.curve.values["relevance"], EXPLORATION.curve.values["style_novelty"]
    assert (np.diff(relevance, axis=0) <= 1e-9).all()
    assert (np.diff(novelty, axis=0) >= -1e-9).all()
    assert novelty[-1].mean() > novelty[0].mean()
    assert EXPLORATION.users > 10


def test_all_points_are_of_the_same_users_and_their_intervals_hold_them() -> None:
    for one in (DIVERSITY, EXPLORATION):
        assert len({values.shape for values in one.curve.values.values()}) == 1
        for metric, points in one.points.items():
            assert len(points) == len(one.curve.at)
            assert all(point.low <= point.value <= point.high for point in points), metric


def curve_of(ndcg: list[list[float]]) -> Curve:
    return Curve("exploration", (0.0, 0.5), 0.5, 10, {"ndcg": np.array(ndcg), "relevance": np.array(ndcg)}, {})


def test_an_inversion_counts_beyond_chance_only() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(100)
    clear = measured(curve_of([base.tolist(), (base + 0.1).tolist()]), draws=200, seed=0)
    assert [step.beyond_chance for step in clear.steps["ndcg"]] == [True]
    assert clear.broken() == 100
    noise = rng.normal(0, 1, 100)
    unclear = measured(curve_of([base.tolist(), (base + noise - noise.mean() + 0.01).tolist()]), draws=200, seed=0)
    assert [(step.inverted, step.beyond_chance) for step in unclear.steps["ndcg"]] == [(True, False)]
    falling = measured(curve_of([base.tolist(), (base - 0.1).tolist()]), draws=200, seed=0)
    assert falling.broken() == 0
    assert falling.prices["ndcg"].value == pytest.approx(-0.1)
    assert falling.inversions() == []


def test_a_curve_without_users_is_refused() -> None:
    with pytest.raises(ValueError, match="no user"):
        measured(curve_of([[], []]), draws=10, seed=0)


def report_of() -> DiscoveryReport:
    hidden = {"style": np.array([0, 0, 1, 1]), "gender": np.array(["a", "b", "a", "b"])}
    found = agreement(np.array([1, 1, 0, 0]), hidden)
    styles = [NamedStyle("Floral <dresses>", 12, 0.75), NamedStyle("Boots", 3, 0.6)]
    return DiscoveryReport([DIVERSITY, EXPLORATION], styles, found, "2024-03-28 to 2024-03-31")


def test_styles_agree_with_the_truth_that_they_follow() -> None:
    style, gender = report_of().agreement
    assert style.nmi == pytest.approx(1)
    assert gender.nmi == pytest.approx(0, abs=1e-9)


def test_the_page_says_what_the_dials_in_force_cost_and_escapes_names() -> None:
    report = report_of()
    texts = [verdict.text for verdict in discovery_verdicts(report)]
    assert any("diversity dial in force (0.3)" in text and "NDCG@10" in text for text in texts)
    assert any("hold for every user at every step" in text for text in texts)
    assert any("at least 60%" in text for text in texts)
    page = discovery_page(report)
    document = html(page)
    assert "Floral &lt;dresses&gt;" in document and "<dresses>" not in document
    assert document.count("<svg") == 7
    assert "0.3 (in force)" in markdown(page)


def test_records_and_figures_hold_every_point() -> None:
    report = report_of()
    rows = report.records()
    assert len(rows) == sum(len(points) for one in report.curves for points in one.points.values())
    assert {row["at"] for row in rows if row["in_force"]} == {0.3, 0.4}
    figures = report.figures()
    assert figures["discovery.exploration.broken"] == 0
    assert figures["discovery.styles.least_truth"] == 0.6
    assert figures["discovery.diversity.price.ndcg.low"] <= figures["discovery.diversity.price.ndcg"]


def test_picks_that_the_ranker_does_not_know_have_no_chance() -> None:
    task = random_tasks()[1]
    rng = np.random.default_rng(0)
    scored = scored_of(task, rng)
    rows = np.flatnonzero(task.has_history)
    place = np.searchsorted(rows, scored.owner)
    pool = Pool(place, scored.items, scored.items % 6, np.ones(len(place)), rng.random(len(place)))
    nobody = Scored(*(np.zeros(0, kind) for kind in (np.int64, np.int64, np.float64, np.float64)))
    curve = exploration_curve(task, rows, pool, nobody, SETTINGS)
    assert (curve.values["chance"] == 0).all()
