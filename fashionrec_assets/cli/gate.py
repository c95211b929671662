"""The command `check`: every asset check as a gate.

Belongs here: the exit code, and where the reports go. Does not belong here: running the checks (`running.py`) and the
texts of the reports (`fashionrec_assets/gate.py`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from fashionrec_assets.cli.app import HomeOption, app, console, fail, settings_of
from fashionrec_assets.cli.running import run_to_summary
from fashionrec_assets.gate import junit, markdown, passed, strict
from fashionrec_assets.storage.files import write_text
from fashionrec_assets.summary import CheckSummary, Summary


@app.command()
def check(
    home: HomeOption = None,
    select: Annotated[
        str | None, typer.Option("--select", help="Assets whose checks run, e.g. 'key:\"homepage\"+'; default all.")
    ] = None,
    strictly: Annotated[bool, typer.Option("--strict", help="A WARN check that does not hold fails, too.")] = False,
    junit_path: Annotated[
        Path | None, typer.Option("--junit", help="Write the results as JUnit XML to this file.")
    ] = None,
    markdown_paths: Annotated[
        list[str] | None,
        typer.Option(
            "--markdown",
            help="Write a Markdown summary to this file; may be given twice. `-` is the summary of the job in GitHub "
            "Actions (appended to $GITHUB_STEP_SUMMARY), and the terminal elsewhere.",
        ),
    ] = None,
) -> None:
    """Run every asset check as a gate: exit 1 on a failed ERROR check, a check that did not run, or a failed run."""
    from fashionrec_assets.resources.runs import CHECKS_ONLY

    settings = settings_of(home=home)
    if not (settings.home / "warehouse.duckdb").exists():
        fail(f"There is nothing to check in {settings.home}: run `fashionrec run` first.")
    last_run = Summary.read(settings.home)
    summary = run_to_summary(settings, CHECKS_ONLY, select)
    if strictly:
        summary = strict(summary)
    try:
        if junit_path is not None:
            write_text(junit_path, junit(summary))
        for path in markdown_paths or []:
            _publish(markdown(summary, last_run), path)
    except OSError as error:
        fail(f"A report cannot be written: {error}")
    _print(summary.checks, passed(summary))
    raise typer.Exit(0 if passed(summary) else 1)


def _publish(text: str, path: str) -> None:
    job_summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if path != "-":
        write_text(Path(path), text)
    elif job_summary:
        # Other commands of the same step have written to it, and go on to.
        with Path(job_summary).open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _print(checks: CheckSummary, opened: bool) -> None:
    for label, colour, names in (
        ("failed", "red", checks.failed),
        ("did not run", "red", checks.missing),
        ("warned", "yellow", checks.warned),
    ):
        for name in names:
            console.print(f"[{colour}]{label}[/]  {escape(name)}")
    console.print(
        f"[{'green' if opened else 'red'}]{checks.passed} checks passed, {len(checks.failed)} failed, "
        f"{len(checks.warned)} warned, {len(checks.missing)} did not run.[/]"
    )
