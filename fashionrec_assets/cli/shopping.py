"""Commands that answer as an application would: `recommend`, `similar`, `ask`.

The first two read the served release; `ask` reads the lineage as it is, which may be newer.

Belongs here: printing answers. Does not belong here: finding them (`recommendations/`).
"""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from fashionrec_assets.cli.app import HomeOption, app, console, fail, settings_of
from fashionrec_assets.resources.lease import owner_of

if TYPE_CHECKING:
    from fashionrec_assets.storage.served import ServedTables


@app.command()
def recommend(
    user: str,
    home: HomeOption = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Items of each shelf at the most.")] = 10,
) -> None:
    """The homepage of USER, shelf by shelf, with an explanation of each row; an unknown user gets what is popular."""
    from fashionrec_assets.recommendations.serving import homepage_of

    tables = _served(home)
    rows = _answer(lambda: homepage_of(tables, user, k))
    console.print(f"[bold]The page of {escape(user)}[/] {_from(tables)}")
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
    from fashionrec_assets.recommendations.serving import similar_to

    tables = _served(home)
    rows = _answer(lambda: similar_to(tables, item, k, by))
    console.print(f"[bold]Similar items[/] {_from(tables)}")
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
    settings = settings_of(home=home)
    talk = Stylist.of(Shop(settings, TABLES)).conversation(user, k)
    at_work = owner_of(settings.home)
    if at_work is not None:
        said = f"{at_work.told()} is at work: answers may mix what it made with what was there."
        console.print(f"[yellow]{escape(said)}[/]", soft_wrap=True)
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
    except (LookupError, OSError, ValueError) as error:
        # A run replaces the files of a stage one by one, and deletes the models that it has replaced.
        if (at_work or owner_of(settings.home)) is not None:
            fail(f"A run is changing what the answer rests on ({error}): ask again when it has ended.")
        if not isinstance(error, LookupError):
            raise
        fail(str(error.args[0]))


def _served(home: Path | None) -> ServedTables:
    """The served release; without one, an error that says what to do."""
    from fashionrec_assets.storage.releases import ReleaseError, Releases

    try:
        return Releases.of(settings_of(home=home).home).open()
    except ReleaseError as error:
        fail(str(error.args[0]))


def _from(tables: ServedTables) -> str:
    release = tables.release
    return f"[dim](release {release.version}, number {release.sequence}, of {release.created})[/]"


def _answer(ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return ask()
    except LookupError as error:
        fail(str(error.args[0]))


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
