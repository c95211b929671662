"""What every command shares: the application, the console, the options, settings, the lease and how to give up.

Belongs here: that. Does not belong here: any command.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from fashionrec_assets.resources.lease import RunBusyError, run_lease
from fashionrec_assets.resources.redaction import redacted
from fashionrec_assets.settings import Settings

app = typer.Typer(
    help="Multimodal fashion recommendations as Dagster assets.", no_args_is_help=True, pretty_exceptions_enable=False
)

_TURNS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns the order around in which a line is read."""


def visible(text: str) -> str:
    """`text` with what would steer a terminal, or reorder a line, spelled out: an escape character as "\\x1b"."""
    if text.isprintable():
        return text
    return "".join(char.encode("unicode_escape").decode("ascii") if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    return char in _TURNS or (char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp"))


class PlainConsole(Console):
    """A console on which texts of a catalog can do nothing but be read, and secrets are blotted out."""

    def render_str(self, text: str, **style: Any) -> Text:
        return super().render_str(visible(redacted(text)), **style)


console = PlainConsole()

HomeOption = Annotated[Path | None, typer.Option("--home", help="Where warehouse, artifacts and reports live.")]


def settings_of(**given: Any) -> Settings:
    try:
        return Settings.load(**given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        fail(f"A setting is wrong: {problems}")
    except ValueError as error:
        fail(f"A setting is wrong: {error}")


def fail(message: str) -> NoReturn:
    console.print(f"[red]{escape(message)}[/]")
    raise typer.Exit(2)


@contextmanager
def alone(settings: Settings, what: str) -> Generator[None]:
    """Be the only one at work in the home, waiting and saying so; `what` names this command to those who wait."""
    storage = settings.storage
    try:
        with run_lease(
            settings.home,
            what,
            wait_s=storage.run_wait_s,
            say=lambda message: console.print(f"[yellow]{escape(message)}[/]", soft_wrap=True),
            silent_s=storage.lease_timeout_s,
        ):
            yield
    except RunBusyError as error:
        fail(str(error))
