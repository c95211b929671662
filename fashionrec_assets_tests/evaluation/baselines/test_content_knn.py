from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.evaluation.baselines import content_knn
from fashionrec_assets.evaluation.baselines.content_knn import ContentKnn, pooled_content
from fashionrec_assets_tests.evaluation.shop import log_of, random_shop


def brute_force(log, content, user, history, neighbours):
    """The definition, one item at a time."""
    last = {}
    for row in np.flatnonzero(log.users == user):
        item = int(log.items[row])
        last.pop(item, None)
        last[item] = None
    touched = list(last)[-history:]
    units = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-12)
    scores = []
    for item in range(log.n_items):
        similar = sorted(
            (max(0.0, float(units[item] @ units[other])) for other in touched if other != item), reverse=True
        )
        scores.append(sum(similar[:neighbours]))
    return np.array(scores)


@pytest.mark.parametrize("block_bytes", [128 << 20, 4 * 8 * 7])
def test_it_is_what_its_definition_says(monkeypatch, block_bytes):
    monkeypatch.setattr(content_knn, "_SIMILARITY_BYTES", block_bytes)
    log, _ = random_shop(2)
    content = np.random.default_rng(0).normal(size=(log.n_items, 6)).astype(np.float32)
    content[5] = 0
    model = ContentKnn.fit(log, content, history=8, neighbours=3)
    users = np.arange(log.n_users, dtype=np.int32)
    found = model.evidence(users)
    for user in (0, 7, 31, 59):
        assert found[user] == pytest.approx(brute_force(log, content, user, 8, 3), abs=1e-5)
    assert (found[:, 5] == 0).all()


def test_a_person_without_events_gets_what_is_popular():
    log = log_of([(0, 1, 1, "pv"), (1, 1, 1, "pv"), (1, 2, 1, "buy")], n_users=3, n_items=4)
    model = ContentKnn.fit(log, np.eye(4, dtype=np.float32))
    scores = model.score(np.array([2, 0], np.int32))
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert scores[0].argmax() == 2
    assert (scores < 0).all(), "nothing is like what the other one touched, so popularity decides there too"


def test_new_items_are_found_by_their_content():
    content = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    model = ContentKnn.fit(log_of([(0, 0, 1, "pv"), (1, 2, 1, "pv")], 2, 3), content)
    assert model.score(np.array([0], np.int32))[0].argmax() == 1


def test_views_weigh_the_same_and_missing_ones_are_zero():
    text, image = np.array([[3, 4], [9, 9]], np.float32), np.array([[0, 2], [np.nan, 1]], np.float32)
    there = np.array([True, True])
    pooled = pooled_content([(text, there), (image, np.array([True, False]))])
    assert pooled[0] == pytest.approx([0.6, 0.8, 0, 1])
    assert pooled[1] == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 0, 0])
    with pytest.raises(ValueError, match="view"):
        pooled_content([])
    with pytest.raises(ValueError, match="2 content vectors for 3 items"):
        ContentKnn.fit(log_of([], 1, 3), pooled)
