from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from fashionrec_assets.recommendations.styles.clusters import StyleModel, fit_styles, spherical_kmeans
from fashionrec_assets.settings import StyleSettings
from fashionrec_assets_tests.recommendations.styles.catalog import catalog, part


def test_known_styles_are_found_and_their_number_is_within_a_tenth_of_the_best() -> None:
    content, truth = catalog()
    model = fit_styles(content, StyleSettings(count=4), seed=3)
    style, closeness = model.assign(model.encoder.vectors(content))
    assert adjusted_rand_score(truth, style) > 0.8
    assert closeness.min() > 0
    assert (np.diff(np.bincount(style)) <= 0).all(), "the largest style comes first"
    chosen = fit_styles(content, StyleSettings(), seed=3)
    best = max(trial.silhouette for trial in chosen.trials)
    good = [trial.count for trial in chosen.trials if trial.silhouette >= 0.9 * best]
    assert chosen.chosen.count == max(good)
    assert chosen.chosen.stability is not None


def test_an_item_gets_its_style_whoever_comes_with_it_and_after_a_round_trip(tmp_path: Path) -> None:
    content, _ = catalog()
    model = fit_styles(content, StyleSettings(count=6), seed=1)
    style, closeness = model.assign(model.encoder.vectors(content))
    model.save(tmp_path)
    again = StyleModel.load(tmp_path)
    for row in (0, 17, 93):
        alone = again.encoder.vectors(part(content, np.array([row])))
        one, near = again.assign(alone)
        assert one[0] == style[row]
        assert near[0] == pytest.approx(closeness[row], abs=2e-5)
        assert again.place(alone)[0] == pytest.approx(model.place(model.encoder.vectors(content))[row], abs=1e-3)
    assert again.chosen == model.chosen
    assert again.trials == model.trials


def test_the_same_catalog_gives_the_same_styles() -> None:
    content, _ = catalog()
    first, second = (fit_styles(content, StyleSettings(count=5), seed=7) for _ in range(2))
    assert np.array_equal(first.centres, second.centres)
    assert np.array_equal(first.places, second.places)


def test_a_missing_photo_is_not_read_and_says_nothing() -> None:
    content, _ = catalog()
    assert np.isnan(content.image).any()
    vectors = fit_styles(content, StyleSettings(count=4), seed=0).encoder.vectors(content)
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-5)


def test_places_of_like_styles_are_near_each_other() -> None:
    content, _ = catalog(400)
    model = fit_styles(content, StyleSettings(count=8), seed=2)
    rows, columns = np.triu_indices(len(model), 1)
    angle = model.distances()[rows, columns]
    apart = np.linalg.norm(model.places[rows] - model.places[columns], axis=1)
    assert np.corrcoef(angle, apart)[0, 1] > 0.6
    assert (model.distances() >= 0).all()
    assert (np.diag(model.distances()) == 0).all()


def test_no_centre_is_without_items_and_a_catalog_needs_items() -> None:
    same = np.tile(np.eye(3, dtype=np.float32), (5, 1))
    assert len(spherical_kmeans(same, 9, seed=0)) == 3
    assert len(spherical_kmeans(same[:1], 4, seed=0)) == 1
    content, _ = catalog()
    with pytest.raises(ValueError, match="without items"):
        fit_styles(part(content, np.zeros(0, np.int64)), StyleSettings(), seed=0)
