from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from fashionrec_assets.catalog.tables import ITEMS
from fashionrec_assets.recommendations.explanations.facts import facts_array
from fashionrec_assets.recommendations.serving import UNKNOWN_USER_REASON, called, homepage_of, similar_to
from fashionrec_assets.recommendations.tables import (
    BUSINESS_RULES,
    HOMEPAGE,
    POPULAR_ITEMS,
    SIMILAR_ITEMS,
    arrow_schema,
)
from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.warehouse import Warehouse, insert_rows

TITLES = {"a": "Women&#x27;s red top", "b": "", "c": "Boots", "d": "Coat"}


def row(rank: int, shelf: str, shelf_rank: int, item: str, anchor: str | None = None) -> tuple[object, ...]:
    return ("u", rank, shelf, shelf_rank, anchor, "buy" if anchor else None, item, 0.5, "late_fusion")


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(
        tmp_path / "warehouse.duckdb",
        StorageSettings(),
        (ITEMS, HOMEPAGE, POPULAR_ITEMS, SIMILAR_ITEMS, BUSINESS_RULES),
    )
    page = [row(1, "for_you", 1, "b"), row(2, "for_you", 2, "c"), row(3, "because", 1, "d", "a")]
    columns = [*zip(*page, strict=True), facts_array([()] * len(page))]
    similar = [("a", "both", 1, "b", 0.4, None, 0.4), ("a", "text", 1, "c", 0.6, None, 0.6)]
    with made.writer() as connection:
        for item, title in TITLES.items():
            connection.execute("INSERT INTO items (item_id, title, image_status) VALUES (?, ?, 'none')", [item, title])
        insert_rows(connection, HOMEPAGE, pa.table(columns, schema=arrow_schema(HOMEPAGE)))
        popular = [(1, "c", 9, 12, 7), (2, "a", 3, 3, 7)]
        insert_rows(
            connection, POPULAR_ITEMS, pa.table(list(zip(*popular, strict=True)), schema=arrow_schema(POPULAR_ITEMS))
        )
        insert_rows(
            connection, SIMILAR_ITEMS, pa.table(list(zip(*similar, strict=True)), schema=arrow_schema(SIMILAR_ITEMS))
        )
    return made


def test_a_page_comes_shelf_by_shelf_under_true_titles(warehouse: Warehouse) -> None:
    rows = homepage_of(warehouse, "u", 5)
    assert [(one["rank"], one["item_id"], one["shelf_title"]) for one in rows] == [
        (1, "b", "For you"),
        (2, "c", "For you"),
        (3, "d", "Because you bought “Women's red top”"),
    ]
    assert [one["explanation"] for one in rows] == [None] * 3, "no explanation was published yet"
    assert [one["item_id"] for one in homepage_of(warehouse, "u", 1)] == ["b", "d"]


def test_a_published_explanation_stands_beside_its_row(warehouse: Warehouse) -> None:
    with warehouse.writer() as connection:
        connection.execute(
            "CREATE TABLE explanations (surface VARCHAR, subject VARCHAR, item_id VARCHAR, text VARCHAR)"
        )
        for surface, subject, item, text in (
            ("homepage", "u", "c", "Sturdy."),
            ("style", "u", "b", "Another surface."),
            ("homepage", "v", "d", "Another user."),
        ):
            connection.execute("INSERT INTO explanations VALUES (?, ?, ?, ?)", [surface, subject, item, text])
    assert [one["explanation"] for one in homepage_of(warehouse, "u", 5)] == [None, "Sturdy.", None]


def test_an_unknown_user_gets_what_is_popular(warehouse: Warehouse) -> None:
    rows = homepage_of(warehouse, "stranger", 1)
    assert [(one["item_id"], one["score"], one["shelf"], one["shelf_title"]) for one in rows] == [
        ("c", 9.0, "popular", "Popular now")
    ]
    assert rows[0]["explanation"] == UNKNOWN_USER_REASON
    assert rows[0]["user_id"] == "stranger"
    with warehouse.writer() as connection:
        connection.execute("DELETE FROM popular_items")
    with pytest.raises(LookupError, match="fashionrec run"):
        homepage_of(warehouse, "stranger", 1)


def test_limits_hold_for_unknown_users_too(warehouse: Warehouse) -> None:
    with warehouse.writer() as connection:
        connection.execute("UPDATE items SET brand = 'Kitsu' WHERE item_id IN ('a', 'c')")
        connection.execute("INSERT INTO popular_items VALUES (3, 'd', 2, 2, 7)")
    assert [one["item_id"] for one in homepage_of(warehouse, "stranger", 3)] == ["c", "a", "d"]
    limit = "INSERT INTO business_rules VALUES (?, 'cap', 'brand', NULL, 1, ?, NULL, NULL, ?, 2)"
    with warehouse.writer() as connection:
        connection.execute(limit, [2, "popular", False])
        connection.execute(limit, [3, "new", True])
    assert len(homepage_of(warehouse, "stranger", 3)) == 3
    with warehouse.writer() as connection:
        connection.execute(limit, [4, "", True])
    rows = homepage_of(warehouse, "stranger", 2)
    assert [(one["rank"], one["item_id"]) for one in rows] == [(1, "c"), (2, "d")]


def test_similar_items_by_what_was_asked(warehouse: Warehouse) -> None:
    assert [one["item_id"] for one in similar_to(warehouse, "a", 5)] == ["b"]
    assert [one["item_id"] for one in similar_to(warehouse, "a", 5, "text")] == ["c"]
    with pytest.raises(LookupError, match="by image"):
        similar_to(warehouse, "a", 5, "image")
    with pytest.raises(LookupError, match="no item 'z'"):
        similar_to(warehouse, "z", 5)


def test_names_fit_a_sentence() -> None:
    assert called("Red  &amp;\n blue") == "Red & blue"
    assert called("") is None
    assert called("A " + "very " * 30 + "long one") == "A" + " very" * 11 + "…"
    assert called("x" * 80) == "x" * 60 + "…"
