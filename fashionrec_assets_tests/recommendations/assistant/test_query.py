from __future__ import annotations

import pytest

from fashionrec_assets.recommendations.assistant.prices import amount
from fashionrec_assets.recommendations.assistant.query import MOST_CHARS, parse
from fashionrec_assets_tests.recommendations.assistant.catalog import small_catalog

VOCABULARY = small_catalog().vocabulary


def labels(text: str) -> list[str]:
    return sorted(one.label for one in parse(text, VOCABULARY).constraints)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red summer dress under 40 for a wedding", ["colour red", "price at most 40", "type dress"]),
        ("navy tee, 20-30", ["colour dark blue", "price at least 20", "price at most 30", "type t-shirt"]),
        ("Hoodies for my HUSBAND", ["gender men", "type hoodie"]),
        ("red or blue skirts", ["colour red or blue", "type skirt"]),
        ("something by O’Hara", ["brand O'Hara"]),
        ("mens street jacket", ["section Mens Street", "type jacket"]),
        ("wool coat", ["material wool", "type coat"]),
        ("dress shoes", ["type shoes"]),
        ("light-blue t-shirts", ["colour light blue", "type t-shirt"]),
        ("红色连衣裙 40元以下", ["colour red", "price at most 40", "type dress"]),
        ("不要碎花的裙子", ["not pattern floral", "type skirt"]),
    ],
)
def test_words_become_the_constraints_they_mean(text: str, expected: list[str]) -> None:
    assert labels(text) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dress, not floral", ["not pattern floral", "type dress"]),
        ("tees without stripes or dots", ["not pattern striped or dotted", "type t-shirt"]),
        ("anything but black boots", ["not colour black", "type boots"]),
        ("blue skirt instead of red", ["colour blue", "not colour red", "type skirt"]),
        ("no floral, red dress", ["colour red", "not pattern floral", "type dress"]),
        ("shirt that isn't white for men", ["gender men", "not colour white", "type shirt"]),
        ("sleeveless top", ["type top"]),
    ],
)
def test_a_negation_reaches_the_next_phrase_and_what_or_joins_to_it(text: str, expected: list[str]) -> None:
    assert labels(text) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("under 40", None, 40),
        ("nothing over $1,299.50", None, 1299.5),
        ("no more than 40 euros", None, 40),
        ("no less than 40", 40, None),
        ("between 20 and 30", 20, 30),
        ("30 to 20 dollars", 20, 30),
        ("at least 25,50", 25.5, None),
        ("100 or less", None, 100),
        ("for 47 at the most", None, 47),
        ("around 50", 40, 60),
        ("€40 dress", None, 40),
        ("size 38-40", None, None),
        ("2 dresses", None, None),
        ("over 9999999999999999999999999999", 1e28, None),
    ],
)
def test_prices_are_read_in_the_ways_people_say_them(text: str, low: float | None, high: float | None) -> None:
    query = parse(text, VOCABULARY)
    found = [query.constraint(name) for name in ("price_above", "price_below")]
    assert [None if one is None else one.limit for one in found] == [low, high]


def test_thousands_and_decimals() -> None:
    assert [amount(text) for text in ("1,299.50", "1.299,50", "40,5", "1 299", "12,345,678", "x")] == [
        1299.5,
        1299.5,
        40.5,
        1299.0,
        12345678.0,
        None,
    ]


def test_what_was_not_understood_is_said_and_searched_for() -> None:
    query = parse("a gorpy red dress with zibble", VOCABULARY)
    assert query.unknown == ("gorpy", "zibble")
    assert {reading.words: reading.meaning for reading in query.readings} == {
        "red": "colour red",
        "dress": "type dress",
    }
    assert query.text == "red dress gorpy zibble"


def test_what_is_not_wanted_is_not_searched_for() -> None:
    query = parse("a cheap dress, not floral and not gorpy, under 40", VOCABULARY)
    assert query.text == "dress"
    assert query.wishes == (("cheap", "cheap"),)
    assert query.unknown == ()


@pytest.mark.parametrize(
    "text", ["", "   ", "?!", "\x00\x1b[31m", "a" * 10_000, "1" * 3_000, "不" * 900, "- - " * 2_000]
)
def test_no_text_breaks_the_parser(text: str) -> None:
    query = parse(text, VOCABULARY)
    assert len(query.text) <= MOST_CHARS
    assert parse(text, VOCABULARY) == query
