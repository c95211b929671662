"""Published claims looked up again: true ones are found, and each kind of false one is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fashionrec_assets.recommendations.explanations import checks
from fashionrec_assets.recommendations.explanations.assets import explanations
from fashionrec_assets.recommendations.explanations.facts import Fact
from fashionrec_assets.recommendations.explanations.lookup import LookedUp, look_up
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets_tests.recommendations.explanations.shop import HOMEPAGE, OUTFITS, STYLE_PICKS, built, put

TRUE = {"homepage": HOMEPAGE, "complements": OUTFITS, "style_picks": STYLE_PICKS}
OWNER = {"homepage": "user_id", "complements": "anchor_id", "style_picks": "user_id"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return built(tmp_path_factory.mktemp("warehouse") / "home")


def found(shop: Shop, sample: int = 1_000) -> dict[str, LookedUp]:
    explanations(shop)  # pyright: ignore[reportCallIssue]
    return {one.kind: one for one in look_up(shop, sample)}


def restored(shop: Shop) -> None:
    for table, facts in TRUE.items():
        put(shop, table, facts, OWNER[table])


def test_what_is_true_is_found_again(shop: Shop) -> None:
    restored(shop)
    told = found(shop)
    assert {kind: (one.claims, one.wrong) for kind, one in told.items()} == {
        "history": (1, 0),
        "shared": (2, 0),
        "attribute": (1, 0),
        "look": (1, 0),
        "wording": (1, 0),
        "price": (2, 0),
        "new": (1, 0),
        "pairing": (1, 0),
        "kinds": (1, 0),
        "style": (1, 0),
    }
    result = checks.claims_hold_in_the_warehouse(shop)  # pyright: ignore[reportCallIssue]
    assert result.passed
    assert sum(one.claims for one in look_up(shop, 1)) <= 3


POPULAR: Mapping[tuple[str, str], tuple[Fact, ...]] = {
    ("u1", "d"): (Fact("f1", "popularity", number=2, base=2),),
    ("u1", "a"): (Fact("f1", "popularity", number=1, base=2),),
}


def test_people_are_counted_in_the_last_days_and_without_bots(shop: Shop) -> None:
    restored(shop)
    put(shop, "homepage", POPULAR)
    popularity = found(shop)["popularity"]
    assert (popularity.claims, popularity.wrong) == (2, 1)
    # Two days before the newest event: u1 looked at a on day 3, and u3 bought it then.
    put(shop, "homepage", {**POPULAR, ("u1", "a"): (Fact("f1", "popularity", number=2, base=2),)})
    assert found(shop)["popularity"].wrong == 0


LIES: list[tuple[str, str, tuple[str, str], str, dict[str, Any]]] = [
    ("history", "homepage", ("u1", "d"), "f1", {"what": "pv"}),
    ("history", "homepage", ("u1", "d"), "f1", {"what": "buy"}),
    ("history", "homepage", ("u1", "d"), "f1", {"item": "b", "value": "Blue bag"}),
    ("history", "homepage", ("u1", "d"), "f1", {"value": "Blue bag"}),
    ("history", "homepage", ("u1", "d"), "f1", {"number": 3.0, "base": 4.0}),
    ("history", "homepage", ("u1", "d"), "f1", {"number": 3.0}),
    ("history", "homepage", ("u1", "d"), "f1", {"base": 4.0}),
    ("price", "homepage", ("u1", "d"), "f2", {"number": 99.0}),
    ("price", "homepage", ("u1", "d"), "f2", {"base": 20.0}),
    ("shared", "homepage", ("u1", "d"), "f3", {"number": 2.0}),
    ("shared", "homepage", ("u1", "d"), "f3", {"base": 3.0}),
    ("shared", "homepage", ("u1", "d"), "f3", {"value": "blue"}),
    ("look", "homepage", ("u1", "c"), "f2", {"number": 0.9}),
    ("look", "homepage", ("u1", "c"), "f2", {"what": "pv"}),
    ("attribute", "homepage", ("u1", "c"), "f3", {"value": "Kitsu"}),
    ("new", "homepage", ("u2", "d"), "f1", {"number": 3.0}),
    ("new", "homepage", ("u2", "d"), "f1", {"base": 3.0}),
    ("wording", "homepage", ("u4", "d"), "f1", {"number": 0.95}),
    ("wording", "homepage", ("u4", "d"), "f1", {"value": "Red coat"}),
    ("pairing", "complements", ("a", "b"), "f1", {"number": 2.0}),
    ("pairing", "complements", ("a", "b"), "f1", {"base": 3.0}),
    ("kinds", "complements", ("a", "b"), "f2", {"number": 2.0}),
    ("kinds", "complements", ("a", "b"), "f2", {"base": 0.2}),
    ("kinds", "complements", ("a", "b"), "f2", {"what": "coat"}),
    ("style", "style_picks", ("u1", "c"), "f1", {"value": "Street"}),
    ("style", "style_picks", ("u1", "c"), "f1", {"number": 2.0}),
    ("style", "style_picks", ("u1", "c"), "f1", {"base": 3.0}),
]


def rounds() -> list[list[tuple[str, str, tuple[str, str], str, dict[str, Any]]]]:
    """The lies, at most one about each fact at a time."""
    made: list[list[tuple[str, str, tuple[str, str], str, dict[str, Any]]]] = []
    for lie in LIES:
        free = next((one for one in made if all((lie[1:4]) != other[1:4] for other in one)), None)
        if free is None:
            made.append([lie])
        else:
            free.append(lie)
    return made


@pytest.mark.parametrize("lies", rounds())
def test_what_is_false_is_found_out(
    shop: Shop, lies: list[tuple[str, str, tuple[str, str], str, dict[str, Any]]]
) -> None:
    restored(shop)
    for table in {lie[1] for lie in lies}:
        facts = dict(TRUE[table])
        for _, where, key, name, changes in lies:
            if where == table:
                facts[key] = tuple(replace(one, **changes) if one.id == name else one for one in facts[key])
        put(shop, table, facts, OWNER[table])
    told = found(shop)
    assert {name: one.wrong for name, one in told.items() if one.wrong} == {lie[0]: 1 for lie in lies}
    assert all(told[lie[0]].example for lie in lies)


def test_a_time_that_is_not_the_last_one_is_found_out(shop: Shop) -> None:
    restored(shop)
    facts = dict(HOMEPAGE)
    first, *rest = facts["u1", "d"]
    assert first.at is not None
    facts["u1", "d"] = (replace(first, at=first.at - timedelta(days=1)), *rest)
    put(shop, "homepage", facts)
    assert found(shop)["history"].wrong == 1
    result = checks.claims_hold_in_the_warehouse(shop)  # pyright: ignore[reportCallIssue]
    assert not result.passed


def test_a_claim_without_its_fact_is_wrong(shop: Shop) -> None:
    restored(shop)
    found(shop)
    put(shop, "homepage", {key: facts for key, facts in HOMEPAGE.items() if key != ("u2", "d")})
    none = next(one for one in look_up(shop, 1_000) if one.kind == "none")
    assert none.claims == none.wrong == 1
    result = checks.every_recommendation_is_explained(shop)  # pyright: ignore[reportCallIssue]
    assert not result.passed
