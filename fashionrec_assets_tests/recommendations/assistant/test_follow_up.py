from __future__ import annotations

import math

import pytest

from fashionrec_assets.recommendations.assistant.follow_up import follow_up
from fashionrec_assets.recommendations.assistant.query import parse
from fashionrec_assets_tests.recommendations.assistant.catalog import small_catalog

VOCABULARY = small_catalog().vocabulary
PRICES = [20.0, 30.0, 50.0, math.nan]


def after(first: str, *lines: str) -> list[str]:
    query = parse(first, VOCABULARY)
    for line in lines:
        query = follow_up(query, line, VOCABULARY, PRICES).query
    return sorted(one.label for one in query.constraints)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["in blue instead"], ["colour blue", "price at most 60", "type dress"]),
        (["also blue"], ["colour red or blue", "price at most 60", "type dress"]),
        (["not floral"], ["colour red", "not pattern floral", "price at most 60", "type dress"]),
        (
            ["not floral", "no stripes"],
            ["colour red", "not pattern floral or striped", "price at most 60", "type dress"],
        ),
        (["not red"], ["not colour red", "price at most 60", "type dress"]),
        (["not red", "red is fine"], ["colour red", "price at most 60", "type dress"]),
        (["cheaper"], ["colour red", "price at most 29.99", "type dress"]),
        (["cheaper than 12"], ["colour red", "price at most 12", "type dress"]),
        (["more expensive"], ["colour red", "price at least 30.01", "type dress"]),
        (["over 30"], ["colour red", "price at least 30", "type dress"]),
        (["for men"], ["colour red", "gender men", "price at most 60", "type dress"]),
        (["any colour"], ["price at most 60", "type dress"]),
        (["forget the price"], ["colour red", "type dress"]),
        (["skirt instead"], ["colour red", "price at most 60", "type skirt"]),
        (["show me black boots"], ["colour black", "type boots"]),
        (["start over: red or blue"], ["colour red or blue"]),
    ],
)
def test_a_line_changes_what_it_names_and_keeps_the_rest(lines: list[str], expected: list[str]) -> None:
    assert after("a red dress under 60", *lines) == expected


@pytest.mark.parametrize(
    ("line", "place"),
    [("more like the second", 2), ("like #3 but in blue", 3), ("similar to the last one", 4), ("like 1", 1)],
)
def test_a_shown_item_can_be_referred_to(line: str, place: int) -> None:
    turn = follow_up(parse("red dress", VOCABULARY), line, VOCABULARY, PRICES)
    assert turn.like == place
    assert turn.query.unknown == ()


def test_a_reference_to_nothing_that_was_shown_is_none() -> None:
    assert follow_up(parse("red dress", VOCABULARY), "like the ninth", VOCABULARY, PRICES).like is None
    assert follow_up(parse("red dress", VOCABULARY), "like the first", VOCABULARY, []).like is None


def test_cheaper_than_nothing_known_says_so() -> None:
    turn = follow_up(parse("red dress", VOCABULARY), "cheaper", VOCABULARY, [math.nan])
    assert turn.query.constraint("price_below") is None
    assert turn.query.notes


def test_a_contradiction_with_an_earlier_floor_drops_it() -> None:
    query = parse("red dress over 40", VOCABULARY)
    assert [one.label for one in follow_up(query, "cheaper", VOCABULARY, PRICES).query.constraints] == [
        "colour red",
        "type dress",
        "price at most 29.99",
    ]
