"""From Parquet to arrays."""

from __future__ import annotations

import random

import duckdb
import numpy as np
import pytest

from fashionrec_assets.catalog import events as events_module
from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.catalog.events import load_event_log
from fashionrec_assets.catalog.queries import query
from fashionrec_assets.settings import CatalogSettings
from fashionrec_assets_tests.catalog.shop import STORAGE, T0, RawShop


def load(shop: RawShop, *, include_bots: bool = False) -> EventLog:
    out = shop.root / "out"
    files = (out / "interactions.parquet", out / "items.parquet", out / "users.parquet")
    return load_event_log(*files, storage=STORAGE, scratch=shop.root / "scratch", include_bots=include_bots)


def test_the_log_is_that_built_row_by_row_in_whatever_order_duckdb_gives_its_events(
    shop: RawShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffled = {"event_arrays": " ORDER BY hash(place)"}
    monkeypatch.setattr(events_module, "query", lambda name, **parts: query(name, **parts) + shuffled.get(name, ""))
    rng = random.Random(1)
    items = [f"i{n}" for n in range(30)] + ["Z", "é", "衣"]
    shop.write_catalog(items)
    shop.write("users.csv", "user_id\nnobody\n")
    events = {
        (f"u{rng.randrange(40)}", rng.choice(items), rng.choice(BEHAVIOURS), T0 + rng.randrange(20))
        for _ in range(2000)
    }
    shop.write("UserBehavior.csv", "".join(f"{u},{i},0,{b},{t}\n" for u, i, b, t in sorted(events)))
    shop.users()
    log = load(shop)
    users = sorted({event[0] for event in events} | {"nobody"})
    expected = EventLog.build(
        users,
        sorted(items),
        [users.index(u) for u, _, _, _ in events],
        [sorted(items).index(i) for _, i, _, _ in events],
        [t for _, _, _, t in events],
        [BEHAVIOURS.index(b) for _, _, b, _ in events],
    )
    assert len(log) == len(events)
    for name in ("user_ids", "item_ids", "users", "items", "times", "behaviours"):
        got, want = getattr(log, name), getattr(expected, name)
        assert got.dtype == want.dtype or name.endswith("_ids")
        np.testing.assert_array_equal(got, want)


def test_bots_are_left_out_unless_asked_for(shop: RawShop) -> None:
    shop.catalog = CatalogSettings(bot_events_per_day=3)  # pyright: ignore[reportCallIssue]
    shop.write_catalog(["1"])
    people = ["ann", "bot", "bot", "bot", "bot", "me", "me"]
    shop.write("UserBehavior.csv", "".join(f"{user},1,0,pv,{T0 + n}\n" for n, user in enumerate(people)))
    shop.users()
    log = load(shop)
    assert log.user_ids.tolist() == ["ann", "me"]
    assert log.users.tolist() == [0, 1, 1]
    assert log.times.tolist() == [T0, T0 + 5, T0 + 6]
    assert len(log.items) == len(log.behaviours) == 3
    everyone = load(shop, include_bots=True)
    assert (everyone.user_ids.tolist(), len(everyone)) == (["ann", "bot", "me"], 7)


def test_an_event_of_an_item_that_is_gone_is_an_error(shop: RawShop) -> None:
    shop.write_catalog(["1", "2"])
    shop.write("UserBehavior.csv", f"u,1,0,pv,{T0}\nu,2,0,pv,{T0}\n")
    shop.users()
    shop.write_catalog(["1"])
    shop.items()
    with pytest.raises(ValueError, match=r"item '2'.*materialize"):
        load(shop)


@pytest.mark.parametrize("order", ["user_id DESC", "user_id, ts DESC", "user_id, ts, item_id DESC"])
def test_a_file_that_is_not_sorted_is_an_error(shop: RawShop, order: str) -> None:
    shop.write_catalog(["1", "2"])
    shop.write("UserBehavior.csv", "".join(f"{u},{i},0,pv,{T0 + n}\n" for u in "uv" for i in "12" for n in (0, 9)))
    shop.users()
    load(shop)
    file = shop.root / "out" / "interactions.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE log AS FROM read_parquet('{file}')")
        connection.execute(f"COPY (FROM log ORDER BY {order}) TO '{file}' (FORMAT parquet)")
    with pytest.raises(ValueError, match="not sorted"):
        load(shop)
