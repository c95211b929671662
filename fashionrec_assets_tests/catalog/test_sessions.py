"""Visits end with a pause longer than the gap."""

from __future__ import annotations

from datetime import datetime

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
