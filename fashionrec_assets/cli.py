"""`fashionrec`: the same Dagster jobs, on the same instance the UI shows, from a terminal.

Belongs here: commands, the live view and the summary they print. Does not belong here: running jobs
(`resources/runs.py`), answers (`recommendations/`), or anything the UI could not do as well.
"""

from __future__ import annotations

import html
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from fashionrec_assets.settings import DEFAULT_RAW, Settings
from fashionrec_assets.storage.ledger import Counts
from fashionrec_assets.summary import Summary

app = typer.Typer(
    help="Multimodal fashion recommendations as Dagster assets.", no_args_is_help=True, pretty_exceptions_enable=False
)
console = Console()

HomeOption = Annotated[Path | None, typer.Option("--home", help="Where warehouse, artifacts and reports live.")]


def main() -> NoReturn:
    """Entry point of `fashionrec` and of `python -m fashionrec_assets`."""
    # Observable source assets are a beta API of Dagster; its users need not hear that on every command.
    warnings.filterwarnings("ignore", message=".*is currently in beta")
    code: object = 0
    try:
        app()
    except SystemExit as stop:
        code = stop.code
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is committed and closed by now. Leaving without the interpreter's clean-up keeps DuckDB's bindings
    # from printing pages about the order in which torch and they are taken down.
    os._exit(code if isinstance(code, int) else 1 if code else 0)


@app.command()
def sample(
    out: Annotated[Path, typer.Option("--out", help="Folder for the raw files.")] = DEFAULT_RAW,
    items: Annotated[int, typer.Option(min=40)] = 1200,
    users: Annotated[int, typer.Option(min=20)] = 3000,
    events: Annotated[int, typer.Option(min=200)] = 120_000,
    seed: int = 17,
    force: Annotated[bool, typer.Option("--force", help="Write again over what is there.")] = False,
) -> None:
    """Write the sample shop: rendered photos, marketplace titles and a simulated behaviour log.

    A shop of the same size and seed that is already there is left as it is, with whatever you changed in it.
    """
    from fashionrec_assets.sample.shop import generate_shop, shop_is_current

    if not force and shop_is_current(out, items=items, users=users, events=events, seed=seed):
        console.print(f"The sample shop is already in [bold]{escape(str(out))}[/] (--force writes it again).")
        return
    with _LiveView() as view:
        started = time.monotonic()
        view.started("sample shop")
        made = generate_shop(
            out,
            items=items,
            users=users,
            events=events,
            seed=seed,
            progress=lambda done, total: view.advanced("sample shop", done, total),
        )
        view.finished("sample shop", Counts(new=made.items), "item", time.monotonic() - started)
    console.print(
        f"Sample shop in [bold]{escape(str(out))}[/]: "
        f"{made.items:,} items, {made.users:,} users, {made.events:,} events."
    )


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
    settings = _settings(home=home, preset=preset, source=source, raw=raw)
    settings.remember(preset=preset, source=source, raw=raw.resolve() if raw else None)
    summary = _run(settings, "full_refresh" if full else "daily_refresh", select)
    summary.write(settings.home)
    _print_summary(summary, settings)
    raise typer.Exit(0 if summary.success and not summary.checks.failed else 1)


@app.command()
def check(home: HomeOption = None) -> None:
    """Run every asset check as a gate: exit 1 on a failed ERROR check, a check that did not run, or a failed run."""
    settings = _settings(home=home)
    if not (settings.home / "warehouse.duckdb").exists():
        _fail(f"There is nothing to check in {settings.home}: run `fashionrec run` first.")
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

    settings = _settings(home=home)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(dagster_home(settings.home)),
        "FASHIONREC_HOME": str(settings.home.resolve()),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-m", "dagster", "dev", "-m", "fashionrec_assets.definitions", "-a", "defs"]
    console.print(f"Dagster UI on [bold]http://127.0.0.1:{port}[/] (Ctrl-C stops it)")
    raise typer.Exit(subprocess.call([*command, "-h", "127.0.0.1", "-p", str(port)], env=environment))


