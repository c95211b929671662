"""From Parquet to arrays."""

from __future__ import annotations

import random

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.catalog.events import load_event_log
from fashionrec_assets.settings import CatalogSettings
from fashionrec_assets_tests.catalog.shop import STORAGE, T0, RawShop


def load(shop: RawShop, *, include_bots: bool = False) -> EventLog:
    out = shop.root / "out"
    files = (out / "interactions.parquet", out / "items.parquet", out / "users.parquet")
    return load_event_log(*files, storage=STORAGE, scratch=shop.root / "scratch", include_bots=include_bots)


def test_the_log_is_that_built_row_by_row(shop: RawShop) -> None:
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
    shop.write("UserBehavior.csv", "".join(f"{'bot' if n else 'me'},1,0,pv,{T0 + n}\n" for n in range(5)))
    shop.users()
    assert (load(shop).user_ids.tolist(), len(load(shop))) == (["me"], 1)
    everyone = load(shop, include_bots=True)
    assert (everyone.user_ids.tolist(), len(everyone)) == (["bot", "me"], 5)


def test_an_event_of_an_item_that_is_gone_is_an_error(shop: RawShop) -> None:
    shop.write_catalog(["1", "2"])
    shop.write("UserBehavior.csv", f"u,1,0,pv,{T0}\nu,2,0,pv,{T0}\n")
    shop.users()
    shop.write_catalog(["1"])
    shop.items()
    with pytest.raises(ValueError, match=r"item '2'.*materialize"):
        load(shop)
