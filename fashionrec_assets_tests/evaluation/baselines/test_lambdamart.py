from __future__ import annotations

import sys

import numpy as np
import pytest

from fashionrec_assets.catalog.ranking_task import ranking_task, ranking_tasks
from fashionrec_assets.evaluation.baselines.lambdamart import (
    CandidateFeatures,
    LambdaMart,
    LightGBMUnavailableError,
    NothingToLearnError,
    Source,
    load_lightgbm,
)
from fashionrec_assets.evaluation.baselines.suite import fit_baselines
from fashionrec_assets.evaluation.metrics import find_hits, rank, slice_metrics
from fashionrec_assets.settings import EvaluationSettings
from fashionrec_assets_tests.evaluation.shop import CUTS, DAY, log_of, random_shop

ITEMS = 200


def taste_shop(seed=0, users=500):
    """Everybody likes one of five kinds of items and one of two prices; each source of candidates knows one of them."""
    rng = np.random.default_rng(seed)
    kind, price = np.arange(ITEMS) % 5, (np.arange(ITEMS) // 5) % 2
    events = []
    for user in range(users):
        wanted = np.flatnonzero((kind == user % 5) & (price == user // 5 % 2))
        for day in (0, 2, 5, 8, 9, 10, 11):
            events += [(user, int(item), day, "buy") for item in rng.choice(wanted, 2, replace=False)]
    return log_of(events, users, ITEMS), kind, price


def sources(kind, price):
    def likes(feature, values):
        def score(rows):
            return (feature[None, :] == values(rows)[:, None]).astype(np.float32)

        return score

    return (
        Source("kind", likes(kind, lambda rows: rows % 5), 150),
        Source("price", likes(price, lambda rows: rows // 5 % 2), 150),
    )


@pytest.fixture(scope="module")
def tasks():
    pytest.importorskip("lightgbm")
    log, kind, price = taste_shop()
    return *ranking_tasks(log, CUTS), sources(kind, price)


@pytest.fixture(scope="module")
def fitted(tasks):
    validation, test, both = tasks
    return LambdaMart.fit(
        CandidateFeatures.of(validation, both), CandidateFeatures.of(test, both), np.zeros(ITEMS, np.float32), seed=1
    )


def ndcg(task, recommender):
    hits = find_hits(task, rank(task, recommender, 20))
    return slice_metrics(task, hits, "overall", [20]).values["ndcg", 20].mean()


def test_it_learns_what_no_source_knows_alone(tasks, fitted):
    _, test, both = tasks

    class Alone:
        name = "alone"

        def __init__(self, source):
            self.score = source.score

    assert ndcg(test, fitted) > 1.3 * max(ndcg(test, Alone(source)) for source in both)


def test_same_seed_same_scores(tasks, fitted):
    validation, test, both = tasks
    again = LambdaMart.fit(
        CandidateFeatures.of(validation, both), CandidateFeatures.of(test, both), np.zeros(ITEMS, np.float32), seed=1
    )
    rows = test.users[:20]
    assert np.array_equal(again.score(rows), fitted.score(rows))


def test_candidates_stand_above_the_fallback(tasks, fitted):
    _, test, both = tasks
    rows = test.users[:300]
    scores = fitted.score(rows)
    assert scores.shape == (300, ITEMS)
    assert np.isfinite(scores).all()
    found = CandidateFeatures.of(test, both).of_users(rows)
    proposed = np.zeros(scores.shape, bool)
    proposed[found.rows, found.items] = True
    assert scores[proposed].min() > scores[~proposed].max()


def test_features_hold_nothing_of_the_window(tasks):
    """The same history with another future gives the same candidates and features."""
    _, test, both = tasks
    log, _, _ = taste_shop()
    rng = np.random.default_rng(5)
    later = log.times >= CUTS_TEST
    items = np.where(later, rng.integers(0, ITEMS, len(log)), log.items).astype(np.int32)
    other = type(log).build(log.user_ids.tolist(), log.item_ids.tolist(), log.users, items, log.times, log.behaviours)
    task = ranking_task(other, name="test", start=CUTS_TEST, end=12 * DAY)
    rows = np.arange(50, dtype=np.int32)
    mine, theirs = (CandidateFeatures.of(one, both).of_users(rows) for one in (test, task))
    assert np.array_equal(mine.items, theirs.items)
    assert np.array_equal(mine.features, theirs.features)


CUTS_TEST = 10 * DAY


def test_newcomers_get_the_fallback():
    pytest.importorskip("lightgbm")
    log, launched = random_shop()
    validation, test = ranking_tasks(log, CUTS, launched_at=launched)
    both = (Source("item", lambda rows: np.tile(np.arange(log.n_items, dtype=np.float32), (len(rows), 1)), 30),)
    fallback = np.arange(log.n_items, dtype=np.float32)[::-1].copy()
    fitted = LambdaMart.fit(CandidateFeatures.of(validation, both), CandidateFeatures.of(test, both), fallback)
    newcomers = test.users[~test.has_history]
    assert (np.argsort(-fitted.score(newcomers), axis=1) == np.argsort(-fallback)).all()


def test_nobody_to_learn_from():
    pytest.importorskip("lightgbm")
    log = log_of([(0, 0, 1, "pv"), (0, 1, 9, "pv"), (0, 2, 10, "pv")], 1, 40)
    validation, test = ranking_tasks(log, CUTS)
    none = (Source("worst", lambda rows: np.tile(np.arange(40, dtype=np.float32), (len(rows), 1)), 5),)
    with pytest.raises(NothingToLearnError):
        LambdaMart.fit(
            CandidateFeatures.of(validation, none), CandidateFeatures.of(test, none), np.zeros(40, np.float32)
        )


def test_without_lightgbm_the_suite_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(LightGBMUnavailableError, match="pip install"):
        load_lightgbm()
    log, launched = random_shop()
    validation, test = ranking_tasks(log, CUTS, launched_at=launched)
    suite = fit_baselines(validation, test, ["a red dress"] * log.n_items, EvaluationSettings(k=(5, 10)))
    assert "lambdamart" not in [entrant.name for entrant in suite.entrants]
    assert any("LambdaMART was left out" in note for note in suite.notes)


def test_a_missing_openmp_runtime_is_named(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "lightgbm":
                raise OSError("libgomp.so.1: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(LightGBMUnavailableError, match="libgomp1"):
        load_lightgbm()
