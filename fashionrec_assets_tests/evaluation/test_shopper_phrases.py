from __future__ import annotations

import numpy as np

from fashionrec_assets.evaluation.shopper_phrases import field_value, shopper_phrases

FIELDS = {
    "colour": ["red", "red", "", "blue", ""],
    "pattern": ["striped", "striped", "striped", "", "dotted"],
    "product_type": ["dress", "dress", "dress", "shirt", ""],
    "category": ["dresses", "dresses", "dresses", "tops", ""],
    "gender": ["women", "women", "women", "men", "women"],
    "section": ["a", "b", "c", "d", "e"],
}
IDS = ["1", "2", "3", "4", "5"]


def test_phrases_come_from_fields_and_know_who_answers_them():
    phrases = shopper_phrases(FIELDS, IDS, 10)
    assert sorted(phrases.texts) == ["blue shirt men", "red striped dress women", "striped dress women"]
    right = dict(zip(phrases.texts, phrases.right.tolist(), strict=True))
    unjudged = dict(zip(phrases.texts, phrases.unjudged.tolist(), strict=True))
    assert right["red striped dress women"] == [True, True, False, False, False]
    # Item 3 may be red, nobody knows; item 5 is dotted, so it is certainly wrong.
    assert unjudged["red striped dress women"] == [False, False, True, False, False]
    assert right["striped dress women"] == [True, True, True, False, False]
    assert not (phrases.right & phrases.unjudged).any()


def test_the_category_is_the_noun_where_there_is_no_type():
    fields = {"product_type": ["", "dress"], "category": ["dresses", "dresses"], "colour": ["red", "red"]}
    phrases = shopper_phrases(fields, ["1", "2"], 10)
    assert sorted(phrases.texts) == ["red dress", "red dresses"]
    assert phrases.right[phrases.texts.index("red dresses")].tolist() == [True, True]
    assert phrases.unjudged[phrases.texts.index("red dress")].tolist() == [True, False]


def test_a_fixed_choice_among_too_many():
    fields = {"product_type": [f"type {n}" for n in range(50)]}
    some, more = (shopper_phrases(fields, [str(n) for n in range(50)], most) for most in (5, 10))
    assert len(some.texts) == 5
    assert more.texts[:5] == some.texts


def test_no_fields_no_phrases():
    phrases = shopper_phrases({"colour": ["red", "blue"]}, ["1", "2"], 10)
    assert phrases.texts == ()
    assert phrases.right.shape == phrases.unjudged.shape == (0, 2)


def test_values_are_compared_as_words():
    assert field_value("  Light&nbsp;<b>Blue</b> ") == "light blue"
    assert field_value(None) == ""
    assert field_value("word " * 40) == ""
    assert np.all([len(field_value("x" * n)) in (0, n) for n in (10, 60, 61)])
