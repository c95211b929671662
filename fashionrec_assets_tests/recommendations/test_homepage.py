from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.ranking.late_fusion import RankedBlock
from fashionrec_assets.recommendations import homepage as module
from fashionrec_assets.recommendations.cosines import rounded_units
from fashionrec_assets.recommendations.diversity import Cap
from fashionrec_assets.recommendations.explanations.facts import Fact, facts_array, facts_of
from fashionrec_assets.recommendations.homepage import PageMaker, batches
from fashionrec_assets.recommendations.popular import popular_items
from fashionrec_assets.recommendations.shelves import PERSONAL, SHELVES, ShelfItems, Shown
from fashionrec_assets.recommendations.tables import HOMEPAGE, arrow_schema
from fashionrec_assets.settings import RecommendationSettings

SETTINGS = RecommendationSettings(homepage_size=10, shelf_size=4, shelf_least=2)
BUY = BEHAVIOURS.index("buy")


@dataclass
class Shop:
    """A busy little shop. Everyone's candidates are all items not hidden, scored by chance; every third user with a
    history has none at all."""

    log: EventLog
    items: ShelfItems
    scores: NDArray[np.float32]
    block_users: int = 7

    def ranked(self, users: NDArray[np.int64], hidden: Sequence[NDArray[np.int64]]) -> Iterator[RankedBlock]:
        for start in range(0, len(users), self.block_users):
            some = users[start : start + self.block_users]
            there = np.ones((len(some), self.log.n_items), bool)
            for at, user in enumerate(some):
                there[at, hidden[start + at]] = False
                there[at] &= user % 3 != 2
            owner, item = np.nonzero(there)
            score = self.scores[some[owner], item]
            order = np.lexsort((item, -score, owner))
            owner, item, score = owner[order], item[order], score[order]
            chance = np.round(score / 10, 6).astype(np.float32)
            yield RankedBlock(some, owner, item, score, chance, np.zeros((len(item), 1), np.float32))

    def facts(self, block: RankedBlock, shown: Shown) -> pa.Array:
        """A fact that names the pair it is about."""
        users, items = block.users[shown.owner], block.items[shown.pair]
        return facts_array(
            [(Fact("f1", "attribute", str(user), str(item)),) for user, item in zip(users, items, strict=True)]
        )

    def popular(self) -> pa.Table:
        return popular_items(self.log, SETTINGS)

    def page(
        self, settings: RecommendationSettings = SETTINGS, only: NDArray[np.int64] | None = None, **options: Any
    ) -> pa.Table:
        """The pages of all users, or of the rows `only`."""
        maker = PageMaker.of(self.log, self.ranked, self.items, self.popular(), settings, self.facts, **options)
        users = np.arange(self.log.n_users) if only is None else np.sort(only)
        made = [maker.pages(some) for some in batches(users)]
        return pa.concat_tables([arrow_schema(HOMEPAGE).empty_table(), *made]).combine_chunks()


def shop(seed: int = 0, n_users: int = 60, n_items: int = 90, events: int = 900) -> Shop:
    """The last ten users have no events."""
    rng = np.random.default_rng(seed)
    log = EventLog.build(
        [f"u{n:03d}" for n in range(n_users)],
        [f"i{n:03d}" for n in range(n_items)],
        np.minimum(rng.geometric(0.03, events) - 1, n_users - 11).tolist(),
        rng.integers(0, n_items, events).tolist(),
        (1_600_000_000 + rng.integers(0, 30 * 86_400, events)).tolist(),
        rng.choice(4, events, p=[0.7, 0.1, 0.1, 0.1]).tolist(),
    )
    items = ShelfItems(
        content=rounded_units(rng.standard_normal((n_items, 6)).astype(np.float32)),
        taste=rounded_units(rng.standard_normal((n_items, 6)).astype(np.float32)),
        families=np.arange(n_items) // 2,
        kinds=rng.integers(0, 6, n_items),
        is_new=rng.random(n_items) < 0.3,
        trend=rng.integers(0, 20, n_items),
        shown=np.ones((len(SHELVES), n_items), bool),
        caps=((),) * len(SHELVES),
    )
    return Shop(log, items, np.round(rng.random((n_users, n_items)), 3).astype(np.float32))


