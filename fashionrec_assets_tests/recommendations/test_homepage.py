from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.index.vectors_index import build
from fashionrec_assets.recommendations import homepage as module
from fashionrec_assets.recommendations.homepage import NO_EVIDENCE, ItemSpace, homepage, unknown_user_page
from fashionrec_assets.recommendations.popular import popular_items
from fashionrec_assets.recommendations.tables import HOMEPAGE, arrow_schema
from fashionrec_assets.settings import IndexSettings, RecommendationSettings

SETTINGS = RecommendationSettings(homepage_size=10, evidence_items=3)
VERB = {"pv": "viewed", "fav": "saved", "cart": "put", "buy": "bought"}


@dataclass
class Shop:
    space: ItemSpace
    users: NDArray[np.float32]
    log: EventLog
    popular: pa.Table

    def page(self, settings: RecommendationSettings = SETTINGS, **options: Any) -> pa.Table:
        return homepage(self.space, self.users, self.log, self.popular, settings, **options)


def shop(seed: int = 0, n_users: int = 120, n_items: int = 90, events: int = 1_500, dim: int = 16) -> Shop:
    """A busy little shop: the last ten users have no events, user 0 a useless vector, the index its own item order."""
    rng = np.random.default_rng(seed)
    item_ids = [f"i{n:03d}" for n in range(n_items)]
    log = EventLog.build(
        [f"u{n:03d}" for n in range(n_users)],
        item_ids,
        np.minimum(rng.geometric(0.03, events) - 1, n_users - 11).tolist(),
        rng.integers(0, n_items, events).tolist(),
        (1_600_000_000 + rng.integers(0, 30 * 86_400, events)).tolist(),
        rng.choice(4, events, p=[0.7, 0.1, 0.1, 0.1]).tolist(),
    )
    order = rng.permutation(n_items)
    vectors = rng.standard_normal((n_items, dim)).astype(np.float32)
    index = build(np.array(item_ids)[order], vectors, IndexSettings())
    titles = [f"Title of {item_ids[o]}" if o % 7 else "" for o in order]
    users = rng.standard_normal((n_users, dim)).astype(np.float32)
    users[0] = 0
    users[1, 3] = np.nan
    return Shop(ItemSpace(index, vectors, titles), users, log, popular_items(log, SETTINGS))


def bought(log: EventLog, user: int) -> set[str]:
    mask = (log.users == user) & (log.behaviours == BEHAVIOURS.index("buy"))
    return set(log.item_ids[log.items[mask]].tolist())


