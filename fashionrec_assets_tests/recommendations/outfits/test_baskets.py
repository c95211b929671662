import numpy as np

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.recommendations.outfits.baskets import (
    DAY,
    basket_behaviours,
    baskets_of,
    pair_counts,
)


def _log(events: list[tuple[int, int, int, str]]) -> EventLog:
    users, items, times, behaviours = zip(*events, strict=True)
    codes = [BEHAVIOURS.index(one) for one in behaviours]
    return EventLog.build(["a", "b", "c"], ["p", "q", "r", "s"], users, items, times, codes)


def test_a_basket_is_what_one_person_bought_on_one_day() -> None:
    found = baskets_of(
        _log(
            [
                (0, 2, 10, "buy"),
                (0, 1, 20, "buy"),
                (0, 1, 30, "buy"),
                (0, 3, 40, "cart"),
                (0, 3, DAY, "buy"),
                (1, 0, 50, "buy"),
            ]
        ),
        ("buy",),
    )
    baskets = [
        found.items[start:end].tolist() for start, end in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]
    assert baskets == [[1, 2], [0], [3]]
    assert found.users.tolist() == [0, 1, 0]
    assert found.days.tolist() == [0, 0, 1]
    assert found.several(np.array([0, 1, 1, 2])).tolist() == [False, False, False]
    assert found.several(np.array([0, 1, 2, 3])).tolist() == [True, False, False]
    assert found.select(np.array([True, False, True])).items.tolist() == [1, 2, 3]


def test_carts_count_only_where_purchases_are_too_few() -> None:
    log = _log(
        [(0, 0, 1, "buy"), (0, 1, 2, "buy"), (1, 0, 1, "cart"), (1, 2, 2, "buy"), (2, 0, 1, "pv"), (2, 3, 2, "pv")]
    )
    families = np.arange(4)
    assert basket_behaviours(log, families, 1) == ("buy",)
    assert basket_behaviours(log, families, 2) == ("cart", "buy")
    assert basket_behaviours(log, families, 3) == BEHAVIOURS
    assert basket_behaviours(log, families, 99) == BEHAVIOURS


def test_pairs_are_counted_once_a_basket_and_never_with_themselves() -> None:
    log = _log([(0, 0, 1, "buy"), (0, 1, 2, "buy"), (1, 0, 1, "buy"), (1, 1, 2, "buy"), (1, 2, 2, "buy")])
    counts = pair_counts(baskets_of(log, ("buy",)).matrix).toarray()
    assert counts.tolist() == [[0, 2, 1, 0], [2, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
