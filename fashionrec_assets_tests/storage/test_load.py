"""Readers while writers write: nobody gets a lock error, half a transaction or half a file, or waits for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage import buckets
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.tables import Column, Table
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows
from fashionrec_assets.storage.warehouse import Warehouse, one_row, replace_rows

ROWS = 200
TURNS = Table("turns", "turns", (Column("k", "BIGINT", "key"), Column("turn", "BIGINT", "who wrote it")), ("k",))

READ = """
import sys
from pathlib import Path
from fashionrec_assets_tests.storage.test_load import ROWS, open_warehouse, rows_and_turns

warehouse, reads = open_warehouse(Path(sys.argv[1])), 0
print("reading", flush=True)
while not (Path(sys.argv[1]) / "enough").exists():
    rows, turns = rows_and_turns(warehouse, pause=0.02)
    assert rows == ROWS and turns == 1, (rows, turns)
    reads += 1
print(reads)
"""

READ_STORE = """
import sys
from pathlib import Path
from fashionrec_assets_tests.storage.test_load import KEYS, open_store

store, reads = open_store(Path(sys.argv[1])), 0
print("reading", flush=True)
while not (Path(sys.argv[1]) / "enough").exists():
    assert store.keys() == set(KEYS)
    assert store.take(KEYS[:3]).num_rows == 3
    assert store.any_row().num_rows == 1
    reads += 1
print(reads)
"""

KEYS = [f"i{number}" for number in range(40)]


def open_warehouse(folder: Path) -> Warehouse:
    return Warehouse(folder / "w.duckdb", StorageSettings(lock_timeout_s=60, threads=1), [TURNS])


def open_store(folder: Path) -> BucketStore:
    return BucketStore(folder / "vectors", 3, VECTOR_COLUMNS)


def write_turn(warehouse: Warehouse, turn: int) -> float:
    """Seconds until the transaction began."""
    started = time.monotonic()
    with warehouse.writer() as connection:
        waited = time.monotonic() - started
        replace_rows(connection, TURNS, pa.table({"k": range(ROWS), "turn": [turn] * ROWS}))
    return waited


def rows_and_turns(warehouse: Warehouse, pause: float) -> tuple[int, int]:
    with warehouse.reader() as connection:
        rows, turns = one_row(connection, "SELECT count(*), count(DISTINCT turn) FROM turns")
        time.sleep(pause)
    return rows, turns


class Readers:
    """Processes that read until they are told that it is enough."""

    def __init__(self, code: str, folder: Path, count: int) -> None:
        self._enough = folder / "enough"
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", code, str(folder)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(count)
        ]
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "reading"

    def end(self) -> list[int]:
        """How often each of them has read."""
        self._enough.touch()
        found = [process.communicate(timeout=300) for process in self._processes]
        assert [process.returncode for process in self._processes] == [0] * len(found), found
        return [int(printed) for printed, _ in found]


def test_readers_that_overlap_do_not_keep_a_writer_waiting_and_see_whole_transactions(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path)
    write_turn(warehouse, 0)
    readers = Readers(READ, tmp_path, 4)
    waits = [write_turn(warehouse, turn) for turn in range(1, 9)]
    reads = readers.end()
    assert min(reads) > 0
    # Without a turn of their own, writers get in only when no reader happens to be there: after many seconds.
    assert sum(waits) / len(waits) < 3, waits


def test_a_reader_inside_a_reader_does_not_wait_for_a_writer_that_waits_for_it(tmp_path: Path) -> None:
    warehouse = open_warehouse(tmp_path)
    write_turn(warehouse, 0)
    code = (
        "import sys; from pathlib import Path; from fashionrec_assets_tests.storage.test_load import *; "
        "warehouse = open_warehouse(Path(sys.argv[1])); print('ready', flush=True); write_turn(warehouse, 1)"
    )
    with warehouse.reader():
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        time.sleep(0.3)
        assert process.poll() is None
        started = time.monotonic()
        assert rows_and_turns(warehouse, pause=0) == (ROWS, 1)
        assert time.monotonic() - started < 5
    process.communicate(timeout=300)
    assert process.returncode == 0


def test_a_store_is_read_whole_while_its_files_are_replaced_and_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setattr(buckets, "SMALL", 4)
    store = open_store(tmp_path)
    store.put(vector_rows(KEYS, np.zeros((len(KEYS), 4), np.float32)))
    readers = Readers(READ_STORE, tmp_path, 2)
    for turn in range(40):
        some = KEYS if turn % 10 == 0 else KEYS[turn : turn + 1]
        store.put(vector_rows(some, np.full((len(some), 4), turn, np.float32)))
        if turn % 4 == 3:
            store.fold()
    assert min(readers.end()) > 0


def test_a_file_that_is_replaced_while_it_is_read_through_is_not_taken_for_damaged(tmp_path: Path) -> None:
    import numpy as np

    store, other, ended = open_store(tmp_path), open_store(tmp_path), threading.Event()
    rows = [vector_rows(KEYS[:count], np.zeros((count, 4), np.float32)) for count in (20, len(KEYS))]
    store.put(rows[1])

    def write() -> None:
        while not ended.is_set():
            store.put(rows[0], drop=KEYS[20:])
            store.put(rows[1])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        # Opened twice, every second or third reading found the pages of one file in the places of another.
        assert all(other._sound(path) for _ in range(50) for path in other.files())
    finally:
        ended.set()
        writer.join()
    assert not list(store.root.glob("*.damaged"))
