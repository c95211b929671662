from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from fashionrec_assets.sample.attributes import DAY, PERIOD_END, PERIOD_START, TEST_START, Wardrobe, draw_wardrobe
from fashionrec_assets.sample.behaviour import BOT_SHARE, Behaviour, simulate
from fashionrec_assets.sample.taste import Taste, draw_taste


@dataclass(frozen=True)
class World:
    wardrobe: Wardrobe
    taste: Taste
    log: Behaviour


@pytest.fixture(scope="module")
def world() -> World:
    wardrobe = draw_wardrobe(300, np.random.default_rng(7))
    taste = draw_taste(wardrobe, 800, np.random.default_rng(8))
    return World(wardrobe, taste, simulate(taste, 30_000, np.random.default_rng(9)))


def test_the_log_is_as_large_as_asked_ordered_and_inside_the_period(world: World) -> None:
    log = world.log
    assert 30_000 <= len(log) <= 30_120
    assert (np.diff(log.times) >= 0).all()
    assert log.times.min() >= PERIOD_START
    assert log.times.max() < PERIOD_END
    assert len(np.unique(log.users)) == 800
    rows = np.stack([log.users, log.items, log.times, log.kinds], axis=1)
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_nobody_sees_an_item_before_its_launch(world: World) -> None:
    launched = world.wardrobe.launched[world.log.items]
    assert (world.log.times >= launched).all()


def test_bots_are_loud_few_and_bounded(world: World) -> None:
    log = world.log
    assert log.bots.sum() == 2
    days = (log.times - PERIOD_START) // DAY
    for bot in np.flatnonzero(log.bots):
        assert np.bincount(days[log.users == bot]).max() > 500
    per_day = np.bincount(log.users[~log.bots[log.users]] * 28 + days[~log.bots[log.users]])
    assert per_day.max() < 400
    assert log.bots[log.users].mean() <= BOT_SHARE


def test_test_period_has_cold_items_and_new_users(world: World) -> None:
    log = world.log
    people, test = ~log.bots[log.users], log.times >= TEST_START
    items, users = np.unique(log.items[test & people]), np.unique(log.users[test & people])
    assert (~np.isin(items, log.items[~test])).mean() >= 0.15
    assert (~np.isin(users, log.users[~test])).mean() >= 0.08


def test_the_funnel_narrows(world: World) -> None:
    counts = np.bincount(world.log.kinds, minlength=4) / len(world.log)
    assert counts[0] > 0.75
    assert counts[0] > counts[2] > counts[3] > 0.01
    assert counts[1] > 0.01


def test_activity_and_popularity_are_skewed(world: World) -> None:
    log = world.log
    people = ~log.bots[log.users]
    for rows, size in ((log.users[people], 800), (log.items[people], 300)):
        counts = np.sort(np.bincount(rows, minlength=size))[::-1]
        assert counts[: size // 5].sum() > 0.4 * counts.sum()


def test_recent_history_says_more_than_old_history(world: World) -> None:
    """Consecutive sessions share their intent: the last type viewed foretells the next session's better than an
    earlier one does."""
    log = world.log
    kept = np.flatnonzero((log.kinds == 0) & ~log.bots[log.users])
    kept = kept[np.lexsort((log.times[kept], log.users[kept]))]
    users, times, types = log.users[kept], log.times[kept], world.wardrobe.types[log.items[kept]]
    starts = np.ones(len(kept), bool)
    starts[1:] = (users[1:] != users[:-1]) | (np.diff(times) > 1800)
    first = np.flatnonzero(starts)
    near = far = total = 0
    for before, session in zip(first[:-4], first[4:], strict=True):
        if users[before] == users[session]:
            total += 1
            near += types[session - 1] == types[session]
            far += types[before] == types[session]
    assert total > 500
    assert near / total > far / total + 0.05
    assert far / total > 0.1


def test_test_intents_are_shares_that_lean_to_the_last_state(world: World) -> None:
    mixture = world.log.test_intents
    assert np.allclose(mixture.sum(axis=1), 1, atol=1e-5)
    cold = ~np.isin(np.arange(800), world.log.users[world.log.times < TEST_START])
    assert np.allclose(mixture[cold], world.taste.intent_shares[cold], atol=1e-5)
    warm = ~cold & ~world.log.bots
    assert mixture[warm].max(axis=1).mean() > world.taste.intent_shares[warm].max(axis=1).mean()


def test_a_small_log_has_no_bots() -> None:
    wardrobe = draw_wardrobe(60, np.random.default_rng(1))
    taste = draw_taste(wardrobe, 50, np.random.default_rng(1))
    log = simulate(taste, 1000, np.random.default_rng(1))
    assert not log.bots.any()
    assert len(log) >= 1000
