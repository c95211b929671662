"""The optional file of what users said about explanations."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pytest

from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.tables import FEEDBACK
from fashionrec_assets.catalog.validation import Conservation
from fashionrec_assets.settings import CatalogSettings
from fashionrec_assets_tests.catalog.shop import T0, RawShop, rejects, rows

HEADER = "user_id,item_id,time,helpful,lead,text,edited_text\n"


def with_log(shop: RawShop) -> RawShop:
    shop.write_catalog(["1", "2"])
    shop.write("UserBehavior.csv", f"7,1,0,pv,{T0}\n8,2,0,buy,{T0}\n")
    return shop


def test_a_shop_without_the_file_has_no_feedback(shop: RawShop) -> None:
    assert with_log(shop).feedback() is None
    assert [file.name for file in shop.source.files()] == ["items", "events"]


def test_answers_are_kept_as_given(shop: RawShop) -> None:
    text = '"<b>Like</b> the ""coat"", you bought"'
    shop.write("feedback.csv", f"{HEADER}8,1,2024-03-05T10:00:00,Yes,History,{text},\n7,2,{T0},0,,,Shorter.\n")
    reading = with_log(shop).feedback()
    assert reading is not None
    assert reading.conservation == Conservation("feedback.csv", 2, 2, 0)
    assert rows(reading.table) == [
        ("7", "2", datetime(2024, 3, 4), False, None, None, None, None, "Shorter."),
        ("8", "1", datetime(2024, 3, 5, 10), True, "history", None, None, '<b>Like</b> the "coat", you bought', None),
    ]
    with duckdb.connect() as connection:
        found = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(reading.table)]).fetchall()
    assert [tuple(row[:2]) for row in found] == [(column.name, column.type) for column in FEEDBACK.columns]
    assert [file.name for file in shop.source.files()] == ["items", "events", "feedback"]


def test_every_row_is_taken_or_refused_with_line_column_and_reason(shop: RawShop) -> None:
    shop.catalog = CatalogSettings(max_title_chars=20)  # pyright: ignore[reportCallIssue]
    records = [
        f"7,1,{T0},yes,,,\n",
        f"7,1,{T0},no,,,\n",  # line 3: a second answer at the same time
        f"nobody,1,{T0},yes,,,\n",
        f"7,99,{T0},yes,,,\n",
        f"7,1,{T0},perhaps,,,\n",
        "7,1,soon,yes,,,\n",
        "7,1,1999-01-01,yes,,,\n",
        "7,1,2031-01-01,yes,,,\n",
        f"7,1,{T0},,,,\n",
        f",1,{T0},yes,,,\n",
        "too,few\n",
        f"8,2,{T0},no,,{'x' * 21},\n",  # line 13: the row stays without its text
    ]
    shop.write("feedback.csv", HEADER + "".join(records))
    reading = with_log(shop).feedback()
    assert reading is not None
    assert reading.conservation == Conservation("feedback.csv", 12, 2, 10)
    assert {line: (column, reason, kept) for line, (column, reason, _, kept) in rejects(reading).items()} == {
        3: ("time", "duplicate", False),
        4: ("user_id", "unknown user", False),
        5: ("item_id", "unknown item", False),
        6: ("helpful", "neither yes nor no", False),
        7: ("time", "not a time", False),
        8: ("time", "impossible time", False),
        9: ("time", "future time", False),
        10: ("helpful", "empty", False),
        11: ("user_id", "empty", False),
        12: (None, "missing columns", False),
        13: ("text", "too long", True),
    }
    assert rows(reading.table, "user_id, helpful, text") == [("7", True, None), ("8", False, None)]


def test_a_file_without_answers_in_it_is_refused_as_a_whole(shop: RawShop) -> None:
    shop.write("feedback.csv", "user_id,item_id,time,stars\n7,1,1,5\n")
    with pytest.raises(ContractError, match="required column missing: helpful"):
        with_log(shop).feedback()
