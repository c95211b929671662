"""Commands that run jobs: `run`, `check`, `ui`.

Belongs here: which job, and the summary that is printed. Does not belong here: running jobs (`resources/runs.py`).
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

from fashionrec_assets.cli.app import HomeOption, app, console, fail, settings_of
from fashionrec_assets.cli.live import LiveView
from fashionrec_assets.settings import Settings
from fashionrec_assets.summary import Summary


@app.command()
def run(
    select: Annotated[str | None, typer.Option("--select", help="Asset selection, e.g. 'image_embeddings+'.")] = None,
    preset: Annotated[str | None, typer.Option(help="demo (offline), quick (offline, less of it) or standard.")] = None,
    source: Annotated[str | None, typer.Option(help="taobao, hm, or your own as module:Class.")] = None,
    raw: Annotated[Path | None, typer.Option(help="Folder of the raw files.")] = None,
    home: HomeOption = None,
    full: Annotated[bool, typer.Option("--full", help="Compute everything again.")] = False,
) -> None:
    """Bring every asset up to date, computing only what is new or stale."""
    settings = settings_of(home=home, preset=preset, source=source, raw=raw)
    settings.remember(preset=preset, source=source, raw=raw.resolve() if raw else None)
    summary = _run(settings, "full_refresh" if full else "daily_refresh", select)
    summary.write(settings.home)
    _print_summary(summary, settings)
    raise typer.Exit(0 if summary.success and not summary.checks.failed else 1)


@app.command()
def check(home: HomeOption = None) -> None:
    """Run every asset check as a gate: exit 1 on a failed ERROR check, a check that did not run, or a failed run."""
    settings = settings_of(home=home)
    if not (settings.home / "warehouse.duckdb").exists():
        fail(f"There is nothing to check in {settings.home}: run `fashionrec run` first.")
    summary = _run(settings, "checks_only", None)
    checks = summary.checks
    for label, colour, names in (
        ("failed", "red", checks.failed),
        ("did not run", "red", checks.missing),
        ("warned", "yellow", checks.warned),
    ):
        for name in names:
            console.print(f"[{colour}]{label}[/]  {escape(name)}")
    passed = summary.success and not checks.failed and not checks.missing
    console.print(
        f"[{'green' if passed else 'red'}]{checks.passed} checks passed, {len(checks.failed)} failed, "
        f"{len(checks.warned)} warned, {len(checks.missing)} did not run.[/]"
    )
    raise typer.Exit(0 if passed else 1)


@app.command()
def ui(
    home: HomeOption = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Open the Dagster UI on this home's instance, on the loopback interface."""
    from fashionrec_assets.resources.runs import dagster_home

    settings = settings_of(home=home)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(dagster_home(settings.home)),
        "FASHIONREC_HOME": str(settings.home.resolve()),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-m", "dagster", "dev", "-m", "fashionrec_assets.definitions", "-a", "defs"]
    console.print(f"Dagster UI on [bold]http://127.0.0.1:{port}[/] (Ctrl-C stops it)")
    raise typer.Exit(subprocess.call([*command, "-h", "127.0.0.1", "-p", str(port)], env=environment))


def _run(settings: Settings, job: str, select: str | None) -> Summary:
    from fashionrec_assets.definitions import build_definitions
    from fashionrec_assets.evaluation.published import published_figures, published_reports
    from fashionrec_assets.resources.runs import instance_of, run_job

    started, clock = datetime.now(UTC), time.monotonic()
    with LiveView() as view, instance_of(settings.home) as instance:
        definitions = build_definitions(settings, view)
        if job != "checks_only":
            run_job(definitions, instance, "observe_raw")
        try:
            result = run_job(definitions, instance, job, select)
        except ValueError as error:
            fail(str(error))
    for step, message in result.errors:
        console.print(f"[red]{escape(step)} failed:[/] {escape(message)}")
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
    methods = sorted(
        (
            name.split(".")[1]
            for name in summary.figures
            if name.startswith("ranking.") and name.count(".") == 2 and name.endswith(".ndcg@20")
        ),
        key=lambda method: -summary.figures[f"ranking.{method}.ndcg@20"],
    )
    if methods:
        figures = Table(title="Ranking on the held-out days", title_justify="left")
        for heading in ("method", "NDCG@20", "95 % interval", "Recall@20", "cold-item Recall@20"):
            figures.add_column(heading, justify="left" if heading == "method" else "right")
        for method in methods:
            key = f"ranking.{method}"
            value = summary.figures.get
            interval = f"{value(f'{key}.ndcg@20.low', 0):.4f} - {value(f'{key}.ndcg@20.high', 0):.4f}"
            cold = value(f"{key}.cold.recall@20")
            figures.add_row(
                method,
                f"{value(f'{key}.ndcg@20', 0):.4f}",
                interval,
                f"{value(f'{key}.recall@20', 0):.4f}",
                "-" if cold is None else f"{cold:.4f}",
            )
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
