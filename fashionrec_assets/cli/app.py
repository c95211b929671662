"""What every command shares: the application, the console, the options, settings and how to give up.

Belongs here: that. Does not belong here: any command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from fashionrec_assets.settings import Settings

app = typer.Typer(
    help="Multimodal fashion recommendations as Dagster assets.", no_args_is_help=True, pretty_exceptions_enable=False
)
console = Console()

HomeOption = Annotated[Path | None, typer.Option("--home", help="Where warehouse, artifacts and reports live.")]


def settings_of(**given: Any) -> Settings:
    try:
        return Settings.load(**given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        fail(f"A setting is wrong: {problems}")


def fail(message: str) -> NoReturn:
    console.print(f"[red]{escape(message)}[/]")
    raise typer.Exit(2)
