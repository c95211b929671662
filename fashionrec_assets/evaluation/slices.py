"""Finer slices of a ranking task: by how much is known of the user, and of the item.

Belongs here: who and what is in such a slice, and what it is called. Does not belong here: the slices of the protocol
itself (`catalog/ranking_task.py`), figures.

Like every slice, these are about targets: the ranking is over the whole pool, and only the targets in the slice count.
All of them are about people with a history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import SLICE_MEANING, RankingTask, Slice

FineSlice = Literal[
    "history_1",
    "history_2_5",
    "history_6_20",
    "history_over_20",
    "age_1d",
    "age_3d",
    "age_7d",
    "age_14d",
    "age_30d",
    "age_90d",
    "age_older",
    "popularity_tail",
    "popularity_middle",
    "popularity_head",
]
SliceName = Slice | FineSlice
Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Which users (u,) and which targets (t,) of a task a slice is about."""

_DAY = 86_400
_HISTORY: tuple[tuple[FineSlice, int], ...] = (("history_1", 1), ("history_2_5", 5), ("history_6_20", 20))
_AGE: tuple[tuple[FineSlice, int], ...] = (
    ("age_1d", 1),
    ("age_3d", 3),
    ("age_7d", 7),
    ("age_14d", 14),
    ("age_30d", 30),
    ("age_90d", 90),
)
_AGE_BUCKETS = 3


@dataclass(frozen=True)
class Family:
    """Slices that belong side by side: together they are all targets of people with a history."""

    title: str
    hint: str
    slices: tuple[SliceName, ...]


FAMILIES: tuple[Family, ...] = (
    Family(
        "By length of the history",
        "How many events the person had before the cut.",
        ("history_1", "history_2_5", "history_6_20", "history_over_20"),
    ),
    Family(
        "By age of the item",
        "How long before the cut somebody first touched the target; nobody had touched a cold one.",
        ("cold", "age_1d", "age_3d", "age_7d", "age_14d", "age_30d", "age_90d", "age_older"),
    ),
    Family(
        "By popularity of the item",
        "Head, middle and tail each hold about a third of all earlier events: the head is few items, the tail many.",
        ("cold", "popularity_tail", "popularity_middle", "popularity_head"),
    ),
)

SLICE_TITLES: Mapping[str, str] = {
    "overall": "Overall",
    "warm": "Warm items",
    "cold": "Cold items",
    "cold_users": "Cold users",
    "buy": "Purchases",
    "history_1": "1 event",
    "history_2_5": "2 to 5",
    "history_6_20": "6 to 20",
    "history_over_20": "over 20",
    "age_1d": "to 1 day",
    "age_3d": "to 3 days",
    "age_7d": "to 1 week",
    "age_14d": "to 2 weeks",
    "age_30d": "to 30 days",
    "age_90d": "to 90 days",
    "age_older": "older",
    "popularity_tail": "tail",
    "popularity_middle": "middle",
    "popularity_head": "head",
}
SLICE_NAMES: tuple[str, ...] = tuple(SLICE_TITLES)
COARSE: frozenset[SliceName] = frozenset(SLICE_MEANING)


def fine_slices(task: RankingTask) -> dict[FineSlice, Masks]:
    """The fine slices somebody is in, in order.

    Buckets of age follow the span of the history: at most three of them, and what is older.
    """
    found: dict[FineSlice, Masks] = {}
    everyone, every_target = task.has_history, np.ones(len(task.target_items), bool)
    events = np.bincount(task.history.users, minlength=task.history.n_users)[task.users]
    floor = 0
    for name, most in _HISTORY:
        found[name] = (everyone & (events > floor) & (events <= most), every_target)
        floor = most
    found["history_over_20"] = (everyone & (events > floor), every_target)

    age, span = _item_age(task), _span(task)
    warm = task.warm[task.target_items]
    low = -1.0
    for name, days in [bucket for bucket in _AGE if bucket[1] < span][:_AGE_BUCKETS]:
        found[name] = (everyone, warm & (age > low * _DAY) & (age <= days * _DAY))
        low = days
    found["age_older"] = (everyone, warm & (age > low * _DAY))

    third = _thirds(task)[task.target_items]
    names: tuple[FineSlice, ...] = ("popularity_head", "popularity_middle", "popularity_tail")
    for place in (2, 1, 0):
        found[names[place]] = (everyone, warm & (third == place))
    owners = task.target_rows
    return {name: masks for name, masks in found.items() if (masks[0][owners] & masks[1]).any()}


def _span(task: RankingTask) -> float:
    """Days from the first event of the history to the cut."""
    return (task.start - int(task.history.times.min())) / _DAY if len(task.history) else 0.0


def _item_age(task: RankingTask) -> NDArray[np.int64]:
    """Seconds (t,) from the first event of each target's item to the cut; meaningless for cold ones."""
    first = np.full(task.n_items, task.start, np.int64)
    np.minimum.at(first, task.history.items, task.history.times)
    return (task.start - first)[task.target_items]


def _thirds(task: RankingTask) -> NDArray[np.int64]:
    """int64 (n_items,): 0 for the most popular items, which hold a third of all events, 1 and 2 for the next thirds."""
    counts = np.bincount(task.history.items, minlength=task.n_items)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    thirds = np.empty(task.n_items, np.int64)
    thirds[order] = np.minimum(3 * before // max(int(counts.sum()), 1), 2)
    return thirds
