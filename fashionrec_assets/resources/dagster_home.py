"""The folder of a home's Dagster instance, and the two files that configure it.

Belongs here: those files. Does not belong here: running anything (`runs.py`).

`dagster.yaml` is what `fashionrec ui` and its daemon read, `terminal.yaml` what `fashionrec run` reads: the same
storages, but the steps' output stays in the terminal. A file that was edited by hand is left alone. An unedited one
is brought up to date: its first line has the digest of the rest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fashionrec_assets.storage.files import write_text

_QUIET = """\
telemetry:
  enabled: false
nux:
  enabled: false
"""
_DAEMON = """\

# One run at a time: a home has one warehouse and one set of models, and the second run would wait for the first anyway.
concurrency:
  runs:
    max_concurrent_runs: 1
  # A pool, if you give one to an asset of your own, holds back whole runs: the slot of a step would outlive a process
  # that was killed. Within a run, one model is trained at a time (`automation.max_concurrent` is for the rest).
  pools:
    granularity: run

# A run that never starts, never stops, or takes longer than a night and a day does not keep the next one waiting.
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  cancel_timeout_seconds: 300
  max_runtime_seconds: 72000
  poll_interval_seconds: 60

# Only for a worker that died: it goes on where it was, for everything finished is reused. An asset that failed is not
# helped by a second run; what may pass by itself is tried again inside the run (`automation.max_retries`).
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false

# The history of ticks, in days. Of runs, the newest `storage.keep_runs` stay, and those that made what is there now.
retention:
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days:
      skipped: 2
      started: 7
      success: 30
      failure: 30
  auto_materialize:
    purge_after_days:
      skipped: 2
      success: 30
      failure: 30
"""
_TERMINAL = """\

compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""
FILES = {"dagster.yaml": _QUIET + _DAEMON, "terminal.yaml": _QUIET + _TERMINAL}

_MARK = "# Written by fashionrec, and kept up to date unless you edit it: "
# What was written before files had a first line of this kind.
_UNMARKED = {before + more for before in (_QUIET, _QUIET[: _QUIET.index("nux")]) for more in ("", _TERMINAL.lstrip())}


def dagster_home(home: Path) -> Path:
    """The Dagster instance folder of `home`, created if absent, with its files as this version has them."""
    folder = (home / "dagster").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        path, wanted = folder / name, f"{_MARK}{_digest(text)}\n{text}"
        there = path.read_text("utf-8") if path.exists() else None
        if there is None or (there != wanted and _is_ours(there)):
            write_text(path, wanted)
    return folder


def _is_ours(text: str) -> bool:
    first, _, rest = text.partition("\n")
    return text in _UNMARKED or first == _MARK + _digest(rest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
