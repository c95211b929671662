"""Jobs and schedules.

Belongs here: what runs together and when. Does not belong here: what a run does (the assets).
"""

from __future__ import annotations

import dagster as dg

REBUILD_TAG = "fashionrec/rebuild"
"""A run with this tag set to `true` counts everything as stale and retrains every model."""

_EVERYTHING = dg.AssetSelection.all()

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

JOBS = [observe_raw, daily_refresh, full_refresh, ablation_study, checks_only]

SCHEDULES = [
    dg.ScheduleDefinition(
        name="nightly",
        job=daily_refresh,
        cron_schedule="15 3 * * *",
        execution_timezone="UTC",
        description="The daily refresh, at 03:15 UTC. Off until switched on in the UI.",
        default_status=dg.DefaultScheduleStatus.STOPPED,
    )
]
