from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.ranking.late_fusion import RankedBlock
from fashionrec_assets.recommendations.cosines import rounded_units
from fashionrec_assets.recommendations.diversity import Cap
from fashionrec_assets.recommendations.shelves import (
    NEAREST,
    PERSONAL,
    SHELVES,
    ShelfItems,
    Shown,
    arrange,
    new_items,
    shelf_title,
)
from fashionrec_assets.settings import RecommendationSettings

SETTINGS = RecommendationSettings(homepage_size=6, shelf_size=4, shelf_least=2, diversity=0.0)
N = 120
NAMES = {shelf: at for at, shelf in enumerate(SHELVES)}


def catalog(seed: int = 0) -> ShelfItems:
    rng = np.random.default_rng(seed)
    return ShelfItems(
        content=rounded_units(rng.standard_normal((N, 6)).astype(np.float32)),
        taste=rounded_units(rng.standard_normal((N, 5)).astype(np.float32)),
        families=np.arange(N) // 2,
        kinds=rng.integers(0, 5, N),
        is_new=rng.random(N) < 0.3,
        trend=rng.integers(0, 9, N),
        shown=np.ones((len(SHELVES), N), bool),
        caps=((),) * len(SHELVES),
    )


def ranked(users: int = 15, seed: int = 1) -> RankedBlock:
    """Candidates of each user, best first; the last user has none."""
    rng = np.random.default_rng(seed)
    owner, items, scores = [], [], []
    for user in range(users - 1):
        some = rng.choice(N, rng.integers(20, 90), replace=False)
        values = np.round(rng.standard_normal(len(some)), 1)
        order = np.lexsort((some, -values))
        owner.append(np.full(len(some), user))
        items.append(some[order])
        scores.append(values[order])
    score = np.concatenate(scores).astype(np.float32)
    return RankedBlock(
        users=np.arange(users) + 100,
        owner=np.concatenate(owner),
        items=np.concatenate(items),
        scores=score,
        chances=np.round(1 / (1 + np.exp(-score)), 6).astype(np.float32),
        values=np.zeros((len(score), 2), np.float32),
    )


def tastes(users: int = 15, seed: int = 2) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    anchors = rng.integers(0, N, users)
    anchors[1] = -1
    kinds = np.stack([rng.choice(np.arange(1, 5), 2, replace=False) for _ in range(users)])
    kinds[2] = 0
    return anchors, kinds


def lists(block: RankedBlock, shown: Shown) -> dict[tuple[int, str], list[int]]:
    """(owner, shelf) -> the items, in order."""
    found: dict[tuple[int, str], list[int]] = {}
    for owner, shelf, pair in zip(shown.owner, shown.shelf, shown.pair, strict=True):
        assert block.owner[pair] == owner
        found.setdefault((int(owner), SHELVES[shelf]), []).append(int(block.items[pair]))
    return found


def test_every_shelf_holds_what_it_says() -> None:
    block, items, (anchors, kinds) = ranked(), catalog(), tastes()
    found = lists(block, arrange(block, items, anchors, kinds, SETTINGS))
    unit = items.taste / np.linalg.norm(items.taste, axis=1, keepdims=True)
    for user in range(14):
        mine = block.items[block.owner == user].tolist()
        scores = dict(zip(mine, block.scores[block.owner == user].tolist(), strict=True))
        assert found[user, "for_you"] == mine[:6]
        left = mine[6:]

        def first(of: list[int]) -> list[int]:
            """Up to four of a list, one of a family."""
            families: dict[int, int] = {}
            for item in of:
                families.setdefault(int(items.families[item]), item)
            return list(families.values())[:4]

        expected: dict[str, list[int]] = {"because": []}
        if anchors[user] >= 0:
            others = [i for i in left if items.families[i] != items.families[anchors[user]]]
            cosine = {i: float(unit[i] @ unit[anchors[user]]) for i in others}
            near = sorted((i for i in others if cosine[i] > 0), key=lambda i: -cosine[i])[: NEAREST * 4]
            expected["because"] = first(sorted(near, key=lambda i: (-scores[i], i)))
        left = [i for i in left if i not in expected["because"] or len(expected["because"]) < 2]
        expected["new"] = first([i for i in left if items.is_new[i]])
        left = [i for i in left if i not in expected["new"] or len(expected["new"]) < 2]
        own = [i for i in left if items.kinds[i] in kinds[user] and items.kinds[i] > 0 and items.trend[i] > 0]
        expected["trending"] = first(sorted(own, key=lambda i: (-items.trend[i], -scores[i], i)))
        for shelf, wanted in expected.items():
            assert found.get((user, shelf), []) == (wanted if len(wanted) >= 2 else [])
    assert {shelf for _, shelf in found} == set(PERSONAL)
    assert (1, "because") not in found and (2, "trending") not in found
    assert 14 not in {user for user, _ in found}


