"""Running the jobs in this process, on the instance the UI shows.

Belongs here: opening the instance of a home, starting a job, and turning its events into plain results. Does not
belong here: jobs (`automation.py`), the instance's files (`dagster_home.py`) and printing (`cli/`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from fashionrec_assets.resources.dagster_home import dagster_home
from fashionrec_assets.resources.redaction import redacted
from fashionrec_assets.summary import AssetSummary, CheckOutcome, CheckSummary

CHECKS_ONLY = "checks_only"
"""The job that computes nothing."""

_PLAIN = (dg.BoolMetadataValue, dg.IntMetadataValue, dg.FloatMetadataValue, dg.TextMetadataValue)
_WRAPPERS = ("Dagster", "RetryRequested")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunResult:
    """What a job did: `errors` are (step, message) of the steps that failed, in order."""

    success: bool
    run_id: str
    assets: dict[str, AssetSummary] = field(default_factory=dict)
    checks: CheckSummary = field(default_factory=CheckSummary)
    errors: tuple[tuple[str, str], ...] = ()


@contextmanager
def instance_of(home: Path) -> Generator[dg.DagsterInstance]:
    """The instance of `home`: the one `fashionrec ui` opens."""
    folder = dagster_home(home)
    os.environ["DAGSTER_HOME"] = str(folder)
    with dg.DagsterInstance.from_config(str(folder), "terminal.yaml") as instance:
        yield instance


def run_job(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, select: str | None = None
) -> RunResult:
    """Run `job` in this process; `select` narrows it by Dagster's selection syntax (`image_embeddings+`).

    Raises ValueError if the selection names nothing.
    """
    definition = definitions.resolve_job_def(job)
    chosen = None if select is None else _chosen(definitions, select)
    expected = {
        key
        for key in definitions.resolve_asset_graph().asset_check_keys
        if chosen is None or key.asset_key in set(chosen)
    }
    if chosen is not None and job == CHECKS_ONLY:
        if not expected:
            raise ValueError(f"--select {select!r} names no asset that has a check")
        definition, chosen = definition.get_subset(asset_check_selection=expected), None
    result = definition.execute_in_process(
        instance=instance, run_config=_QUIET, asset_selection=chosen, raise_on_error=False
    )
    return RunResult(
        success=result.success,
        run_id=result.run_id,
        assets=_assets(result),
        checks=_checks(result, set() if job == "observe_raw" else expected),
        errors=tuple(_errors(result)),
    )


def _chosen(definitions: dg.Definitions, select: str) -> Sequence[dg.AssetKey]:
    graph = definitions.resolve_asset_graph()
    try:
        selection = dg.AssetSelection.from_string(select)
    except dg.DagsterError as error:
        raise ValueError(
            f"--select {select!r} is not a selection: name assets with `key:`, such as "
            "'key:clip_model or key:clip_arms', and what follows from them with `+`"
        ) from error
    keys = selection.resolve(graph, allow_missing=True) & graph.materializable_asset_keys
    if not keys:
        raise ValueError(f"--select {select!r} names no asset; known are {', '.join(asset_names(definitions))}")
    return sorted(keys)


def asset_names(definitions: dg.Definitions) -> list[str]:
    """The assets that can be materialized, upstream first."""
    graph = definitions.resolve_asset_graph()
    return [key.to_user_string() for key in graph.toposorted_asset_keys if key in graph.materializable_asset_keys]


def _assets(result: dg.ExecuteInProcessResult) -> dict[str, AssetSummary]:
    found: dict[str, AssetSummary] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        values = {name: value.value for name, value in materialization.metadata.items()}
        found[materialization.asset_key.to_user_string()] = AssetSummary.model_validate(
            {name: values[name] for name in AssetSummary.model_fields}
        )
    return found


def _checks(result: dg.ExecuteInProcessResult, expected: set[dg.AssetCheckKey]) -> CheckSummary:
    found: dict[dg.AssetCheckKey, CheckOutcome] = {}
    seconds = _seconds_of_checks(result)
    for evaluation in result.get_asset_check_evaluations():
        failed = "failed" if evaluation.severity == dg.AssetCheckSeverity.ERROR else "warned"
        found[evaluation.asset_check_key] = CheckOutcome(
            asset=evaluation.asset_key.to_user_string(),
            check=evaluation.check_name,
            status="passed" if evaluation.passed else failed,
            blocking=bool(evaluation.blocking),
            seconds=seconds.get(evaluation.asset_check_key),
            description=evaluation.description or "",
            metadata=_measured(evaluation.metadata),
        )
    for key in expected - found.keys():
        found[key] = CheckOutcome(asset=key.asset_key.to_user_string(), check=key.name, status="missing")
    outcomes = sorted(found.values(), key=lambda outcome: outcome.name)
    return CheckSummary(
        passed=sum(outcome.status == "passed" for outcome in outcomes),
        failed=[f"{one.name} ({one.description})" for one in outcomes if one.status == "failed"],
        warned=[f"{one.name} ({one.description})" for one in outcomes if one.status == "warned"],
        missing=[one.name for one in outcomes if one.status == "missing"],
        results=outcomes,
    )


def _measured(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, bool | int | float | str]:
    """Numbers and words: no tables, pictures and paths, and no number that JSON does not have."""
    found: dict[str, bool | int | float | str] = {}
    for name, one in metadata.items():
        value = one.value if isinstance(one, _PLAIN) else None
        if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
            found[name] = value
    return found


def _seconds_of_checks(result: dg.ExecuteInProcessResult) -> dict[dg.AssetCheckKey, float]:
    """How long each check took that has a step of its own."""
    told: dict[str, list[dg.AssetCheckKey]] = {}
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION and event.step_key is not None:
            told.setdefault(event.step_key, []).append(event.asset_check_evaluation_data.asset_check_key)
    made = {event.step_key for event in result.get_asset_materialization_events()}
    return {
        keys[0]: round(event.step_success_data.duration_ms / 1000, 3)
        for event in result.all_events
        if event.is_step_success and len(keys := told.get(event.step_key or "", [])) == 1 and event.step_key not in made
    }


def _errors(result: dg.ExecuteInProcessResult) -> Generator[tuple[str, str]]:
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            yield event.step_key or "", message_of(event)


def message_of(failure: dg.DagsterEvent) -> str:
    """What the error of a failed step says, without secrets."""
    error = failure.step_failure_data.error
    if error is None:
        return ""
    # Dagster's own errors wrap the one that says what to do; that one's causes do not say it.
    while error.cause is not None and (error.cls_name or "").startswith(_WRAPPERS):
        error = error.cause
    return redacted(error.message.strip())
