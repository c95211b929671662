"""Two small worlds: one to compute by hand, one with enough items that limits bite."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import ALWAYS, RankingTask, ranking_task
from fashionrec_assets.ranking.knowledge import DAY, Knowledge
from fashionrec_assets.ranking.late_fusion import lists_of
from fashionrec_assets.ranking.lists import Lists
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.sources.tfidf import text_features
from fashionrec_assets.ranking.training import train_ranker
from fashionrec_assets.settings import IndexSettings, RankingSettings, TwoTowerSettings
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures
from fashionrec_assets.towers.training import train_two_tower
from fashionrec_assets_tests.ranking.learned import QUICK, made

NOW = 20_000 * DAY
A, B, C, D, E, F = range(6)
EVENTS = (  # user, item, days before NOW
    (0, A, 0.5),
    (0, B, 3),
    (1, A, 1.5),
    (1, A, 0.25),
    (1, C, 3.5),
    (2, B, 6),
)

SETTINGS = RankingSettings(candidates=10, new_candidates=3, hidden=16, epochs=6, folds=2, learning_rate=1e-2)
ITEMS, WARM, USERS, STYLES = 200, 188, 90, 5
START, DAYS = 19_900 * DAY, 8
CUT = START + DAYS * DAY


@dataclass(frozen=True)
class World:
    """`log` goes on for a day after `cut`; `features` and `terms` are those of its items."""

    log: EventLog
    features: ItemFeatures
    terms: sparse.csr_array
    cut: int

    @property
    def past(self) -> EventLog:
        return self.log.between(None, self.cut)

    def knowledge(self, tower: TwoTower | None = None, *, log: EventLog | None = None) -> Knowledge:
        return Knowledge.of(
            self.past if log is None else log,
            self.features,
            self.terms,
            as_of=self.cut,
            tower=tower,
            index=IndexSettings(),
        )

    def task(self) -> RankingTask:
        return ranking_task(
            self.log,
            name="test",
            start=self.cut,
            end=self.cut + DAY,
            launched_at=self.features.launched_at,
        )


@pytest.fixture(scope="session")
def hand() -> World:
    """Six items, four users of whom the last has no history; every number can be computed on paper."""
    users, items, ago = zip(*EVENTS, strict=True)
    times = [int(NOW - days * DAY) for days in ago]
    log = EventLog.build([f"u{k}" for k in range(4)], list("abcdef"), users, items, times, [0] * len(EVENTS))
    nothing = np.nan
    features = ItemFeatures.build(
        list("abcdef"),
        text=np.array([[1, 0], [0, 2], [3, 3], [0, 0], [2, 0], [-1, 0]], np.float32),
        has_text=np.array([True, True, True, False, True, True]),
        image=np.array([[0, 1], [nothing, nothing], [1, 0], [0, 3], [nothing, nothing], [1, 1]], np.float32),
        has_image=np.array([True, False, True, True, False, True]),
        categories={
            "family_id": ["F1", "F2", "", "F2", "F1", ""],
            "product_type": ["dress", "dress", "coat", "coat", "dress", ""],
            "section": ["women", "men", "women", "men", "women", "men"],
        },
        price=np.array([10, 20, nothing, 40, 0, 5]),
        launched_at=np.array([NOW - 10 * DAY, ALWAYS, NOW + 5 * DAY, ALWAYS, NOW - 2 * DAY, ALWAYS]),
    )
    terms = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0], [0.8, 0.6, 0], [0, 0, 0]], np.float32)
    return World(log, features, sparse.csr_array(terms), NOW)


@pytest.fixture(scope="session")
def known_by_hand(hand: World) -> Knowledge:
    return hand.knowledge()


def styled_log() -> EventLog:
    """People of five styles who, four times in five, take an item of their style."""
    rng = np.random.default_rng(1)
    users, items, times = [], [], []
    for user in range(USERS):
        for day in range(DAYS + 1):
            for _ in range(int(rng.integers(1, 4))):
                item = int(rng.integers(0, WARM // STYLES)) * STYLES + user % STYLES
                users.append(user)
                # The newest items are taken on the last day only.
                top = ITEMS if day == DAYS else WARM
                fresh = day == DAYS and rng.random() < 0.2
                items.append(
                    int(rng.integers(WARM, ITEMS)) if fresh else item if rng.random() < 0.8 else int(rng.integers(top))
                )
                times.append(START + day * DAY + int(rng.integers(0, DAY)))
    return EventLog.build(
        [f"u{k:03}" for k in range(USERS + 2)],  # the last two have no events
        [f"i{k:03}" for k in range(ITEMS)],
        users,
        items,
        times,
        rng.integers(0, 4, len(users)).tolist(),
    )


@pytest.fixture(scope="session")
def world() -> World:
    rng = np.random.default_rng(2)
    style = np.arange(ITEMS) % STYLES
    centres = rng.normal(size=(STYLES, 8)).astype(np.float32)
    text = (centres[style] + 0.5 * rng.normal(size=(ITEMS, 8))).astype(np.float32)
    colours = np.array(["red", "blue", "green"])[rng.integers(0, 3, ITEMS)]
    has_image = rng.random(ITEMS) < 0.7
    image = (centres[style] + 0.5 * rng.normal(size=(ITEMS, 8))).astype(np.float32)
    features = ItemFeatures.build(
        [f"i{k:03}" for k in range(ITEMS)],
        text=text,
        image=image,
        has_image=has_image,
        categories={
            "family_id": [f"F{k % 70:02}" if k % 3 else "" for k in range(ITEMS)],
            "product_type": [f"type{k}" for k in style],
            "section": [f"section{k % 2}" for k in style],
            "colour": colours,
        },
        price=rng.lognormal(size=ITEMS),
        launched_at=np.where(np.arange(ITEMS) < WARM, START, CUT - DAY // 2),
    )
    words = [f"style{style[k]} {colours[k]} cut{rng.integers(4)} fabric{rng.integers(6)}" for k in range(ITEMS)]
    return World(styled_log(), features, text_features(words), CUT)


@pytest.fixture(scope="session")
def tower(world: World) -> TwoTower:
    """Trained on what came before the cut's eve, so that the last day is new to it."""
    settings = TwoTowerSettings(
        dim=16, history=8, layers=1, heads=2, batch_size=16, epochs=2, negatives=32, learning_rate=1e-2
    )
    log = world.log.between(None, world.cut - DAY)
    return train_two_tower(log, world.features, settings, seed=5, data_digest="d").model


@pytest.fixture(scope="session")
def known(world: World) -> Knowledge:
    return world.knowledge()


@pytest.fixture(scope="session")
def known_with_tower(world: World, tower: TwoTower) -> Knowledge:
    return world.knowledge(tower)


@pytest.fixture(scope="session")
def lists(world: World, known: Knowledge) -> Lists:
    return lists_of(world.task(), known, SETTINGS)


@pytest.fixture(scope="session")
def ranker(lists: Lists) -> Ranker:
    return train_ranker(lists, SETTINGS, seed=1)


@pytest.fixture(scope="session")
def trained() -> Ranker:
    return train_ranker(made(), QUICK, seed=3)


def unseen(known: Knowledge, users: NDArray[np.int32]) -> NDArray[np.bool_]:
    return ~known.matrix[users].toarray().astype(bool)


def everything(known: Knowledge, users: NDArray[np.int32]) -> NDArray[np.bool_]:
    return np.ones((len(users), known.log.n_items), bool)


def without_prices(world: World) -> World:
    return replace(world, features=replace(world.features, price=None))
