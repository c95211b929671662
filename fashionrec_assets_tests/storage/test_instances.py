"""One DuckDB instance a file: quick to open, closed in between, and never in the way of others."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage import instances
from fashionrec_assets.storage.tables import Column, Table
from fashionrec_assets.storage.warehouse import Warehouse, WarehouseDamagedError, insert_rows

THINGS = Table("things", "things", (Column("id", "VARCHAR", "its id"),), ("id",))

INSERT = """
import sys, duckdb
with duckdb.connect(sys.argv[1]) as connection:
    connection.execute("INSERT INTO things VALUES (?)", [sys.argv[2]])
"""


def warehouse(folder: Path, **settings: object) -> Warehouse:
    return Warehouse(folder / "w.duckdb", StorageSettings.model_validate({"lock_timeout_s": 2.0, **settings}), [THINGS])


def things(made: Warehouse) -> list[str]:
    with made.reader() as connection:
        return [row[0] for row in connection.execute("SELECT id FROM things ORDER BY 1").fetchall()]


def add(made: Warehouse, *ids: str) -> None:
    with made.writer() as connection:
        insert_rows(connection, THINGS, pa.table({"id": list(ids)}))


def elsewhere(made: Warehouse, name: str) -> str:
    """Have another process insert a row with a connection of its own; what it says if it cannot."""
    done = subprocess.run(
        [sys.executable, "-c", INSERT, str(made.path), name], capture_output=True, text=True, check=False
    )
    return done.stderr


def test_the_instance_stays_and_the_file_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = warehouse(tmp_path)
    add(made, "a")
    started: list[object] = []
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda *given, **more: started.append(given) or connect(*given, **more))
    assert things(made) == ["a"]
    add(warehouse(tmp_path), "b")
    assert things(warehouse(tmp_path)) == ["a", "b"] and started == []
    # Between two blocks others write, and the next block sees it.
    assert elsewhere(made, "c") == ""
    assert things(made) == ["a", "b", "c"]
    assert not list(tmp_path.glob("*.wal"))


def test_while_a_block_lasts_others_cannot_write(tmp_path: Path) -> None:
    made = warehouse(tmp_path)
    add(made, "a")
    with made.reader() as outer:
        # A reader that ends inside another one, or fails there, does not let go of the file for both.
        assert things(made) == ["a"]
        with pytest.raises(duckdb.CatalogException), made.reader() as inner:
            inner.execute("SELECT * FROM nothing")
        assert "lock" in elsewhere(made, "b")
        assert outer.execute("SELECT count(*) FROM things").fetchall() == [(1,)]
    assert elsewhere(made, "b") == ""


def test_every_connection_has_the_limits_of_its_own_settings(tmp_path: Path) -> None:
    for memory, threads in (("300.0 MiB", 1), ("200.0 MiB", 3)):
        made = warehouse(tmp_path, memory_limit=memory, threads=threads)
        add(made, memory)
        asked = "SELECT current_setting('memory_limit'), current_setting('threads'), current_setting('TimeZone')"
        for block in (made.reader, made.writer):
            with pytest.raises(duckdb.CatalogException, match="asked"), block() as connection:
                assert connection.execute(asked).fetchall() == [(memory, threads, "UTC")]
                spill = connection.execute("SELECT current_setting('temp_directory')").fetchall()
                assert spill == [(f"{made.path}.tmp",)]
                connection.execute("SELECT * FROM asked")


def test_a_spoilt_instance_is_not_used_again(tmp_path: Path) -> None:
    made = warehouse(tmp_path)
    add(made, "a")
    before = instances.instance_of(made.path)._running
    with pytest.raises(WarehouseDamagedError), made.reader():
        raise duckdb.IOException("could not read")
    assert things(made) == ["a"]
    assert instances.instance_of(made.path)._running is not before


def test_a_forked_process_starts_an_instance_of_its_own(tmp_path: Path) -> None:
    made = warehouse(tmp_path)
    add(made, "a")
    instance = instances.instance_of(made.path)
    child = os.fork()
    if not child:
        code = 1
        try:
            own = instances.instance_of(made.path)
            connection = own.open(made.settings, read_only=False)
            connection.execute("INSERT INTO things SELECT 'b' || i FROM range(300_000) r(i)")
            own.close(connection)
            code = 0 if own is not instance else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(things(made)) == 300_001


def test_threads_of_one_process_wait_for_each_other(tmp_path: Path) -> None:
    made = warehouse(tmp_path, lock_timeout_s=60.0)
    add(made, "start")
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(8):
                add(warehouse(tmp_path, lock_timeout_s=60.0), f"{name}{number}")
                assert f"{name}{number}" in things(made)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [] and len(things(made)) == 17
