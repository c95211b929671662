"""Taking runs out of Dagster's history.

Belongs here: forgetting a run, and those whose events or logs name somebody. Does not belong here: how long runs are
kept, and what assets say of themselves: their metadata names nobody.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg

_INDEX = "index"


class HistoryBusyError(RuntimeError):
    """Another process is writing Dagster's history."""


def forget_runs(instance: dg.DagsterInstance, folder: Path, names: Callable[[Path], bool]) -> int:
    """Delete the runs with a file that `names` somebody, and rewrite the databases without what was deleted.

    `folder` is that of the instance. Only runs of earlier versions of the project, and failures whose message quotes a
    raw file, can name anybody. Returns the number of runs. Raises HistoryBusyError if a database is in use.
    """
    events = folder / "history" / "runs"
    naming = {
        path.name.split(".db")[0]
        for path in sorted(events.glob("*.db*"))
        if not path.name.startswith(f"{_INDEX}.db") and names(path)
    }
    logs = folder / "storage"
    for path in sorted(logs.rglob("*")) if logs.is_dir() else ():
        if path.is_file() and names(path):
            naming.add(path.relative_to(logs).parts[0])
    for run in sorted(naming):
        forget_run(instance, folder, run)
    for path in sorted(folder.rglob("*.db")):
        if any(names(part) for part in path.parent.glob(f"{path.name}*")):
            _rewrite(path)
    return len(naming)


def forget_run(instance: dg.DagsterInstance, folder: Path, run_id: str) -> None:
    """Delete a run, and what `delete_run` empties or leaves: the file of its events, and the logs of its steps."""
    if instance.has_run(run_id):
        instance.delete_run(run_id)
    for path in (folder / "history" / "runs").glob(f"{run_id}.db*"):
        path.unlink(missing_ok=True)
    for place in (folder / "storage", folder / "logs"):
        shutil.rmtree(place / run_id, ignore_errors=True)


def _rewrite(database: Path) -> None:
    """Give the room of deleted rows back, so that their bytes are in the file no longer."""
    try:
        with closing(sqlite3.connect(database, timeout=30)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        raise HistoryBusyError(f"{database} is in use: stop `fashionrec ui` and erase again.") from error
