from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.tables import Column, ForeignKey, Table, contract_rules
from fashionrec_assets.storage.warehouse import (
    Warehouse,
    WarehouseBusyError,
    delete_keys,
    insert_rows,
    upsert_rows,
)

COLOURS = Table("colours", "colours", (Column("name", "VARCHAR", "its name"),), ("name",))
SHOES = Table(
    "shoes",
    "shoes",
    (
        Column("id", "VARCHAR", "its id"),
        Column("size", "INTEGER", "EU size", minimum=20, nullable=True),
        Column("kind", "VARCHAR", "what it is", values=("boot", "sandal")),
        Column("colour", "VARCHAR", "its colour", nullable=True),
    ),
    ("id",),
    (ForeignKey("colour", "colours", "name"),),
)


def shoes(*rows: tuple[str, int | None, str, str | None]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SHOES.column_names, row, strict=True)) for row in rows])


def open_warehouse(tmp_path: Path, timeout: float = 5.0) -> Warehouse:
    return Warehouse(tmp_path / "w.duckdb", StorageSettings(lock_timeout_s=timeout), [COLOURS, SHOES])


def content(warehouse: Warehouse) -> list[tuple[object, ...]]:
    with warehouse.reader() as connection:
        return connection.execute("SELECT * FROM shoes ORDER BY id").fetchall()


def test_an_absent_file_reads_as_empty_tables(tmp_path: Path) -> None:
    assert content(open_warehouse(tmp_path)) == []


def test_a_failed_block_leaves_nothing_behind(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path)
    with pytest.raises(RuntimeError, match="boom"), warehouse.writer() as connection:
        insert_rows(connection, SHOES, shoes(("a", 40, "boot", None)))
        raise RuntimeError("boom")
    assert content(warehouse) == []


def test_upsert_updates_by_key_and_inserts_the_rest(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path)
    with warehouse.writer() as connection:
        insert_rows(connection, SHOES, shoes(("a", 40, "boot", None), ("b", 41, "boot", None)))
    with warehouse.writer() as connection:
        upsert_rows(connection, SHOES, shoes(("b", 42, "sandal", "red"), ("c", 43, "boot", None)))
        delete_keys(connection, SHOES, "id", ["a"])
    assert content(warehouse) == [("b", 42, "sandal", "red"), ("c", 43, "boot", None)]


def test_columns_are_matched_by_name_not_by_place(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path)
    with warehouse.writer() as connection:
        insert_rows(connection, SHOES, shoes(("a", 40, "boot", "red")).select(["colour", "kind", "size", "id"]))
    assert content(warehouse) == [("a", 40, "boot", "red")]


def test_contract_rules_count_exactly_the_rows_that_break_them() -> None:
    connection = duckdb.connect()
    for table in (COLOURS, SHOES):
        connection.execute(table.ddl().replace("PRIMARY KEY", "CHECK (true) -- ").replace(" NOT NULL", ""))
    connection.execute("INSERT INTO colours VALUES ('red')")
    bad = shoes(
        ("a", 10, "boot", "red"), ("a", 40, "clog", "blue"), ("b", None, "boot", None), (None, 40, "boot", None)
    )  # type: ignore[arg-type]
    insert_rows(connection, SHOES, bad)
    counts = {rule: connection.execute(sql).fetchone() for rule, sql in contract_rules(SHOES, "shoes").items()}
    assert {rule: row[0] for rule, row in counts.items() if row and row[0]} == {
        "key (id) is unique": 1,
        "id is there": 1,
        "size >= 20": 1,
        "kind is one of boot, sandal": 1,
        "colour exists in colours": 1,
    }


def test_a_block_inside_a_block_is_refused_at_once_instead_of_waiting_for_itself(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path)
    with warehouse.writer(), pytest.raises(RuntimeError, match="already has the warehouse open"):
        content(warehouse)
    assert content(warehouse) == []


HOLD = """
import sys, time
from pathlib import Path
from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.warehouse import Warehouse
with Warehouse(Path(sys.argv[1]), StorageSettings(), []).writer() as connection:
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(tmp_path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "w.duckdb"), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    return process


def test_readers_and_writers_wait_for_another_process(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path)
    content(warehouse)
    with hold(tmp_path, 0.5):
        assert content(warehouse) == []
    with hold(tmp_path, 0.5), warehouse.writer() as connection:
        insert_rows(connection, COLOURS, pa.table({"name": ["red"]}))


def test_a_process_that_never_lets_go_is_named_after_the_timeout(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path, timeout=0.2)
    content(warehouse)
    with hold(tmp_path, 60) as process:
        with pytest.raises(WarehouseBusyError, match=r"lock_timeout_s"), warehouse.writer():
            pass
        with pytest.raises(WarehouseBusyError):
            content(warehouse)
        process.kill()


def test_a_killed_writer_leaves_the_last_committed_state(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path)
    with warehouse.writer() as connection:
        insert_rows(connection, COLOURS, pa.table({"name": ["red"]}))
    with hold(tmp_path, 60) as process:
        process.kill()
    with warehouse.writer() as connection:
        insert_rows(connection, COLOURS, pa.table({"name": ["blue"]}))
    with warehouse.reader() as connection:
        assert connection.execute("SELECT count(*) FROM colours").fetchone() == (2,)


def test_threads_reading_while_one_writes_see_whole_transactions(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path)
    seen: set[int] = set()

    def read() -> None:
        for _ in range(20):
            with warehouse.reader() as connection:
                row = connection.execute("SELECT count(*) FROM colours").fetchone()
                seen.add(row[0] if row else -1)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(10):
        with warehouse.writer() as connection:
            insert_rows(connection, COLOURS, pa.table({"name": [f"{number}-a", f"{number}-b"]}))
    for reader in readers:
        reader.join()
    assert all(count % 2 == 0 for count in seen)


def test_the_stamp_changes_with_every_write_and_only_then(tmp_path: Path) -> None:
    warehouse, other = open_warehouse(tmp_path), open_warehouse(tmp_path)
    seen = {warehouse.stamp()}
    for size in (36, 37, 38):
        with warehouse.writer() as connection:
            upsert_rows(connection, SHOES, shoes(("a", size, "boot", None)))
        assert warehouse.stamp() not in seen
        seen.add(warehouse.stamp())
    before = warehouse.stamp()
    content(warehouse)
    assert warehouse.stamp() == before
    # Somebody else's writes are seen too.
    with other.writer() as connection:
        upsert_rows(connection, SHOES, shoes(("b", 40, "boot", None)))
    assert warehouse.stamp() != before
