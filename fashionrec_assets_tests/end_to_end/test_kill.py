"""A run killed at any point is completed by the next one, with the same result as an undisturbed run."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets_tests.end_to_end.place import SMALL, Place

KILLED_RUN = """
import json, os, signal, sys
from pathlib import Path
from fashionrec_assets_tests.end_to_end.place import Place
from fashionrec_assets.resources import shop

raw, home, point = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
stage, _, moment = point.partition("/")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Killer:
    running = ""
    def started(self, name):
        self.running = name
    def advanced(self, name, done, total):
        if name == stage and moment in ("after a commit", "between commits") and done < total:
            die()
    def finished(self, name, counts, unit, seconds):
        if name == stage and moment == "at the end":
            die()
    def failed(self, name):
        pass

killer = Killer()
replace = os.replace

def replace_or_die(source, target):
    if killer.running == stage and moment == "before a rename":
        die()
    replace(source, target)
    if killer.running == stage and moment == "after a rename":
        die()

os.replace = replace_or_die
if moment == "after a commit":
    shop.COMMIT_SECONDS = 0.0
result = Place(raw, home).run(reporter=killer)
print("survived", result.errors)
"""

POINTS = (
    "grounded_crops/after a commit",
    "clip_model/before a rename",
    "item_vectors/before a rename",
    "item_vectors/between commits",
    "homepage/at the end",
)


def content(home: Path) -> dict[str, Any]:
    """Everything a reader of the shop can see: all tables, all bucket stores, all current artifacts' tables."""
    found: dict[str, Any] = {}
    measured = {"fit_seconds", "score_seconds", "fit_growth_mb", "train_seconds", "run_at"}
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall():
            rows = connection.sql(f'SELECT * FROM "{table}"')
            kept = ", ".join(f'"{name}"' for name in rows.columns if name not in measured)
            found[table] = sorted(map(repr, connection.execute(f'SELECT {kept} FROM "{table}"').fetchall()))
    for path in sorted((home / "stores").rglob("*.parquet")):
        found[str(path.relative_to(home))] = pq.read_table(path).to_pylist()
    for path in sorted((home / "artifacts").rglob("*.safetensors")):
        found[str(path.relative_to(home))] = path.read_bytes()
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_is_completed_by_the_next(point: str, fresh: Place, first_run: tuple[Place, RunResult]) -> None:
    undisturbed, result = first_run
    assert result.success, result.errors
    assert SMALL["storage"]["buckets"] > 1
    command = [sys.executable, "-W", "ignore", "-c", KILLED_RUN, str(fresh.raw), str(fresh.home), point]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == -signal.SIGKILL, process.stdout + process.stderr[-2000:]
    completed = fresh.run()
    assert completed.success, completed.errors
    assert completed.checks.failed == []
    assert differences(content(fresh.home), content(undisturbed.home)) == []
    assert not list((fresh.home / "artifacts").rglob(".draft-*"))
