"""Rates are compared with those before the last run that did something, and only real jumps are called one."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from fashionrec_assets.crops.rates import EVERY_TYPE, Rate, begin, jumps, rates, record, unrecorded
from fashionrec_assets.crops.tables import AT_WORK, RATES


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("CREATE TABLE items (item_id VARCHAR, product_type VARCHAR, category VARCHAR)")
        opened.execute("CREATE TABLE crops (item_id VARCHAR, method VARCHAR)")
        for table in (RATES, AT_WORK):
            opened.execute(table.ddl())
        yield opened


def ground(connection: duckdb.DuckDBPyConnection, crops: dict[str, str], kind: str | None = "dress") -> None:
    for item_id, method in crops.items():
        connection.execute("DELETE FROM crops WHERE item_id = ?", [item_id])
        connection.execute("DELETE FROM items WHERE item_id = ?", [item_id])
        connection.execute("INSERT INTO crops VALUES (?, ?)", [item_id, method])
        connection.execute("INSERT INTO items VALUES (?, ?, NULL)", [item_id, kind])


def work(connection: duckdb.DuckDBPyConnection, crops: dict[str, str], kind: str | None = "dress") -> None:
    begin(connection, list(crops))
    ground(connection, crops, kind)
    record(connection)


def many(count: int, method: str = "segmentation", start: int = 0) -> dict[str, str]:
    return {str(number): method for number in range(start, start + count)}


def test_the_first_run_has_nothing_before_it(connection: duckdb.DuckDBPyConnection) -> None:
    assert rates(connection) == []
    work(connection, many(20, "whole_image"))
    assert rates(connection) == [Rate(EVERY_TYPE, 20, 20, 0, 0), Rate("dress", 20, 20, 0, 0)]
    assert jumps(rates(connection)) == []
    assert not unrecorded(connection)


def test_only_the_photos_worked_on_are_compared_with_all_before(connection: duckdb.DuckDBPyConnection) -> None:
    work(connection, many(500))
    work(connection, many(12, "whole_image", start=500), "dress")
    assert rates(connection)[1] == Rate("dress", 12, 12, 500, 0)
    assert [rate.kind for rate, _ in jumps(rates(connection))] == [EVERY_TYPE, "dress"]
    work(connection, many(12, "segmentation", start=500))
    assert rates(connection)[1] == Rate("dress", 12, 0, 512, 12)
    assert jumps(rates(connection)) == []


def test_a_killed_run_and_the_one_that_completes_it_are_one(connection: duckdb.DuckDBPyConnection) -> None:
    work(connection, many(100))
    begin(connection, list(many(60)))
    ground(connection, many(30, "whole_image"))
    assert unrecorded(connection)
    begin(connection, list(many(30, start=30)))
    ground(connection, many(30, "whole_image", start=30))
    record(connection)
    assert rates(connection)[1] == Rate("dress", 60, 60, 100, 0)
    assert connection.execute("SELECT count(*) FROM crops_at_work").fetchall() == [(0,)]


def test_deleted_and_unreadable_photos_are_not_counted(connection: duckdb.DuckDBPyConnection) -> None:
    work(connection, many(10))
    work(connection, many(5, start=10), None)
    begin(connection, ["0", "unreadable"])
    connection.execute("DELETE FROM crops WHERE item_id = '0'")
    record(connection)
    assert rates(connection) == [Rate(EVERY_TYPE, 0, 0, 15, 0), Rate("(none)", 0, 0, 5, 0), Rate("dress", 0, 0, 10, 0)]
    counts = connection.execute("SELECT kind, photos FROM crop_rates ORDER BY 1").fetchall()
    assert counts == [("(none)", 5), ("dress", 9)]


def test_a_type_that_is_gone_is_named_once_more(connection: duckdb.DuckDBPyConnection) -> None:
    work(connection, {"a": "segmentation"}, "hat")
    work(connection, {"a": "segmentation"}, "cap")
    assert [rate.kind for rate in rates(connection)] == [EVERY_TYPE, "cap", "hat"]
    work(connection, {"a": "segmentation"}, "cap")
    assert [rate.kind for rate in rates(connection)] == [EVERY_TYPE, "cap"]


@pytest.mark.parametrize(
    ("rate", "jumped"),
    [
        (Rate("all of a few new ones", 9, 9, 1000, 0), False),
        (Rate("all of enough new ones", 10, 10, 1000, 0), True),
        (Rate("few before", 200, 200, 9, 0), False),
        (Rate("two more than before", 20, 3, 20, 1), False),
        (Rate("as before", 300, 90, 300, 90), False),
        (Rate("better than before", 300, 0, 300, 90), False),
        (Rate("certain, but little", 100_000, 3_000, 100_000, 1_000), False),
        (Rate("certain and much", 400, 120, 400, 12), True),
        (Rate("nothing worked on", 0, 0, 400, 12), False),
    ],
    ids=lambda value: value.kind if isinstance(value, Rate) else "",
)
def test_a_jump_is_large_and_more_than_chance(rate: Rate, jumped: bool) -> None:
    assert bool(jumps([rate])) == jumped


def test_hundreds_of_types_raise_no_false_alarm() -> None:
    import numpy as np

    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(40):
        found = [
            Rate(str(number), 40, int(rng.binomial(40, 0.1)), 200, int(rng.binomial(200, 0.1))) for number in range(100)
        ]
        alarms += bool(jumps(found))
    assert alarms <= 2