def touched(log: EventLog, user: int, behaviour: int | None = None) -> set[str]:
    mask = (log.users == user) & ((log.behaviours == behaviour) if behaviour is not None else True)
    return set(log.item_ids[log.items[mask]].tolist())


def pages(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        grouped.setdefault(row["user_id"], []).append(row)
    return grouped


def test_every_user_has_a_page_without_gaps_repetitions_or_what_they_bought() -> None:
    s = shop()
    table = s.page()
    assert table.schema.equals(arrow_schema(HOMEPAGE))
    grouped = pages(table)
    assert list(grouped) == s.log.user_ids.tolist()
    seen: set[str] = set()
    for user, user_id in enumerate(s.log.user_ids.tolist()):
        rows = grouped[user_id]
        assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
        shown = [row["item_id"] for row in rows]
        assert len(set(shown)) == len(shown)
        assert not set(shown) & touched(s.log, user, BUY)
        shelves = list(dict.fromkeys(row["shelf"] for row in rows))
        assert shelves == sorted(shelves, key=SHELVES.index)
        for shelf in shelves:
            on_shelf = [row["shelf_rank"] for row in rows if row["shelf"] == shelf]
            assert on_shelf == list(range(1, len(on_shelf) + 1))
        for row in rows:
            expected = "popular" if row["shelf"] == "popular" else "late_fusion"
            assert row["source"] == expected
            if expected == "late_fusion":
                assert row["score"] == pytest.approx(s.scores[user, int(row["item_id"][1:])] / 10, abs=1e-6)
                (fact,) = facts_of(row["facts"])
                assert (fact.what, fact.value) == (str(user), str(int(row["item_id"][1:])))
        seen |= set(shelves)
    assert seen == set(SHELVES)


def test_an_anchor_is_the_last_item_they_went_furthest_with() -> None:
    s = shop()
    told = 0
    for user_id, rows in pages(s.page()).items():
        mine = s.log.users == int(user_id[1:])
        for row in rows:
            if row["shelf"] != "because":
                assert row["anchor_id"] is None and row["anchor_behaviour"] is None
                continue
            strongest = s.log.behaviours[mine].max()
            last = s.log.times[mine & (s.log.behaviours == strongest)].max()
            there = mine & (s.log.behaviours == strongest) & (s.log.times == last)
            assert row["anchor_id"] in s.log.item_ids[s.log.items[there]]
            assert row["anchor_behaviour"] == BEHAVIOURS[strongest]
            told += 1
    assert told > 50


def test_trending_is_of_the_kinds_they_turn_to_most() -> None:
    s = shop()
    told = 0
    for user_id, rows in pages(s.page()).items():
        own = [int(item[1:]) for item in touched(s.log, int(user_id[1:]))]
        counts = np.bincount(s.items.kinds[own], minlength=6)[1:]
        for row in rows:
            if row["shelf"] == "trending":
                kind = s.items.kinds[int(row["item_id"][1:])]
                assert kind > 0
                assert (counts > counts[kind - 1]).sum() < module.USER_KINDS
                told += 1
    assert told > 50


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("seen", [False, True])
def test_what_may_be_shown_again_is_a_setting(repeat: bool, seen: bool) -> None:
    s = shop()
    settings = SETTINGS.model_copy(update={"homepage_size": 60, "repeat_purchases": repeat, "show_seen": seen})
    again = {"bought": 0, "seen": 0}
    for user_id, rows in pages(s.page(settings)).items():
        user = int(user_id[1:])
        shown = {row["item_id"] for row in rows if row["source"] == "late_fusion"}
        again["bought"] += len(shown & touched(s.log, user, BUY))
        again["seen"] += len(shown & (touched(s.log, user) - touched(s.log, user, BUY)))
    assert (again["bought"] > 0) == repeat
    assert (again["seen"] > 0) == seen


def test_users_without_a_history_or_a_candidate_get_what_is_popular() -> None:
    s = shop()
    popular = s.popular()
    order = popular["item_id"].to_pylist()
    users_of = dict(zip(order, popular["users"].to_pylist(), strict=True))
    fallback = {user_id: rows for user_id, rows in pages(s.page()).items() if rows[0]["source"] == "popular"}
    silent = {user_id for user, user_id in enumerate(s.log.user_ids.tolist()) if not touched(s.log, user)}
    without = {user_id for user, user_id in enumerate(s.log.user_ids.tolist()) if user % 3 == 2}
    assert len(silent) >= 10
    assert set(fallback) == silent | without
    for user_id, rows in fallback.items():
        bought = touched(s.log, int(user_id[1:]), BUY)
        assert [row["item_id"] for row in rows] == [item for item in order if item not in bought][:10]
        for row in rows:
            assert row["shelf"] == "popular" and row["score"] == users_of[row["item_id"]]
            (fact,) = facts_of(row["facts"])
            assert (fact.id, fact.kind, fact.number) == ("f1", "popularity", users_of[row["item_id"]])
            assert fact.base == popular["window_days"][0].as_py()


def test_newcomers_get_first_what_people_like_them_turn_to() -> None:
    s = shop()
    liked = np.argsort(np.random.default_rng(3).random((s.log.n_users, s.log.n_items)), axis=1).astype(np.float32)
    found = pages(s.page(strangers=lambda users: liked[users]))
    order = s.popular()["item_id"].to_pylist()
    plain = pages(s.page())
    for user in range(s.log.n_users - 10, s.log.n_users):
        user_id = s.log.user_ids[user].item()
        row_of = {item: int(np.flatnonzero(s.log.item_ids == item)[0]) for item in order}
        wanted = sorted(order, key=lambda item: -liked[user, row_of[item]])[:10]
        assert [row["item_id"] for row in found[user_id]] == wanted
        assert wanted != [row["item_id"] for row in plain[user_id]]
        assert {row["source"] for row in found[user_id]} == {"popular"}


def test_rules_hold_on_popular_pages_too() -> None:
    s = shop()
    shown = s.items.shown.copy()
    shown[:, ::2] = False
    limits = (Cap(1 + np.arange(90) % 10, 1),)
    s.items = replace(s.items, shown=shown, caps=(limits,) * len(SHELVES))
    grouped = pages(s.page())
    assert {row["shelf"] for rows in grouped.values() for row in rows} >= {"for_you", "popular"}
    for rows in grouped.values():
        assert all(int(row["item_id"][1:]) % 2 for row in rows)
        for shelf in SHELVES:
            digits = [row["item_id"][-1] for row in rows if row["shelf"] == shelf]
            assert len(set(digits)) == len(digits)


def test_a_users_page_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    s = shop()
    whole = s.page()
    some = np.array([40, 0, 3, 55, 4])
    expected = whole.filter(pa.array(np.isin(whole["user_id"].to_pylist(), s.log.user_ids[some])))
    assert s.page(only=some).equals(expected.combine_chunks())
    monkeypatch.setattr(module, "PAGE_USERS", 11)
    s.block_users = 2
    assert s.page().equals(whole)


def test_a_shop_with_fewer_items_than_a_page() -> None:
    s = shop(n_items=6, events=200)
    grouped = pages(s.page())
    for user, user_id in enumerate(s.log.user_ids.tolist()):
        shown = {row["item_id"] for row in grouped.get(user_id, [])}
        assert shown == set(s.log.item_ids.tolist()) - touched(s.log, user, BUY)


def test_rows_fit_the_declared_table() -> None:
    table = shop().page()
    assert set(table["shelf"].to_pylist()) > set(PERSONAL)
    with duckdb.connect() as connection:
        connection.execute(HOMEPAGE.ddl())
        connection.register("t", table)
        connection.execute("INSERT INTO homepage SELECT * FROM t")
        back = connection.sql("SELECT * FROM homepage ORDER BY user_id, rank").to_arrow_table()
    assert back.cast(table.schema).equals(table)


def test_what_does_not_fit_is_named() -> None:
    s = shop()
    with pytest.raises(ValueError, match="facts of 0 rows"):
        PageMaker.of(s.log, s.ranked, s.items, s.popular(), SETTINGS, lambda block, shown: facts_array([])).pages(
            np.arange(s.log.n_users)
        )
    with pytest.raises(ValueError, match="the log 91"):
        other = replace(s.log, item_ids=np.append(s.log.item_ids, "z"))
        PageMaker.of(other, s.ranked, s.items, s.popular(), SETTINGS, s.facts)
    stranger = s.popular().set_column(1, "item_id", pa.array(["zz"] * len(s.popular())))
    with pytest.raises(ValueError, match="popular items"):
        PageMaker.of(s.log, s.ranked, s.items, stranger, SETTINGS, s.facts)
