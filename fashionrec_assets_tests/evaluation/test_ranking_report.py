from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from fashionrec_assets.catalog.ranking_task import ranking_task
from fashionrec_assets.evaluation.baselines.oracle import Oracle
from fashionrec_assets.evaluation.behaviours import BehaviourScores
from fashionrec_assets.evaluation.bootstrap import paired_difference
from fashionrec_assets.evaluation.metrics import ListViews, find_hits, rank, slice_metrics
from fashionrec_assets.evaluation.ranking_figures import ModalityWeights
from fashionrec_assets.evaluation.ranking_page import ranking_page
from fashionrec_assets.evaluation.ranking_report import evaluate, number, signed
from fashionrec_assets.evaluation.recommender import Entrant, SeedRun
from fashionrec_assets.evaluation.render import html
from fashionrec_assets.evaluation.slices import fine_slices
from fashionrec_assets.evaluation.tables import RANKING_REPORT
from fashionrec_assets.settings import EvaluationSettings
from fashionrec_assets_tests.evaluation.shop import DAY, log_of, random_tasks

SETTINGS = EvaluationSettings(k=(5, 10), bootstrap=200)


@dataclass
class Noisy:
    """Knows the targets under noise: less noise, a better method."""

    name: str
    scores: np.ndarray

    @classmethod
    def of(cls, task, name, noise, seed=0):
        scores = np.random.default_rng(seed).normal(0, noise, (task.history.n_users, task.n_items))
        scores[task.users[task.target_rows], task.target_items] += 1
        return cls(name, scores.astype(np.float32))

    def score(self, user_rows):
        return self.scores[user_rows]


def entrants(task, model_noise, blend_noise):
    return [
        Entrant(Noisy.of(task, "two_tower", model_noise, 1), 2.5, "Two-tower", "Ours.", is_baseline=False),
        Entrant(Noisy.of(task, "popularity", 50.0, 2), 0.1, "Popularity"),
        Entrant(Noisy.of(task, "blend", blend_noise, 3), 0.2, "Tuned blend"),
    ]


@pytest.fixture(scope="module")
def task():
    return random_tasks(4)[1]


@pytest.fixture(scope="module")
def report(task):
    return evaluate(task, entrants(task, 0.2, 2.0), SETTINGS, oracle=Oracle(Noisy.of(task, "o", 0.01).score), seed=1)


def test_figures_have_stable_keys(report):
    figures = report.figures()
    for key in (
        "ranking.two_tower.recall@10",
        "ranking.two_tower.recall@10.low",
        "ranking.two_tower.recall@10.high",
        "ranking.two_tower.ndcg@5",
        "ranking.blend.warm.ndcg@10",
        "ranking.blend.cold.recall@10",
        "ranking.blend.cold.recall@10.low",
        "ranking.popularity.cold_users.mrr@10",
        "ranking.popularity.buy.precision@10",
        "ranking.popularity.coverage@10",
        "ranking.popularity.novelty@10",
        "ranking.oracle.ndcg@10",
        "ranking.two_tower.fit_seconds",
        "ranking.two_tower.oracle_share.ndcg@10",
        "ranking.two_tower.cold.oracle_share.ndcg@10",
        "ranking.two_tower.minus.blend.ndcg@10",
        "ranking.two_tower.minus.blend.ndcg@10.low",
        "ranking.users",
        "ranking.targets",
    ):
        assert np.isfinite(figures[key]), key
    assert figures["ranking.two_tower.fit_seconds"] == 2.5


def test_figures_are_the_metrics(task, report):
    ours, theirs = (entrant.recommender for entrant in (entrants(task, 0.2, 2.0)[0], entrants(task, 0.2, 2.0)[2]))
    mine, other = (
        slice_metrics(task, find_hits(task, rank(task, method, 10)), "cold", [10]).values["ndcg", 10]
        for method in (ours, theirs)
    )
    figures = report.figures()
    assert figures["ranking.two_tower.cold.ndcg@10"] == pytest.approx(mine.mean())
    gap = paired_difference(mine, other, draws=200, seed=1)
    assert figures["ranking.two_tower.cold.minus.blend.ndcg@10"] == pytest.approx(gap.value)
    assert figures["ranking.two_tower.cold.minus.blend.ndcg@10.low"] == pytest.approx(gap.low)
    assert report.recall_curves["two_tower"][report.curve_ks.index(10)] == pytest.approx(
        figures["ranking.two_tower.recall@10"]
    )