@app.command()
def recommend(
    user: str,
    home: HomeOption = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Items of each shelf at the most.")] = 10,
) -> None:
    """The homepage of USER, shelf by shelf, with an explanation of each row; an unknown user gets what is popular."""
    from fashionrec_assets.definitions import open_shop
    from fashionrec_assets.recommendations.serving import homepage_of

    settings = _settings(home=home)
    rows = _answer(lambda: homepage_of(open_shop(settings).warehouse, user, k))
    console.print(f"[bold]The page of {escape(user)}[/]")
    for title in dict.fromkeys(row["shelf_title"] for row in rows):
        on_shelf = [row for row in rows if row["shelf_title"] == title]
        _print_rows(title, on_shelf, ("rank", "item_id", "title", "price", "score", "explanation"))


@app.command()
def similar(
    item: str,
    home: HomeOption = None,
    k: Annotated[int, typer.Option("-k", min=1)] = 10,
    by: Annotated[Literal["both", "image", "text"], typer.Option(help="What is compared.")] = "both",
) -> None:
    """Items that look like ITEM, read like it, or both."""
    from fashionrec_assets.definitions import open_shop
    from fashionrec_assets.recommendations.serving import similar_to

    settings = _settings(home=home)
    rows = _answer(lambda: similar_to(open_shop(settings).warehouse, item, k, by))
    columns = ("rank", "item_id", "title", "price", "score", "image_similarity", "text_similarity")
    _print_rows(f"Similar to {item} by {by}", rows, columns)


@app.command()
def ask(
    query: Annotated[str | None, typer.Argument(help="What you look for; without it, a conversation begins.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Whose taste counts, and whose purchases do not.")] = None,
    home: HomeOption = None,
    k: Annotated[int | None, typer.Option("-k", min=1)] = None,
) -> None:
    """Items for what you say in your own words, each with the reason; follow-ups when no QUERY is given."""
    from fashionrec_assets.recommendations.assistant.printing import answer_lines
    from fashionrec_assets.recommendations.assistant.stylist import Stylist
    from fashionrec_assets.resources.shop import Shop
    from fashionrec_assets.schema import TABLES

    # Not by `definitions.open_shop`: an answer should not wait for every asset to be imported.
    talk = Stylist.of(Shop(_settings(home=home), TABLES)).conversation(user, k)
    try:
        if query is not None:
            lines = [query]
        else:
            console.print(
                'What are you looking for? Then, for example: "cheaper", "in blue instead", "like the second".'
            )
            lines = (line.strip() for line in sys.stdin)
        for line in lines:
            if line:
                for part in answer_lines(talk.ask(line)):
                    console.print(part, soft_wrap=True, highlight=False)
    except LookupError as error:
        _fail(str(error.args[0]))


