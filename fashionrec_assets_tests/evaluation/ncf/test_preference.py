from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.catalog.ranking_task import ranking_task
from fashionrec_assets.evaluation.metrics import rank
from fashionrec_assets.evaluation.ncf.preference import (
    CalibrationError,
    PairScores,
    calibrate,
    fit_calibration,
    pair_scores,
    preference_pairs,
    squared_errors,
)
from fashionrec_assets_tests.evaluation.shop import random_tasks
from fashionrec_assets_tests.evaluation.test_ranking_report import Noisy


@pytest.fixture(scope="module")
def task():
    return random_tasks(4)[1]


@pytest.fixture(scope="module")
def kept_back(task):
    length = task.end - task.start
    return ranking_task(task.history, name="kept", start=task.start - length, end=task.start, max_cold_users=0)


def error_of(task, kept_back, now, before, seed=0):
    """The mean over people of a model's squared error, and of the base rate's."""
    pairs = preference_pairs(task, seed)
    calibration = calibrate(kept_back, before, before=task.start, seed=seed)
    foretold = calibration.probabilities(pair_scores(task, pairs, now))
    every, all_pairs = np.ones(len(task.users), bool), np.ones(len(pairs), bool)
    own = squared_errors(pairs, foretold, every, all_pairs)
    return own.mean(), squared_errors(pairs, calibration.base_rate, every, all_pairs).mean()


class Constant:
    name = "constant"

    def __init__(self, n_items):
        self.n_items = n_items

    def score(self, user_rows):
        return np.full((len(user_rows), self.n_items), 3.0, np.float32)


class Warped:
    """Another model's scores on another scale."""

    name = "warped"

    def __init__(self, inner, warp):
        self.inner, self.warp = inner, warp

    def score(self, user_rows):
        return self.warp(self.inner.score(user_rows)).astype(np.float32)


def test_pairs_are_the_targets_and_unknown_items_of_the_pool(task):
    pairs = preference_pairs(task, 1)
    assert np.array_equal(pairs.rows[pairs.wanted], task.target_rows)
    assert np.array_equal(np.sort(pairs.items[pairs.wanted]), np.sort(task.target_items))
    assert (np.diff(pairs.rows) >= 0).all()
    targets = set(zip(task.target_rows.tolist(), task.target_items.tolist(), strict=True))
    others = list(zip(pairs.rows[~pairs.wanted].tolist(), pairs.items[~pairs.wanted].tolist(), strict=True))
    assert not targets & set(others)
    assert len(set(others)) == len(others)
    assert all(task.pool[item] and not task.seen[[task.users[row]], :].toarray()[0, item] for row, item in others)
    few = np.bincount(pairs.rows[~pairs.wanted], minlength=len(task.users))
    assert few.max() == 4
    assert (few == 4).mean() > 0.8
    again = preference_pairs(task, 1)
    assert np.array_equal(pairs.items, again.items)
    assert not np.array_equal(pairs.items, preference_pairs(task, 2).items)


def test_unknown_items_are_drawn_uniformly_from_a_large_pool(task):
    from fashionrec_assets.evaluation.ncf.preference import _drawn

    rng, pool, barred = np.random.default_rng(0), np.arange(200, dtype=np.int32), np.arange(10)
    counts = np.zeros(200)
    for _ in range(4_000):
        drawn = _drawn(pool, barred, 4, rng)
        assert len(set(drawn.tolist())) == 4
        counts[drawn] += 1
    assert counts[:10].sum() == 0
    assert abs(counts[10:].mean() - 4_000 * 4 / 190) < 1e-9
    assert counts[10:].std() < 1.5 * np.sqrt(counts[10:].mean())


def test_a_perfect_model_has_no_error_and_a_constant_one_the_base_rates(task, kept_back):
    perfect, base = error_of(task, kept_back, Noisy.of(task, "p", 0.001), Noisy.of(kept_back, "p", 0.001))
    assert perfect < 1e-3
    assert 0.1 < base < 0.4
    constant, line = error_of(task, kept_back, Constant(task.n_items), Constant(task.n_items))
    assert constant == pytest.approx(line, rel=1e-9)
    noisy, line = error_of(task, kept_back, Noisy.of(task, "n", 0.5), Noisy.of(kept_back, "n", 0.5))
    assert 1e-3 < noisy < line


