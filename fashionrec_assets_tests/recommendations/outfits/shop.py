"""A small shop whose baskets follow a rule: shirts are bought with trousers of their colour, sneakers with bags.

Belongs here: its catalog and log. Does not belong here: tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.recommendations.outfits.baskets import DAY
from fashionrec_assets.recommendations.outfits.wardrobe import Wardrobe

TYPES = ("shirt", "trousers", "sneakers", "bag", "jacket")
CATEGORIES = ("tops", "bottoms", "footwear", "accessories", "outerwear")
COLOURS = ("black", "blue", "red", "green")
EACH = 8
"""Items of a type: two of each colour, each a design of its own."""
DAYS = 10
BUY = BEHAVIOURS.index("buy")


def catalog(**changed: dict[str, object]) -> list[dict[str, object]]:
    """Rows of `items` by id; `changed` gives other values to some of them, by id."""
    rows: list[dict[str, object]] = []
    for kind, (product_type, category) in enumerate(zip(TYPES, CATEGORIES, strict=True)):
        for number in range(EACH):
            item_id = f"i{kind}{number}"
            rows.append(
                {
                    "item_id": item_id,
                    "title": f"{COLOURS[number % 4]} {product_type} {number}",
                    "category": category,
                    "product_type": product_type,
                    "family_id": f"f{kind}{number}",
                    "brand": None,
                    "colour": COLOURS[number % 4],
                    "pattern": None,
                    "section": None,
                    "gender": "women",
                    "price": 10.0 + number,
                    **changed.get(item_id, {}),
                }
            )
    return rows


def wardrobe(rows: list[dict[str, object]] | None = None) -> Wardrobe:
    """The catalog with vectors that say nothing."""
    rows = catalog() if rows is None else rows
    rng = np.random.default_rng(3)
    return Wardrobe.of(
        rows,
        rng.normal(size=(len(rows), 6)).astype(np.float32),
        rng.normal(size=(len(rows), 8)).astype(np.float32),
    )


def row(item_id: str) -> int:
    """The row of an item."""
    return EACH * int(item_id[1]) + int(item_id[2])


def basket_log(planted: list[tuple[int, int]] | None = None, a_day: int = 40) -> EventLog:
    """Buys of `DAYS` days, `a_day` baskets of two each day; `planted` baskets of two rows are put on the last day."""
    rng = np.random.default_rng(5)
    users: list[int] = []
    items: list[int] = []
    times: list[int] = []

    def put(user: int, day: int, pair: tuple[int, int]) -> None:
        for item in pair:
            users.append(user)
            items.append(item)
            times.append(day * DAY + 3600)

    for day in range(DAYS):
        for number in range(a_day):
            colour, first, second = int(rng.integers(4)), int(rng.integers(2)), int(rng.integers(2))
            pair = (
                (colour + 4 * first, EACH + colour + 4 * second)
                if number % 2
                else (2 * EACH + int(rng.integers(EACH)), 3 * EACH + int(rng.integers(EACH)))
            )
            put(number + a_day * (day % 3), day, pair)
    # People of their own, so that no other basket grows.
    for number, pair in enumerate(planted or []):
        put(3 * a_day + number, DAYS - 1, pair)
    n_users = 3 * a_day + 200
    return EventLog.build(
        [f"u{number:04d}" for number in range(n_users)],
        [str(one["item_id"]) for one in catalog()],
        users,
        items,
        times,
        [BUY] * len(users),
    )


def everything(n: int) -> NDArray[np.bool_]:
    return np.ones(n, dtype=bool)
