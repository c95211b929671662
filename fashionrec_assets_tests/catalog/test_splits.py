"""Cuts at UTC midnights and what the parts hold."""

from __future__ import annotations

import pytest

from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.splits import DAY, cuts_of_log, make_cuts, split_summary
from fashionrec_assets.catalog.tables import SPLITS
from fashionrec_assets.settings import CatalogSettings, SplitSettings
from fashionrec_assets_tests.catalog.shop import STORAGE, T0, RawShop, rows

OWN = SplitSettings()  # pyright: ignore[reportCallIssue]


def with_log(shop: RawShop, events: list[tuple[str, str, int]]) -> RawShop:
    shop.write_catalog(sorted({item for _, item, _ in events}))
    shop.write("UserBehavior.csv", "".join(f"{user},{item},0,pv,{time}\n" for user, item, time in events))
    return shop


@pytest.mark.parametrize(("days", "validation", "test"), [(13, 1, 1), (14, 3, 4), (28, 3, 4), (3, 1, 1)])
def test_the_sources_days_follow_the_span(shop: RawShop, days: int, validation: int, test: int) -> None:
    with_log(shop, [("u", "i", T0)])
    # The last instant of the last day, and the first instant of the first.
    cuts = make_cuts(T0, T0 + days * DAY - 1, shop.source, OWN)
    assert (cuts.start, cuts.end) == (T0, T0 + days * DAY)
    assert cuts.test_start == cuts.end - test * DAY
    assert cuts.validation_start == cuts.test_start - validation * DAY
    assert cuts.window("train") == (T0, cuts.test_start)


def test_settings_come_first(shop: RawShop) -> None:
    with_log(shop, [("u", "i", T0)])
    cuts = make_cuts(T0 + 5, T0 + 20 * DAY, shop.source, SplitSettings(validation_days=2, test_days=5))
    assert cuts.test_start == T0 + 16 * DAY
    assert cuts.validation_start == T0 + 14 * DAY
    assert cuts.describe()["test"] == "2024-03-20 to 2024-03-25"


def test_a_log_too_short_says_what_to_do(shop: RawShop) -> None:
    with_log(shop, [("u", "i", T0)])
    with pytest.raises(ContractError, match=r"spans 2 days.*splits\.test_days"):
        make_cuts(T0, T0 + DAY, shop.source, OWN)


def test_parts_partition_the_log_and_cold_means_unseen_before(shop: RawShop) -> None:
    shop.catalog = CatalogSettings(bot_events_per_day=3)  # pyright: ignore[reportCallIssue]
    events = [
        ("a", "1", T0),
        ("b", "2", T0 + DAY - 1),
        ("a", "1", T0 + DAY),
        ("c", "3", T0 + 2 * DAY - 1),
        ("a", "4", T0 + 2 * DAY),
        ("c", "3", T0 + 3 * DAY - 1),
        *(("bot", "5", T0 + n) for n in range(4)),
    ]
    with_log(shop, events)
    log, users = shop.interactions(), shop.users()
    cuts = cuts_of_log(log.table, shop.source, OWN, STORAGE)
    found = split_summary(log.table, users.table, cuts, STORAGE, scratch=shop.root / "scratch").to_pylist()
    assert tuple(found[0]) == SPLITS.column_names
    facts = [(r["name"], r["events"], r["users"], r["items"], r["cold_items"], r["cold_users"]) for r in found]
    assert facts == [("fit", 2, 2, 2, 0, 0), ("validation", 2, 2, 2, 1, 1), ("test", 2, 2, 2, 1, 0)]
    assert found[0]["ends_at"] == found[1]["starts_at"]
    assert len(rows(log.table)) == 10
