"""Old runs go, what the UI shows of every asset stays, and what killed runs left behind is removed."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import dagster as dg
import pytest

from fashionrec_assets.resources.dagster_home import dagster_home
from fashionrec_assets.resources.retention import LEFT_BEHIND_S, forget_runs, sweep, tidy
from fashionrec_assets.resources.runs import instance_of

PICTURE = "x" * 200_000


@dg.asset
def nightly() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"picture": PICTURE}, data_version=dg.DataVersion("1"))


@dg.asset
def once() -> dg.MaterializeResult:
    return dg.MaterializeResult(data_version=dg.DataVersion("first"))


@dg.asset_check(asset=once)
def once_is_good() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset_check(asset=nightly)
def nightly_is_good() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def run_of(instance: dg.DagsterInstance, *keys: str) -> str:
    result = dg.materialize(
        [nightly, once, once_is_good, nightly_is_good],
        instance=instance,
        selection=dg.AssetSelection.assets(*keys),
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    return result.run_id


def runs_of(instance: dg.DagsterInstance) -> list[str]:
    return [record.dagster_run.run_id for record in instance.get_run_records()]


def checks_of(home: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(dagster_home(home) / "history" / "runs" / "index.db") as connection:
        return connection.execute("SELECT check_name, run_id FROM asset_check_executions ORDER BY id").fetchall()


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_old_runs_go_with_their_events_and_the_newest_of_every_asset_stays(home: Path) -> None:
    with instance_of(home) as instance:
        first = run_of(instance, "nightly", "once")
        nights = [run_of(instance, "nightly") for _ in range(3)]
        before = size_of(dagster_home(home))

        forgotten = forget_runs(instance, home, keep=1)

        assert forgotten == nights[:2][::-1], "all but the newest and the one that `once` was made in"
        assert runs_of(instance) == [*nights[2:][::-1], first]
        made = instance.get_latest_materialization_event(dg.AssetKey("once"))
        assert made is not None and made.run_id == first
        newest = instance.get_latest_materialization_event(dg.AssetKey("nightly"))
        assert newest is not None and newest.run_id == nights[-1]
        history = instance.fetch_materializations(dg.AssetKey("nightly"), limit=10).records
        assert [record.run_id for record in history] == [*nights[2:][::-1], first]
        assert checks_of(home) == [
            *((name, first) for name, _ in checks_of(home)[:2]),
            *(("nightly_is_good", run_id) for run_id in nights[2:]),
        ]
        files = {path.name for path in (dagster_home(home) / "history" / "runs").glob("*.db")}
        assert files == {"index.db", *(f"{run_id}.db" for run_id in (first, *nights[2:]))}
        assert size_of(dagster_home(home)) < before - 2 * len(PICTURE)
        assert forget_runs(instance, home, keep=1) == []


def test_the_instance_stops_growing(home: Path) -> None:
    sizes = []
    with instance_of(home) as instance:
        for _ in range(5):
            run_of(instance, "nightly")
            tidy(instance, home, keep_runs=1)
            sizes.append(size_of(dagster_home(home)))
    assert sizes[-1] < sizes[2] + len(PICTURE) // 2


def test_a_run_that_is_not_over_stays(home: Path) -> None:
    with instance_of(home) as instance:
        first = run_of(instance, "nightly")
        run_of(instance, "nightly")
        with sqlite3.connect(dagster_home(home) / "history" / "runs.db") as connection:
            connection.execute("UPDATE runs SET status = 'STARTED' WHERE run_id = ?", [first])
        assert first not in forget_runs(instance, home, keep=1)
        assert first in runs_of(instance)


def test_what_killed_runs_left_is_removed_once_it_is_old(home: Path) -> None:
    left = [home / "spill" / "draft-x" / "items.parquet", home / "artifacts" / "clip_model" / ".draft-y" / "model"]
    left += [home / "exports" / ".homepage.parquet.tmp", home / "stores" / "crops" / ".0001.parquet.tmp"]
    kept = [home / "exports" / "homepage.parquet", home / "artifacts" / "clip_model" / "v1" / "model"]
    for path in (*left, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("bytes")

    assert sweep(home) == [], "a run may still be writing them"
    old = time.time() - LEFT_BEHIND_S - 60
    for path in (*left, *kept):
        os.utime(path, (old, old))
        os.utime(path.parent, (old, old))
    young = home / "spill" / "draft-z"
    young.mkdir()
    os.utime(home / "spill", (old, old))
    (young / "new.parquet").write_text("bytes")
    os.utime(young, (old, old))

    removed = sweep(home)

    assert len(removed) == 4
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    assert young.exists(), "its newest file counts, not the folder"


def test_tidying_never_fails_a_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path) -> list[Path]:
        raise OSError("disk trouble")

    monkeypatch.setattr("fashionrec_assets.resources.retention.sweep", broken)
    with instance_of(home) as instance:
        tidy(instance, home, keep_runs=3)
