"""Words become weights; a saved vocabulary weighs as the fitted one did."""

from __future__ import annotations

import json

import numpy as np

from fashionrec_assets.embeddings.words import WordWeights

TEXTS = ["a red dress", "red 连衣裙", "burgundy coat 裙"] * 5


def test_rare_words_weigh_more_and_unknown_words_nothing() -> None:
    words = WordWeights.fit(TEXTS)
    assert words.idf["burgundy"] > words.idf["red"]
    rows = words(["red red dress", "unseen", ""])
    assert rows.shape == (3, len(words))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 0, 0], atol=1e-6)
    assert (words(["red dress"]) == rows[:1]).all(), "a word counts once"


def test_scripts_without_spaces_are_read_by_character() -> None:
    words = WordWeights.fit(TEXTS)
    assert {"连", "衣", "裙"} <= set(words.idf)


def test_a_vocabulary_survives_json() -> None:
    words = WordWeights.fit(TEXTS)
    again = WordWeights(json.loads(json.dumps(words.idf, sort_keys=True)))
    np.testing.assert_allclose(again(TEXTS), words(TEXTS), atol=1e-6)


def test_too_few_texts_have_no_vocabulary() -> None:
    none = WordWeights.fit(["a dress"])
    assert len(none) == 0
    assert none(["a dress"]).shape == (1, 0)
    assert WordWeights({})([]).shape == (0, 0)
