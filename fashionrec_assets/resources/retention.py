"""What is kept of past runs, so that a home that is refreshed every night stays as large as its shop.

Belongs here: forgetting old runs of the Dagster instance, and removing what killed runs left behind. Does not belong
here: versions of artifacts (each stage prunes its own) and releases (`promotion`).

A run's events lie in a file of its own and, as far as they are about assets, once more in the instance's index. Both
hold the pictures of its metadata: some megabytes a night.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import dagster as dg

from fashionrec_assets.resources.dagster_home import dagster_home
from fashionrec_assets.resources.history import forget_run

_log = logging.getLogger(__name__)

LEFT_BEHIND_S = 3_600.0
"""A draft that has not been written to for so many seconds belongs to no run that is still alive."""

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_WORTH_VACUUM = 0.5
_DRAFTS = ("exports", "cache", "stores", "artifacts", "reports", "releases", "work")


def tidy(instance: dg.DagsterInstance, home: Path, keep_runs: int) -> None:
    """Forget all but the newest runs of `home`, and remove what killed runs left behind. Call while none is at work.

    Nothing a run made depends on it: what goes wrong here is logged, and no error.
    """
    try:
        forget_runs(instance, home, keep_runs)
        sweep(home)
    except (OSError, sqlite3.Error, dg.DagsterError) as error:
        _log.warning("old runs of %s could not be cleared away: %s", home, error)


def forget_runs(instance: dg.DagsterInstance, home: Path, keep: int) -> list[str]:
    """Delete the ended runs of `instance` beyond the newest `keep`; their ids.

    A run stays, however old, while an asset has no newer materialization or observation, or a check no newer result
    than its: what the UI shows of every asset, and the data versions that staleness is told by, are never lost.
    """
    known = instance.get_run_records()
    old = [record.dagster_run for record in known[keep:]]
    ended = [run.run_id for run in old if run.status in _ENDED]
    if not ended:
        return []
    needed = _newest(instance) | set(_newest_checks(_index(home)))
    forgotten = [run_id for run_id in ended if run_id not in needed]
    for run_id in forgotten:
        forget_run(instance, dagster_home(home), run_id)
    if forgotten:
        _forget_checks(_index(home), {record.dagster_run.run_id for record in known} - set(forgotten))
    return forgotten


def sweep(home: Path) -> list[Path]:
    """Remove drafts and spilled data that no living run can be writing; what was removed.

    Call while no other run is at work in `home`, or expect only what is older than `LEFT_BEHIND_S` to go.
    """
    removed: list[Path] = []
    for path in _left_behind(home):
        if _newest_change(path) > time.time() - LEFT_BEHIND_S:
            continue
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed.append(path)
    return removed


def _left_behind(home: Path) -> Iterator[Path]:
    spill = home / "spill"
    yield from spill.iterdir() if spill.is_dir() else ()
    for name in _DRAFTS:
        # Listed before anything is removed: a folder must not change while it is walked.
        yield from list((home / name).rglob(".draft-*"))
        yield from list((home / name).rglob(".*.tmp"))


def _newest_change(path: Path) -> float:
    """When anything in `path` was last written to, in seconds since the epoch; 0 if it is gone."""
    newest = 0.0
    for one in [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]:
        with suppress(FileNotFoundError):
            newest = max(newest, one.lstat().st_mtime)
    return newest


def _newest(instance: dg.DagsterInstance) -> set[str]:
    """The runs of the newest materialization and of the newest observation of each asset."""
    found: set[str] = set()
    for key in instance.get_asset_keys():
        for fetch in (instance.fetch_materializations, instance.fetch_observations):
            found.update(record.run_id for record in fetch(key, limit=1).records)
    return found


def _index(home: Path) -> Path:
    return dagster_home(home) / "history" / "runs" / "index.db"


def _newest_checks(index: Path) -> Iterator[str]:
    """The runs of the newest result of each check."""
    # Dagster tells the newest result of a check only to those who know its name, and deletes results with no run.
    if not index.exists():
        return
    with closing(sqlite3.connect(index, timeout=30)) as connection:
        rows = connection.execute(
            "SELECT run_id FROM asset_check_executions "
            "WHERE id IN (SELECT max(id) FROM asset_check_executions GROUP BY asset_key, check_name)"
        )
        yield from [row[0] for row in rows if row[0]]


def _forget_checks(index: Path, runs: set[str]) -> None:
    """Delete the results of checks of all but `runs`; give the disk back what that and the runs' events free."""
    if not index.exists():
        return
    with closing(sqlite3.connect(index, timeout=30, isolation_level=None)) as connection:
        connection.execute("CREATE TEMP TABLE kept (run_id TEXT PRIMARY KEY)")
        connection.executemany("INSERT INTO kept VALUES (?)", [(run_id,) for run_id in sorted(runs)])
        connection.execute("DELETE FROM asset_check_executions WHERE run_id NOT IN (SELECT run_id FROM kept)")
        free, pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
        if free > _WORTH_VACUUM * pages:
            # A UI that reads at the moment is no reason to fail: the pages are used again, or freed the next time.
            with suppress(sqlite3.OperationalError):
                connection.execute("VACUUM")
