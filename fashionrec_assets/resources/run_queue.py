"""The runs of a home that have not ended: which one is in the way, and which one never will end.

Belongs here: reading that off the instance and the lease. Does not belong here: waiting (`lease.py`), starting runs
(`automation.py`, `runs.py`).
"""

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg

from fashionrec_assets.resources.lease import owner_of

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_AT_WORK = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def run_in_the_way(instance: dg.DagsterInstance, home: Path) -> str | None:
    """The run of this home that is queued or at work, or the command that changes it, in words; None: there is none."""
    owner = owner_of(home)
    if owner is not None:
        return owner.told()
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED), limit=1)
    return f"run {runs[0].run_id[:8]} of {runs[0].job_name} ({runs[0].status.value.lower()})" if runs else None


def lost_runs(
    instance: dg.DagsterInstance, home: Path, minutes: float, *, now: float | None = None
) -> list[dg.DagsterRun]:
    """Runs that count as at work though nothing works on them: no process holds the home, and no sign for `minutes`.

    A machine that went down, or a process that was killed, leaves such a run. Nothing else ends it, and as one run goes
    at a time, it would keep every later one waiting.
    """
    if owner_of(home) is not None:
        return []
    latest = (time.time() if now is None else now) - minutes * 60
    found = instance.get_runs(filters=dg.RunsFilter(statuses=_AT_WORK))
    return [run for run in found if _last_sign(instance, run) < latest]


def _last_sign(instance: dg.DagsterInstance, run: dg.DagsterRun) -> float:
    records = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return records[0].timestamp if records else 0.0