def test_records_fit_the_table(report):
    records = report.records()
    assert all(set(record) == set(RANKING_REPORT.column_names) for record in records)
    keys = [tuple(record[name] for name in RANKING_REPORT.key) for record in records]
    assert len(set(keys)) == len(keys)
    for column in RANKING_REPORT.columns:
        values = {record[column.name] for record in records}
        assert column.nullable or None not in values
        assert not column.values or values <= set(column.values), column.name


def test_a_better_model_is_said_to_win(report):
    first = report.verdicts[0]
    assert (first.tone, "Two-tower beats Tuned blend on NDCG@10" in first.text) == ("good", True)
    texts = " ".join(verdict.text for verdict in report.verdicts)
    assert "Two-tower beats Popularity" in texts
    assert "of the oracle's NDCG@10" in texts
    assert "on cold items" in texts
    share = report.figures()["ranking.two_tower.oracle_share.ndcg@10"]
    assert f"{share:.0%}" in texts


def test_a_model_that_loses_to_the_blend_is_reported_as_losing(task):
    report = evaluate(task, entrants(task, 3.0, 0.1), SETTINGS)
    assert report.verdicts[0].tone == "bad"
    assert "Two-tower loses to Tuned blend" in report.verdicts[0].text
    assert "serve Tuned blend instead" in report.verdicts[0].text
    assert report.figures()["ranking.two_tower.minus.blend.ndcg@10.high"] < 0


def test_equal_methods_cannot_be_told_apart(task):
    pair = entrants(task, 1.0, 1.0)
    twin = Entrant(Noisy("blend", pair[0].recommender.scores), 0.0, "Tuned blend")
    report = evaluate(task, [pair[0], twin], SETTINGS)
    assert report.verdicts[0].tone == "undecided"
    assert "cannot be told apart from Tuned blend" in report.verdicts[0].text


def test_what_is_said_of_cold_items_is_no_firmer_than_the_figures(task):
    ours, _, blend = entrants(task, 0.01, 30.0)
    said = next(v for v in evaluate(task, [ours, blend], SETTINGS).verdicts if v.text.startswith("On cold items"))
    assert (said.tone, "Two-tower has the highest" in said.text) == ("good", True)
    twin = Entrant(Noisy("blend", ours.recommender.scores), 0.0, "Tuned blend")
    said = next(v for v in evaluate(task, [ours, twin], SETTINGS).verdicts if v.text.startswith("On cold items"))
    assert (said.tone, "cannot tell it apart from Tuned blend" in said.text) == ("undecided", True)


def test_a_report_of_baselines_alone_names_the_best(task):
    report = evaluate(task, entrants(task, 1.0, 0.1)[1:], SETTINGS)
    assert report.model is None
    assert not report.comparisons
    assert "Tuned blend is the best method" in report.verdicts[0].text


def test_same_seed_same_report(task, report):
    again = evaluate(task, entrants(task, 0.2, 2.0), SETTINGS, oracle=Oracle(Noisy.of(task, "o", 0.01).score), seed=1)
    assert again.rows == report.rows
    assert again.comparisons == report.comparisons
    assert again.verdicts == report.verdicts


def test_refuses_twins_and_an_empty_window(task):
    pair = entrants(task, 1.0, 1.0)
    with pytest.raises(ValueError, match="share a name"):
        evaluate(task, [pair[0], pair[0]], SETTINGS)
    empty = ranking_task(log_of([(0, 0, 1, "pv")], 1, 2), name="test", start=10 * DAY, end=12 * DAY)
    with pytest.raises(ValueError, match=r"splits\.test_days"):
        evaluate(empty, pair, SETTINGS)


def test_a_shop_of_newcomers_has_a_report():
    log = log_of([(0, 0, 1, "pv"), (1, 1, 10, "pv"), (2, 0, 10, "pv")], 3, 4)
    fresh = ranking_task(log, name="test", start=10 * DAY, end=12 * DAY)
    report = evaluate(fresh, entrants(fresh, 0.1, 0.2), SETTINGS)
    assert report.slices == ("cold_users",)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1057, ".1057"), (1.0, "1.0000"), (-0.02, "−.0200"), (None, "–"), (float("nan"), "–")]
)
def test_numbers_are_printed_like_a_table(value, text):
    assert number(value) == text


def test_differences_carry_their_sign():
    assert (signed(0.01), signed(-0.01), signed(0.0)) == ("+.0100", "−.0100", "+.0000")


