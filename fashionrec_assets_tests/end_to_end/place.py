"""A small shop: its settings, its folders, and running it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from fashionrec_assets.definitions import build_definitions, open_shop
from fashionrec_assets.resources.runs import RunResult, run_job
from fashionrec_assets.resources.shop import Reporter, Shop
from fashionrec_assets.settings import Settings

SMALL = {
    "clip": {"epochs": 1, "least_presented": 0, "batch_size": 32, "ablations": False},
    "two_tower": {"epochs": 1, "negatives": 64, "dim": 16},
    "tokens": {"text_tokens": 12},
    "synthesis": {"degree": 0.5, "epochs": 1, "least_steps": 20, "content_dim": 8, "latent": 4, "hidden": 16},
    "ncf": {
        "epochs": 1,
        "dim": 8,
        "token_dim": 8,
        "negatives": 24,
        "sweep_epochs": 1,
        "sweep_degrees": (0.5,),
        "sweep_events": 1500,
    },
    "ranking": {"epochs": 2, "folds": 2, "windows": 1},
    "recommendations": {"homepage_size": 8, "shelf_size": 4},
    "explanations": {"history_items": 4},
    "outfits": {"enough_baskets": 20, "train_baskets": 60, "negatives": 10, "evaluated_baskets": 40, "looks": 1},
    "styles": {"count": 5, "picks": 4, "report_users": 20},
    "assistant": {"report_queries": 12, "report_users": 6},
    "feedback": {"rows": 60, "counterfactual_rows": 8, "counterfactual_draws": 1},
    "lookbook": {"shoppers": 2, "looks": 2, "items": 12, "questions": 2},
    "evaluation": {"bootstrap": 50, "seeds": 1, "ablations": "off", "ncf_experiments": ()},
    "storage": {"buckets": 4, "threads": 1},
}


@dataclass(frozen=True)
class Place:
    """A raw folder and a home."""

    raw: Path
    home: Path

    def copied(self, folder: Path) -> Place:
        """The shop, with what was true of it, and all that was made of it, in `folder`."""
        shutil.copytree(self.raw, folder / "shop")
        shutil.copytree(self.raw.parent / "shop_truth", folder / "shop_truth")
        if self.home.exists():
            shutil.copytree(self.home, folder / "home", symlinks=True)
        return Place(folder / "shop", folder / "home")

    def settings(self, **changes: object) -> Settings:
        return Settings.load(raw=self.raw, home=self.home, **{**SMALL, **changes})

    def shop(self, **changes: object) -> Shop:
        return open_shop(self.settings(**changes))

    def run(
        self,
        job: str = "daily_refresh",
        *,
        select: str | None = None,
        reporter: Reporter | None = None,
        **changes: object,
    ) -> RunResult:
        with dg.DagsterInstance.ephemeral() as instance:
            return run_job(build_definitions(self.settings(**changes), reporter), instance, job, select)

    def catalog(self) -> list[dict[str, str]]:
        with (self.raw / "catalog.csv").open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if None not in row and None not in row.values()]

    def edit_catalog(self, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
        """Rewrite the catalog through `change`, which gets and gives all rows, the header first."""
        path = self.raw / "catalog.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(change(rows))
