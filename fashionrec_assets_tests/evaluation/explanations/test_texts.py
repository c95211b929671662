"""Variety, features and readability of texts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fashionrec_assets.evaluation.explanations.texts import (
    Vocabulary,
    feature_coverage_ratio,
    feature_overlap,
    names,
    reading_ease,
    sentences,
    syllables,
    unique_sentence_ratio,
    words,
)


def test_sentences_and_their_ratio() -> None:
    assert sentences(" It is red. You bought “A”!  New? ") == ["It is red.", "You bought “A”!", "New?"]
    assert unique_sentence_ratio(["It is red. It is new.", "It is red."]) == pytest.approx(2 / 3)
    assert unique_sentence_ratio([]) == 0


def test_features_are_found_as_whole_words_in_a_row() -> None:
    vocabulary = Vocabulary(["Red", "t-shirt", "long sleeve", "", "cat"])
    assert len(vocabulary.features) == 4
    assert vocabulary.named("A RED T-shirt with a long, long sleeve.") == {("red",), ("t", "shirt"), ("long", "sleeve")}
    assert vocabulary.named("A shirt, reddish; sleeve long; category") == frozenset()
    assert feature_coverage_ratio([vocabulary.named("red cat"), vocabulary.named("red")], vocabulary.features) == 0.5


def test_a_named_value_may_stand_in_the_plural_but_not_inside_another_word() -> None:
    assert names("5 of your Dresses", "dress")
    assert names("two long coats", "long coat")
    assert not names("an address", "dress")
    assert not names("anything", "")


def test_overlap_in_linear_time_is_the_mean_over_all_pairs() -> None:
    rng = np.random.default_rng(3)
    for n in (2, 3, 40):
        named = [frozenset((str(f),) for f in np.flatnonzero(rng.random(12) < 0.3)) for _ in range(n)]
        pairs = [len(one & two) for one, two in combinations(named, 2)]
        assert feature_overlap(named) == pytest.approx(sum(pairs) / len(pairs))
    assert feature_overlap([frozenset({("a",)})]) == 0


def test_reading_ease_is_flesch_s() -> None:
    assert [syllables(word) for word in ("cat", "table", "like", "people", "recommended", "the", "hmm")] == [
        1, 2, 1, 2, 4, 1, 1,
    ]  # fmt: skip
    assert reading_ease("The cat sat on the mat.") == pytest.approx(206.835 - 1.015 * 6 - 84.6)
    assert reading_ease("The cat sat. The cat ran.") == pytest.approx(206.835 - 1.015 * 3 - 84.6)
    assert reading_ease("…") is None
    assert words("You’re “A-B”") == ("you’re", "a", "b")
