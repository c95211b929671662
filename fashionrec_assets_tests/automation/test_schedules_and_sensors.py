from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from fashionrec_assets import automation
from fashionrec_assets.automation import keep_up, keep_up_weekly, schedules_of, sensors_of
from fashionrec_assets.definitions import build_definitions
from fashionrec_assets.resources.lease import run_lease
from fashionrec_assets.resources.notifications import Notice
from fashionrec_assets.resources.runs import instance_of
from fashionrec_assets.settings import Settings

heard: list[Notice] = []


def listener(notice: Notice) -> None:
    heard.append(notice)


@dg.asset
def something() -> None: ...


@dg.asset_check(asset=something)
def promoted() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description="worse by 0.02")


LINEAGE = dg.Definitions(assets=[something], asset_checks=[promoted])


@pytest.fixture(scope="module")
def an_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    # On the disk: a schedule opens the instance for itself.
    with instance_of(tmp_path_factory.mktemp("home")) as instance:
        yield instance


@pytest.fixture
def instance(an_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    an_instance.wipe()
    return an_instance


@pytest.fixture
def shop(tmp_path: Path) -> Settings:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("catalog.csv", "UserBehavior.csv"):
        (raw / name).write_text("x", "utf-8")
        os.utime(raw / name, (1e9, 1e9))
    return Settings.load(raw=raw, home=tmp_path / "home", automation={"notify": f"{__name__}:listener"})


def run_of(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> dg.DagsterRun:
    run = instance.create_run_for_job(LINEAGE.resolve_implicit_global_asset_job_def(), status=status)
    instance.report_engine_event("at work", run)
    return run


def tick(settings: Settings, name: str, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    """What a schedule or a sensor says, evaluated once."""
    for schedule in schedules_of(settings):
        if schedule.name == name:
            return schedule.evaluate_tick(dg.build_schedule_context(instance=instance))
    sensor = next(one for one in sensors_of(settings) if one.name == name)
    definitions = build_definitions(settings)
    context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=definitions)
    return sensor.evaluate_tick(context)


@pytest.mark.parametrize("enabled", [False, True])
def test_one_setting_runs_everything_or_nothing(tmp_path: Path, enabled: bool) -> None:
    settings = Settings.load(home=tmp_path, automation={"enabled": enabled})
    statuses = {one.default_status.value for one in (*schedules_of(settings), *sensors_of(settings))}
    assert statuses == {"RUNNING" if enabled else "STOPPED"}


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for wrong in (
        {"timezone": "Mars/Olympus"},
        {"notify": "webhoook"},
        {"fresh_fail_hours": 1.0},
        {"stable_seconds": 0},
    ):
        with pytest.raises(ValidationError):
            Settings.load(home=tmp_path, automation=wrong)
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="nightly"):
        schedules_of(Settings.load(home=tmp_path, automation={"nightly_cron": "every night"}))


def test_every_asset_has_a_policy_and_what_people_look_at_must_be_fresh(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)
    graph = build_definitions(settings).resolve_asset_graph()
    weekly, fresh = set(), set()
    for key in graph.materializable_asset_keys:
        name, node = key.to_user_string(), graph.get(key)
        if node.automation_condition == keep_up_weekly(settings.automation):
            weekly.add(name)
        else:
            assert node.automation_condition == keep_up(settings.automation), name
        if node.freshness_policy_or_from_metadata is not None:
            fresh.add(name)
    assert weekly == {"ncf_ablations", "ranking_ablations"}
    assert {"faiss_index", "homepage", "ranking_report", "lookbook"} <= fresh
    assert fresh.isdisjoint({"items", "clip_model", "two_tower_model"})


def test_the_weekly_job_retrains_and_the_nightly_one_does_not() -> None:
    assert automation.weekly_retrain.tags == {automation.RETRAIN_TAG: "true"}
    assert not automation.daily_refresh.tags


def test_the_night_begins_when_nothing_is_in_the_way(shop: Settings, instance: dg.DagsterInstance) -> None:
    assert len(tick(shop, "nightly", instance).run_requests) == 1


def test_the_night_is_skipped_while_another_run_waits_for_its_turn(
    shop: Settings, instance: dg.DagsterInstance
) -> None:
    run = run_of(instance, dg.DagsterRunStatus.NOT_STARTED)
    said = tick(shop, "nightly", instance)
    assert not said.run_requests and run.run_id[:8] in said.skip_message
    instance.report_run_failed(run)
    assert len(tick(shop, "nightly", instance).run_requests) == 1


def test_the_night_is_skipped_while_a_command_changes_the_home(shop: Settings, instance: dg.DagsterInstance) -> None:
    with run_lease(shop.home, "fashionrec erase"):
        said = tick(shop, "nightly", instance)
    assert not said.run_requests and "fashionrec erase" in said.skip_message


def test_the_night_is_skipped_while_files_arrive(shop: Settings, instance: dg.DagsterInstance) -> None:
    (shop.raw / "catalog.csv.part").write_text("half", "utf-8")
    said = tick(shop, "nightly", instance)
    assert not said.run_requests and "catalog.csv.part" in said.skip_message


def test_the_week_waits_rather_than_being_skipped(shop: Settings, instance: dg.DagsterInstance) -> None:
    run_of(instance)
    assert len(tick(shop, "weekly", instance).run_requests) == 1


def test_new_raw_files_are_asked_for_once(
    shop: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [2e9]
    monkeypatch.setattr(automation.time, "time", lambda: clock[0])
    first = tick(shop, "raw_files", instance)
    assert not first.run_requests and "still arriving" in first.skip_message
    clock[0] += shop.automation.stable_seconds
    second = tick(shop, "raw_files", instance, first.cursor)
    assert [request.job_name for request in second.run_requests] == ["observe_raw", "daily_refresh"]
    assert len({request.run_key for request in second.run_requests}) == 2
    clock[0] += 9999
    third = tick(shop, "raw_files", instance, second.cursor)
    assert not third.run_requests and "nothing new" in third.skip_message
    (shop.raw / "UserBehavior.csv").unlink()
    gone = tick(shop, "raw_files", instance, third.cursor)
    assert not gone.run_requests and "UserBehavior.csv" in gone.skip_message


def test_a_run_whose_process_is_gone_is_ended_and_one_at_work_is_not(
    shop: Settings, instance: dg.DagsterInstance
) -> None:
    impatient = shop.model_copy(
        update={"automation": shop.automation.model_copy(update={"lost_after_minutes": 0.3 / 60})}
    )
    run = run_of(instance)
    with run_lease(shop.home, run.run_id):
        time.sleep(0.4)
        assert "no run is lost" in tick(impatient, "lost_runs", instance).skip_message
    assert "no run is lost" in tick(shop, "lost_runs", instance).skip_message
    assert run.run_id in tick(impatient, "lost_runs", instance).skip_message
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.is_failure


def test_failed_runs_and_failed_checks_are_told(shop: Settings, instance: dg.DagsterInstance) -> None:
    sensors: dict[str, Any] = {sensor.name: sensor for sensor in sensors_of(shop)}
    result = LINEAGE.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance)
    lost = run_of(instance)
    instance.report_run_failed(lost, "its process is gone")
    failed = instance.get_run_by_id(lost.run_id)
    assert failed is not None
    heard.clear()
    for name, run, kind in (
        ("tell_of_failed_checks", result.dagster_run, dg.DagsterEventType.RUN_SUCCESS),
        ("tell_of_failures", failed, dg.DagsterEventType.RUN_FAILURE),
    ):
        (entry,) = instance.all_logs(run.run_id, of_type=kind)
        assert entry.dagster_event is not None
        context = dg.build_run_status_sensor_context(
            sensor_name=name, dagster_event=entry.dagster_event, dagster_instance=instance, dagster_run=run
        )
        sensors[name](context.for_run_failure() if "failures" in name else context)
    of_checks, of_failure = heard
    assert of_checks.success and of_checks.failed_checks[0].message == "worse by 0.02"
    assert not of_failure.success and "its process is gone" in of_failure.failed_steps[0].message
