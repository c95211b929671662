"""What the discovery report is made from, read from a shop.

Belongs here: the test task, the evaluated ranker's and two-tower model's candidates before the test days, the styles
and the sample shop's truth. Does not belong here: lists and figures (`curves.py`, `report.py`), Dagster.

Styles are made of what items are, not of events, so those in force are used; every model is one fitted before the test
days.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.catalog.reading import test_window
from fashionrec_assets.evaluation.discovery.curves import Scored, diversity_curve, exploration_curve
from fashionrec_assets.evaluation.discovery.report import (
    Agreement,
    DiscoveryReport,
    NamedStyle,
    agreement,
    measured,
)
from fashionrec_assets.evaluation.sample_truth import truth_folder
from fashionrec_assets.ranking.knowledge import Knowledge
from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.reading import RankingInputs
from fashionrec_assets.recommendations.cosines import rounded_units
from fashionrec_assets.recommendations.styles.clusters import StyleModel
from fashionrec_assets.recommendations.styles.discovery import StyleSpace, pools
from fashionrec_assets.recommendations.styles.picks import Pool
from fashionrec_assets.recommendations.styles.reading import ItemStyles, family_codes, item_styles
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.reading import EVALUATION

K = 20
"""Length of the lists of the diversity dial."""


def measure_discovery(shop: Shop, progress: Callable[[int, int], None]) -> DiscoveryReport:
    """Both curves on the test days, over a seeded sample of the test users with a history."""
    settings = shop.settings
    inputs = RankingInputs.of(shop)
    task = test_window(shop, inputs.log, settings.styles.report_users)
    tower = TwoTower.load(shop.current("two_tower_model") / EVALUATION)
    known = inputs.knowledge(task.start, tower)
    ranker = Ranker.load(shop.current("late_fusion_model") / EVALUATION)
    scored = _scored(LateFusionRecommender(ranker, known, settings.ranking), task, progress)
    content = rounded_units(np.concatenate([known.text, known.image], axis=1))
    found = item_styles(shop)
    distances = StyleModel.load(shop.current("styles")).distances()
    rows_of, pool = _pool(task, known, tower, found, distances, inputs, shop)
    draws, seed = settings.evaluation.bootstrap, settings.seed
    curves = [
        measured(diversity_curve(task, scored, content, settings.recommendations.diversity, K), draws=draws, seed=seed),
        measured(exploration_curve(task, rows_of, pool, scored, settings.styles), draws=draws, seed=seed),
    ]
    with shop.warehouse.reader() as connection:
        named = connection.execute("SELECT name, size, truth FROM styles ORDER BY style_id").fetchall()
    days = " to ".join(f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" for at in (task.start, task.end - 1))
    return DiscoveryReport(curves, [NamedStyle(*row) for row in named], _agreement(shop, found), days)


def _scored(fusion: LateFusionRecommender, task: RankingTask, progress: Callable[[int, int], None]) -> Scored:
    """The ranker's candidates in the pool, new to each user."""
    closed = np.flatnonzero(~task.pool)
    rows = np.flatnonzero(task.has_history)
    users = task.users[rows].astype(np.int64)
    seen = task.seen
    hidden = [
        np.concatenate([seen.indices[seen.indptr[user] : seen.indptr[user + 1]].astype(np.int64), closed])
        for user in users
    ]
    owner: list[NDArray[np.int64]] = []
    items: list[NDArray[np.int64]] = []
    scores: list[NDArray[np.float64]] = []
    chances: list[NDArray[np.float64]] = []
    done = 0
    for block in fusion.ranked(users, hidden):
        owner.append(rows[done + block.owner])
        items.append(block.items.astype(np.int64))
        scores.append(block.scores.astype(np.float64))
        chances.append(block.chances.astype(np.float64))
        done += len(block.users)
        progress(done, len(users))
    nothing = np.zeros(0)
    return Scored(
        np.concatenate([nothing.astype(np.int64), *owner]),
        np.concatenate([nothing.astype(np.int64), *items]),
        np.concatenate([nothing, *scores]),
        np.concatenate([nothing, *chances]),
    )


def _pool(
    task: RankingTask,
    known: Knowledge,
    tower: TwoTower,
    found: ItemStyles,
    distances: NDArray[np.floating],
    inputs: RankingInputs,
    shop: Shop,
) -> tuple[NDArray[np.int64], Pool]:
    """What may be picked for the test users, by what was known before the test days, and whose row each owner is."""
    if known.tower is None or not np.array_equal(found.ids, task.history.item_ids):
        raise ValueError("the styles are of other items than the log: materialize the asset `styles`")
    families = np.asarray(inputs.features.categories.get("family_id", np.full(task.n_items, "")), np.str_)
    space = StyleSpace(
        known.tower.index,
        known.tower.vectors,
        found.style,
        family_codes(families),
        distances,
        task.pool,
        tower.settings.temperature,
    )
    rows = np.flatnonzero(task.has_history)
    users = task.users[rows].astype(np.int64)
    vectors = known.tower.users.user_vectors(users)
    parts: list[Pool] = []
    done = 0
    for block, _, pool in pools(space, task.history, users, vectors, shop.settings.styles):
        parts.append(Pool(pool.owner + done, pool.items, pool.style, pool.relevance, pool.novelty))
        done += len(block)
    if not parts:
        raise ValueError("no user of the test days has a history")
    fields = ("owner", "items", "style", "relevance", "novelty")
    return rows, Pool(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def _agreement(shop: Shop, found: ItemStyles) -> list[Agreement]:
    """The styles against what a sample shop knows of its items; nothing for any other shop."""
    from fashionrec_assets.sample.truth import load_truth

    folder = truth_folder(shop.settings)
    if folder is None:
        return []
    items = load_truth(folder).items
    place = {item_id: row for row, item_id in enumerate(items["item_id"])}
    there = np.flatnonzero([item_id in place for item_id in found.ids])
    rows = np.asarray([place[item_id] for item_id in found.ids[there]], np.int64)
    looks = sorted(name for name in items.columns if name.startswith("style_"))
    truth = {name: items[name].to_numpy()[rows] for name in ("product_type", "gender", "pattern", "colour")}
    # A design leans to several styles; the one it leans to most is its own.
    hidden = {"style": items[looks].to_numpy().argmax(axis=1)[rows]} if looks else {}
    return agreement(found.style[there], hidden | truth)
