"""From a shop to the ablation report: the sample that is trained on, how a reduced model is trained, and the grid.

Belongs here: reading what the ablations need. Does not belong here: measuring (`ablations.py`), layout
(`ablation_page.py`), Dagster.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fashionrec_assets.catalog.event_log import EventLog, sample_people
from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.catalog.reading import event_log, test_window
from fashionrec_assets.evaluation.ablation_grid import Grid, variants
from fashionrec_assets.evaluation.ablations import AblationReport, Trainer, judged, run_ablations
from fashionrec_assets.evaluation.recommender import Recommender
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.reading import item_features, user_profiles

FULL_SEEDS = 3


def tower_trainer(
    task: RankingTask,
    sample: EventLog,
    features: ItemFeatures,
    profiles: UserProfiles | None,
    *,
    epochs: int,
    session_gap: int,
) -> Trainer:
    """Trains on `sample` for `epochs` epochs, and recommends from the whole history of the task.

    A pause of more than `session_gap` seconds starts a new session.
    """

    def train(settings: TwoTowerSettings, seed: int) -> Recommender:
        from fashionrec_assets.towers.recommender import TwoTowerRecommender
        from fashionrec_assets.towers.training import train_two_tower

        trained = train_two_tower(
            sample,
            features,
            settings,
            seed=seed,
            data_digest="ablation",
            epochs=epochs,
            profiles=profiles,
            session_gap=session_gap,
        )
        return TwoTowerRecommender(trained.model, task.history, features, as_of=task.start, profiles=profiles)

    return train


def measure_ablations(shop: Shop, grid: Grid, progress: Callable[[int, int], None]) -> AblationReport:
    """Trains and judges the grid; finished models' figures are kept in `<home>/work` until the report is made.

    Raises LookupError without a trained two-tower model, ValueError if nobody can be evaluated.
    """
    settings = shop.settings
    log = event_log(shop)
    # Reduced models of newcomers say nothing.
    task = test_window(shop, log, shop.settings.evaluation.max_users)
    if not len(task.users):
        raise ValueError("nobody with a history has a new item in the test window: raise splits.test_days")
    features, profiles = item_features(shop, log.item_ids.tolist()), user_profiles(shop, log.user_ids.tolist())
    limits = settings.evaluation
    sample = sample_people(task.history, limits.ablation_users, limits.ablation_events, settings.seed)
    epochs = min(chosen_epochs(shop), settings.evaluation.ablation_epochs)
    there = [name for name, modality in features.modalities.items() if bool(modality.present.any())]
    chosen = variants(settings.two_tower, there, grid, items=len(set(sample.items.tolist())))
    seeds = [settings.seed + number for number in range(FULL_SEEDS if grid == "full" else 1)]
    k = max(settings.evaluation.k)
    recipe = {
        "model": shop.model_id("two_tower_model"),
        "events": shop.version("interactions_file"),
        "window": [task.start, task.end, len(task.users)],
        "evaluation": settings.value("evaluation"),
        "epochs": epochs,
    }
    runs, notes = run_ablations(
        task,
        chosen,
        settings.two_tower,
        tower_trainer(
            task,
            sample,
            features,
            profiles,
            epochs=epochs,
            session_gap=settings.catalog.session_gap_minutes * 60,
        ),
        seeds=seeds,
        k=k,
        work=work_folder(shop),
        recipe=recipe,
        progress=progress,
    )
    cold = runs[chosen[0].name][0].values["cold_recall"]
    return AblationReport(
        grid=grid,
        k=k,
        start=task.start,
        end=task.end,
        users=int(task.has_history.sum()),
        cold_users=len(cold),
        trained_on=len(set(sample.users.tolist())),
        events=len(sample),
        epochs=epochs,
        ablations=judged(chosen, runs, draws=settings.evaluation.bootstrap, seed=settings.seed),
        notes=tuple(notes),
    )


def work_folder(shop: Shop) -> Path:
    """Where the figures of finished models wait for the report."""
    return shop.home / "work" / "ranking_ablations"


def chosen_epochs(shop: Shop) -> int:
    """How many epochs a two-tower model takes from the beginning, as it chose on the validation window.

    One that went on from an earlier model took a share of them, which is scaled up.
    """
    curve: dict[str, Any] = json.loads((shop.current("two_tower_model") / "curve.json").read_text("utf-8"))
    if curve.get("start") is None:
        return int(curve["epochs"])
    return max(1, round(curve["epochs"] / shop.settings.two_tower.warm_start))
