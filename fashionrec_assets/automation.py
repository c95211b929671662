"""Jobs, and what starts them: schedules, sensors, the conditions and the freshness of assets.

Belongs here: what runs together and when. Does not belong here: what a run does (the assets), and what the sensors
look at: raw files (`catalog/drop_folder.py`), other runs (`resources/run_queue.py`), words for people
(`resources/notifications.py`).

One setting, `automation.enabled`, says whether all of it runs or none; the UI can start and stop each part by hand.
The parts do not get in each other's way: runs go one at a time (`dagster.yaml`, and the lease of the home), and an
asset that a queued run will make counts as in progress for the conditions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import dagster as dg

from fashionrec_assets.catalog.drop_folder import Memory, decide, look_at, still_arriving
from fashionrec_assets.catalog.sources.base import open_source
from fashionrec_assets.resources.notifications import notice_of_log, tell
from fashionrec_assets.resources.retention import tidy
from fashionrec_assets.resources.run_queue import lost_runs, run_in_the_way
from fashionrec_assets.settings import AutomationSettings, Settings

REBUILD_TAG = "fashionrec/rebuild"
"""A run with this tag set to `true` counts everything as stale and retrains every model."""
RETRAIN_TAG = "fashionrec/retrain"
"""A run with this tag set to `true` counts models as stale, and trains them from the beginning; the rest is reused."""

_EVERYTHING = dg.AssetSelection.all()
_RAW = dg.AssetSelection.groups("raw")

observe_raw = dg.define_asset_job(
    "observe_raw",
    selection=dg.AssetSelection.assets("raw_items", "raw_events", "raw_users", "raw_feedback", "raw_images"),
    description="Look at the raw files: their digest becomes the data version of the raw sources.",
)
daily_refresh = dg.define_asset_job(
    "daily_refresh",
    selection=_EVERYTHING,
    description="Bring every asset up to date, computing only what is new or stale, and run every check.",
)
weekly_retrain = dg.define_asset_job(
    "weekly_retrain",
    selection=_EVERYTHING,
    tags={RETRAIN_TAG: "true"},
    description="The daily refresh, with every model trained from the beginning: a model that was only ever trained on "
    "from its predecessor drifts. One that comes out the same changes nothing that follows from it.",
)
full_refresh = dg.define_asset_job(
    "full_refresh",
    selection=_EVERYTHING,
    tags={REBUILD_TAG: "true"},
    description="Compute everything again, reusing nothing, and run every check.",
)
ablation_study = dg.define_asset_job(
    "ablation_study",
    selection=dg.AssetSelection.assets("ranking_ablations", "ncf_ablations"),
    description="Train the reduced models of both studies, of the two-tower and of the NCF model, on what is already "
    "made, and run their checks.",
)
checks_only = dg.define_asset_job(
    "checks_only",
    selection=dg.AssetSelection.all_asset_checks(),
    description="Run every check on what is there, computing nothing.",
)

JOBS = [observe_raw, daily_refresh, weekly_retrain, full_refresh, ablation_study, checks_only]

_WEEKLY_ENDING = "_ablations"
_MUST_BE_FRESH = ("faiss_index", "homepage", "similar_items", "lookbook")
_REPORT_ENDING = "_report"


def keep_up(settings: AutomationSettings) -> dg.AutomationCondition:
    """Make an asset when its inputs or its code are new, once; what each part keeps from happening:

    - `news` reacts to data versions, not to materializations: a parent that was made again and came out the same
      starts nothing. What follows from a requested asset is requested with it, in one run, in order: else the tip of a
      diamond would run once for each of its sides.
    - `.since(handled)` latches: news that comes while the asset may not run is kept until it may, and is forgotten once
      it was requested, made or failed, so that nothing is requested twice for one reason.
    - A failure counts as handled: it comes back with the next news, or at the next `retry_cron`, never tick after tick.
    - Parents that are missing, at work or queued: an asset would read half of what it needs, or fail for want of it.
    - A parent whose blocking check failed: bad data would spread at night what the check stopped by day.
    - New raw files are none of it: an observation does not know whether a file is whole. `raw_files` does.

    A change of a parent in a second run within the same tick as the asset's own is seen by the nightly refresh only.
    """
    return (_news() | _another_try(settings)) & _may_run()


def keep_up_weekly(settings: AutomationSettings) -> dg.AutomationCondition:
    """As `keep_up`, but only at `weekly_cron`: for studies that train many reduced models and that nobody is served by.

    A study is not requested with its parents. A failed one waits for the next week. The daily refresh and the weekly
    retraining make it too, where the model it is about is another one.
    """
    due = dg.AutomationCondition.cron_tick_passed(settings.weekly_cron, settings.timezone)
    news = _changed().since(_handled()).with_label("news_since_handled")
    return (news & due).since(_handled()).with_label("news_of_the_week") & _may_run()


def policy_of(key: dg.AssetKey, settings: AutomationSettings) -> dg.AutomationCondition:
    """The condition of an asset, by its name."""
    weekly = key.to_user_string().endswith(_WEEKLY_ENDING)
    return keep_up_weekly(settings) if weekly else keep_up(settings)


def freshness_of(key: dg.AssetKey, settings: AutomationSettings) -> dg.FreshnessPolicy | None:
    """How old an asset may get that people look at: the index, the pages and the reports; None for the others.

    Age is the time since a run looked at it and found it up to date, so quiet data never counts as stale.
    """
    name = key.to_user_string()
    if name not in _MUST_BE_FRESH and not name.endswith(_REPORT_ENDING):
        return None
    return dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=settings.fresh_fail_hours), warn_window=timedelta(hours=settings.fresh_warn_hours)
    )


def automated(assets: Iterable[Any], settings: AutomationSettings) -> list[Any]:
    """The assets, each with its condition and its freshness; raw sources are left as they are."""

    def with_policies(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(
            automation_condition=policy_of(spec.key, settings), freshness_policy=freshness_of(spec.key, settings)
        )

    return [
        next(iter(dg.map_asset_specs(with_policies, [asset]))) if isinstance(asset, dg.AssetsDefinition) else asset
        for asset in assets
    ]


def _changed() -> dg.AutomationCondition:
    of = dg.AutomationCondition
    new_data = of.any_deps_match(of.data_version_changed()).ignore(_RAW)
    return new_data | of.code_version_changed() | of.newly_missing()


def _failed_now() -> dg.AutomationCondition:
    return dg.AutomationCondition.execution_failed().newly_true()


def _handled() -> dg.AutomationCondition:
    of = dg.AutomationCondition
    return of.newly_requested() | of.newly_updated() | _failed_now()


def _news() -> dg.AutomationCondition:
    of = dg.AutomationCondition
    follows = of.any_deps_match(of.will_be_requested())
    return (_changed() | follows).since(_handled()).with_label("news_since_handled")


def _another_try(settings: AutomationSettings) -> dg.AutomationCondition:
    of = dg.AutomationCondition
    due = of.cron_tick_passed(settings.retry_cron, settings.timezone).since(_handled())
    return (_failed_now().since(of.newly_updated()) & due).with_label("another_try_after_a_failure")


def _may_run() -> dg.AutomationCondition:
    of = dg.AutomationCondition
    return (
        ~of.any_deps_missing() & ~of.any_deps_in_progress() & ~of.in_progress() & of.all_deps_blocking_checks_passed()
    ).with_label("may_run")


def schedules_of(settings: Settings) -> list[dg.ScheduleDefinition]:
    """`nightly` and `weekly`."""
    chosen = settings.automation
    status = dg.DefaultScheduleStatus.RUNNING if chosen.enabled else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name="nightly",
        job=daily_refresh,
        cron_schedule=chosen.nightly_cron,
        execution_timezone=chosen.timezone,
        default_status=status,
        description="The daily refresh. Skipped, with the reason, while another run of the home is queued or at work, "
        "or while raw files are still arriving, which would be read half.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        other = run_in_the_way(context.instance, settings.home)
        if other is not None:
            return dg.SkipReason(f"another run of this home goes first: {other}")
        look = look_at(open_source(settings.source, settings.raw))
        arriving = still_arriving(look, time.time(), chosen.stable_seconds)
        if arriving is not None:
            return dg.SkipReason(f"raw files are still arriving: {arriving}")
        tidy(context.instance, settings.home, settings.storage.keep_runs)
        return dg.RunRequest()

    weekly = dg.ScheduleDefinition(
        name="weekly",
        job=weekly_retrain,
        cron_schedule=chosen.weekly_cron,
        execution_timezone=chosen.timezone,
        default_status=status,
        description="The weekly retraining. It waits for a run that is at work rather than lose its week.",
    )
    return [nightly, weekly]


def sensors_of(settings: Settings) -> list[dg.SensorDefinition]:
    """What looks around all day: conditions of assets, raw files, lost runs, and runs someone should hear of."""
    chosen = settings.automation
    status = dg.DefaultSensorStatus.RUNNING if chosen.enabled else dg.DefaultSensorStatus.STOPPED

    conditions = dg.AutomationConditionSensorDefinition(
        "asset_conditions",
        target=_EVERYTHING,
        default_status=status,
        minimum_interval_seconds=chosen.evaluate_s,
        description="Requests the assets whose condition holds.",
    )

    @dg.sensor(
        name="raw_files",
        jobs=[observe_raw, daily_refresh],
        default_status=status,
        minimum_interval_seconds=max(5, min(30, int(chosen.stable_seconds))),
        description="Asks for a daily refresh, once, when something new has arrived in the raw folder and keeps still.",
    )
    def raw_files(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        look = look_at(open_source(settings.source, settings.raw))
        decision = decide(look, Memory.of(context.cursor), time.time(), chosen.stable_seconds)
        cursor = decision.memory.model_dump_json()
        if decision.run_key is None:
            return dg.SensorResult(skip_reason=decision.reason, cursor=cursor)
        # Observed first: else the UI would show as out of date what the refresh has just read.
        jobs = (observe_raw.name, daily_refresh.name)
        requests = [dg.RunRequest(run_key=f"{job}-{decision.run_key}", job_name=job) for job in jobs]
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    @dg.sensor(
        name="lost_runs",
        default_status=status,
        minimum_interval_seconds=120,
        description="Ends runs whose process is gone, as after a power cut, so that the next one can start. Such a run "
        "is started again (run_retries in dagster.yaml).",
    )
    def end_lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        lost = lost_runs(context.instance, settings.home, chosen.lost_after_minutes)
        for run in lost:
            context.instance.report_run_failed(run, "Its process is gone: no process works in the home.")
        return dg.SkipReason(f"ended: {', '.join(run.run_id for run in lost)}" if lost else "no run is lost")

    @dg.run_failure_sensor(
        name="tell_of_failures", default_status=status, description="Tells of failed runs (automation.notify)."
    )
    def tell_of_failures(context: dg.RunFailureSensorContext) -> None:
        tell(notice_of_log(context.instance, context.dagster_run, settings.home), settings)

    @dg.run_status_sensor(
        name="tell_of_failed_checks",
        run_status=dg.DagsterRunStatus.SUCCESS,
        default_status=status,
        description="Tells of ERROR checks that failed in a run that went through (automation.notify).",
    )
    def tell_of_failed_checks(context: dg.RunStatusSensorContext) -> None:
        tell(notice_of_log(context.instance, context.dagster_run, settings.home), settings)

    return [conditions, raw_files, end_lost_runs, tell_of_failures, tell_of_failed_checks]
