from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from fashionrec_assets.evaluation.zero_shot import TEMPLATES, commonest, predict, score, zero_shot_tasks


def test_classes_are_the_values_with_enough_items():
    colours = ["red"] * 6 + ["blue"] * 5 + ["odd"] * 2 + [""] * 9
    tasks = zero_shot_tasks({"colour": colours, "gender": ["women"] * 22}, least=5, most=20)
    assert [(task.field, task.classes) for task in tasks] == [("colour", ("red", "blue"))]
    assert tasks[0].labels.tolist() == [0] * 6 + [1] * 5 + [-1] * 11
    assert len(zero_shot_tasks({"colour": colours}, least=2, most=2)[0].classes) == 2
    assert zero_shot_tasks({}, least=5, most=20) == []


def test_prompts_of_a_class_are_averaged_and_normalised():
    (task,) = zero_shot_tasks({"colour": ["red {}"] * 5 + ["blue"] * 5}, least=5, most=20)
    count = len(TEMPLATES["colour"])
    assert len(task.prompts) == 2 * count
    assert task.classes == ("blue", "red {}")
    assert task.prompts[0] == "a photo of a blue garment."
    assert task.prompts[count] == "a photo of a red {} garment."
    vectors = np.tile(np.eye(2, 3, dtype=np.float32), (count, 1))[np.argsort(np.tile([0, 1], count), kind="stable")]
    assert task.class_vectors(vectors) == pytest.approx(np.eye(2, 3))
    mixed = task.class_vectors(np.random.default_rng(0).normal(size=(2 * count, 5)).astype(np.float32))
    assert np.linalg.norm(mixed, axis=1) == pytest.approx(1, abs=1e-6)


def test_the_nearest_class_wins():
    images = np.array([[1, 0], [0.2, 0.9]], dtype=np.float32)
    assert predict(images, np.eye(2, dtype=np.float32)).tolist() == [0, 1]


def test_scores_are_scikit_learns():
    rng = np.random.default_rng(3)
    labels = rng.integers(-1, 4, 200)
    guess = np.where(rng.random(200) < 0.6, labels, rng.integers(0, 4, 200))
    guess = np.maximum(guess, 0)
    scores = score(labels, guess, 4, rng.integers(0, 60, 200), draws=300, seed=1)
    known = labels >= 0
    assert scores.accuracy.value == pytest.approx((labels == guess)[known].mean())
    assert scores.macro_f1.value == pytest.approx(f1_score(labels[known], guess[known], average="macro"))
    assert scores.accuracy.low < scores.accuracy.value < scores.accuracy.high
    assert scores.macro_f1.low < scores.macro_f1.value < scores.macro_f1.high


def test_whole_clusters_are_drawn():
    labels = np.zeros(80, dtype=np.int64)
    guess = np.repeat([0, 1], 40)
    alone = score(labels, guess, 2, np.arange(80), draws=500, seed=0).accuracy
    together = score(labels, guess, 2, np.arange(80) // 8, draws=500, seed=0).accuracy
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_commonest_value_is_the_bar():
    labels = np.array([1, 1, 0, -1])
    assert commonest(labels).tolist() == [1, 1, 1, 1]
    scores = score(labels, commonest(labels), 2, np.arange(4), draws=50, seed=0)
    assert scores.accuracy.value == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no item"):
        score(np.array([-1]), np.array([0]), 2, np.array([0]), draws=10, seed=0)
