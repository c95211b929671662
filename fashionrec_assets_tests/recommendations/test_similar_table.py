"""The table of similar items after a night: only the lists that changed are written, and it is whole all the same."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from fashionrec_assets.catalog.tables import ITEMS
from fashionrec_assets.recommendations.assets import _replace_lists
from fashionrec_assets.recommendations.tables import SIMILAR_ITEMS, arrow_schema
from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.warehouse import Warehouse


def lists(*rows: tuple[str, str, float]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"item_id": item, "by": "text", "rank": 1, "similar_id": other, "score": score, "text_similarity": score}
            for item, other, score in rows
        ],
        schema=arrow_schema(SIMILAR_ITEMS),
    )


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path / "warehouse.duckdb", StorageSettings(threads=1), [ITEMS, SIMILAR_ITEMS])
    with made.writer() as connection:
        for item in ("a", "b", "c"):
            connection.execute(
                "INSERT INTO items BY NAME SELECT ? AS item_id, 't' AS title, 'none' AS image_status", [item]
            )
        _replace_lists(connection, lists(("a", "b", 0.5), ("b", "a", 0.5), ("c", "a", 0.1)), ["a", "b", "c"])
    return made


def stored(warehouse: Warehouse) -> list[tuple[str, str, float]]:
    with warehouse.reader() as connection:
        return connection.execute("SELECT item_id, similar_id, score FROM similar_items ORDER BY 1").fetchall()


def test_lists_that_did_not_change_are_left_alone(warehouse: Warehouse) -> None:
    # What is handed over for `c` differs, so that it would show if it were written.
    with warehouse.writer() as connection:
        _replace_lists(connection, lists(("a", "c", 0.9), ("b", "a", 0.4), ("c", "b", 0.7)), ["a", "b"])
    assert stored(warehouse) == [("a", "c", 0.9), ("b", "a", 0.4), ("c", "a", 0.1)]


def test_lists_of_deleted_items_go(warehouse: Warehouse) -> None:
    with warehouse.writer() as connection:
        connection.execute("DELETE FROM items WHERE item_id = 'c'")
        _replace_lists(connection, lists(("a", "b", 0.5), ("b", "a", 0.5)), ["a"])
    assert stored(warehouse) == [("a", "b", 0.5), ("b", "a", 0.5)]


def test_an_item_may_lose_its_list(warehouse: Warehouse) -> None:
    with warehouse.writer() as connection:
        _replace_lists(connection, lists(("a", "b", 0.5), ("b", "a", 0.5)), ["c"])
    assert stored(warehouse) == [("a", "b", 0.5), ("b", "a", 0.5)]
