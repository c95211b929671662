"""What the ranking report reads of late fusion.

Belongs here: the rankers as entrants and as further seeds, and their probabilities with what came of them. Does not
belong here: training, the features of a pair.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace

import numpy as np

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.behaviours import BehaviourScores
from fashionrec_assets.evaluation.recommender import Entrant, SeedRun
from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.reading import WITHOUT_TOWER, RankingInputs, seed_folder
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.reading import EVALUATION


@dataclass(frozen=True)
class LateFusionInputs:
    """`entrants`: late fusion, and late fusion without the two-tower model; `behaviours`: its probabilities."""

    entrants: list[Entrant]
    seeds: list[SeedRun]
    behaviours: BehaviourScores


def late_fusion_inputs(shop: Shop, test: RankingTask) -> LateFusionInputs:
    """The rankers trained before the test days, with what was known when those began."""
    settings, folder = shop.settings, shop.current("late_fusion_model")
    seconds = {
        row["for"]: row["seconds"] for row in json.loads((folder / "summary.json").read_text("utf-8"))["rankers"]
    }
    started = time.perf_counter()
    tower = TwoTower.load(shop.current("two_tower_model") / EVALUATION)
    known = RankingInputs.of(shop).knowledge(test.start, tower)
    fitting = time.perf_counter() - started
    fusion = LateFusionRecommender(Ranker.load(folder / EVALUATION), known, settings.ranking)
    alone = LateFusionRecommender(
        Ranker.load(folder / WITHOUT_TOWER), replace(known, tower=None), settings.ranking, name="late_only"
    )
    entrants = [
        Entrant(
            fusion,
            seconds[EVALUATION] + fitting,
            "Late fusion",
            "Candidates of all sources, the two-tower model among them, ordered by a learned ranker. What is served.",
            is_baseline=False,
        ),
        Entrant(
            alone,
            seconds[WITHOUT_TOWER] + fitting,
            "Late fusion without two-tower",
            "The same without the two-tower model as a source and as a feature.",
            is_baseline=False,
        ),
    ]
    seeds = [
        SeedRun(
            "late_fusion",
            settings.seed + number,
            LateFusionRecommender(Ranker.load(folder / seed_folder(number)), known, settings.ranking),
        )
        for number in range(1, settings.evaluation.seeds)
        if (folder / seed_folder(number)).is_dir()
    ]
    return LateFusionInputs(entrants, seeds, _behaviours(fusion, test))


def _behaviours(fusion: LateFusionRecommender, test: RankingTask) -> BehaviourScores:
    rows = np.flatnonzero(test.has_history)
    pairs, chances = fusion.probabilities(test.users[rows])
    keys = test.target_rows * np.int64(test.n_items) + test.target_items
    wanted = rows[pairs.owner] * np.int64(test.n_items) + pairs.items
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    bits = np.where(keys[place] == wanted, test.target_bits[place], 0)
    on_sale = test.pool[pairs.items]
    return BehaviourScores(
        fusion.name,
        "Late fusion",
        "candidates of the test users with a history",
        {
            name: (chance[on_sale], (bits[on_sale] & (1 << BEHAVIOURS.index(name))) > 0)
            for name, chance in chances.items()
            if name in BEHAVIOURS
        },
    )
