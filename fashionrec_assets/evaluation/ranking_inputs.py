"""What the ranking report looks at beside scores: further training runs, what items are like, what vectors are made of.

Belongs here: making those inputs from a shop and the evaluated two-tower model. Does not belong here: measuring
(`ranking_report.py`), Dagster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.ablation_inputs import chosen_epochs
from fashionrec_assets.evaluation.behaviours import BehaviourScores
from fashionrec_assets.evaluation.metrics import ListViews
from fashionrec_assets.evaluation.ranking_figures import ModalityWeights
from fashionrec_assets.evaluation.recommender import SeedRun
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles, category_vocabulary, lookup

if TYPE_CHECKING:
    from fashionrec_assets.towers.artifact import TwoTower

REACHED = {"cart_or_fav": ("fav", "cart", "buy"), "buy": ("buy",)}
"""Behaviours that count as having reached the task of a head."""

SEEDS = "two_tower_seeds"
"""The artifact of further training runs: a folder per model and seed."""


@dataclass(frozen=True)
class TowerInputs:
    """The evaluated model with what it reads."""

    model: TwoTower
    features: ItemFeatures
    profiles: UserProfiles | None


def seed_runs(shop: Shop, task: RankingTask, tower: TowerInputs, progress: Callable[[int, int], None]) -> list[SeedRun]:
    """The two-tower model trained again with other seeds, for the epochs the model in force chose.

    Finished runs are kept as an artifact under the version of the model in force, so that a report that is made again
    trains nothing, and a model that forgot an item is not outlived by one that knows it.
    """
    from fashionrec_assets.towers.artifact import TwoTower
    from fashionrec_assets.towers.recommender import TwoTowerRecommender
    from fashionrec_assets.towers.training import train_two_tower

    settings, version = shop.settings, shop.version("two_tower_model")
    seeds = [settings.seed + number for number in range(1, settings.evaluation.seeds)]
    names = [f"{version}-{seed}" for seed in seeds]
    runs: list[SeedRun] = []
    for position, (seed, name) in enumerate(zip(seeds, names, strict=True)):
        if shop.artifacts.exists(SEEDS, name):
            model = TwoTower.load(shop.artifacts.folder(SEEDS, name))
        else:
            model = train_two_tower(
                task.history,
                tower.features,
                settings.two_tower,
                seed=seed,
                data_digest=version,
                epochs=chosen_epochs(shop),
                profiles=tower.profiles,
                session_gap=settings.catalog.session_gap_minutes * 60,
            ).model
            with shop.artifacts.write(SEEDS, name) as folder:
                model.save(folder)
        recommender = TwoTowerRecommender(
            model, task.history, tower.features, as_of=task.start, profiles=tower.profiles
        )
        runs.append(SeedRun("two_tower", seed, recommender))
        progress(position + 1, len(seeds))
    shop.artifacts.prune(SEEDS, names)
    return runs


def conversion_scores(tower: TowerInputs, task: RankingTask) -> BehaviourScores | None:
    """What the two-tower model's heads foretell of the items that users with a history turned to; None without heads.

    The labels are the deepest a user went with an item within the window.
    """
    from fashionrec_assets.towers.recommender import TwoTowerRecommender

    if not tower.model.tasks:
        return None
    recommender = TwoTowerRecommender(
        tower.model, task.history, tower.features, as_of=task.start, profiles=tower.profiles
    )
    known = task.has_history[task.target_rows]
    rows, owner = np.unique(task.target_rows[known], return_inverse=True)
    users = recommender.user_vectors(task.users[rows])[owner]
    chances = tower.model.conversion(users, recommender.item_vectors[task.target_items[known]])
    deeper = {name: sum(1 << BEHAVIOURS.index(one) for one in reached) for name, reached in REACHED.items()}
    return BehaviourScores(
        "two_tower_heads",
        "Two-tower's heads",
        "the items that test users with a history turned to",
        {name: (chance, (task.target_bits[known] & deeper[name]) > 0) for name, chance in chances.items()},
    )


def list_views(features: ItemFeatures) -> ListViews | None:
    """By what the items of a list are compared: text vectors and product types; None where items have no text."""
    text, types = features.modalities.get("text"), features.categories.get("product_type")
    if text is None or types is None:
        return None
    return ListViews(text.values, text.present, lookup(category_vocabulary(types), types))


def modality_weights(tower: TowerInputs, task: RankingTask) -> ModalityWeights:
    """Mean share of each view in the vectors of the pool's items, by whether they are warm and have a photo."""
    views, shares = tower.model.modality_weights(tower.features)
    image = tower.features.modalities.get("image")
    photo = image.present if image is not None else np.zeros(task.n_items, bool)
    groups = {
        f"{'Warm' if warm else 'Cold'}, {'with' if pictured else 'without'} photo": task.pool
        & (task.warm == warm)
        & (photo == pictured)
        for warm in (True, False)
        for pictured in (True, False)
    }
    found = {
        title: (int(mask.sum()), shares[mask].mean(axis=0).astype(np.float64))
        for title, mask in groups.items()
        if mask.any()
    }
    return ModalityWeights("The two-tower model that is evaluated", tuple(views), found)
