from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.recommendations.assistant.catalog import CatalogFrame
from fashionrec_assets.recommendations.assistant.query import parse
from fashionrec_assets.recommendations.assistant.stylist import near_kinds, relaxations
from fashionrec_assets_tests.recommendations.assistant.catalog import small_catalog

CATALOG = small_catalog()


def fitting(text: str) -> str:
    fits = CATALOG.fitting(parse(text, CATALOG.vocabulary))
    return "".join(CATALOG.item_ids[fits].tolist())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dress", "ab"),
        ("blue", "bcg"),
        ("navy", "b"),
        ("light blue", "g"),
        ("shoes", "de"),
        ("sneakers", "e"),
        ("tops", "cg"),
        ("for men", "ce"),
        ("unisex", "c"),
        ("leather", "d"),
        ("O'Hara", "c"),
        ("not floral", "bg"),
        ("not blue", "ade"),
        ("not for men", "abc"),
        ("not leather", "abcefg"),
        ("under 30", "acf"),
        ("over 50", "be"),
        ("dress under 40 not floral", ""),
    ],
)
def test_only_what_says_so_fits(text: str, expected: str) -> None:
    assert fitting(text) == expected


def test_the_shop_s_own_field_decides_over_its_description() -> None:
    assert CATALOG.values("type", 3) == ("boots",)
    assert CATALOG.names[0] == "Red & floral dress"
    assert CATALOG.names[3] == f"item {CATALOG.item_ids[3]}"
    assert CATALOG.names[5] == "Thing"


def test_giving_up_a_constraint_is_counted_for_each() -> None:
    everything = np.ones(len(CATALOG), dtype=np.bool_)
    query = parse("blue dress under 40", CATALOG.vocabulary)
    found = {one.constraints[0].label: one.items for one in relaxations(CATALOG, query, everything)}
    assert found == {"type dress": 2, "colour blue": 1, "price at most 40": 1}
    only_b = CATALOG.item_ids == "b"
    found = {one.constraints[0].label: one.items for one in relaxations(CATALOG, query, only_b)}
    assert found == {"price at most 40": 1}


def test_pairs_are_given_up_where_no_single_constraint_helps() -> None:
    everything = np.ones(len(CATALOG), dtype=np.bool_)
    query = parse("green leather boots under 10", CATALOG.vocabulary)
    found = relaxations(CATALOG, query, everything)
    assert [(sorted(part.label for part in one.constraints), one.items) for one in found] == [
        (["colour green", "price at most 10"], 1)
    ]
    nothing = relaxations(CATALOG, query, ~everything)
    assert nothing
    assert all(one.items == 0 for one in nothing)


def test_kinds_near_to_what_the_shop_has_not() -> None:
    everything = np.ones(len(CATALOG), dtype=np.bool_)
    notes = near_kinds(CATALOG, parse("blue blouse", CATALOG.vocabulary), everything)
    assert notes == ["Kinds near to blouse that fit the rest: shirt (1), t-shirt (1)."]
    assert near_kinds(CATALOG, parse("green blouse", CATALOG.vocabulary), everything) == []


def test_an_empty_catalog_answers_nothing() -> None:
    empty = CatalogFrame.of([], [], [], {"type": []}, [])
    assert not empty.fitting(parse("dress", empty.vocabulary)).any()