@app.command()
def boxes(
    file: Annotated[Path, typer.Option("--boxes", help="CSV: image,label,x0,y0,x1,y1 and, if known, width,height.")],
    images: Annotated[Path, typer.Option("--images", help="Folder or uncompressed tar with the photos.")],
    min_area: Annotated[float, typer.Option(min=0, max=1, help="Leave out boxes under this share of the photo.")] = 0,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Draw examples, worst to best, to this PNG.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many photos, spread over the file.")] = None,
    home: HomeOption = None,
) -> None:
    """Measure the grounder in force against boxes that people drew: intersection over union by label."""
    from fashionrec_assets.crops.boxes import boxes_sheet, measure, read_boxes, summaries
    from fashionrec_assets.crops.grounding import make_grounder

    settings = _settings(home=home)
    try:
        known = read_boxes(file)
        grounder = make_grounder(settings.crops)
        started = time.monotonic()
        with Progress(*Progress.get_default_columns(), console=console, transient=True) as progress:
            task = progress.add_task("photos", total=None)
            measured = measure(
                known,
                images,
                grounder,
                settings.catalog,
                min_area=min_area,
                limit=limit,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        seconds = time.monotonic() - started
        if sheet is not None and measured.scores:
            sheet.parent.mkdir(parents=True, exist_ok=True)
            sheet.write_bytes(boxes_sheet(measured.scores, images, settings.catalog))
    except (ValueError, OSError) as error:
        _fail(str(error))
    problems = [*known.problems, *measured.problems]
    for problem in problems[:20]:
        console.print(f"[yellow]left out[/]  {escape(problem)}", soft_wrap=True)
    if len(problems) > 20:
        console.print(f"[yellow]left out[/]  and {len(problems) - 20:,} more")
    if not measured.scores:
        _fail(f"Nothing to measure: {len(problems):,} rows cannot be used, {measured.too_small:,} boxes are too small.")
    table = Table(title=f"Grounding by {grounder.name} {grounder.version}", title_justify="left")
    for heading in ("label", "boxes", "mean IoU", "IoU > 0.5", "whole image"):
        table.add_column(heading, justify="left" if heading == "label" else "right")
    for row in summaries(measured.scores):
        table.add_row(escape(row.label), f"{row.n:,}", f"{row.mean_iou:.3f}", f"{row.good:.1%}", f"{row.fallbacks:.1%}")
    console.print(table)
    console.print(
        f"{len(measured.scores):,} boxes in {seconds:.1f} s; left out: {len(problems):,} rows that cannot be used, "
        f"{measured.too_small:,} boxes under the least area."
    )
    if sheet is not None:
        console.print(f"Examples: [bold]{escape(str(sheet))}[/]", soft_wrap=True)


@app.command()
def doctor(home: HomeOption = None) -> None:
    """What is installed, which encoders and providers are in force, what is missing and how to get it."""
    from fashionrec_assets.doctor import findings

    table = Table(title="fashionrec doctor", title_justify="left")
    for heading in ("", "what", "in force", "what to do"):
        table.add_column(heading, overflow="fold")
    broken = False
    for finding in findings(_settings(home=home)):
        mark = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}[finding.state]
        broken |= finding.state == "missing"
        table.add_row(mark, escape(finding.what), escape(finding.found), escape(finding.remedy))
    console.print(table)
    raise typer.Exit(1 if broken else 0)


class _LiveView:
    """A row per asset while it runs, then its counts: the `Reporter` of the terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _LiveView:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, stage: str) -> None:
        self._tasks[stage] = self._progress.add_task(stage, total=None, note="")

    def advanced(self, stage: str, done: int, total: int) -> None:
        self._progress.update(self._tasks[stage], completed=done, total=total, note=f"{done:,}/{total:,}")

    def finished(self, stage: str, counts: Counts, unit: str, seconds: float) -> None:
        parts = [f"{value:,} {name}" for name, value in counts.as_dict().items() if value]
        self._progress.update(self._tasks[stage], completed=1, total=1, note=", ".join(parts) or "nothing to do")
        if not console.is_terminal:
            console.print(f"  {stage:<24} {', '.join(parts) or 'nothing to do'}  ({seconds:.1f} s)", highlight=False)

    def failed(self, stage: str) -> None:
        self._progress.update(self._tasks[stage], total=1, note="[red]failed[/]")
        if not console.is_terminal:
            console.print(f"  {stage:<24} failed")


def _settings(**given: Any) -> Settings:
    try:
        return Settings.load(**given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        _fail(f"A setting is wrong: {problems}")


def _fail(message: str) -> NoReturn:
    console.print(f"[red]{escape(message)}[/]")
    raise typer.Exit(2)


def _run(settings: Settings, job: str, select: str | None) -> Summary:
    from fashionrec_assets.definitions import build_definitions
    from fashionrec_assets.evaluation.published import published_figures, published_reports
    from fashionrec_assets.resources.runs import instance_of, run_job

    started, clock = datetime.now(UTC), time.monotonic()
    with _LiveView() as view, instance_of(settings.home) as instance:
        definitions = build_definitions(settings, view)
        if job != "checks_only":
            run_job(definitions, instance, "observe_raw")
        try:
            result = run_job(definitions, instance, job, select)
        except ValueError as error:
            _fail(str(error))
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


def _answer(ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return ask()
    except LookupError as error:
        _fail(str(error.args[0]))


def _print_rows(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    table = Table(title=escape(title), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # A title may hold entities, as it was exported.
        shown = {**row, "title": html.unescape(row.get("title") or "")}
        table.add_row(*(escape(_printed(shown.get(column))) for column in columns))
    console.print(table)


def _printed(value: object) -> str:
    """Probabilities are small: of a number below one, digits that mean something; of a price, the cents."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return "" if value is None else str(value)
