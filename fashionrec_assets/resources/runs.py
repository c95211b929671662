"""Running the jobs in this process, on the instance the UI shows.

Belongs here: the instance of a home folder, starting a job, and turning its events into plain results. Does not
belong here: jobs (`automation.py`) and printing (`cli.py`).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from fashionrec_assets.storage.files import write_text
from fashionrec_assets.summary import AssetSummary, CheckSummary

_QUIET_UI = """\
telemetry:
  enabled: false
nux:
  enabled: false
"""
_INSTANCE_CONFIGS = {
    "dagster.yaml": _QUIET_UI,
    # The same storages, but the steps' output stays in the terminal instead of going to log files.
    "terminal.yaml": _QUIET_UI
    + """\
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
""",
}

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunResult:
    """What a job did: `errors` are (step, message) of the steps that failed, in order."""

    success: bool
    run_id: str
    assets: dict[str, AssetSummary] = field(default_factory=dict)
    checks: CheckSummary = field(default_factory=CheckSummary)
    errors: tuple[tuple[str, str], ...] = ()


def dagster_home(home: Path) -> Path:
    """The Dagster instance folder of `home`, created if absent."""
    folder = (home / "dagster").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _INSTANCE_CONFIGS.items():
        if not (folder / name).exists():
            write_text(folder / name, text)
    return folder


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
    chosen: Sequence[dg.AssetKey] | None = None
    if select is not None:
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
        chosen = sorted(keys)
    result = definition.execute_in_process(
        instance=instance, run_config=_QUIET, asset_selection=chosen, raise_on_error=False
    )
    expected = {
        (key.asset_key.to_user_string(), key.name)
        for key in definitions.resolve_asset_graph().asset_check_keys
        if chosen is None or key.asset_key in set(chosen)
    }
    return RunResult(
        success=result.success,
        run_id=result.run_id,
        assets=_assets(result),
        checks=_checks(result, set() if job == "observe_raw" else expected),
        errors=tuple(_errors(result)),
    )


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


def _checks(result: dg.ExecuteInProcessResult, expected: set[tuple[str, str]]) -> CheckSummary:
    summary = CheckSummary()
    for evaluation in result.get_asset_check_evaluations():
        name = (evaluation.asset_key.to_user_string(), evaluation.check_name)
        expected.discard(name)
        label = ":".join(name)
        if evaluation.passed:
            summary.passed += 1
        elif evaluation.severity == dg.AssetCheckSeverity.ERROR:
            summary.failed.append(f"{label} ({evaluation.description})")
        else:
            summary.warned.append(f"{label} ({evaluation.description})")
    summary.missing.extend(sorted(":".join(name) for name in expected))
    return summary


def _errors(result: dg.ExecuteInProcessResult) -> Generator[tuple[str, str]]:
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            error = event.step_failure_data.error
            while error.cause is not None:
                error = error.cause
            yield event.step_key or "", error.message.strip()
