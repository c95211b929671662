from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers import validation
from fashionrec_assets.towers.validation import ndcg_by_user, ndcg_of

USERS, ITEMS, K = 30, 25, 4
LIFTS = np.array([0.0, 0.4, 2.0])


def case():
    """A history, what is to be found, scores, what is on sale, and what is lifted."""
    rng = np.random.default_rng(2)
    users, items = rng.integers(0, USERS, 120), rng.integers(0, ITEMS, 120)
    history = EventLog.build(
        [f"u{n:02}" for n in range(USERS)],
        [f"i{n:02}" for n in range(ITEMS)],
        users.tolist(),
        items.tolist(),
        rng.integers(0, 9, 120).tolist(),
        [0] * 120,
    )
    on_sale, lifted = rng.random(ITEMS) < 0.8, rng.random(ITEMS) < 0.3
    wanted = np.unique(rng.integers(0, USERS, 60) * ITEMS + rng.choice(np.flatnonzero(on_sale), 60))
    pairs = wanted[~np.isin(wanted, users * ITEMS + items)]
    return history, pairs, rng.normal(size=(USERS, ITEMS)).astype(np.float32), on_sale, lifted


def by_hand(history, pairs, scores, on_sale, lifted, lift) -> list[float]:
    found = []
    for user in sorted({int(pair) // ITEMS for pair in pairs}):
        wanted = {int(pair) % ITEMS for pair in pairs if pair // ITEMS == user}
        seen = set(history.items[history.users == user].tolist())
        values = {n: scores[user, n] + lift * lifted[n] for n in range(ITEMS) if on_sale[n] and n not in seen}
        best = sorted(values, key=lambda n: -values[n])[:K]
        gain = sum(1 / np.log2(place + 2) for place, n in enumerate(best) if n in wanted)
        ideal = sum(1 / np.log2(place + 2) for place in range(min(K, len(wanted))))
        found.append(gain / ideal)
    return found


@pytest.mark.parametrize("block", [7, 512])
def test_ndcg_is_that_computed_one_by_one(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "BLOCK", block)
    history, pairs, scores, on_sale, lifted = case()
    found = ndcg_by_user(lambda rows: scores[rows].copy(), history, pairs, on_sale, lifts=LIFTS, lifted=lifted, k=K)
    expected = [by_hand(history, pairs, scores, on_sale, lifted, lift) for lift in LIFTS]
    assert np.allclose(found, expected)
    assert len({round(row.mean(), 6) for row in found}) == 3
    mean = ndcg_of(lambda rows: scores[rows].copy(), history, pairs, on_sale, lifts=LIFTS, lifted=lifted, k=K)
    assert np.allclose(mean, found.mean(axis=1))


def test_nobody_to_judge_is_zero() -> None:
    history, _, scores, on_sale, _ = case()
    assert ndcg_of(lambda rows: scores[rows].copy(), history, np.zeros(0, np.int64), on_sale)[0] == 0.0
