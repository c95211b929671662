"""Files that are cut short, altered, gone, or cannot be written: noticed, said, and made right without help."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage.artifacts import MANIFEST, ArtifactMissingError, Artifacts
from fashionrec_assets.storage.buckets import BucketStore, StoreDamagedError, bucket_of
from fashionrec_assets.storage.faults import listening
from fashionrec_assets.storage.files import AccessDeniedError, DiskFullError, write_text
from fashionrec_assets.storage.healing import Beside, is_damage
from fashionrec_assets.storage.tables import Column, Table
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows
from fashionrec_assets.storage.warehouse import Warehouse, WarehouseDamagedError, delete_keys, insert_rows

ROOT = Path(__file__).parents[2]
ROWS = Table("rows", "rows", (Column("id", "VARCHAR", "its id"), Column("text", "VARCHAR", "words")), ("id",))
KEYS = [f"k{number}" for number in range(12)]


def store(tmp_path: Path, buckets: int = 4) -> BucketStore:
    return BucketStore(tmp_path / "stores" / "vectors", buckets, VECTOR_COLUMNS)


def filled(tmp_path: Path) -> BucketStore:
    made = store(tmp_path)
    made.put(vector_rows(KEYS, np.random.default_rng(0).normal(size=(len(KEYS), 64)).astype(np.float32)))
    return made


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def artifact(tmp_path: Path) -> tuple[Artifacts, Path]:
    artifacts = Artifacts(tmp_path / "artifacts")
    with artifacts.write("model", "v1") as folder:
        (folder / "part").mkdir()
        (folder / "part" / "weights").write_bytes(b"w" * 1000)
        (folder / "config.json").write_text("{}")
    return artifacts, tmp_path / "artifacts" / "model" / "v1"


ARTIFACT_DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda folder: (folder / "part" / "weights").unlink(), "part/weights is missing"),
    "cut short": (lambda folder: os.truncate(folder / "part" / "weights", 10), "10 of 1,000 bytes"),
    "altered": (lambda folder: overwrite(folder / "part" / "weights", 500, b"x"), "sha256 is another"),
    "manifest cut short": (lambda folder: os.truncate(folder / MANIFEST, 10), "manifest cannot be read"),
}


@pytest.mark.parametrize("name", ARTIFACT_DAMAGE)
def test_a_damaged_artifact_counts_as_absent_and_says_which_file(name: str, tmp_path: Path) -> None:
    artifacts, folder = artifact(tmp_path)
    assert artifacts.exists("model", "v1") and artifacts.folder("model", "v1") == folder
    damage, said = ARTIFACT_DAMAGE[name]
    damage(folder)
    assert not artifacts.exists("model", "v1")
    with pytest.raises(ArtifactMissingError, match=f"{said}.*Run the asset model again"):
        artifacts.folder("model", "v1")
    artifact(tmp_path)
    assert artifacts.exists("model", "v1") and artifacts.damage("model", "v1") is None


def test_an_artifact_of_an_earlier_release_has_no_manifest_and_is_accepted(tmp_path: Path) -> None:
    artifacts, folder = artifact(tmp_path)
    (folder / MANIFEST).unlink()
    assert artifacts.exists("model", "v1") and artifacts.folder("model", "v1") == folder


def test_the_same_content_written_again_never_takes_the_version_in_force_away(tmp_path: Path) -> None:
    _, folder = artifact(tmp_path)
    before = folder.stat().st_ino
    artifact(tmp_path)
    assert folder.stat().st_ino == before
    assert [path.name for path in folder.parent.iterdir()] == ["v1"]


def test_a_store_notices_any_altered_byte(tmp_path: Path) -> None:
    good = filled(tmp_path / "good")
    bucket = bucket_of("k0", 4)
    size, rows = good.path(bucket).stat().st_size, good.read(bucket)
    lost = {key for key in KEYS if bucket_of(key, 4) == bucket}
    for at in range(0, size, 41):
        shutil.rmtree(tmp_path / "bad", ignore_errors=True)
        shutil.copytree(tmp_path / "good", tmp_path / "bad")
        bad = store(tmp_path / "bad")
        overwrite(bad.path(bucket), at, b"\x00\xff\x13")
        assert bad.keys() == set(KEYS) - lost, at
    assert good.read(bucket).equals(rows)


def test_a_damaged_bucket_is_lost_for_its_stage_and_an_error_for_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = filled(tmp_path)
    bucket = bucket_of("k0", 4)
    lost = {key for key in KEYS if bucket_of(key, 4) == bucket}
    os.truncate(made.path(bucket), 100)
    with pytest.raises(StoreDamagedError, match=r"Run again.*vectors"):
        store(tmp_path).scan()
    aside = made.path(bucket).with_name(made.path(bucket).name + ".damaged")
    assert aside.exists() and "set aside" in caplog.text
    assert store(tmp_path).keys() == set(KEYS) - lost
    assert len(store(tmp_path).take(KEYS)) == len(KEYS) - len(lost)
    filled(tmp_path)
    assert store(tmp_path).keys() == set(KEYS) and not aside.exists()


def test_files_are_read_through_once_and_again_when_they_were_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    read: list[Path] = []
    sound = BucketStore._sound
    monkeypatch.setattr(BucketStore, "_sound", lambda self, path: read.append(path) or sound(self, path))
    assert store(tmp_path).keys() == set(KEYS)
    assert len(read) == 4
    assert store(tmp_path).keys() == set(KEYS)
    assert len(read) == 4
    # A clock that went back makes a file older than what was noted of it: another time is another file.
    touched = store(tmp_path).path(0)
    os.utime(touched, (0, 0))
    assert store(tmp_path).keys() == set(KEYS)
    assert read[4:] == [touched]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text('{"buck')])
def test_a_store_without_its_manifest_finds_its_rows_or_makes_them_again(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    filled(tmp_path)
    manifest = tmp_path / "stores" / "vectors" / "manifest.json"
    damage(manifest)
    assert store(tmp_path).take(["k3"]).column("item_id").to_pylist() == ["k3"]
    assert json.loads(manifest.read_text()) == {"buckets": 4}
    damage(manifest)
    other = store(tmp_path, 64)
    # Under another number of buckets rows would lie where nobody looks for them.
    assert other.buckets == 64 and other.keys() < set(KEYS)
    other.put(vector_rows(KEYS, np.zeros((len(KEYS), 3), np.float32)))
    assert len(other.take(KEYS)) == len(other.scan()) == len(KEYS)


BESIDE = ("stores/*/*.parquet", "exports/*.parquet")


def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "w.duckdb", StorageSettings(lock_timeout_s=5), [ROWS], Beside(tmp_path, BESIDE))


def texts(rows: int) -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table({"id": [f"r{n}" for n in range(rows)], "text": [random.bytes(20).hex() for _ in range(rows)]})


def count(opened: Warehouse) -> int:
    with opened.reader() as connection:
        return connection.execute("SELECT count(DISTINCT text) FROM rows").fetchall()[0][0]


def backed_up(tmp_path: Path, rows: int = 20_000) -> Warehouse:
    opened = warehouse(tmp_path)
    with opened.writer() as connection:
        insert_rows(connection, ROWS, texts(rows))
    opened.back_up()
    return opened


WAREHOUSE_DAMAGE: dict[str, Callable[[Path], object]] = {
    "header": lambda path: overwrite(path, 0, b"?" * 12_288),
    "block headers": lambda path: overwrite(path, 4096, os.urandom(8192)),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "another file": lambda path: path.write_bytes(b"not a database" * 1000),
    "a page": lambda path: overwrite(path, 12_288 + 2 * 262_144 + 1000, os.urandom(5000)),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", WAREHOUSE_DAMAGE)
def test_a_damaged_warehouse_is_put_right_from_its_copy(name: str, tmp_path: Path) -> None:
    opened = backed_up(tmp_path)
    WAREHOUSE_DAMAGE[name](opened.path)
    try:
        found = count(opened)
    except WarehouseDamagedError:
        # A page is only found out about when it is read: that query fails, and the next opening puts the file right.
        found = count(opened)
    assert found == 20_000
    with opened.writer() as connection:
        delete_keys(connection, ROWS, "id", ["r0"])
    assert count(opened) == 19_999
    opened.back_up()
    assert not list(tmp_path.glob("*.damaged*")) and not list(tmp_path.glob("*.suspect"))


def test_a_query_that_meets_a_damaged_page_says_what_to_do(tmp_path: Path) -> None:
    opened = backed_up(tmp_path)
    WAREHOUSE_DAMAGE["a page"](opened.path)
    with pytest.raises(WarehouseDamagedError, match=r"w\.duckdb is damaged .* Run again"):
        count(opened)
    with opened.writer() as connection:
        connection.execute("DELETE FROM rows WHERE id = 'r0'")
    assert count(opened) == 19_999


def test_without_a_copy_it_starts_empty_and_the_files_of_the_lost_ledger_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = backed_up(tmp_path, 100)
    for path in tmp_path.glob("w.duckdb.backup*"):
        path.unlink()
    filled(tmp_path)
    opened.path.write_bytes(b"not a database" * 1000)
    assert count(opened) == 0
    assert store(tmp_path).keys() == set()
    assert "starts empty, and 4 files that were made later are made again" in caplog.text
    assert (tmp_path / "w.duckdb.damaged").read_bytes().startswith(b"not a database")


def test_a_restored_warehouse_takes_back_the_files_that_are_newer_than_it(tmp_path: Path) -> None:
    made = filled(tmp_path)
    write_text(tmp_path / "exports" / "old.parquet", "as it was")
    opened = backed_up(tmp_path, 100)
    made.put(vector_rows(["k0"], np.ones((1, 64), np.float32)))
    write_text(tmp_path / "exports" / "new.parquet", "of later rows")
    write_text(tmp_path / "kept.txt", "nobody's")
    overwrite(opened.path, 0, b"?" * 4096)
    assert count(opened) == 100
    assert store(tmp_path).keys() == {key for key in KEYS if bucket_of(key, 4) != bucket_of("k0", 4)}
    assert sorted(path.name for path in (tmp_path / "exports").iterdir()) == ["old.parquet"]
    assert (tmp_path / "kept.txt").exists()


def test_a_damaged_log_costs_only_what_it_held(tmp_path: Path) -> None:
    opened = backed_up(tmp_path, 1000)
    script = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); "
        "c.execute(\"INSERT INTO rows SELECT 'late' || i, 'x' || i FROM range(5000) r(i)\"); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(opened.path)], check=False)
    log = opened.path.with_name("w.duckdb.wal")
    overwrite(log, log.stat().st_size // 2, os.urandom(200))
    assert count(opened) >= 1000
    with opened.writer():
        pass
    assert not log.exists()


@pytest.mark.parametrize(
    ("said", "damage"),
    [
        ("IO Error: Corrupt database file: computed checksum 1 does not match stored checksum 2", True),
        ("IO Error: Trying to read a database file with version number 99, but we can only read 64", False),
        ("IO Error: Could not set lock on file: Conflicting lock is held in another process", False),
    ],
)
def test_another_version_of_duckdb_or_another_process_is_no_damage(said: str, damage: bool) -> None:
    assert is_damage(duckdb.IOException(said), opening=True) == damage


def test_compacting_leaves_no_byte_of_a_deleted_row_in_any_file(tmp_path: Path) -> None:
    opened = backed_up(tmp_path, 5000)
    secret = texts(1).column("text")[0].as_py().encode()

    def holding() -> list[str]:
        return sorted(path.name for path in tmp_path.iterdir() if secret in path.read_bytes())

    assert holding() == ["w.duckdb", "w.duckdb.backup"]
    shutil.copyfile(opened.path, tmp_path / "w.duckdb.damaged")
    with opened.writer() as connection:
        delete_keys(connection, ROWS, "id", ["r0"])
    assert "w.duckdb" in holding()
    opened.compact()
    assert holding() == []
    assert count(opened) == 4999
    with pytest.raises(duckdb.ConstraintException, match="Duplicate key"), opened.writer() as connection:
        insert_rows(connection, ROWS, texts(2).slice(1))


def failing(number: int, at: str, name: str) -> Callable[[str, str], None]:
    def handler(point: str, subject: str) -> None:
        if point == at and name in subject:
            raise OSError(number, os.strerror(number), subject)

    return handler


WRITES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "file": ("page.html", lambda root: write_text(root / "page.html", "text")),
    "bucket": (".parquet", filled),
    "artifact": ("artifacts/model/v1", artifact),
    "warehouse": ("w.duckdb", lambda root: backed_up(root, 100)),
}


@pytest.mark.parametrize("point", ["before write", "mid write", "before rename", "before transaction", "before commit"])
@pytest.mark.parametrize("name", WRITES)
def test_a_full_disk_is_said_clearly_leaves_no_draft_and_the_next_run_completes(
    name: str, point: str, tmp_path: Path
) -> None:
    subject, write = WRITES[name]
    reached: list[str] = []
    with listening(lambda at, where: reached.append(at) if subject in where else None):
        write(tmp_path / "undisturbed")
    if point not in reached:
        pytest.skip(f"a {name} has no point {point!r}")
    root = tmp_path / "home"
    root.mkdir()
    told = failing(errno.ENOSPC, point, subject)
    if name == "warehouse" and point in ("before write", "mid write", "before rename"):
        # The copy for bad times is a precaution, not worth a run.
        with listening(told):
            write(root)
    else:
        with (
            listening(told),
            pytest.raises(DiskFullError, match=r"no room to write .* MB of .* GB are free.*run again"),
        ):
            write(root)
    assert [path for path in root.rglob("*") if path.name.startswith(".") and path.name != MANIFEST] == []
    if name == "warehouse" and (root / "w.duckdb").exists():
        assert count(warehouse(root)) in (0, 100)
    else:
        write(root)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("name", WRITES)
def test_a_closed_folder_is_said_clearly_and_nothing_is_lost(name: str, number: int, tmp_path: Path) -> None:
    subject, write = WRITES[name]
    point = "before transaction" if name == "warehouse" else "before write"
    with listening(failing(number, point, subject)), pytest.raises(AccessDeniedError, match="is closed to this user"):
        write(tmp_path)
    write(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_real_folder_without_write_permission_is_said_clearly(tmp_path: Path) -> None:
    opened = backed_up(tmp_path, 100)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(AccessDeniedError, match="is closed to this user"):
            write_text(tmp_path / "page.html", "text")
        assert count(opened) == 100
    finally:
        tmp_path.chmod(0o755)


LIMITED = """
import resource, signal, sys
from pathlib import Path
from fashionrec_assets.storage.files import DiskFullError
from fashionrec_assets_tests.storage.test_damage import ROWS, backed_up, count, texts, warehouse
from fashionrec_assets.storage.warehouse import insert_rows
root = Path(sys.argv[1])
opened = backed_up(root, 100)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
try:
    with opened.writer() as connection:
        connection.execute("DELETE FROM rows")
        insert_rows(connection, ROWS, texts(60_000))
    print("written")
except DiskFullError as error:
    print("full", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print("rows", count(warehouse(root)))
"""


def test_a_database_that_has_no_room_says_so_and_keeps_its_rows(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout.startswith("full"), done.stdout + done.stderr
    assert "no room to write" in done.stdout and "rows 100" in done.stdout


def test_the_log_says_what_was_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened = backed_up(tmp_path, 100)
    overwrite(opened.path, 0, b"?" * 4096)
    with caplog.at_level(logging.WARNING):
        count(opened)
    assert "is damaged" in caplog.text and "its last copy was put in its place" in caplog.text