def pages(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        grouped.setdefault(row["user_id"], []).append(row)
    return grouped


def test_every_user_has_a_ranked_page_without_what_they_bought() -> None:
    s = shop()
    table = s.page()
    assert table.schema.equals(arrow_schema(HOMEPAGE))
    grouped = pages(table)
    assert list(grouped) == s.log.user_ids.tolist()
    vector_of = dict(zip(s.space.index.ids.tolist(), s.space.vectors, strict=True))
    for user, user_id in enumerate(s.log.user_ids.tolist()):
        rows = grouped[user_id]
        assert [row["rank"] for row in rows] == list(range(1, 11))
        shown = [row["item_id"] for row in rows]
        assert len(set(shown)) == 10
        assert not set(shown) & bought(s.log, user)
        if rows[0]["source"] == "popular":
            continue
        scores = {i: float(s.users[user] @ v) for i, v in vector_of.items() if i not in bought(s.log, user)}
        assert shown == sorted(scores, key=lambda i: -scores[i])[:10]
        np.testing.assert_allclose([row["score"] for row in rows], [scores[i] for i in shown], rtol=1e-4)


def test_evidence_is_the_closest_history_and_in_the_log() -> None:
    s = shop()
    log = s.log
    events: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for u, i, t, b in zip(log.users, log.items, log.times, log.behaviours, strict=True):
        events.setdefault((str(log.user_ids[u]), str(log.item_ids[i])), []).append((int(b), int(t)))
    unit = s.space.vectors / np.linalg.norm(s.space.vectors, axis=1, keepdims=True)
    vector_of = dict(zip(s.space.index.ids.tolist(), unit, strict=True))
    cited = 0
    for user_id, rows in pages(s.page()).items():
        if rows[0]["source"] == "popular":
            continue
        history = [item for owner, item in events if owner == user_id]
        for row in rows:
            cosines = {item: float(vector_of[item] @ vector_of[row["item_id"]]) for item in history}
            told = row["evidence_items"]
            best = sorted(cosines.values(), reverse=True)[: len(told)]
            limit = SETTINGS.evidence_similarity
            assert len(told) == len(set(told)) <= 3
            assert min(best, default=1) > limit - 2e-3
            assert len(told) == 3 or sum(value > limit + 2e-3 for value in cosines.values()) <= len(told)
            # By value rather than by item: cosines are rounded, and near ties may swap.
            np.testing.assert_allclose([cosines[item] for item in told], best, atol=2e-3)
            np.testing.assert_allclose(row["evidence_similarities"], best, atol=2e-3)
            for item, behaviour, time in zip(told, row["evidence_behaviours"], row["evidence_times"], strict=True):
                furthest, last = max(events[user_id, item])
                assert behaviour == BEHAVIOURS[furthest]
                assert np.datetime64(time, "s").astype(np.int64) == last
                cited += 1
    assert cited > 1_000


def test_reasons_say_what_the_evidence_says() -> None:
    s = shop()
    title_of = dict(zip(s.space.index.ids.tolist(), s.space.titles, strict=True))
    forms = set()
    for row in s.page().to_pylist():
        if row["source"] == "popular":
            continue
        reason = row["reason"]
        assert reason.endswith(".")
        others = [item for item in row["evidence_items"] if item != row["item_id"]]
        named = re.findall(r"“Title of (i\d+)”|item (i\d+)", reason)
        assert sorted(a or b for a, b in named) == sorted(others)
        for item in others:
            assert (f"“{title_of[item]}”" if title_of[item] else f"item {item}") in reason
        if not row["evidence_items"]:
            assert reason == NO_EVIDENCE
        elif row["item_id"] in row["evidence_items"]:
            assert reason.startswith("You have ")
            behaviour = row["evidence_behaviours"][row["evidence_items"].index(row["item_id"])]
            assert reason.split()[2] == VERB[behaviour]
        else:
            assert reason.startswith("Because you ")
            verbs = re.findall(r"\b(viewed|saved|put|bought)\b", reason)
            assert sorted(verbs) == sorted({VERB[b] for b in row["evidence_behaviours"]})
        forms.add(tuple(row["evidence_behaviours"]))
    assert len(forms) > 20


def test_sentences_read_as_english() -> None:
    ids = np.array(["a", "b", "c", "shown"])
    vectors = np.array([[1, 0.1], [1, 0.2], [1, 0.3], [1, 0]], np.float32)
    space = ItemSpace(
        build(ids, vectors, IndexSettings()), vectors, ["Red top", "A " + "very " * 30 + "long one", "", "Shown"]
    )

    def reason(behaviours: list[tuple[int, int]], settings: RecommendationSettings) -> str:
        log = EventLog.build(
            ["u"], ids.tolist(), [0] * len(behaviours), *zip(*[(i, 10, b) for i, b in behaviours], strict=True)
        )
        users = np.array([[1, 0]], np.float32)
        rows = homepage(space, users, log, popular_items(log, settings), settings).to_pylist()
        return next(row["reason"] for row in rows if row["item_id"] == "shown")

    short = "“A very very very very very very very very very very very…”"
    keep = RecommendationSettings(repeat_purchases=True)
    assert reason([(0, 3)], keep) == "Because you bought “Red top”."
    assert reason([(0, 0), (1, 0)], keep) == f"Because you viewed “Red top” and {short}."
    assert reason([(0, 2), (1, 0)], keep) == f"Because you put “Red top” in your cart and viewed {short}."
    assert reason([(0, 0), (1, 3), (2, 0)], keep) == f"Because you viewed “Red top” and item c, and bought {short}."
    assert reason([(0, 0), (1, 1), (2, 3)], keep) == f"Because you viewed “Red top”, saved {short} and bought item c."
    assert reason([(3, 2)], keep) == "You have put this in your cart before."
    assert (
        reason([(3, 0), (0, 3)], keep) == "You have viewed this before, and it is close to “Red top” from your history."
    )


def test_old_events_are_no_evidence_but_stay_bought() -> None:
    s = shop()
    grouped = pages(s.page(evidence_events=4))
    offsets = s.log.offsets()
    for user, user_id in enumerate(s.log.user_ids.tolist()):
        last = slice(max(offsets[user], offsets[user + 1] - 4), offsets[user + 1])
        recent = set(s.log.item_ids[s.log.items[last]].tolist())
        for row in grouped[user_id]:
            assert set(row["evidence_items"]) <= recent
            assert row["item_id"] not in bought(s.log, user)


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("seen", [False, True])
def test_what_may_be_shown_again_is_a_setting(repeat: bool, seen: bool) -> None:
    s = shop()
    settings = RecommendationSettings(homepage_size=40, repeat_purchases=repeat, show_seen=seen)
    again = {"bought": 0, "seen": 0}
    for user, user_id in enumerate(s.log.user_ids.tolist()):
        history = set(s.log.item_ids[s.log.items[s.log.users == user]].tolist())
        for row in pages(s.page(settings, only=np.array([user])))[user_id] if user % 8 == 2 else []:
            again["bought"] += row["item_id"] in bought(s.log, user)
            again["seen"] += row["item_id"] in history - bought(s.log, user)
    assert (again["bought"] > 0) == repeat
    assert (again["seen"] > 0) == seen


def test_users_without_a_usable_vector_get_what_is_popular() -> None:
    s = shop()
    grouped = pages(s.page())
    order = s.popular["item_id"].to_pylist()
    users_of = dict(zip(order, s.popular["users"].to_pylist(), strict=True))
    fallback = {user_id for user_id, rows in grouped.items() if rows[0]["source"] == "popular"}
    silent = {user_id for user, user_id in enumerate(s.log.user_ids.tolist()) if user not in set(s.log.users.tolist())}
    assert len(silent) >= 10
    assert fallback == {"u000", "u001"} | silent
    for user_id in fallback:
        user = int(user_id[1:])
        rows = grouped[user_id]
        assert [r["item_id"] for r in rows] == [i for i in order if i not in bought(s.log, user)][:10]
        for row in rows:
            assert row["score"] == users_of[row["item_id"]]
            assert row["evidence_items"] == []
            days = s.popular["window_days"][0].as_py()
            assert re.fullmatch(
                rf"Popular: {users_of[row['item_id']]} shoppers? turned to it in the last {days} days\.", row["reason"]
            )


def test_an_unknown_user_gets_what_is_popular() -> None:
    s = shop()
    page = unknown_user_page(s.popular, SETTINGS, "stranger")
    assert page.schema.equals(arrow_schema(HOMEPAGE))
    assert page["item_id"].to_pylist() == s.popular["item_id"].to_pylist()[:10]
    assert page["rank"].to_pylist() == list(range(1, 11))
    assert set(page["user_id"].to_pylist()) == {"stranger"}
    assert set(page["source"].to_pylist()) == {"popular"}
    assert len(unknown_user_page(s.popular.slice(0, 0), SETTINGS)) == 0


def test_a_users_page_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    s = shop()
    whole = s.page()
    some = np.array([70, 0, 3, 115, 4])
    expected = whole.filter(pa.array(np.isin(whole["user_id"].to_pylist(), s.log.user_ids[some])))
    assert s.page(only=some).equals(expected.combine_chunks())
    monkeypatch.setattr(module, "_BLOCK_USERS", 7)
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 1)
    seen: list[tuple[int, int]] = []
    assert s.page(progress=lambda done, total: seen.append((done, total))).equals(whole)
    assert seen[-1] == (120, 120)


