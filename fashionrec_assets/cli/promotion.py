"""Commands about releases: `models` lists them, `promote` and `rollback` switch.

Belongs here: printing, and taking the lease. Does not belong here: the rules (`promotion/decision.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from fashionrec_assets.cli.app import HomeOption, alone, app, console, fail, settings_of

Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
_COLOURS = {"served": "green", "blocked": "red", "set aside": "yellow", "retained": "dim"}


@app.command()
def models(
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything known of each release as JSON.")] = False,
) -> None:
    """The releases that are kept: which one is served, which were blocked and why, and what each was measured at."""
    from fashionrec_assets.promotion.shown import release_rows
    from fashionrec_assets.storage.releases import Releases

    releases = Releases.of(settings_of(home=home).home)
    rows = release_rows(releases)
    if as_json:
        notes = {release.version: release for release in releases.all()}
        shown = [row | {"made_from": notes[row["version"]].made_from.model_dump(mode="json")} for row in rows]
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    if not rows:
        fail("No release has been made yet: run `fashionrec run` first.")
    table = Table(title="Releases", title_justify="left")
    for heading in ("version", "no.", "made", "state", "NDCG@20", "against the champion", "two-tower", "late fusion"):
        # A version is copied from here, and must not be broken.
        table.add_column(heading, overflow="fold", no_wrap=heading in ("version", "state"))
    for row in rows:
        colour = _COLOURS[row["state"]]
        cells = (row["version"], str(row["sequence"]), row["created"].removesuffix(" UTC"))
        figures = (_interval(row, "ndcg", "ndcg", ""), _interval(row, "compared_difference", "compared", "+"))
        ids = (row["two_tower_model"], row["late_fusion_model"])
        table.add_row(*map(escape, cells), f"[{colour}]{row['state']}[/]", *figures, *map(escape, ids))
    console.print(table)
    for row in rows:
        if row["state"] in ("blocked", "set aside") and row["why"]:
            console.print(f"[{_COLOURS[row['state']]}]{row['version']}[/] {escape(row['why'])}", soft_wrap=True)


@app.command()
def promote(version: str, home: HomeOption = None, reason: Reason = "") -> None:
    """Serve release VERSION from now on, whatever was decided about it."""
    from fashionrec_assets.promotion.decision import promote as serve

    def work(releases: Any) -> str:
        before = serve(releases, version, reason)
        return f"Release {version} is served now" + (f", {before} was before." if before else ".")

    _switch(home, "fashionrec promote", work)


@app.command()
def rollback(
    version: Annotated[str | None, typer.Argument(help="Without it, the release served before this one.")] = None,
    home: HomeOption = None,
    reason: Reason = "",
) -> None:
    """Serve an earlier release again; the one served until now is not promoted by itself any more."""
    from fashionrec_assets.promotion.decision import rollback as serve

    def work(releases: Any) -> str:
        left = releases.served()
        now = serve(releases, version, reason)
        return f"Release {now} is served again. {left} stays aside until `fashionrec promote {left}`."

    _switch(home, "fashionrec rollback", work)


def _switch(home: Path | None, what: str, work: Callable[[Any], str]) -> None:
    from fashionrec_assets.storage.releases import ReleaseError, Releases

    settings = settings_of(home=home)
    releases = Releases.of(settings.home)
    if not releases.root.is_dir():
        fail(f"There is no release in {settings.home} yet: run `fashionrec run` first.")
    try:
        with alone(settings, what):
            said = work(releases)
    except ReleaseError as error:
        fail(str(error.args[0]))
    console.print(said)


def _interval(row: dict[str, Any], value: str, bounds: str, sign: str) -> str:
    if row[value] is None:
        return "-"
    low, high = row[f"{bounds}_low"], row[f"{bounds}_high"]
    between = "" if low is None or high is None else f" ({low:{sign}.4f} to {high:{sign}.4f})"
    return f"{row[value]:{sign}.4f}{between}"
