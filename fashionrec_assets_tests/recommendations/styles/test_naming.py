from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.recommendations.styles.labels import Labels
from fashionrec_assets.recommendations.styles.naming import Naming, Part, name_styles, plural, worded
from fashionrec_assets_tests.recommendations.styles.catalog import TYPES, catalog


def test_a_name_says_what_tells_the_style_apart_and_is_true_of_most_of_its_items() -> None:
    content, style = catalog()
    names = name_styles(content.labels, style, 4, least=0.6)
    for number, naming in enumerate(names):
        mine = content.labels.holds[style == number]
        holds = np.ones(len(mine), bool)
        for told in naming.parts:
            columns = [content.labels.names.index((told.facet, value)) for value in told.values]
            one = mine[:, columns].any(axis=1)
            assert told.share == pytest.approx(one.mean(), abs=1e-4)
            holds &= one
        assert naming.truth == pytest.approx(holds.mean(), abs=1e-4)
        assert naming.truth >= 0.6
        assert ("type", (TYPES[number],)) in [(told.facet, told.values) for told in naming.parts]
        assert all(told.lift > 1 for told in naming.parts)


def test_of_true_names_the_one_that_holds_for_fewest_others_is_taken() -> None:
    looks = [("dress", "floral")] * 8 + [("dress", "solid")] * 6 + [("skirt", "floral")] * 6
    rows = [
        (row, facet, value)
        for row, pair in enumerate(looks)
        for facet, value in zip(("type", "pattern"), pair, strict=True)
    ]
    style = np.array([0] * 8 + [1] * 6 + [2] * 6)
    names = [one.name for one in name_styles(Labels.of(rows, 20), style, 3, least=0.6)]
    assert names == ["Floral dresses", "Solid dresses", "Skirts"]


def test_names_differ_even_where_styles_do_not() -> None:
    labels = Labels.of([(row, "type", "dress") for row in range(12)], 12)
    names = [one.name for one in name_styles(labels, np.arange(12) % 3, 3, least=0.6)]
    assert len(set(names)) == 3
    assert names[0] == "Dresses"


def test_a_style_of_which_nothing_is_true_of_most_items_claims_nothing() -> None:
    rows = [(row, "colour", f"colour {row}") for row in range(10)]
    naming = name_styles(Labels.of(rows, 10), np.zeros(10, np.int64), 1, least=0.6)[0]
    assert naming.name == "Mixed pieces"
    assert naming.parts == ()


def test_a_name_is_kept_while_it_is_true_and_given_up_when_it_is_not() -> None:
    labels = Labels.of([(row, "type", "dress" if row < 6 else "skirt") for row in range(10)], 10)
    kept = {0: Naming("Gowns", (Part("type", ("dress",)),), 0.9)}
    assert name_styles(labels, np.zeros(10, np.int64), 1, least=0.6, kept=kept)[0].name == "Gowns"
    later = Labels.of([(row, "type", "dress" if row < 5 else "skirt") for row in range(10)], 10)
    now = name_styles(later, np.zeros(10, np.int64), 1, least=0.6, kept=kept)[0]
    assert now.name != "Gowns"
    assert now.truth >= 0.6


def test_words_for_an_unknown_value_are_no_attribute() -> None:
    labels = Labels.of(
        [(0, "type", "Unknown"), (0, "type", "  Maxi  Dress "), (0, "mood", "happy"), (0, "brand", "")], 1
    )
    assert labels.names == (("type", "maxi dress"),)


def test_names_are_plain_english() -> None:
    parts = (
        Part("gender", ("women",)),
        Part("pattern", ("floral",)),
        Part("type", ("dress", "scarf")),
        Part("sleeves", ("long sleeves",)),
        Part("brand", ("maison rue",)),
    )
    assert worded(parts) == "Women's floral dresses or scarves with long sleeves by Maison Rue"
    words = {"dress": "dresses", "trousers": "trousers", "bag": "bags", "body": "bodies", "vest top": "vest tops"}
    assert {word: plural(word) for word in words} == words
    assert worded((Part("category", ("garment upper body",)), Part("section", ("womens trend",)))) == (
        "Garment upper body of “Womens Trend”"
    )


@pytest.mark.parametrize("least", [0.5, 1.1])
def test_a_share_that_is_not_most_is_refused(least: float) -> None:
    with pytest.raises(ValueError, match="most items"):
        name_styles(Labels.of([], 1), np.zeros(1, np.int64), 1, least=least)
