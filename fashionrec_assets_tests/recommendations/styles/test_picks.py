from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.recommendations.styles.picks import Candidates, Picks, Pool, Profiles, pick, unexplored_pool
from fashionrec_assets.settings import StyleSettings
from fashionrec_assets_tests.evaluation.shop import log_of

SETTINGS = StyleSettings(picks=5, per_style=2)
USERS, STYLES, ITEMS = 20, 6, 60
DIALS = np.linspace(0, 1, 11)


def random_pool(seed: int) -> Pool:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 5, (USERS, STYLES)) * (rng.random((USERS, STYLES)) < 0.5)
    distances = rng.random((STYLES, STYLES))
    distances = (distances + distances.T) / 2 * (1 - np.eye(STYLES))
    owner = np.repeat(np.arange(USERS), 40)
    items = np.concatenate([rng.choice(ITEMS, 40, replace=False) for _ in range(USERS)])
    candidates = Candidates(owner, items, rng.normal(0, 2, len(owner)))
    style = rng.integers(0, STYLES, ITEMS)
    return unexplored_pool(candidates, Profiles(counts), style, np.arange(ITEMS) // 2, distances, 0.1)


def sums(pool: Pool, chosen: Picks, values: np.ndarray) -> np.ndarray:
    return np.bincount(pool.owner[chosen.rows], values[chosen.rows], USERS)


@pytest.mark.parametrize("seed", range(20))
def test_a_higher_dial_never_makes_a_list_less_novel_or_more_relevant(seed: int) -> None:
    pool = random_pool(seed)
    lists = [pick(pool, SETTINGS, float(dial)) for dial in DIALS]
    full = np.logical_and.reduce([np.bincount(pool.owner[one.rows], minlength=USERS) == 5 for one in lists])
    assert full.sum() > USERS / 2
    novelty = np.stack([sums(pool, one, pool.novelty) for one in lists])[:, full]
    relevance = np.stack([sums(pool, one, pool.relevance) for one in lists])[:, full]
    assert (np.diff(novelty, axis=0) >= -1e-9).all()
    assert (np.diff(relevance, axis=0) <= 1e-9).all()
    assert (novelty[-1] > novelty[0]).any()
    assert (relevance[-1] < relevance[0]).any()


@pytest.mark.parametrize("dial", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_loss_is_bounded_by_the_dial(dial: float) -> None:
    for seed in range(10):
        pool = random_pool(seed)
        likeliest, chosen = pick(pool, SETTINGS, 0.0), pick(pool, SETTINGS, dial)
        for user in range(USERS):
            last = pool.relevance[likeliest.rows[pool.owner[likeliest.rows] == user]].min()
            mine = pool.relevance[chosen.rows[pool.owner[chosen.rows] == user]]
            assert (mine >= (1 - dial) * last - 1e-9).all()


def test_at_nought_the_list_is_by_relevance_within_the_limit_per_style() -> None:
    pool = random_pool(4)
    chosen = pick(pool, SETTINGS, 0.0)
    for user in range(USERS):
        taken: list[int] = []
        for row in sorted(np.flatnonzero(pool.owner == user), key=lambda row: (-pool.relevance[row], pool.items[row])):
            same = sum(pool.style[other] == pool.style[row] for other in taken)
            if same < SETTINGS.per_style and len(taken) < SETTINGS.picks:
                taken.append(int(row))
        assert chosen.rows[pool.owner[chosen.rows] == user].tolist() == taken


def test_lists_are_ranked_without_gaps_and_do_not_depend_on_other_users() -> None:
    pool = random_pool(5)
    chosen = pick(pool, SETTINGS, 0.4)
    mine = pool.owner == 7
    alone = Pool(*(getattr(pool, name)[mine] for name in ("owner", "items", "style", "relevance", "novelty")))
    one = pick(alone, SETTINGS, 0.4)
    here = pool.owner[chosen.rows] == 7
    assert alone.items[one.rows].tolist() == pool.items[chosen.rows[here]].tolist()
    assert one.rank.tolist() == chosen.rank[here].tolist() == [1, 2, 3, 4, 5]


def test_only_unexplored_styles_are_offered_one_item_a_family() -> None:
    counts = np.array([[9, 1, 0], [0, 0, 1]])
    owner, items = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 0, 2])
    style, families = np.array([0, 1, 2, 2]), np.array([0, 1, 2, 2])
    logits = np.array([5.0, 1.0, 0.0, 0.5, 0.0, 9.0])
    distances = 1 - np.eye(3)
    pool = unexplored_pool(Candidates(owner, items, logits), Profiles(counts), style, families, distances, 0.1)
    assert pool.owner.tolist() == [0, 0, 1]
    assert pool.items.tolist() == [1, 3, 0]
    assert pool.relevance == pytest.approx([1, np.exp(-0.5), 1])
    assert pool.novelty == pytest.approx([0.9, 1.0, 1.0])
    nothing = unexplored_pool(Candidates(owner, items, logits), Profiles(counts), style - 3, families, distances, 0.1)
    assert len(nothing.owner) == 0
    assert len(pick(nothing, SETTINGS, 0.5).rows) == 0


def test_a_user_of_every_style_is_offered_those_with_no_more_than_the_median_share() -> None:
    assert Profiles(np.array([[5, 3, 4]])).unexplored(0.1).tolist() == [[False, True, True]]


def test_profiles_count_different_items_of_the_users_asked_for() -> None:
    events = [(0, 0, 1, "pv"), (0, 0, 2, "buy"), (0, 1, 1, "pv"), (1, 2, 1, "pv"), (2, 3, 1, "pv")]
    log = log_of(events, 3, 4)
    profiles = Profiles.of(log, np.array([0, 0, 1, -1]), 2, np.array([0, 2]))
    assert profiles.counts.tolist() == [[2, 0], [0, 0]]
    assert profiles.shares.tolist() == [[1, 0], [0, 0]]


def test_a_dial_beyond_its_ends_is_refused() -> None:
    with pytest.raises(ValueError, match="dial"):
        pick(random_pool(0), SETTINGS, 1.2)
