"""Commands around a run: `sample` writes a shop, `boxes` measures the grounder, `doctor` looks at the installation.

Belongs here: those. Does not belong here: the sample shop, measuring, and looking themselves.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from fashionrec_assets.cli.app import HomeOption, app, console, fail, settings_of
from fashionrec_assets.cli.live import LiveView
from fashionrec_assets.settings import DEFAULT_RAW
from fashionrec_assets.storage.ledger import Counts


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
    with LiveView() as view:
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

    settings = settings_of(home=home)
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
        fail(str(error))
    problems = [*known.problems, *measured.problems]
    for problem in problems[:20]:
        console.print(f"[yellow]left out[/]  {escape(problem)}", soft_wrap=True)
    if len(problems) > 20:
        console.print(f"[yellow]left out[/]  and {len(problems) - 20:,} more")
    if not measured.scores:
        fail(f"Nothing to measure: {len(problems):,} rows cannot be used, {measured.too_small:,} boxes are too small.")
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
    for finding in findings(settings_of(home=home)):
        mark = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}[finding.state]
        broken |= finding.state == "missing"
        table.add_row(mark, escape(finding.what), escape(finding.found), escape(finding.remedy))
    console.print(table)
    raise typer.Exit(1 if broken else 0)
