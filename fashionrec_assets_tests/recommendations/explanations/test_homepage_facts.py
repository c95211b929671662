"""Facts behind rows of a homepage: each against the log and the catalog, and which are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.ranking.counterfactual import leave_one_out
from fashionrec_assets.ranking.knowledge import DAY, Knowledge
from fashionrec_assets.ranking.late_fusion import LateFusionRecommender, RankedBlock
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.recommendations.explanations.facts import FACTS_ARROW, Fact, facts_of
from fashionrec_assets.recommendations.explanations.homepage_facts import SHARED, Catalog, HomepageFacts
from fashionrec_assets.recommendations.popular import trend_of
from fashionrec_assets.settings import RecommendationSettings, Settings
from fashionrec_assets_tests.ranking.conftest import SETTINGS, World, known, lists, ranker, world

__all__ = ["known", "lists", "ranker", "world"]

USERS = np.array([3, 4, 11, 50, 51], np.int64)
DAYS = 3


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings.load(recommendations={"new_days": 30}, explanations={"history_items": 4, "facts": 5})


@pytest.fixture(scope="module")
def catalog(world: World, known: Knowledge) -> Catalog:
    columns = world.features.categories
    assert world.features.price is not None
    assert world.features.launched_at is not None
    prices = [None if at % 9 == 0 else float(price) for at, price in enumerate(world.features.price)]
    return Catalog.of(
        known.log,
        ["" if at == 1 else f" name  of {at}" for at in range(known.log.n_items)],
        {name: columns[name].tolist() for name in SHARED if name in columns},
        prices,
        world.features.launched_at,
        people=trend_of(known.log, RecommendationSettings(popular_days=DAYS)),
        days=DAYS,
    )


@pytest.fixture(scope="module")
def block(known: Knowledge, ranker: Ranker) -> RankedBlock:
    fusion = LateFusionRecommender(ranker, known, SETTINGS)
    (one,) = fusion.ranked(USERS, [np.zeros(0, np.int64)] * len(USERS))
    return one


@pytest.fixture(scope="module")
def shown(block: RankedBlock) -> NDArray[np.int64]:
    return np.flatnonzero(np.arange(len(block.owner)) - np.searchsorted(block.owner, block.owner) < 12)


@pytest.fixture(scope="module")
def told(
    known: Knowledge,
    ranker: Ranker,
    catalog: Catalog,
    settings: Settings,
    block: RankedBlock,
    shown: NDArray[np.int64],
) -> pa.Array:
    return HomepageFacts(known, ranker, catalog, settings).of(block, shown)


def every(told: pa.Array, block: RankedBlock, shown: NDArray[np.int64]) -> Iterator[tuple[int, int, Fact]]:
    """(user row, item row, fact)."""
    for row, cell in enumerate(told.to_pylist()):
        for fact in facts_of(cell):
            yield int(block.users[block.owner[shown[row]]]), int(block.items[shown[row]]), fact


def test_every_fact_can_be_looked_up(
    world: World, known: Knowledge, catalog: Catalog, told: pa.Array, block: RankedBlock, shown: NDArray[np.int64]
) -> None:
    log = known.log
    end = int(log.times.max())
    seen = dict.fromkeys(("history", "shared", "look", "wording", "price", "popularity", "new", "attribute"), 0)
    turned = [set(log.users[log.items == item].tolist()) for item in range(log.n_items)]
    lately = log.times > end - DAYS * DAY
    for user, item, fact in every(told, block, shown):
        seen[fact.kind] += 1
        mine = log.users == user
        own = sorted(set(log.items[mine].tolist()))
        if fact.kind in ("history", "look", "wording"):
            assert fact.item is not None
            other = int(np.flatnonzero(log.item_ids == fact.item)[0])
            events = mine & (log.items == other)
            furthest = int(log.behaviours[events].max())
            assert fact.what == BEHAVIOURS[furthest]
            assert fact.value == (f"item {fact.item}" if other == 1 else f"name of {other}")
            if fact.kind == "history":
                last = int(log.times[events & (log.behaviours == furthest)].max())
                assert fact.at is not None
                assert fact.at.replace(tzinfo=UTC) == datetime.fromtimestamp(last, UTC)
                assert (fact.number, fact.base) == (len(turned[other] & turned[item]), len(turned[other]))
            else:
                vectors = known.image if fact.kind == "look" else known.text
                assert other != item
                cosines = {one: float(vectors[item] @ vectors[one]) for one in own if one != item}
                if fact.kind == "look":
                    assert known.has_image[item]
                    cosines = {one: cosine for one, cosine in cosines.items() if known.has_image[one]}
                assert fact.number == pytest.approx(cosines[other], abs=1e-5)
                assert fact.number == pytest.approx(max(cosines.values()), abs=1e-5)
        elif fact.kind in ("shared", "attribute"):
            column = catalog.attributes[fact.what]
            assert fact.value == column[item] != ""
            if fact.kind == "shared":
                assert (fact.number, fact.base) == (sum(column[one] == fact.value for one in own), len(own))
        elif fact.kind == "price":
            known_prices = [catalog.price[one] for one in own if np.isfinite(catalog.price[one])]
            assert fact.number == catalog.price[item]
            assert fact.base == pytest.approx(float(np.median(known_prices)))
        elif fact.kind == "popularity":
            assert fact.number == len(set(log.users[lately & (log.items == item)].tolist()))
            assert fact.base == DAYS
        else:
            assert world.features.launched_at is not None
            assert fact.at is not None
            launched = int(fact.at.replace(tzinfo=UTC).timestamp())
            assert launched == world.features.launched_at[item]
            assert fact.number == (end - launched) // DAY
            assert fact.base == len(turned[item])
    assert min(seen.values()) > 0, seen


def test_facts_are_the_weightiest_in_order_with_ids_of_their_own(
    known: Knowledge, ranker: Ranker, block: RankedBlock, shown: NDArray[np.int64], told: pa.Array
) -> None:
    assert told.type == FACTS_ARROW
    assert len(told) == len(shown)
    drops = leave_one_out(known, ranker, block, shown, 4)
    for row, cell in enumerate(told.to_pylist()):
        facts = facts_of(cell)
        assert 0 < len(facts) <= 5
        assert [fact.id for fact in facts] == [f"f{at + 1}" for at in range(len(facts))]
        assert all(one.weight >= other.weight for one, other in pairwise(facts))
        assert all(fact.weight >= 0 for fact in facts)
        mine = drops.row == row
        history = [fact for fact in facts if fact.kind == "history"]
        best = drops.items[mine][: len(history)]
        assert [fact.item for fact in history] == known.log.item_ids[best].tolist()
        assert [fact.weight for fact in history] == pytest.approx(drops.drop[mine][: len(history)].tolist(), abs=1e-4)


def test_a_users_facts_do_not_depend_on_the_others(
    known: Knowledge, ranker: Ranker, catalog: Catalog, settings: Settings, told: pa.Array, block: RankedBlock
) -> None:
    fusion = LateFusionRecommender(ranker, known, SETTINGS)
    (alone,) = fusion.ranked(USERS[[2]], [np.zeros(0, np.int64)])
    mine = told.filter(pa.array(np.repeat(np.arange(len(USERS)) == 2, len(told) // len(USERS)))).to_pylist()
    again = HomepageFacts(known, ranker, catalog, settings).of(alone, np.arange(len(mine))).to_pylist()
    strip = [[{key: value for key, value in fact.items() if key != "weight"} for fact in cell] for cell in mine]
    assert [
        [{key: value for key, value in fact.items() if key != "weight"} for fact in cell] for cell in again
    ] == strip


def test_an_empty_catalog_of_attributes_leaves_the_other_facts(
    known: Knowledge, ranker: Ranker, catalog: Catalog, settings: Settings, block: RankedBlock, shown: NDArray[np.int64]
) -> None:
    bare = replace(catalog, attributes={}, price=np.full(known.log.n_items, np.nan))
    told = HomepageFacts(known, ranker, bare, settings).of(block, shown)
    kinds = {fact.kind for _, _, fact in every(told, block, shown)}
    assert "history" in kinds
    assert not kinds & {"shared", "attribute", "price"}
