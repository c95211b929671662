from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from fashionrec_assets.resources.dagster_home import FILES, dagster_home
from fashionrec_assets.resources.runs import instance_of

FIRST_EVER = "telemetry:\n  enabled: false\n"
BEFORE = FIRST_EVER + "nux:\n  enabled: false\n"


@dg.asset
def nothing() -> None: ...


def test_terminal_and_daemon_share_a_history_and_the_daemon_is_careful(tmp_path: Path) -> None:
    with instance_of(tmp_path) as terminal:
        run = terminal.create_run_for_job(dg.Definitions(assets=[nothing]).resolve_implicit_global_asset_job_def())
        assert not terminal.telemetry_enabled
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster"), "dagster.yaml") as daemon:
        assert [one.run_id for one in daemon.get_runs()] == [run.run_id]
        limits = daemon.get_concurrency_config().run_queue_config
        assert limits is not None and limits.max_concurrent_runs == 1
        assert daemon.run_monitoring_enabled and daemon.run_monitoring_max_runtime_seconds == 72_000
        assert daemon.run_retries_enabled and not daemon.run_retries_retry_on_asset_or_op_failure
        assert not daemon.telemetry_enabled


@pytest.mark.parametrize("before", [FIRST_EVER, BEFORE])
def test_an_unedited_file_of_an_older_version_is_brought_up_to_date(tmp_path: Path, before: str) -> None:
    path = dagster_home(tmp_path) / "dagster.yaml"
    wanted = path.read_text("utf-8")
    path.write_text(before, "utf-8")
    dagster_home(tmp_path)
    assert path.read_text("utf-8") == wanted


def test_so_is_the_file_of_this_version_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dagster_home(tmp_path) / "dagster.yaml"
    monkeypatch.setitem(FILES, "dagster.yaml", BEFORE)
    dagster_home(tmp_path)
    assert path.read_text("utf-8").endswith(f"\n{BEFORE}") and "concurrency" not in path.read_text("utf-8")


def test_an_edited_file_is_left_alone(tmp_path: Path) -> None:
    path = dagster_home(tmp_path) / "dagster.yaml"
    edited = path.read_text("utf-8").replace("max_concurrent_runs: 1", "max_concurrent_runs: 3")
    path.write_text(edited, "utf-8")
    dagster_home(tmp_path)
    assert path.read_text("utf-8") == edited
