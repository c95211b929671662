from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.evaluation import bootstrap
from fashionrec_assets.evaluation.bootstrap import Interval, mean_interval, paired_difference, resampled_means


def test_intervals_contain_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        interval = mean_interval(rng.exponential(1.0, 120), draws=200, seed=trial)
        covered += interval.low <= 1.0 <= interval.high
    assert 0.90 <= covered / 200 <= 0.98


def test_the_spread_of_resampled_means_is_the_standard_error():
    values = np.random.default_rng(1).normal(size=(400, 2)) * [1.0, 3.0]
    means = resampled_means(values, 2000, seed=3)
    assert means.std(axis=0) == pytest.approx(values.std(axis=0) / 20, rel=0.1)
    assert means.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=0.02)


def test_pairing_separates_what_single_intervals_cannot():
    rng = np.random.default_rng(2)
    easy = rng.random(200)
    first, second = easy + 0.02 + rng.normal(0, 0.01, 200), easy
    assert mean_interval(first).overlaps(mean_interval(second))
    gap = paired_difference(first, second)
    assert 0 < gap.low < gap.value < gap.high
    assert gap.value == pytest.approx(first.mean() - second.mean())


def test_seeded_and_independent_of_what_else_is_measured():
    values = np.random.default_rng(4).random((50, 3))
    assert np.array_equal(resampled_means(values, 100, 7), resampled_means(values, 100, 7))
    assert np.allclose(resampled_means(values, 100, 7)[:, :1], resampled_means(values[:, :1], 100, 7))
    assert not np.array_equal(resampled_means(values, 100, 7), resampled_means(values, 100, 8))


def test_chunks_do_not_change_the_resamples(monkeypatch):
    values = np.random.default_rng(5).random((40, 2))
    whole = resampled_means(values, 64, 1)
    monkeypatch.setattr(bootstrap, "_CHUNK_BYTES", 8 * 40 * 5)
    assert np.allclose(resampled_means(values, 64, 1), whole)


def test_one_user_has_an_interval_of_no_width_and_none_has_no_interval():
    assert mean_interval([0.25]) == Interval(0.25, 0.25, 0.25)
    with pytest.raises(ValueError, match="no users"):
        mean_interval([])
