"""What the lookbook reads, on the shop that the tests of explanations count in their heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fashionrec_assets.catalog.reading import interactions_file
from fashionrec_assets.lookbook import reading
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.schema import TABLES
from fashionrec_assets.settings import LookbookSettings
from fashionrec_assets.storage.warehouse import replace_rows
from fashionrec_assets_tests.recommendations.explanations.shop import built, filled

DECLARED = {table.name: table for table in TABLES}


def put(shop: Shop, name: str, columns: dict[str, list[Any]]) -> None:
    with shop.warehouse.writer() as connection:
        replace_rows(connection, DECLARED[name], filled(DECLARED[name], columns))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """u1 has four events, u2 three, u4 one, u3 is a bot; v1 has a page and no events."""
    shop = built(tmp_path)
    people = ["bot", "u1", "u2", "u3", "u4", "v1"]
    put(shop, "users", {"user_id": people, "events": [90, 4, 3, 3, 1, 0], "is_bot": [one == "bot" for one in people]})
    put(shop, "popular_items", {"rank": [1, 2], "item_id": ["d", "a"], "users": [9, 4], "window_days": [7, 7]})
    put(
        shop,
        "homepage",
        {
            "user_id": ["u1", "u1", "u1", "u2", "u4", "v1"],
            "rank": [1, 2, 3, 1, 1, 1],
            "shelf": ["for_you", "for_you", "because", "for_you", "for_you", "popular"],
            "shelf_rank": [1, 2, 1, 1, 1, 1],
            "anchor_id": [None, None, "a", None, None, None],
            "anchor_behaviour": [None, None, "fav", None, None, None],
            "item_id": ["d", "c", "b", "d", "b", "d"],
        },
    )
    put(
        shop,
        "explanations",
        {
            "surface": ["homepage", "style"],
            "subject": ["u1", "u1"],
            "item_id": ["d", "c"],
            "text": ["Why d.", "Why c."],
        },
    )
    put(
        shop,
        "user_styles",
        {"user_id": ["u1", "u1"], "style_id": [1, 2], "share": [0.25, 0.75], "items": [1, 3]},
    )
    return shop


def chosen(shop: Shop, **settings: Any) -> list[tuple[str, str]]:
    with shop.warehouse.reader() as connection:
        return list(reading.chosen_users(connection, LookbookSettings(**settings)))  # pyright: ignore[reportCallIssue]


def test_the_users_shown_differ_and_the_one_without_history_is_among_them(shop: Shop) -> None:
    assert chosen(shop, shoppers=3) == [("u1", "busy"), ("u4", "light"), ("v1", "cold")] or chosen(
        shop, shoppers=3
    ) == [
        ("u1", "busy"),
        ("u2", "light"),
        ("v1", "cold"),
    ]
    # Bots, and people without a page, are nobody's example.
    assert not {"bot", "u3"} & {user for user, _ in chosen(shop, shoppers=100)}
    assert chosen(shop, shoppers=1) == [("v1", "cold")]


def test_named_users_come_first_even_one_nobody_knows(shop: Shop) -> None:
    found = chosen(shop, shoppers=3, users=("u2", "nobody"))
    assert found[:2] == [("u2", "named"), ("nobody", "named")] and len(found) == 3
    assert chosen(shop, shoppers=1, users=("u2", "u4")) == [("u2", "named"), ("u4", "named")]


def test_without_a_user_without_events_a_stranger_is_shown_what_is_popular(shop: Shop) -> None:
    with shop.warehouse.writer() as connection:
        connection.execute("DELETE FROM homepage WHERE user_id = 'v1'")
    assert chosen(shop, shoppers=2)[-1] == (reading.STRANGER, "cold")
    with shop.warehouse.reader() as connection:
        *_, stranger = reading.shoppers(connection, interactions_file(shop), LookbookSettings(shoppers=2))  # pyright: ignore[reportCallIssue]
    assert stranger.shown == ("d", "a") and stranger.different == 0
    fact = stranger.shelves[0].items[0].facts[0]
    assert (fact.kind, fact.number, fact.base) == ("popularity", 9, 7)


def test_a_shopper_has_their_shelves_texts_facts_and_history(shop: Shop) -> None:
    with shop.warehouse.reader() as connection:
        settings = LookbookSettings(shoppers=1, users=("u1",))  # pyright: ignore[reportCallIssue]
        (one,) = reading.shoppers(connection, interactions_file(shop), settings)
    assert [(shelf.name, shelf.title) for shelf in one.shelves] == [
        ("for_you", "For you"),
        ("because", "Because you saved “Red & ready dress”"),
    ]
    assert one.shown == ("d", "c", "b")
    assert [placed.text for placed in one.shelves[0].items] == ["Why d.", ""]
    assert (one.events, one.different) == (4, 2)
    assert [(item.item_id, item.behaviour) for item in one.history] == [("a", "fav"), ("b", "buy")]
    assert [(style.style_id, style.share) for style in one.styles] == [(2, 0.75), (1, 0.25)]
    assert [(pick.item_id, pick.text, pick.facts[0].kind) for pick in one.picks] == [("c", "Why c.", "style")]


def test_what_is_asked_about_is_popular_or_of_their_styles_and_not_on_the_page(shop: Shop) -> None:
    with shop.warehouse.reader() as connection:
        settings = LookbookSettings(shoppers=1, users=("u4",))  # pyright: ignore[reportCallIssue]
        (one,) = reading.shoppers(connection, interactions_file(shop), settings)
        assert one.shown == ("b",)
        assert reading.asked_about(connection, one, 4) == ["d", "a"]
        assert reading.asked_about(connection, one, 1) == ["d"]
        assert reading.asked_about(connection, one, 0) == []


def test_items_have_plain_names_and_those_without_a_title_one_too(shop: Shop) -> None:
    with shop.warehouse.reader() as connection:
        found = reading.items(connection, ["c", "a", "gone"])
    assert {item: one.name for item, one in found.items()} == {"a": "Red & ready dress", "c": "item c"}
    assert (found["a"].kind, found["a"].price) == ("dress", 20.0)


def test_looks_of_different_kinds_are_shown_those_wanted_first(shop: Shop) -> None:
    put(
        shop,
        "outfits",
        {
            "anchor_id": ["a", "a", "a", "b", "c", "d"],
            "look": [1, 1, 2, 1, 1, 1],
            "slot": ["accessory", "outerwear", "accessory", "outerwear", "outerwear", "dress"],
            "item_id": ["b", "d", "c", "d", "d", "a"],
            "score": [2.0, 2.0, 1.0, 3.0, 3.0, 1.5],
        },
    )
    for wanted, anchors in ((("a",), ["a", "a", "d"]), (("b",), ["b", "d"]), ((), ["d", "a", "a"])):
        with shop.warehouse.reader() as connection:
            found = reading.looks(connection, 2, wanted)
        assert [look.anchor_id for look in found] == anchors, wanted
    with shop.warehouse.reader() as connection:
        first, second, *_ = reading.looks(connection, 1, ("a",))
        assert len(reading.looks(connection, 9)) == 4, "b and c are both bags: one of them has a look here"
    assert [(piece.slot, piece.placed.item_id) for piece in first.pieces] == [("outerwear", "d"), ("accessory", "b")]
    assert (first.number, first.score, second.number) == (1, 2.0, 2)
