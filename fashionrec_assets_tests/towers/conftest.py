"""A small world with a known rule: the next item is, four times in five, the one seven places on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures
from fashionrec_assets.towers.recommender import TwoTowerRecommender
from fashionrec_assets.towers.training import TrainedTwoTower, train_two_tower

ITEMS, WARM, USERS, EVENTS = 64, 60, 120, 10
STEP = 7
START = 1_700_000_000
ENTRIES = 12  # every history begins with one of the first twelve items
COLD, TWIN = 62, 5  # item 62 has no events and the content of item 5
CUT = START + (EVENTS - 1) * 3600
SETTINGS = TwoTowerSettings(
    dim=32,
    history=10,
    layers=1,
    heads=2,
    batch_size=16,
    epochs=6,
    patience=6,
    learning_rate=1e-2,
    negatives=64,
    weight_average=0.9,
)


@dataclass(frozen=True)
class World:
    """`past` is what models may see; every user's one event after it is what they are asked for."""

    log: EventLog
    features: ItemFeatures
    settings: TwoTowerSettings = SETTINGS
    items: int = ITEMS
    users: int = USERS
    warm: int = WARM
    entries: int = ENTRIES
    cold: int = COLD
    twin: int = TWIN
    cut: int = CUT

    @property
    def past(self) -> EventLog:
        return self.log.between(None, self.cut)

    @property
    def future(self) -> EventLog:
        return self.log.between(self.cut, None)

    def ndcg(self, model: TwoTower) -> float:
        """Mean NDCG@5 on the events after the cut."""
        scores = TwoTowerRecommender(model, self.past, self.features, as_of=self.cut).score(self.future.users)
        return ndcg_at_5(scores, self.future.items)


def planted_log() -> EventLog:
    rng = np.random.default_rng(3)
    items = np.zeros((USERS, EVENTS), np.int64)
    items[:, 0] = rng.integers(0, ENTRIES, USERS)
    for k in range(1, EVENTS):
        follows = (items[:, k - 1] + STEP) % WARM
        items[:, k] = np.where(rng.random(USERS) < 0.8, follows, rng.integers(0, WARM, USERS))
    return EventLog.build(
        [f"u{k:04}" for k in range(USERS + 2)],  # the last two have no events
        [f"i{k:04}" for k in range(ITEMS)],
        np.repeat(np.arange(USERS), EVENTS).tolist(),
        items.ravel().tolist(),
        (START + np.tile(np.arange(EVENTS), USERS) * 3600).tolist(),
        rng.integers(0, 4, USERS * EVENTS).tolist(),
    )


def planted_features() -> ItemFeatures:
    rng = np.random.default_rng(4)
    text = rng.normal(size=(ITEMS, 12)).astype(np.float32)
    image = rng.normal(size=(ITEMS, 6)).astype(np.float32)
    kinds = np.array([f"kind{k % 4}" for k in range(ITEMS)])
    text[COLD], image[COLD], kinds[COLD] = text[TWIN], image[TWIN], kinds[TWIN]
    has_image = rng.random(ITEMS) < 0.7
    has_image[[COLD, TWIN]] = True
    image[~has_image] = np.nan
    price = rng.lognormal(size=ITEMS)
    price[[7, 8]], price[COLD] = np.nan, price[TWIN]
    ids = [f"i{k:04}" for k in range(ITEMS)]
    return ItemFeatures.build(ids, text=text, image=image, has_image=has_image, categories={"kind": kinds}, price=price)


def ndcg_at_5(scores: NDArray[np.float32], targets: NDArray[np.int32]) -> float:
    rank = (scores > scores[np.arange(len(targets)), targets][:, None]).sum(axis=1)
    return float(np.where(rank < 5, 1 / np.log2(rank + 2), 0).mean())


@pytest.fixture(scope="session")
def world() -> World:
    return World(planted_log(), planted_features())


@pytest.fixture(scope="session")
def trained(world: World) -> TrainedTwoTower:
    return train_two_tower(world.past, world.features, world.settings, seed=5, data_digest="d")