def test_pages_are_ranked_without_gaps_and_name_their_anchor() -> None:
    block, items, (anchors, kinds) = ranked(), catalog(), tastes()
    shown = arrange(block, items, anchors, kinds, SETTINGS)
    assert np.all(np.diff(shown.owner) >= 0)
    for user in np.unique(shown.owner):
        mine = np.flatnonzero(shown.owner == user)
        assert shown.rank[mine].tolist() == list(range(1, len(mine) + 1))
        assert np.all(np.diff(shown.shelf[mine]) >= 0)
        assert len(set(block.items[shown.pair[mine]])) == len(mine)
        for shelf in np.unique(shown.shelf[mine]):
            on_shelf = mine[shown.shelf[mine] == shelf]
            assert shown.shelf_rank[on_shelf].tolist() == list(range(1, len(on_shelf) + 1))
    because = shown.shelf == NAMES["because"]
    assert np.array_equal(shown.anchors[because], anchors[shown.owner[because]])
    assert np.all(shown.anchors[~because] == -1)


def test_a_short_shelf_is_left_out_and_gives_back_its_items() -> None:
    block, items, (anchors, kinds) = ranked(), catalog(), tastes()
    scarce = replace(items, is_new=np.isin(np.arange(N), [3, 50]))
    least = SETTINGS.model_copy(update={"shelf_least": 3})
    assert not (arrange(block, scarce, anchors, kinds, least).shelf == NAMES["new"]).any()
    lower = SETTINGS.model_copy(update={"shelf_least": 1})
    assert (arrange(block, scarce, anchors, kinds, lower).shelf == NAMES["new"]).any()
    none = SETTINGS.model_copy(update={"shelf_size": 0})
    assert set(arrange(block, items, anchors, kinds, none).shelf.tolist()) == {NAMES["for_you"]}


def test_what_may_not_be_shown_is_not_and_limits_hold_on_their_shelf() -> None:
    block, items, (anchors, kinds) = ranked(), catalog(), tastes()
    shown = items.shown.copy()
    shown[:, ::3] = False
    shown[NAMES["new"], 1::3] = False
    brands = np.arange(N) % 4
    caps = tuple((Cap(brands, 1),) if shelf in ("for_you", "trending") else () for shelf in SHELVES)
    ruled = replace(items, shown=shown, caps=caps)
    found = lists(block, arrange(block, ruled, anchors, kinds, SETTINGS))
    assert found
    most = 0
    for (_, shelf), some in found.items():
        assert all(item % 3 for item in some)
        assert shelf != "new" or all(item % 3 == 2 for item in some)
        counts = np.bincount([brands[item] for item in some], minlength=4)[1:].max()
        assert counts <= 1 or shelf in ("because", "new")
        most = max(most, int(counts))
    assert most > 1, "the other shelves are not limited"


def test_a_page_does_not_depend_on_the_other_users() -> None:
    block, items, (anchors, kinds) = ranked(), catalog(), tastes()
    settings = SETTINGS.model_copy(update={"diversity": 0.4})
    whole = arrange(block, items, anchors, kinds, settings)
    for user in (0, 5, 13):
        rows = np.flatnonzero(block.owner == user)
        alone = RankedBlock(
            block.users[[user]],
            np.zeros(len(rows), np.int64),
            block.items[rows],
            block.scores[rows],
            block.chances[rows],
            block.values[rows],
        )
        page = arrange(alone, items, anchors[[user]], kinds[[user]], settings)
        mine = whole.owner == user
        assert rows[page.pair].tolist() == whole.pair[mine].tolist()
        assert page.rank.tolist() == whole.rank[mine].tolist()


def test_diversity_varies_the_first_shelf_only_by_its_weight() -> None:
    block, items, (anchors, kinds) = ranked(), catalog(), tastes()
    plain = lists(block, arrange(block, items, anchors, kinds, SETTINGS))
    varied = lists(block, arrange(block, items, anchors, kinds, SETTINGS.model_copy(update={"diversity": 0.5})))
    assert sum(plain[u, "for_you"] != varied[u, "for_you"] for u in range(14)) > 10


def test_new_is_what_was_launched_lately_or_nobody_turned_to() -> None:
    day = 86_400
    end = 100 * day
    launched = np.array(
        [end - day, end - 14 * day, end - 14 * day - 1, np.iinfo(np.int64).min, end + day, end - 50 * day]
    )
    people = np.array([5, 5, 5, 5, 0, 0])
    assert new_items(people, launched, end, 14).tolist() == [True, True, False, False, False, True]


def test_titles_say_what_happened() -> None:
    assert shelf_title("because", "Red top", "buy") == "Because you bought “Red top”"
    assert shelf_title("because", "Red top", "cart") == "Because you put “Red top” in your cart"
    assert shelf_title("because", "Red top", "fav") == "Because you saved “Red top”"
    assert shelf_title("because", "Red top", "pv") == "Because you viewed “Red top”"
    assert "you" not in shelf_title("because", "Red top"), "no behaviour is claimed that is not known"
    assert len({shelf_title(shelf) for shelf in SHELVES}) == len(SHELVES)
    with pytest.raises(KeyError):
        shelf_title("no such shelf")


def test_columns_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        replace(catalog(), trend=np.zeros(3, np.int64))
