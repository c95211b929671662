"""Visits end with a pause longer than the gap."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from fashionrec_assets.catalog import sessions
from fashionrec_assets.catalog.sessions import write_sessions
from fashionrec_assets.catalog.tables import SESSIONS
from fashionrec_assets_tests.catalog.shop import STORAGE, T0, RawShop, rows
from fashionrec_assets_tests.catalog.test_validation import declared, described


def test_sessions(shop: RawShop) -> None:
    minute = 60
    events = [
        ("a", "1", "pv", T0),
        ("a", "2", "pv", T0),
        ("a", "1", "buy", T0 + 30 * minute),
        ("a", "1", "pv", T0 + 60 * minute + 1),
        ("b", "1", "pv", T0 + 10),
    ]
    shop.write_catalog(["1", "2"])
    shop.write("UserBehavior.csv", "".join(f"{user},{item},0,{what},{time}\n" for user, item, what, time in events))
    log = shop.interactions()
    path = write_sessions(log.table, shop.root / "out", gap_minutes=30, storage=STORAGE, scratch=shop.root / "scratch")
    assert described(path) == declared(SESSIONS)
    start = datetime(2024, 3, 4)
    assert rows(path) == [
        ("a", 0, start, datetime(2024, 3, 4, 0, 30), 3, 2, 1),
        ("a", 1, datetime(2024, 3, 4, 1, 0, 1), datetime(2024, 3, 4, 1, 0, 1), 1, 1, 0),
        ("b", 0, datetime(2024, 3, 4, 0, 0, 10), datetime(2024, 3, 4, 0, 0, 10), 1, 1, 0),
    ]


@pytest.mark.parametrize("at_once", [1, 60, 1_000_000])
def test_a_log_cut_into_parts_has_the_same_visits(shop: RawShop, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_EVENTS_AT_ONCE", at_once)
    rng = random.Random(3)
    shop.write_catalog([str(n) for n in range(9)])
    events = {
        (rng.choice("aaaaaabcde"), T0 + rng.randrange(60_000), str(rng.randrange(9)), rng.choice(["pv", "buy"]))
        for _ in range(400)
    }
    shop.write("UserBehavior.csv", "".join(f"{user},{item},0,{what},{at}\n" for user, at, item, what in events))
    expected: list[list[tuple[str, int, str, str]]] = []
    for event in sorted(events):
        if not expected or expected[-1][-1][0] != event[0] or event[1] - expected[-1][-1][1] > 600:
            expected.append([])
        expected[-1].append(event)
    numbers: dict[str, int] = {}
    table: list[tuple[object, ...]] = []
    for visit in expected:
        user, first, last = visit[0][0], visit[0][1], visit[-1][1]
        numbers[user] = numbers.get(user, -1) + 1
        times = [datetime.fromtimestamp(at, UTC).replace(tzinfo=None) for at in (first, last)]
        items, buys = len({event[2] for event in visit}), sum(event[3] == "buy" for event in visit)
        table.append((user, numbers[user], *times, len(visit), items, buys))
    assert max(numbers.values()) > 3
    log = shop.interactions().table
    path = write_sessions(log, shop.root / "out", gap_minutes=10, storage=STORAGE, scratch=shop.root / "scratch")
    assert rows(path) == table
