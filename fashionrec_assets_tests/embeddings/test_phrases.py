"""Phrases say what shoppers type; every item that has their attributes answers them."""

from __future__ import annotations

import numpy as np

from fashionrec_assets.embeddings.phrases import MOST_NAMED, phrases_of

ITEMS = [
    {"type": "dress", "colour": "red", "pattern": "striped", "price": "9"},
    {"type": "dress", "colour": "blue"},
    {},
    {"type": "hat", "colour": "red"},
]


def test_a_phrase_names_attributes_of_its_item_in_the_order_of_speech() -> None:
    phrases = phrases_of(ITEMS, 12, seed=1)
    first = {phrases.texts[number].removeprefix("a photo of ") for number in phrases.of[0]}
    assert "red striped dress" in first
    assert {"red", "dress", "striped"} & first
    assert not any("9" in text for text in phrases.texts), "only the attributes that phrases are made of"
    assert any(text.startswith("a photo of ") for text in phrases.texts)
    assert (phrases.of[2] == -1).all(), "an item without attributes has no phrase"
    assert len(set(phrases.texts)) == len(phrases.texts)
    assert phrases.needs.shape == (len(phrases.texts), MOST_NAMED)


def test_every_item_with_the_attributes_answers() -> None:
    phrases = phrases_of(ITEMS, 20, seed=1)
    number = {text: place for place, text in enumerate(phrases.texts)}
    chosen = np.array([number["red"], number["dress"], number["red striped dress"]])
    answered = phrases.answered(chosen, np.array([3, 1, 0]))
    assert answered.tolist() == [[True, False, True], [False, True, True], [False, False, True]]
    for row in (0, 1, 3):
        assert phrases.answered(phrases.of[row], np.array([row])).all(), "an item does not answer its own phrase"


def test_the_same_arguments_give_the_same_phrases() -> None:
    assert phrases_of(ITEMS, 4, seed=1).texts == phrases_of(ITEMS, 4, seed=1).texts
    assert (phrases_of(ITEMS, 4, seed=1).of == phrases_of(ITEMS, 4, seed=1).of).all()
    none = phrases_of(ITEMS, 0, seed=1)
    assert none.texts == ()
    assert none.of.shape == (4, 0)
    assert none.needs.shape == (0, MOST_NAMED)
    assert phrases_of([], 4, seed=1).texts == ()
