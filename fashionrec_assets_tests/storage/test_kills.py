"""A process killed at any point of a write leaves what was there before or what was to be, and no third thing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest

from fashionrec_assets.settings import StorageSettings
from fashionrec_assets.storage import buckets as bucket_stores
from fashionrec_assets.storage.artifacts import Artifacts
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.faults import POINTS
from fashionrec_assets.storage.files import write_text
from fashionrec_assets.storage.tables import Column, Table
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows, vectors_of
from fashionrec_assets.storage.warehouse import Warehouse, replace_rows
from fashionrec_assets_tests.killing import die_at

ROOT = Path(__file__).parents[2]
KEYS = [f"k{number}" for number in range(8)]
ROWS = Table("rows", "rows", (Column("id", "VARCHAR", "its id"), Column("run", "INTEGER", "which run")), ("id",))


def warehouse(root: Path) -> Warehouse:
    return Warehouse(root / "w.duckdb", StorageSettings(), [ROWS])


def store(root: Path) -> BucketStore:
    return BucketStore(root / "stores" / "vectors", 4, VECTOR_COLUMNS)


def file(root: Path, run: int) -> None:
    write_text(root / "page.html", f"{run}" * 1000)


def buckets(root: Path, run: int) -> None:
    # The second run adds keys as well as changing the others, so that files grow.
    keys = KEYS + [f"added{number}" for number in range(4 * (run - 1))]
    store(root).put(vector_rows(keys, np.full((len(keys), 3), run, np.float32)))


def segments(root: Path, run: int) -> None:
    """A large bucket with a segment; then another one, and both taken into the base with what replaces their rows."""
    made = BucketStore(root / "stores" / "vectors", 1, VECTOR_COLUMNS)
    with mock.patch.object(bucket_stores, "SMALL", 8):
        if run == 1:
            keys = [f"k{number:02d}" for number in range(40)]
            made.put(vector_rows(keys, np.ones((40, 3), np.float32)))
            made.put(vector_rows(["k00", "k01"], np.full((2, 3), 2, np.float32)))
        else:
            made.put(vector_rows(["k01", "k02"], np.full((2, 3), 3, np.float32)), drop=["k03"])
            keys = ["k01", *(f"k{number:02d}" for number in range(4, 23))]
            made.put(vector_rows(keys, np.full((20, 3), 5, np.float32)))


def artifact(root: Path, run: int) -> None:
    artifacts = Artifacts(root / "artifacts")
    with artifacts.write("model", "v") as folder:
        (folder / "weights").write_bytes(bytes([run]) * 1000)
        (folder / "config").write_text(str(run))
    artifacts.prune("model", ["v"])


def transaction(root: Path, run: int) -> None:
    opened = warehouse(root)
    with opened.writer() as connection:
        rows = pa.table({"id": [f"r{n}" for n in range(2000)], "run": pa.array([run] * 2000, pa.int32())})
        replace_rows(connection, ROWS, rows)
    opened.back_up()


def compaction(root: Path, run: int) -> None:
    if run == 1:
        transaction(root, run)
    else:
        warehouse(root).compact()


def healing(root: Path, run: int) -> None:
    if run == 1:
        transaction(root, run)
    else:
        with (root / "w.duckdb").open("r+b") as damaged:
            damaged.write(b"x" * 4096)
        with warehouse(root).reader():
            pass


def of_file(root: Path) -> Any:
    return sorted(set((root / "page.html").read_text()))


def of_buckets(root: Path) -> Any:
    keys, vectors = vectors_of(store(root).scan())
    assert set(keys) == store(root).keys() >= set(KEYS)
    # Each file is of one run; which files are of which is the ledger's to know.
    return sorted(set(vectors[:, 0].tolist()))


def of_segments(root: Path) -> Any:
    made = BucketStore(root / "stores" / "vectors", 1, VECTOR_COLUMNS)
    keys, vectors = vectors_of(made.scan())
    assert set(keys) == made.keys()
    return [len(keys), int(vectors.sum())]


def of_artifact(root: Path) -> Any:
    artifacts = Artifacts(root / "artifacts")
    if not artifacts.exists("model", "v"):
        return "absent"
    folder = artifacts.folder("model", "v")
    return [sorted(set((folder / "weights").read_bytes())), (folder / "config").read_text()]


def of_warehouse(root: Path) -> Any:
    with warehouse(root).reader() as connection:
        return connection.execute("SELECT run, count(*) FROM rows GROUP BY 1 ORDER BY 1").fetchall()


SCENARIOS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], Any], list[Any]]] = {
    "file": (file, of_file, [["1"], ["2"]]),
    "buckets": (buckets, of_buckets, [[1.0], [1.0, 2.0], [2.0]]),
    "segments": (segments, of_segments, [[40, 126], [39, 132], [39, 366]]),
    # A version's folder is replaced only where the ledger does not know it yet: absent is as good as the old one.
    "artifact": (artifact, of_artifact, [[[1], "1"], "absent", [[2], "2"]]),
    "transaction": (transaction, of_warehouse, [[(1, 2000)], [(2, 2000)]]),
    "compaction": (compaction, of_warehouse, [[(1, 2000)]]),
    "healing": (healing, of_warehouse, [[(1, 2000)]]),
}


def main(root: Path) -> None:
    """Kill the second run of each scenario at each of its points in turn, and print what each kill left."""
    for name, (do, found, _) in SCENARIOS.items():
        before = root / name / "before"
        before.mkdir(parents=True)
        do(before, 1)
        for number in range(1000):
            place = root / name / f"{number}"
            shutil.copytree(before, place)

            def second(place: Path = place, do: Callable[[Path, int], None] = do) -> str:
                do(place, 2)
                return "done"

            ending = die_at(second, place, number + 1, each=True)
            left = found(place)
            do(place, 2)
            drafts = [path.name for path in place.rglob("*") if ".tmp" in path.name or path.name.startswith(".draft")]
            print(json.dumps([name, ending.points[-1] if ending.killed else "", left, found(place), drafts]))
            if not ending.killed:
                break


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    script = "import sys; from pathlib import Path; from fashionrec_assets_tests.storage.test_kills import main; "
    command = [sys.executable, "-c", f"{script}main(Path(sys.argv[1]))", str(tmp_path_factory.mktemp("kills"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_point_leaves_the_old_or_the_new_and_the_next_run_completes_it(
    name: str, kills: list[list[Any]]
) -> None:
    lines = [rest for scenario, *rest in kills if scenario == name]
    allowed = json.loads(json.dumps(SCENARIOS[name][2]))
    points = {point.split(":")[0] for point, *_ in lines if point}
    assert len(lines) > 3 and points <= set(POINTS), points
    for point, left, completed, drafts in lines:
        assert left in allowed, (point, left)
        assert completed == allowed[-1], (point, completed)
        assert drafts == [], point
    # Killed at the first point of a write it is still the old one, and undisturbed it is the new one.
    assert lines[0][1] == allowed[0]
    assert lines[-1][:2] == ["", allowed[-1]]


def test_the_kills_are_many_and_at_every_kind_of_point_of_storage(kills: list[list[Any]]) -> None:
    points = [point.split(":")[0] for _, point, *_ in kills if point]
    assert len(points) >= 50
    assert set(points) >= set(POINTS) - {"stage started", "stage done", "before prune", "after prune"}
