"""Commands that run jobs: `run`, `ui`.

Belongs here: which job, and the summary that is printed. Does not belong here: running jobs (`resources/runs.py`), and
the gate (`gate.py`).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from fashionrec_assets.cli.app import HomeOption, alone, app, console, fail, settings_of
from fashionrec_assets.cli.live import LiveView
from fashionrec_assets.gate import unexpected_work
from fashionrec_assets.resources.lease import owner_of
from fashionrec_assets.settings import Settings
from fashionrec_assets.summary import StepError, Summary, versions


@app.command()
def run(
    select: Annotated[str | None, typer.Option("--select", help="Asset selection, e.g. 'image_embeddings+'.")] = None,
    preset: Annotated[str | None, typer.Option(help="demo (offline), quick (offline, less of it) or standard.")] = None,
    source: Annotated[str | None, typer.Option(help="taobao, hm, or your own as module:Class.")] = None,
    raw: Annotated[Path | None, typer.Option(help="Folder of the raw files.")] = None,
    home: HomeOption = None,
    full: Annotated[bool, typer.Option("--full", help="Compute everything again.")] = False,
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", help="ASSET=COUNT: exit 1 if the run computed or deleted another number of units."),
    ] = None,
    expect_unchanged: Annotated[
        bool, typer.Option("--expect-unchanged", help="Exit 1 if the run computed or deleted anything.")
    ] = False,
) -> None:
    """Bring every asset up to date, computing only what is new or stale."""
    given = {"home": home, "preset": preset, "source": source, "raw": raw}
    wanted = _expected(expect or [], expect_unchanged)
    with alone(settings_of(**given), "fashionrec run"):
        # Again: the run that was waited for may have remembered other settings.
        settings = settings_of(**given)
        settings.remember(preset=preset, source=source, raw=raw.resolve() if raw else None)
        summary = run_to_summary(settings, "full_refresh" if full else "daily_refresh", select)
        summary.write(settings.home)
    _print_summary(summary, settings)
    surprises = unexpected_work(summary, wanted, nothing_else=expect_unchanged)
    for surprise in surprises:
        console.print(f"[red]unexpected:[/] {escape(surprise)}", soft_wrap=True)
    raise typer.Exit(0 if summary.success and not summary.checks.failed and not surprises else 1)


@app.command()
def ui(
    home: HomeOption = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Open the Dagster UI on this home's instance, on the loopback interface."""
    from fashionrec_assets.resources.dagster_home import dagster_home

    settings = settings_of(home=home)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(dagster_home(settings.home)),
        "FASHIONREC_HOME": str(settings.home.resolve()),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-m", "dagster", "dev", "-m", "fashionrec_assets.definitions", "-a", "defs"]
    console.print(f"Dagster UI on [bold]http://127.0.0.1:{port}[/] (Ctrl-C stops it)")
    at_work = owner_of(settings.home)
    if at_work is not None:
        console.print(f"{escape(at_work.told())} is at work; runs started in the UI will wait for it.", soft_wrap=True)
    raise typer.Exit(subprocess.call([*command, "-h", "127.0.0.1", "-p", str(port)], env=environment))


def _expected(given: list[str], unchanged: bool) -> dict[str, int]:
    """The counts of `--expect`, by asset."""
    wanted: dict[str, int] = {}
    for word in given:
        name, _, count = word.partition("=")
        if not name or not count.isdecimal():
            fail(f"--expect {word!r} is not ASSET=COUNT, such as clarified_descriptions=1")
        wanted[name] = int(count)
    if wanted and unchanged:
        fail("--expect and --expect-unchanged contradict each other: use one of them")
    return wanted


def run_to_summary(settings: Settings, job: str, select: str | None) -> Summary:
    """Run `job` with the live view, and say what it did; the errors of its steps are printed."""
    from fashionrec_assets.definitions import build_definitions
    from fashionrec_assets.evaluation.published import published_figures, published_reports
    from fashionrec_assets.resources.notifications import notice_of_result, tell
    from fashionrec_assets.resources.retention import tidy
    from fashionrec_assets.resources.runs import CHECKS_ONLY, instance_of, run_job

    started, clock = datetime.now(UTC), time.monotonic()
    with alone(settings, job), LiveView() as view, instance_of(settings.home) as instance:
        definitions = build_definitions(settings, view)
        if job != CHECKS_ONLY:
            run_job(definitions, instance, "observe_raw")
        try:
            result = run_job(definitions, instance, job, select)
        except ValueError as error:
            fail(str(error))
        tidy(instance, settings.home, settings.storage.keep_runs)
    for step, message in result.errors:
        console.print(f"[red]{escape(step)} failed:[/] {escape(message)}")
    if job != CHECKS_ONLY and settings.automation.notify != "log":
        tell(notice_of_result(job, result, settings.home), settings)
    return Summary(
        success=result.success,
        job=job,
        run_id=result.run_id,
        started=started.isoformat(timespec="seconds"),
        home=str(settings.home),
        source=settings.source,
        preset=settings.preset,
        seconds=round(time.monotonic() - clock, 3),
        peak_memory_mb=round(_peak_memory_mb(), 1),
        assets=result.assets,
        checks=result.checks,
        errors=[StepError(step=step, message=message) for step, message in result.errors],
        versions=versions(),
        figures=published_figures(settings.home / "reports"),
        reports={name: str(path) for name, path in published_reports(settings.home / "reports").items()},
    )


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _print_summary(summary: Summary, settings: Settings) -> None:
    table = Table(title="What was made", title_justify="left")
    for heading in ("asset", "unit", "new", "stale", "orphaned", "reused", "seconds"):
        table.add_column(heading, justify="left" if heading in ("asset", "unit") else "right")
    for name, asset in summary.assets.items():
        counts = (asset.new, asset.stale, asset.orphaned, asset.reused)
        table.add_row(name, asset.unit, *(f"{count:,}" for count in counts), f"{asset.seconds:.1f}")
    console.print(table)
    if methods := summary.ranking():
        figures = Table(title="Ranking on the held-out days", title_justify="left")
        for heading in ("method", "NDCG@20", "95 % interval", "Recall@20", "cold-item Recall@20"):
            figures.add_column(heading, justify="left" if heading == "method" else "right")
        for row in methods:
            cold = "-" if row.cold_recall is None else f"{row.cold_recall:.4f}"
            figures.add_row(row.method, f"{row.ndcg:.4f}", f"{row.low:.4f} - {row.high:.4f}", f"{row.recall:.4f}", cold)
        console.print(figures)
    checks = summary.checks
    for name in checks.failed:
        console.print(f"[red]check failed:[/] {escape(name)}")
    if checks.missing:
        console.print(f"[red]{len(checks.missing)} checks did not run:[/] {escape(', '.join(checks.missing))}")
    for name in checks.warned:
        console.print(f"[yellow]check warned:[/] {escape(name)}")
    for name, path in summary.reports.items():
        console.print(f"{name} report: [bold]{escape(path)}[/]", soft_wrap=True)
    home = escape(str(settings.home))
    console.print(
        f"{'Done' if summary.success else '[red]Failed[/]'} in {summary.seconds:.0f} s, peak memory "
        f"{summary.peak_memory_mb:,.0f} MiB, {checks.passed} checks passed. Summary: [bold]{home}/summary.json[/]\n"
        f"Open the Dagster UI with [bold]fashionrec ui --home {home}[/] (or `make ui`).",
        soft_wrap=True,
    )
