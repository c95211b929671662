"""A small world with two tastes: a person likes items of one of two clusters, and a few at random.

Two items of each cluster have no events but can be bought, two can only be bought after the cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.settings import SynthesisSettings
from fashionrec_assets.synthesis.conditional_vae import RowVae, train_row_vae
from fashionrec_assets.synthesis.rows import ItemContent, TrainingRows, training_rows

ITEMS, USERS, LIKES, WIDTH = 120, 90, 12, 10
START = 1_700_000_000
SETTINGS = SynthesisSettings(content_dim=6, latent=6, hidden=32, epochs=20, batch_size=128, learning_rate=5e-3)


@dataclass(frozen=True)
class World:
    """`clusters` of items (n_items,) and `tastes` of users (n_users,), both 0 or 1; the last user has no event."""

    log: EventLog
    content: ItemContent
    rows: TrainingRows
    clusters: NDArray[np.int64]
    tastes: NDArray[np.int64]
    cold: NDArray[np.int64]
    future: NDArray[np.int64]
    settings: SynthesisSettings = SETTINGS


def build() -> World:
    rng = np.random.default_rng(8)
    clusters = np.arange(ITEMS) % 2
    tastes = np.arange(USERS + 1) % 2
    cold, future = np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7])
    centres = 2 * rng.normal(size=(2, WIDTH))
    values = (centres[clusters] + rng.normal(size=(ITEMS, WIDTH))).astype(np.float32)
    # What is new looks just like its cluster: nothing but the rule keeps it out.
    values[:8] = centres[clusters[:8]] + 0.5 * rng.normal(size=(8, WIDTH))
    users, items = [], []
    for user in range(USERS):
        own = np.flatnonzero((clusters == tastes[user]) & (np.arange(ITEMS) > 7))
        users += [user] * LIKES
        items += [*rng.choice(own, LIKES - 1, replace=False), int(rng.integers(8, ITEMS))]
    times = START + rng.integers(0, 86_400, len(users))
    log = EventLog.build(
        [f"u{n:03}" for n in range(USERS + 1)],
        [f"i{n:03}" for n in range(ITEMS)],
        users,
        items,
        times.tolist(),
        [0] * len(users),
    )
    available = np.ones(ITEMS, np.bool_)
    available[future] = False
    content = ItemContent(
        values,
        np.ones(ITEMS, np.bool_),
        np.array(["shirt", "skirt"])[clusters],
        np.array(["red", "blue", "green"])[np.arange(ITEMS) // 2 % 3],
        available,
    )
    return World(log, content, training_rows(log, available, seed=1), clusters, tastes, cold, future)


@pytest.fixture(scope="session")
def tastes() -> World:
    return build()


@pytest.fixture(scope="session")
def vae(tastes: World) -> RowVae:
    return train_row_vae(tastes.rows, tastes.content, tastes.settings, seed=3, model_id="m")
