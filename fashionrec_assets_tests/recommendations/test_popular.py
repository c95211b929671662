from __future__ import annotations

from collections.abc import Sequence

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.recommendations.popular import popular_items
from fashionrec_assets.recommendations.tables import POPULAR_ITEMS, arrow_schema
from fashionrec_assets.settings import RecommendationSettings

DAY = 86_400
START = 1_600_000_000


def log_of(events: Sequence[tuple[int, int, float]], users: int = 5, items: int = 5) -> EventLog:
    """Events as (user, item, day)."""
    columns = zip(*events, strict=True) if events else ((), (), ())
    who, what, when = (list(column) for column in columns)
    times = [START + int(day * DAY) for day in when]
    return EventLog.build(
        [f"u{n}" for n in range(users)], [f"i{n}" for n in range(items)], who, what, times, [0] * len(who)
    )


def test_users_count_not_events_and_old_events_do_not() -> None:
    log = log_of([(0, 0, 20)] * 9 + [(1, 1, 19), (2, 1, 20), (0, 2, 20), (3, 3, 1), (4, 3, 1), (2, 3, 1)])
    table = popular_items(log, RecommendationSettings(popular_days=7, popular_size=3))
    assert table.schema.equals(arrow_schema(POPULAR_ITEMS))
    assert table.to_pylist() == [
        {"rank": 1, "item_id": "i1", "users": 2, "events": 2, "window_days": 7},
        {"rank": 2, "item_id": "i0", "users": 1, "events": 9, "window_days": 7},
        {"rank": 3, "item_id": "i2", "users": 1, "events": 1, "window_days": 7},
    ]


def test_the_window_grows_until_it_holds_enough_items() -> None:
    log = log_of([(0, 0, 20), (1, 1, 10), (2, 1, 10), (3, 2, 0), (4, 3, 0)])
    assert popular_items(log, RecommendationSettings(popular_days=7, popular_size=1))["window_days"][0].as_py() == 7
    wider = popular_items(log, RecommendationSettings(popular_days=7, popular_size=2))
    assert wider["window_days"].to_pylist() == [14, 14]
    assert wider["item_id"].to_pylist() == ["i1", "i0"]
    everything = popular_items(log, RecommendationSettings(popular_days=7, popular_size=50))
    assert everything["window_days"].to_pylist() == [21] * 4
    assert everything["item_id"].to_pylist() == ["i1", "i0", "i2", "i3"]


def test_the_window_is_whole_days_up_to_the_last_event() -> None:
    log = log_of([(0, 0, 8), (1, 1, 1), (2, 1, 1), (3, 2, 1.01)])
    assert popular_items(log, RecommendationSettings(popular_days=7, popular_size=2))["item_id"].to_pylist() == [
        "i0",
        "i2",
    ]


def test_an_empty_log_has_nothing_popular() -> None:
    table = popular_items(log_of([]), RecommendationSettings())
    assert len(table) == 0
    assert table.schema.equals(arrow_schema(POPULAR_ITEMS))