@pytest.fixture(scope="module")
def fused(task):
    """Late fusion beside the two-tower model, with everything a report can be given."""
    both = [
        Entrant(Noisy.of(task, "late_fusion", 0.1, 4), 3.0, "Late fusion", is_baseline=False, fit_growth=5 << 20),
        *entrants(task, 0.5, 2.0),
    ]
    rng = np.random.default_rng(0)
    views = ListViews(
        rng.normal(size=(task.n_items, 3)).astype(np.float32), np.ones(task.n_items, bool), np.arange(task.n_items) % 4
    )
    chance = rng.uniform(0, 0.3, 500)
    return evaluate(
        task,
        both,
        SETTINGS,
        seed=1,
        extra_seeds=[SeedRun("two_tower", 2, Noisy.of(task, "two_tower", 0.5, 9))],
        behaviour_scores=[
            BehaviourScores(
                "late_fusion", "Late fusion", "candidates", {"buy": (chance, rng.uniform(size=500) < chance)}
            )
        ],
        modality_weights=ModalityWeights("The model", ("text", "id"), {"Warm": (3, np.array([0.25, 0.75]))}),
        views=views,
    )


def test_both_models_are_held_against_all_others(fused):
    assert fused.models == ("late_fusion", "two_tower")
    assert fused.model == "late_fusion"
    figures = fused.figures()
    assert figures["ranking.late_fusion.minus.blend.ndcg@10"] > 0
    assert figures["ranking.late_fusion.minus.two_tower.ndcg@10"] > 0
    assert figures["ranking.two_tower.minus.blend.ndcg@10"] > 0
    assert "Late fusion beats Tuned blend" in fused.verdicts[0].text
    assert any("Two-tower beats Tuned blend" in verdict.text for verdict in fused.verdicts)


def test_the_best_baseline_is_named_where_it_is_another(task):
    better = [*entrants(task, 0.1, 2.0), Entrant(Noisy.of(task, "lambdamart", 0.8, 5), 0.1, "LambdaMART")]
    report = evaluate(task, better, SETTINGS)
    assert "Two-tower beats Tuned blend on" in report.verdicts[0].text
    assert "Two-tower beats LambdaMART (the best baseline here) on" in report.verdicts[1].text


def test_fine_slices_have_figures_of_their_own(task, fused):
    name = "popularity_tail"
    ours = next(e for e in entrants(task, 0.5, 2.0) if e.name == "two_tower").recommender
    mine = slice_metrics(task, find_hits(task, rank(task, ours, 10)), fine_slices(task)[name], [10])
    row = fused.row("two_tower", name, "ndcg", 10)
    assert row.value == pytest.approx(mine.values["ndcg", 10].mean())
    assert (row.users, row.targets) == (len(mine.rows), mine.targets)
    assert fused.row("two_tower", name, "ndcg", 5) is None
    assert name not in fused.slices
    assert name in fused.all_slices


def test_training_runs_have_a_mean_and_a_deviation(task, fused):
    figures = fused.figures()
    own, other = (
        evaluate(task, [Entrant(Noisy.of(task, "two_tower", 0.5, seed), 0.0, is_baseline=False)], SETTINGS).figures()
        for seed in (1, 9)
    )
    values = [run["ranking.two_tower.ndcg@10"] for run in (own, other)]
    assert figures["ranking.two_tower.seeds.ndcg@10.mean"] == pytest.approx(np.mean(values))
    assert figures["ranking.two_tower.seeds.ndcg@10.deviation"] == pytest.approx(np.std(values, ddof=1))
    assert figures["ranking.two_tower.seeds.cold.recall@10.runs"] == 2
    assert not any("late_fusion.seeds" in key for key in figures)
    assert any("2 training runs of Two-tower" in verdict.text for verdict in fused.verdicts)


def test_lists_behaviours_and_costs_are_in_the_flat_forms(fused):
    figures = fused.figures()
    for key in (
        "ranking.two_tower.diversity_text@10",
        "ranking.two_tower.diversity_type@5.low",
        "ranking.late_fusion.behaviour.buy.auc",
        "ranking.late_fusion.behaviour.buy.calibration_error",
    ):
        assert np.isfinite(figures[key]), key
    growth = {record["method"]: record["fit_growth_mb"] for record in fused.records()}
    assert growth["late_fusion"] == 5
    assert growth["blend"] is None


def test_the_page_has_every_closer_look(fused):
    page = ranking_page(fused)
    titles = [section.title for section in page.sections]
    assert {
        "By length of the history",
        "By age of the item",
        "By popularity of the item",
        "Late fusion against each method",
        "Two-tower against each method",
        "By seed",
        "Probabilities of behaviours",
        "What item vectors are made of",
    } <= set(titles)
    text = html(page)
    assert "Two-tower, mean of 2" in text
    assert "Type diversity@10" in text
    assert "5 MiB" in text
