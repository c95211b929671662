"""Lists where it is known what decides, for the tests of the learned ranker."""

from __future__ import annotations

import numpy as np

from fashionrec_assets.ranking.features import NAMES
from fashionrec_assets.ranking.lists import Lists
from fashionrec_assets.settings import RankingSettings

PEOPLE, EACH = 300, 12
QUICK = RankingSettings(hidden=16, epochs=10, folds=3, learning_rate=3e-2, batch_size=32, dropout=0)
PV, BUY = 1, 8
CONTENT, WARM = (NAMES.index(name) for name in ("content", "warm"))


def made(seed: int = 0, *, people: int = PEOPLE, first: int = 0) -> Lists:
    """Everybody takes the candidate with the highest `content`, and often buys it."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(people * EACH, len(NAMES))).astype(np.float32)
    values[:, WARM] = 1
    values[:, NAMES.index("history_items")] = np.repeat(rng.integers(1, 9, people), EACH)
    owner = np.repeat(np.arange(people), EACH)
    best = values[:, CONTENT].reshape(people, EACH).argmax(axis=1)
    taken = np.zeros(people * EACH, bool)
    taken[np.arange(people) * EACH + best] = True
    bits = np.where(taken, PV, 0).astype(np.uint8)
    bits[taken & (rng.random(len(taken)) < 0.5)] |= BUY
    return Lists(
        people=np.arange(first, first + people),
        owner=owner,
        values=values,
        taken=taken,
        bits=bits,
        warm=np.ones(people * EACH, bool),
        targets=np.ones(people, np.int64),
        behaviours={"pv": PV, "buy": BUY},
    )