def test_calibration_repairs_scores_of_another_scale(task, kept_back):
    now, before = Noisy.of(task, "n", 0.5), Noisy.of(kept_back, "n", 0.5)
    right = error_of(task, kept_back, now, before)[0]
    warp = lambda scores: 40.0 * scores - 700.0  # noqa: E731
    assert error_of(task, kept_back, Warped(now, warp), Warped(before, warp))[0] == pytest.approx(right, rel=1e-3)
    # Uncalibrated, the same scores are far off.
    pairs = preference_pairs(task, 0)
    raw = 1 / (1 + np.exp(-warp(pair_scores(task, pairs, now).astype(np.float64)).clip(-500, 500)))
    every = np.ones(len(task.users), bool)
    assert squared_errors(pairs, raw, every, np.ones(len(pairs), bool)).mean() > right + 0.05


def test_people_weigh_the_same_in_calibration(kept_back):
    pairs = preference_pairs(kept_back, 0)
    scores = pair_scores(kept_back, pairs, Noisy.of(kept_back, "n", 0.5))
    calibration = fit_calibration(scores, pairs)
    foretold = np.average(calibration.probabilities(scores), weights=pairs.weights())
    assert foretold == pytest.approx(calibration.base_rate, abs=1e-4)
    assert abs(calibration.base_rate - pairs.wanted.mean()) > 1e-3


def test_calibration_never_sees_the_window(task, kept_back):
    with pytest.raises(ValueError, match="inside the window"):
        calibrate(kept_back, Noisy.of(kept_back, "n", 0.5), before=task.start - 1, seed=0)
    with pytest.raises(ValueError, match="inside the window"):
        calibrate(task, Noisy.of(task, "n", 0.5), before=task.start, seed=0)
    one = calibrate(kept_back, Noisy.of(kept_back, "n", 0.5), before=task.start, seed=0)
    reader = Warped(Noisy.of(kept_back, "n", 0.5), lambda scores: scores)
    asked = []
    reader.score = lambda rows: asked.extend(rows.tolist()) or Noisy.of(kept_back, "n", 0.5).score(rows)
    assert calibrate(kept_back, reader, before=task.start, seed=0) == one
    assert asked == kept_back.users.tolist(), "only the people kept back were scored"


def test_nobody_to_calibrate_on_is_an_error(kept_back):
    nobody = replace(
        kept_back,
        users=kept_back.users[:0],
        target_offsets=np.zeros(1, np.int64),
        target_items=kept_back.target_items[:0],
        has_history=kept_back.has_history[:0],
    )
    with pytest.raises(CalibrationError, match="kept back"):
        calibrate(nobody, Constant(kept_back.n_items), before=kept_back.end, seed=0)


def test_what_cannot_be_recommended_counts_as_the_lowest_score(kept_back):
    pairs = preference_pairs(kept_back, 0)
    scores = pair_scores(kept_back, pairs, Noisy.of(kept_back, "n", 0.5)).astype(np.float64)
    worst = scores.argmin()
    gone = scores.copy()
    gone[worst] = -np.inf
    calibration = fit_calibration(gone, pairs)
    assert np.isfinite(calibration.probabilities(gone)).all()
    assert calibration.probabilities(gone)[worst] == calibration.probabilities(gone).min()


def test_every_person_counts_the_same(task):
    pairs = preference_pairs(task, 0)
    every = np.ones(len(task.users), bool)
    found = squared_errors(pairs, 0.25, every, np.ones(len(pairs), bool))
    row = 3
    own = pairs.wanted[pairs.rows == row]
    assert found[row] == pytest.approx(np.mean((0.25 - own) ** 2))
    assert len(squared_errors(pairs, 0.25, every & False, np.ones(len(pairs), bool))) == 0
    sums = np.bincount(pairs.rows, weights=pairs.weights())
    assert sums == pytest.approx(np.ones(len(task.users)))


def test_one_pass_ranks_and_reads_the_pairs(task):
    pairs, model = preference_pairs(task, 0), Noisy.of(task, "n", 0.5)
    reader = PairScores(model, task, pairs)
    lists = rank(task, reader, 5, block=7)
    assert np.array_equal(lists, rank(task, model, 5))
    assert np.array_equal(reader.values, model.scores[task.users[pairs.rows], pairs.items])
