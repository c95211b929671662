"""The command that forgets a user: `erase`.

Belongs here: the order in which the parts of a home forget, and what is said about it. Does not belong here: the
suppression list (`catalog/erasure.py`), finding what is left (`catalog/traces.py`), and how each part forgets.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from fashionrec_assets.catalog.erasure import Erasures, ErasuresDamagedError
from fashionrec_assets.catalog.traces import says, traces, word
from fashionrec_assets.cli.app import HomeOption, alone, app, console, fail, settings_of
from fashionrec_assets.cli.running import run_to_summary
from fashionrec_assets.settings import Settings
from fashionrec_assets.summary import Summary

if TYPE_CHECKING:
    from fashionrec_assets.resources.shop import Shop

MODELS: Final = ("two_tower_model", "late_fusion_model", "vae_model", "augmentation_sweep", "ncf_model")
"""What is trained on events of users, and is not trained again for every event that changes."""

_LEFT_BY_KILLS: Final = ("draft-*", "tmp*", "duckdb_temp*", "two_tower_model")
"""What a killed run may leave in `<home>/spill` that was made from events of users."""


@app.command()
def erase(
    user: Annotated[str | None, typer.Argument(help="The user's id; without it, who was erased when.")] = None,
    reason: Annotated[str | None, typer.Option(help="Kept beside the date; it must not name the user.")] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train every model again now, without the user.")] = False,
    home: HomeOption = None,
) -> None:
    """Forget USER: keep them out of whatever is read from now on, and take them out of all that was made so far.

    Exit 1 if the refresh failed or anything still names the user; the same command then goes on.
    """
    settings = settings_of(home=home)
    if not (settings.home / "warehouse.duckdb").exists():
        fail(f"There is nobody to erase in {settings.home}: run `fashionrec run` first.")
    with alone(settings, "fashionrec erase"):
        try:
            if user is None:
                _print_list(settings)
                return
            erased = erase_user(settings, user.strip(), reason=reason, retrain=retrain)
        except (ErasuresDamagedError, ValueError) as error:
            fail(str(error))
    _print(erased, settings)
    raise typer.Exit(0 if erased.done else 1)


@dataclass(frozen=True)
class Erased:
    """What came of an erasure. `kept`: models that learned from the user's events and are still in force, to their
    ids. `left`: what still names the user."""

    summary: Summary
    released_rows: int
    runs: int
    kept: Mapping[str, str]
    left: Sequence[str]

    @property
    def done(self) -> bool:
        """Whether everything was brought up to date and nothing names the user any more."""
        return self.summary.success and not self.left


def erase_user(settings: Settings, user: str, *, reason: str | None = None, retrain: bool = False) -> Erased:
    """Put `user` on the suppression list, refresh, and clear away what the refresh does not. Can be run again.

    Gives up with a message if Dagster's history is in use. Raises ValueError if the id is empty or `reason` names the
    user, ErasuresDamagedError if the list cannot be read.
    """
    from fashionrec_assets.definitions import open_shop
    from fashionrec_assets.embeddings.reading import AVATAR_STORE
    from fashionrec_assets.resources.history import HistoryBusyError
    from fashionrec_assets.storage.releases import Releases
    from fashionrec_assets.storage.vectors import VECTOR_COLUMNS

    if not user:
        raise ValueError("the id of the user to erase is empty")
    shop = open_shop(settings)
    listed = Erasures.read(settings.home)
    with shop.warehouse.reader() as connection:
        known = bool(connection.execute("SELECT 1 FROM users WHERE user_id = ?", [user]).fetchall())
    models = _models(shop) if known else {}
    listed = listed.adding(user, datetime.now(UTC).date(), reason=reason, models=models)
    listed.write(settings.home)

    summary = run_to_summary(settings, "weekly_retrain" if retrain else "daily_refresh", None)
    summary.write(settings.home)
    shop = open_shop(settings)
    learned = next(one.models for one in listed.users if one.hash == listed.hash_of(user))
    kept = {name: version for name, version in _models(shop).items() if learned.get(name) == version}
    # The rows of avatars that were dropped may still lie in a file where nobody reads them.
    shop.store(AVATAR_STORE, VECTOR_COLUMNS).fold()
    released = Releases.of(settings.home).erase_user(user)
    shop.warehouse.compact()
    _clear_spill(shop.spill)
    _drop_old_copies(shop, user)
    try:
        runs = _forget_runs(settings.home, user)
    except HistoryBusyError as error:
        fail(str(error))
    left = traces(shop.warehouse, settings.home, user, settings.storage)
    return Erased(summary, released, runs, kept, left)


def _models(shop: Shop) -> dict[str, str]:
    """The models in force, without the part of their ids that changes when rows are taken out of them."""
    return {name: shop.model_id(name) for name in MODELS if shop.version_or_none(name) is not None}


def _clear_spill(spill: Path) -> None:
    for pattern in _LEFT_BY_KILLS:
        for path in spill.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _drop_old_copies(shop: Shop, user: str) -> None:
    """Remove what only killed runs leave, versions that are in force no longer, and earlier reports with the user."""
    for folder in shop.artifacts.root.iterdir():
        version = shop.version_or_none(folder.name)
        if version is not None:
            shop.artifacts.prune(folder.name, [version])
    for path in shop.home.rglob(".*.tmp"):
        path.unlink()
    pattern = word(user)
    for path in shop.reports.glob("*.previous.json"):
        if says(path, pattern):
            path.unlink()


def _forget_runs(home: Path, user: str) -> int:
    from fashionrec_assets.resources.history import forget_runs
    from fashionrec_assets.resources.runs import dagster_home, instance_of

    pattern = word(user)
    with instance_of(home) as instance:
        return forget_runs(instance, dagster_home(home), lambda path: says(path, pattern))


def _print(erased: Erased, settings: Settings) -> None:
    home = escape(str(settings.home))
    if not erased.summary.success:
        console.print("[red]The refresh failed:[/] the user is on the list; erase again once the cause is put right.")
    console.print(
        f"Taken out of the tables, files, caches, exports and reports in {home}, of {erased.released_rows} rows of "
        f"releases and of {erased.runs} runs in Dagster's history.",
        soft_wrap=True,
    )
    for name, version in erased.kept.items():
        console.print(f"[yellow]{name} {version}[/] was trained while the user's events were there.")
    if erased.kept:
        share = f"{settings.two_tower.retrain_share:.0%}"
        console.print(
            "It holds no row of the user and no vector of theirs. It is trained without them by the next retraining "
            f"(weekly, or once the events of more than {share} of the items have changed), or now: the same command "
            "with --retrain.",
            soft_wrap=True,
        )
    else:
        console.print("No model in force was trained with their events.")
    for name in erased.left:
        console.print(f"[red]still named in[/] {escape(name)}")
    console.print(
        f"The raw files in {escape(str(settings.raw))} are as they were; their rows of the user are left out from now "
        "on.",
        soft_wrap=True,
    )


def _print_list(settings: Settings) -> None:
    from fashionrec_assets.definitions import open_shop

    listed = Erasures.read(settings.home)
    now = _models(open_shop(settings))
    table = Table(title=f"Erased users: {len(listed.users)}", title_justify="left")
    for heading in ("user (salted hash)", "erased", "reason", "models still trained with them"):
        table.add_column(heading)
    for one in listed.users:
        kept = ", ".join(name for name, version in one.models.items() if now.get(name) == version)
        table.add_row(one.hash[:16], one.erased.isoformat(), escape(one.reason or "-"), kept or "-")
    console.print(table)
