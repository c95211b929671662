from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.evaluation import bootstrap
from fashionrec_assets.evaluation.bootstrap import (
    Interval,
    mean_interval,
    mean_intervals,
    paired_difference,
    percentile_interval,
    resampled_means,
)


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


def test_clusters_are_drawn_whole():
    rng = np.random.default_rng(6)
    families = np.repeat(np.arange(50), 8)
    values = (rng.normal(size=50)[families] + rng.normal(0, 0.1, 400))[:, None]
    rows, clusters = resampled_means(values, 1000, 0), resampled_means(values, 1000, 0, families)
    assert clusters.mean() == pytest.approx(values.mean(), abs=0.03)
    assert clusters.std() == pytest.approx(1 / np.sqrt(50), rel=0.25)
    assert clusters.std() > 2 * rows.std()


def test_clusters_of_one_row_are_rows_and_labels_may_be_anything():
    values = np.random.default_rng(7).random((30, 2))
    names = [f"family {n}" for n in range(30)]
    spread = resampled_means(values, 2000, 1, names).std(axis=0)
    assert spread == pytest.approx(resampled_means(values, 2000, 1).std(axis=0), rel=0.1)


def test_unequal_clusters_keep_the_mean_of_rows():
    values = np.array([1.0] * 9 + [0.0])[:, None]
    means = resampled_means(values, 4000, 2, [0] * 9 + [1])
    assert set(np.round(np.unique(means), 3)) == {0.0, 0.9, 1.0}


@pytest.mark.parametrize("units", [6, 12, 40])
def test_expanded_intervals_hold_for_few_units_too(units):
    rng = np.random.default_rng(8)
    covered = {True: 0, False: 0}
    for trial in range(400):
        means = resampled_means(rng.normal(size=(units, 1)), 400, trial)
        for expanded in (True, False):
            low, high = percentile_interval(means, units if expanded else None)
            covered[expanded] += bool(low[0] <= 0 <= high[0])
    assert covered[True] / 400 >= 0.91
    assert covered[True] >= covered[False]


def test_one_unit_has_no_width_and_many_change_nothing():
    means = np.random.default_rng(9).normal(size=(500, 1))
    assert percentile_interval(means, 1)[0] == means.min()
    assert percentile_interval(means, 10**6)[0] == pytest.approx(percentile_interval(means)[0], abs=1e-3)


def test_columns_of_all_lengths_have_the_intervals_they_have_alone():
    rng = np.random.default_rng(6)
    columns = [rng.random(n) for n in (30, 7, 30, 1)]
    found = mean_intervals(columns, 100, 3)
    assert found == [mean_interval(column, draws=100, seed=3) for column in columns]
    assert mean_intervals([], 100, 3) == []
    with pytest.raises(ValueError, match="no users"):
        mean_intervals([columns[0], np.zeros(0)], 100, 3)
