"""Every baseline against plain numpy on data small enough to compute the obvious way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fashionrec_assets.catalog.ranking_task import ranking_tasks
from fashionrec_assets.evaluation.baselines.blend import Blend, tune_blend, z_scores
from fashionrec_assets.evaluation.baselines.ease import Ease, TooManyItemsError
from fashionrec_assets.evaluation.baselines.oracle import Oracle
from fashionrec_assets.evaluation.baselines.random import Random
from fashionrec_assets.evaluation.baselines.suite import DEFAULT_WEIGHTS, fit_baselines
from fashionrec_assets.evaluation.metrics import find_hits, rank, slice_metrics
from fashionrec_assets.evaluation.recommender import Recommender
from fashionrec_assets.ranking.sources.interactions import BEHAVIOUR_WEIGHTS, interaction_matrix
from fashionrec_assets.ranking.sources.item_knn import ItemKnn
from fashionrec_assets.ranking.sources.popularity import Popularity
from fashionrec_assets.ranking.sources.tfidf import TfIdf, recent_items, text_features
from fashionrec_assets.settings import EvaluationSettings
from fashionrec_assets_tests.evaluation.shop import CUTS, DAY, log_of, random_shop, random_tasks

WORDS = ("red", "blue", "dress", "shirt", "cotton", "wool", "long", "short")


def everybody(log):
    return np.arange(log.n_users, dtype=np.int32)


def dense(log, weights=BEHAVIOUR_WEIGHTS):
    names = list(weights)
    matrix = np.zeros((log.n_users, log.n_items))
    for user, item, behaviour in zip(log.users, log.items, log.behaviours, strict=True):
        matrix[user, item] = max(matrix[user, item], weights[names[behaviour]])
    return matrix / min(weights[names[b]] for b in log.behaviours)


def texts_of(n_items, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 4)) for _ in range(n_items)]


@pytest.fixture(scope="module")
def history():
    return random_tasks()[1].history


def test_interactions_keep_the_deepest_behaviour_relative_to_the_weakest(history):
    assert np.allclose(interaction_matrix(history).toarray(), dense(history))
    only = log_of([(0, 1, 1, "buy"), (0, 1, 2, "buy"), (1, 0, 1, "buy")], 2, 2)
    assert interaction_matrix(only).toarray().tolist() == [[0, 1], [1, 0]]
    assert interaction_matrix(log_of([], 2, 3)).shape == (2, 3)


def test_popularity_counts_people_not_events():
    log = log_of([(0, 0, 1, "pv")] * 5 + [(0, 1, 1, "pv"), (1, 1, 1, "pv")], 2, 3)
    scores = Popularity.fit(log).score(everybody(log))
    assert scores.shape == (2, 3)
    assert np.argsort(-scores[0]).tolist() == [1, 0, 2]


def test_recent_popularity_sees_its_window_and_breaks_ties_by_all_time():
    events = [(user, 0, 1, "pv") for user in range(5)]
    events += [(0, 1, 8, "pv"), (0, 2, 9, "pv"), (1, 2, 9, "pv"), (1, 3, 5, "pv"), (2, 3, 5, "pv")]
    recent = Popularity.fit_recent(log_of(events, 5, 5), cut=10 * DAY, days=3)
    assert np.argsort(-recent.scores, kind="stable").tolist() == [2, 1, 0, 3, 4]


@pytest.mark.parametrize(("exponent", "shrink"), [(0.2, 10.0), (0.5, 0.0)])
def test_item_knn_agrees_with_numpy(history, exponent, shrink):
    x = dense(history)
    norms = (x * x).sum(axis=0)
    bottom = np.outer(norms, norms) ** exponent + shrink
    similarity = np.divide(x.T @ x, bottom, out=np.zeros_like(bottom), where=bottom > 0)
    np.fill_diagonal(similarity, 0)
    with np.errstate(invalid="raise", divide="raise"):
        knn = ItemKnn.fit(history, exponent=exponent, shrink=shrink)
    assert np.allclose(knn.evidence(everybody(history)), x @ similarity, rtol=1e-5)


def test_item_knn_keeps_the_nearest(history):
    full = ItemKnn.fit(history).similarity.toarray()
    near = ItemKnn.fit(history, neighbours=4).similarity.toarray()
    for every, kept in zip(full, near, strict=True):
        assert np.count_nonzero(kept) == min(4, np.count_nonzero(every))
        assert np.allclose(np.sort(kept)[::-1][:4], np.sort(every)[::-1][:4])


def test_item_knn_falls_back_to_popularity(history):
    knn = ItemKnn.fit(history)
    nobody = np.setdiff1d(everybody(history), history.users).astype(np.int32)
    assert len(nobody)
    order = np.argsort(-knn.score(nobody[:1])[0], kind="stable")
    assert np.array_equal(order, np.argsort(-Popularity.fit(history).scores, kind="stable"))


def test_ease_agrees_with_numpy(history):
    x = dense(history)
    warm = np.flatnonzero(x.any(axis=0))
    inverse = np.linalg.inv(x[:, warm].T @ x[:, warm] + 30.0 * np.eye(len(warm)))
    weights = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(weights, 0)
    ease = Ease.fit(history, regularisation=30.0)
    known = np.unique(history.users)
    scores = ease.score(known)
    assert np.allclose(scores[:, warm], (x[:, warm] @ weights)[known], atol=1e-4)
    cold = np.setdiff1d(np.arange(history.n_items), warm)
    assert len(cold)
    assert np.all(scores[:, cold] == -np.inf)


def test_ease_refuses_a_catalog_too_large_for_it(history):
    with pytest.raises(TooManyItemsError, match="ease_max_items"):
        Ease.fit(history, max_items=5)


def test_tfidf_takes_the_most_similar_other_item_of_the_history(history):
    features = text_features(texts_of(history.n_items))
    similarity = (features @ features.T).toarray()
    np.fill_diagonal(similarity, 0)
    np.fill_diagonal(similarity, 0)
    tfidf = TfIdf.fit(history, features)
    got = tfidf.evidence(everybody(history))
    for user in everybody(history):
        items = np.unique(history.items[history.users == user])
        expected = similarity[items].max(axis=0) if len(items) else np.zeros(history.n_items)
        assert np.allclose(got[user], expected, atol=1e-6), user


def test_tfidf_in_small_portions_is_the_same(history, monkeypatch):
    features = text_features(texts_of(history.n_items))
    whole = TfIdf.fit(history, features).evidence(everybody(history))
    monkeypatch.setattr("fashionrec_assets.ranking.sources.tfidf._SIMILARITY_BYTES", 4 * history.n_items * 3)
    assert np.array_equal(TfIdf.fit(history, features).evidence(everybody(history)), whole)


def test_recent_items_are_the_last_distinct_ones():
    log = log_of([(0, 0, 1, "pv"), (0, 1, 2, "pv"), (0, 2, 3, "pv"), (0, 0, 4, "pv"), (2, 1, 1, "pv")], 3, 3)
    offsets, items = recent_items(log, 2)
    assert offsets.tolist() == [0, 2, 2, 3]
    assert items.tolist() == [2, 0, 1]


@pytest.mark.parametrize("texts", [["", "", ""], ["one", "two", "three"], ["only"], []])
def test_texts_without_shared_words_make_no_item_alike(texts):
    assert text_features(texts).shape == (len(texts), 0)


def test_tfidf_finds_cold_items():
    log = log_of([(0, 0, 1, "pv"), (1, 1, 1, "pv")], 2, 4)
    features = text_features(["red wool dress", "blue jeans", "blue jeans", "red wool dress"])
    assert np.argmax(TfIdf.fit(log, features).score(everybody(log))[0]) == 3


def test_z_scores_of_a_constant_row_are_zero():
    got = z_scores(np.asarray([[1, 1, 1], [1, 2, 3]], np.float32))
    assert got[0].tolist() == [0, 0, 0]
    assert got[1] == pytest.approx([-1.2247449, 0, 1.2247449])
    assert got.dtype == np.float32


def test_the_blend_is_the_weighted_sum():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 4, 6)).astype(np.float32)
    blend = Blend((lambda rows: first[rows], lambda rows: second[rows]), (0.5, 2.0))
    rows = np.asarray([2, 0], np.int32)
    assert np.allclose(blend.score(rows), 0.5 * z_scores(first[rows]) + 2 * z_scores(second[rows]), atol=1e-5)
    with pytest.raises(ValueError, match="weight"):
        Blend((lambda rows: first[rows],), (0.0,)).score(rows)


def test_tuning_finds_the_part_that_knows_and_scores_as_ranking_does():
    validation, _ = random_tasks()
    truth = np.zeros((validation.history.n_users, validation.n_items), np.float32)
    truth[validation.users[validation.target_rows], validation.target_items] = 1
    noise = np.random.default_rng(0).random(truth.shape).astype(np.float32)
    parts = (lambda rows: noise[rows], lambda rows: truth[rows])
    weights, trials = tune_blend(validation, parts, ((0.0, 1.0), (0.0, 1.0)), k=10, block=5)
    assert weights == (0.0, 1.0)
    assert len(trials) == 3
    for trial in trials:
        hits = find_hits(validation, rank(validation, Blend(parts, trial.weights), 10))
        expected = slice_metrics(validation, hits, "overall", [10]).values["ndcg", 10].mean()
        assert trial.ndcg == pytest.approx(expected)


def test_random_does_not_depend_on_the_block():
    random = Random(30, seed=5)
    together = random.score(np.arange(10, dtype=np.int32))
    alone = np.concatenate([random.score(np.asarray([row], np.int32)) for row in range(10)])
    assert np.array_equal(together, alone)
    assert not np.array_equal(together, Random(30, seed=6).score(np.arange(10, dtype=np.int32)))
    assert abs(np.corrcoef(together[:-1].ravel(), together[1:].ravel())[0, 1]) < 0.2


def test_the_suite_fits_on_history_alone(history):
    log, launched = random_shop()
    validation, test = ranking_tasks(log, CUTS, launched_at=launched)
    texts, settings = texts_of(log.n_items), EvaluationSettings(k=(5, 10))
    suite = fit_baselines(validation, test, texts, settings, seed=3)
    names = [entrant.name for entrant in suite.entrants]
    peers = ["random", "popularity", "recent_popularity", "item_knn", "tfidf", "ease", "blend"]
    assert [name for name in names if name != "lambdamart"] == peers
    assert suite.blend_trials
    assert suite.blend_weights == max(suite.blend_trials, key=lambda trial: trial.ndcg).weights
    # The test window's events reach no baseline: without them, every score is the same.
    earlier = log.between(None, CUTS.test)
    blind = fit_baselines(
        ranking_tasks(earlier, CUTS, launched_at=launched)[0],
        ranking_tasks(earlier, CUTS, launched_at=launched)[1],
        texts,
        settings,
        seed=3,
    )
    for entrant, other in zip(suite.entrants, blind.entrants, strict=True):
        scores = entrant.recommender.score(everybody(log))
        assert isinstance(entrant.recommender, Recommender)
        assert scores.shape == (log.n_users, log.n_items)
        assert scores.dtype == np.float32
        assert not np.isnan(scores).any()
        assert not np.isposinf(scores).any()
        assert np.array_equal(scores, other.recommender.score(everybody(log))), entrant.name


def test_the_suite_says_what_it_left_out():
    validation, test = random_tasks()
    suite = fit_baselines(validation, test, texts_of(test.n_items), EvaluationSettings(ease_max_items=3))
    assert "ease" not in [entrant.name for entrant in suite.entrants]
    assert "EASE was left out" in suite.notes[0]
    with pytest.raises(ValueError, match="texts"):
        fit_baselines(validation, test, ["one"], EvaluationSettings())


def test_the_suite_without_anybody_to_tune_on_keeps_default_weights():
    log, launched = random_shop()
    quiet = log.select((log.times < CUTS.validation) | (log.times >= CUTS.test))
    suite = fit_baselines(
        *ranking_tasks(quiet, CUTS, launched_at=launched), texts_of(log.n_items), EvaluationSettings()
    )
    assert suite.blend_weights == DEFAULT_WEIGHTS
    assert any("default weights" in note for note in suite.notes)


def test_the_oracle_passes_utilities_on():
    utilities = np.arange(6, dtype=np.float64).reshape(2, 3)
    scores = Oracle(lambda rows: utilities[rows]).score(np.asarray([1], np.int32))
    assert scores.tolist() == [[3, 4, 5]]
    assert scores.dtype == np.float32


@pytest.mark.parametrize("pairs", [1, 40, 10_000_000])
def test_item_knn_keeps_the_lower_of_equally_near_items_in_blocks_of_any_size(pairs, monkeypatch):
    # Everybody has everything but item 6, so all are equally near to one another.
    events = [(user, item, 1, "pv") for user in range(3) for item in range(6)] + [(3, 6, 1, "pv"), (3, 0, 1, "pv")]
    monkeypatch.setattr("fashionrec_assets.ranking.sources.item_knn._PAIRS_AT_ONCE", pairs)
    kept = ItemKnn.fit(log_of(events, 4, 8), exponent=0.0, shrink=0.0, neighbours=2).similarity
    near = [kept.indices[start:stop].tolist() for start, stop in itertools.pairwise(kept.indptr)]
    assert near == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1], [0], []]
