"""What users said about explanations, and how active who said it is.

Belongs here: reading the table `feedback`, and the groups of users by activity that preferences are pooled over. Does
not belong here: validating the file (catalog), what is learned from the answers (`strategies.py`, the two-tower model),
exports (`exports.py`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from fashionrec_assets.resources.shop import Shop

SEGMENTS: tuple[str, ...] = ("no events", "1 to 5 events", "6 to 20 events", "over 20 events")
_FIRST = (1, 6, 21)


@dataclass(frozen=True)
class Answer:
    """One answer to "was this explanation helpful?", as the table `feedback` has it; `at` in UTC."""

    user_id: str
    item_id: str
    at: datetime
    helpful: bool
    lead: str | None = None
    tone: str | None = None
    length: str | None = None
    text: str | None = None
    edited_text: str | None = None


def answers(shop: Shop) -> list[Answer]:
    """Every answer of the shop, by user, item and time."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT user_id, item_id, ts, helpful, lead, tone, length, text, edited_text FROM feedback "
            "ORDER BY user_id, item_id, ts"
        ).fetchall()
    return [Answer(*row) for row in rows]


def segment(events: int) -> str:
    """The group of `SEGMENTS` that a user with so many events belongs to."""
    return SEGMENTS[bisect_right(_FIRST, events)]


def segments(shop: Shop, user_ids: Iterable[str] | None = None) -> dict[str, str]:
    """The group of each of `user_ids` (None: of every user)."""
    wanted = None if user_ids is None else list(user_ids)
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT user_id, events FROM users WHERE ? IS NULL OR user_id IN (SELECT unnest(?))", [wanted, wanted]
        ).fetchall()
    return {user: segment(events) for user, events in rows}
