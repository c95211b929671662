from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.index.building import build
from fashionrec_assets.index.vectors import unit_rows
from fashionrec_assets.recommendations.explanations.facts import facts_of
from fashionrec_assets.recommendations.styles.discovery import StyleSpace, pools, style_picks
from fashionrec_assets.recommendations.styles.pick_facts import SHARED, PickCatalog, PickFacts
from fashionrec_assets.settings import IndexSettings, StyleSettings
from fashionrec_assets_tests.evaluation.shop import random_shop

SETTINGS = StyleSettings(picks=4, per_style=2, candidates=20, exploration=0.4)
STYLES = 5


class Shop:
    """A shop of random events, vectors and attributes."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.log: EventLog = random_shop(seed)[0]
        n = self.log.n_items
        self.vectors = unit_rows(rng.normal(size=(n, 6)).astype(np.float32))
        self.style = rng.integers(0, STYLES, n)
        self.allowed = np.arange(n) % 7 != 0
        distances = rng.random((STYLES, STYLES))
        self.space = StyleSpace(
            build(self.log.item_ids, self.vectors, IndexSettings(), seed=0),
            self.vectors,
            self.style,
            np.arange(n) // 2,
            (distances + distances.T) / 2 * (1 - np.eye(STYLES)),
            self.allowed,
            0.2,
        )
        words = {name: rng.choice(["", "a", "b", "c"], n).astype(object) for name in SHARED}
        self.catalog = PickCatalog(
            np.asarray([f"Item {row}" for row in range(n)], object),
            words,
            unit_rows(rng.normal(size=(n, 3)).astype(np.float32)),
            rng.random(n) < 0.7,
            unit_rows(rng.normal(size=(n, 4)).astype(np.float32)),
            self.style,
            np.asarray([f"Style {number}" for number in range(STYLES)], object),
        )
        self.facts = PickFacts(self.log, self.catalog, 12)
        self.users = np.unique(self.log.users).astype(np.int64)
        self.user_vectors = rng.normal(size=(self.log.n_users, 6)).astype(np.float32)

    def picks(self, users: np.ndarray) -> list[dict]:
        made = style_picks(self.space, self.log, users, self.user_vectors[users], self.facts, SETTINGS)
        return [row for _, table in made for row in table.to_pylist()]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="module")
def rows(shop: Shop) -> list[dict]:
    return shop.picks(shop.users)


def test_picks_are_new_to_the_user_allowed_and_of_unexplored_styles(shop: Shop, rows: list[dict]) -> None:
    log = shop.log
    place = {name: row for row, name in enumerate(log.item_ids.tolist())}
    assert rows
    for row in rows:
        user = int(np.searchsorted(log.user_ids, row["user_id"]))
        mine = np.unique(log.items[log.users == user])
        item = place[row["item_id"]]
        assert item not in mine
        assert shop.allowed[item]
        counts = np.bincount(shop.style[mine], minlength=STYLES)
        assert counts[row["style_id"] - 1] / len(mine) <= max(0.1, float(np.median(counts / len(mine))))
        assert row["style_id"] == shop.style[item] + 1
        assert 0 <= row["score"] <= 1


def test_a_users_picks_do_not_depend_on_who_else_is_asked_for(shop: Shop, rows: list[dict]) -> None:
    some = shop.users[[3, 11, 40]]
    wanted = set(shop.log.user_ids[some].tolist())
    assert shop.picks(some) == [row for row in rows if row["user_id"] in wanted]


def test_every_fact_can_be_looked_up(shop: Shop, rows: list[dict]) -> None:
    log, catalog = shop.log, shop.catalog
    place = {name: row for row, name in enumerate(log.item_ids.tolist())}
    kinds: set[str] = set()
    for row in rows:
        user, item = int(np.searchsorted(log.user_ids, row["user_id"])), place[row["item_id"]]
        mine = np.unique(log.items[log.users == user])
        facts = facts_of(row["facts"])
        assert [fact.id for fact in facts] == [f"f{number + 1}" for number in range(len(facts))]
        assert facts[0].kind == "style"
        for fact in facts:
            kinds.add(fact.kind)
            if fact.kind == "style":
                style = int(fact.what) - 1
                assert fact.value == f"Style {style}"
                assert (fact.number, fact.base) == ((shop.style[mine] == style).sum(), len(mine))
            elif fact.kind in ("shared", "attribute"):
                values = catalog.columns[fact.what]
                assert fact.value == values[item] != ""
                if fact.kind == "shared":
                    assert (fact.number, fact.base) == ((values[mine] == fact.value).sum(), len(mine))
            else:
                assert fact.item is not None
                other = place[fact.item]
                events = (log.users == user) & (log.items == other)
                assert fact.value == f"Item {other}"
                assert fact.what == BEHAVIOURS[log.behaviours[events].max()]
                if fact.kind == "history":
                    told = events & (log.behaviours == BEHAVIOURS.index(fact.what))
                    assert fact.at is not None
                    assert (
                        int((fact.at - np.datetime64(0, "s").astype(object)).total_seconds()) == log.times[told].max()
                    )
                    people, both = np.unique(log.users[log.items == other]), np.unique(log.users[log.items == item])
                    assert (fact.number, fact.base) == (len(np.intersect1d(people, both)), len(people))
                else:
                    view = catalog.image if fact.kind == "look" else catalog.text
                    assert fact.number == pytest.approx(float(view[item] @ view[other]), abs=1e-5)
                    assert fact.number >= 0.6
    assert kinds == {"style", "shared", "attribute", "history", "look", "wording"}


def test_candidates_are_the_likeliest_by_the_users_vector(shop: Shop) -> None:
    user = shop.users[5:6]
    _, _, pool = next(iter(pools(shop.space, shop.log, user, shop.user_vectors[user], SETTINGS)))
    scores = shop.vectors @ shop.user_vectors[user[0]] / 0.2
    best = pool.items[pool.relevance.argmax()]
    assert pool.relevance.max() == 1
    for item, relevance in zip(pool.items, pool.relevance, strict=True):
        assert relevance == pytest.approx(np.exp(scores[item] - scores[best]), rel=1e-3, abs=1e-8)


def test_lengths_must_agree(shop: Shop) -> None:
    with pytest.raises(ValueError, match="as many"):
        StyleSpace(shop.space.index, shop.vectors, shop.style[1:], shop.space.families, np.eye(5), shop.allowed, 0.1)