def test_a_shop_with_fewer_items_than_a_page() -> None:
    s = shop(n_items=6, events=300)
    grouped = pages(s.page())
    for user, user_id in enumerate(s.log.user_ids.tolist()):
        rows = grouped.get(user_id, [])
        assert {row["item_id"] for row in rows} == set(s.log.item_ids.tolist()) - bought(s.log, user)


def test_events_on_items_that_cannot_be_shown_are_skipped() -> None:
    s = shop()
    kept = np.arange(60)
    ids, vectors = s.space.index.ids[kept], s.space.vectors[kept]
    smaller = ItemSpace(build(ids, vectors, IndexSettings()), vectors, [s.space.titles[k] for k in kept])
    table = homepage(smaller, s.users, s.log, s.popular, SETTINGS)
    assert set(table["item_id"].to_pylist()) <= set(ids.tolist())
    assert {item for items in table["evidence_items"].to_pylist() for item in items} <= set(ids.tolist())


def test_rows_fit_the_declared_table() -> None:
    table = shop().page()
    with duckdb.connect() as connection:
        connection.execute(HOMEPAGE.ddl())
        connection.register("t", table)
        connection.execute("INSERT INTO homepage SELECT * FROM t")
        back = connection.sql("SELECT * FROM homepage ORDER BY user_id, rank").to_arrow_table()
    assert back.cast(table.schema).equals(table)


def test_shapes_that_do_not_fit_are_named() -> None:
    s = shop()
    with pytest.raises(ValueError, match="users"):
        homepage(s.space, s.users[:-1], s.log, s.popular, SETTINGS)
    with pytest.raises(ValueError, match="titles"):
        ItemSpace(s.space.index, s.space.vectors, s.space.titles[:-1])
