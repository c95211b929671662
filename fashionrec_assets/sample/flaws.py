"""Malformed rows: what real exports contain and a contract must catch, a few of each kind.

Belongs here: rows and photos that break the contract. Does not belong here: ugly but valid text (`titles`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOG_FLAWS = (
    "bad_time",
    "year_9999",
    "negative_time",
    "unknown_behaviour",
    "unknown_item",
    "missing_column",
    "duplicate_event",
)
CATALOG_FLAWS = ("bad_launched_at", "bad_price", "missing_item_id", "missing_column", "duplicate_item_id")
PHOTO_FLAWS = ("missing_photo", "truncated_photo")
SHARE = 0.001
"""Share of the log's rows that are malformed; every kind appears at least once."""


def spoil_log(lines: list[str], rng: np.random.Generator) -> tuple[list[str], dict[str, int]]:
    """The log's lines with malformed ones inserted, and how many of each kind."""
    each = max(1, round(SHARE * len(lines) / len(LOG_FLAWS)))
    added: dict[int, list[str]] = {}
    for kind in LOG_FLAWS:
        for at in rng.choice(len(lines), size=each, replace=False):
            user, item, category, behaviour, time = lines[int(at)].split(",")
            flawed = {
                "bad_time": (user, item, category, behaviour, "2024/03/xx"),
                "year_9999": (user, item, category, behaviour, "253370764800"),
                "negative_time": (user, item, category, behaviour, "-1"),
                "unknown_behaviour": (user, item, category, "click", time),
                "unknown_item": (user, f"999{item}", category, behaviour, time),
                "missing_column": (user, item, behaviour, time),
                "duplicate_event": (user, item, category, behaviour, time),
            }[kind]
            added.setdefault(int(at), []).append(",".join(flawed))
    spoiled: list[str] = []
    for at, line in enumerate(lines):
        spoiled.append(line)
        spoiled.extend(added.get(at, ()))
    return spoiled, dict.fromkeys(LOG_FLAWS, each)


def spoil_catalog(
    header: list[str], rows: list[list[str]], rng: np.random.Generator
) -> tuple[list[list[str]], dict[str, int]]:
    """The catalog's rows with one malformed row of each kind inserted, and how many of each kind.

    Flawed rows have item ids of their own (8 followed by zeros), except the duplicate.
    """
    spoiled = list(rows)
    for number, kind in enumerate(CATALOG_FLAWS):
        source = list(rows[int(rng.integers(len(rows)))])
        source[header.index("image")] = ""
        if kind == "duplicate_item_id":
            source[header.index("title")] = "duplicate listing"
            spoiled.append(source)  # the last row, so that the first of two equal ids is the true one
            continue
        source[header.index("item_id")] = "" if kind == "missing_item_id" else f"80000{number:02d}0"
        if kind == "bad_launched_at":
            source[header.index("launched_at")] = "soon"
        elif kind == "bad_price":
            source[header.index("price")] = "free!"
        elif kind == "missing_column":
            source = source[:-3]
        spoiled.insert(int(rng.integers(len(spoiled) + 1)), source)
    return spoiled, dict.fromkeys(CATALOG_FLAWS, 1)


def flawed_photos(old_items: NDArray[np.int64], rng: np.random.Generator) -> dict[int, str]:
    """Item row -> kind, for one photo of each kind, among items that were launched before the period."""
    rows = rng.choice(old_items, size=len(PHOTO_FLAWS), replace=False)
    return {int(row): kind for row, kind in zip(rows, PHOTO_FLAWS, strict=True)}
