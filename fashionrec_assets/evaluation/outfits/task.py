"""Basket completion: which items are held out, among what they are to be found, and where each method ranks them.

Belongs here: questions, candidates and ranks. Does not belong here: methods (`methods.py`), figures (`report.py`).

Each item of a basket of the window is held out in turn, all of its family with it, and asked for given the rest. The
candidates are the whole catalog known at the cut without the families that are given, for every method the same. Two
settings are measured: `any`, every held-out item; and `other_slot`, only the held-out items that are worn where none of
the given is, among candidates of which the same holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.recommendations.outfits.affinity import dense
from fashionrec_assets.recommendations.outfits.baskets import Baskets, baskets_of
from fashionrec_assets.recommendations.outfits.compatibility import Completions, completions
from fashionrec_assets.recommendations.outfits.slots import SLOTS
from fashionrec_assets.recommendations.outfits.wardrobe import Wardrobe

Progress = Callable[[int, int], None]
Scorer = Callable[[sparse.csr_array], NDArray[np.float32]]
"""Given items (q, n) of 0 and 1 to scores that broadcast to (q, n)."""

Setting = Literal["any", "other_slot"]
SETTINGS: tuple[Setting, ...] = ("any", "other_slot")
MEANING: Mapping[Setting, str] = {
    "any": "Any item of the basket",
    "other_slot": "An item worn where none of the given is",
}

OUTSIDE = -1
"""The rank of a held-out item that a setting does not ask for."""


@dataclass(frozen=True)
class CompletionTask:
    """Questions about the baskets of [start, end) (UTC seconds). `pool` bool (n,): the catalog known at the cut.
    `eligible`: baskets with several designs, before sampling; `outside_pool`: held-out items the pool does not have,
    which are not asked for."""

    wardrobe: Wardrobe
    baskets: Baskets
    questions: Completions
    pool: NDArray[np.bool_]
    eligible: int
    outside_pool: int

    @property
    def users(self) -> NDArray[np.int64]:
        """int64 (q,): whose basket each question is about."""
        return self.baskets.users[self.questions.baskets]


def completion_task(
    log: EventLog,
    wardrobe: Wardrobe,
    behaviours: tuple[str, ...],
    *,
    start: int,
    end: int,
    pool: NDArray[np.bool_],
    most: int,
    seed: int,
) -> CompletionTask:
    """The questions about the baskets of [start, end) by `behaviours`; of more than `most`, a seeded sample."""
    baskets = baskets_of(log.between(start, end), behaviours)
    questions = completions(baskets, wardrobe.families, most, seed)
    known = pool[questions.held_out]
    kept = Completions(questions.given[np.flatnonzero(known)], questions.held_out[known], questions.baskets[known])
    eligible = int(baskets.several(wardrobe.families).sum())
    return CompletionTask(wardrobe, baskets, kept, pool, eligible, int(np.sum(~known)))


def held_out_ranks(
    task: CompletionTask, methods: Mapping[str, Scorer], progress: Progress
) -> dict[Setting, dict[str, NDArray[np.int64]]]:
    """For each setting and method the rank (q,) of each held-out item, from 1, or `OUTSIDE`; ties go to the smaller
    row."""
    wardrobe, questions = task.wardrobe, task.questions
    n, slots = len(wardrobe), wardrobe.slots.astype(np.int64)
    member = sparse.csr_array((np.ones(n, np.float32), (np.arange(n), wardrobe.families)))
    in_slot = sparse.csr_array((np.ones(n, np.float32), (np.arange(n), slots % (len(SLOTS) + 1))))
    found: dict[Setting, dict[str, NDArray[np.int64]]] = {
        setting: {name: np.full(len(questions), OUTSIDE, dtype=np.int64) for name in methods} for setting in SETTINGS
    }
    for part, given in questions.blocks():
        held, line = questions.held_out[part], np.arange(part.stop - part.start)
        families = np.take(dense(given, member), wardrobe.families, axis=1) > 0
        worn = np.zeros((len(held), len(SLOTS) + 1), dtype=bool)
        present = dense(given, in_slot) > 0
        worn[:, : present.shape[1]] = present
        # The unknown slot is the last one, and counts as taken.
        worn[:, -1] = True
        elsewhere = ~worn[:, slots]
        candidates = {"any": task.pool & ~families, "other_slot": task.pool & ~families & elsewhere}
        asked = {"any": line, "other_slot": line[elsewhere[line, held]]}
        for name, scorer in methods.items():
            scores = np.broadcast_to(scorer(given), families.shape)
            own = scores[line, held][:, None]
            ahead = scores > own
            ahead |= (scores == own) & (np.arange(n) < held[:, None])
            for setting in SETTINGS:
                rows = asked[setting]
                ranks = 1 + (ahead[rows] & candidates[setting][rows]).sum(axis=1)
                found[setting][name][part.start + rows] = ranks
        progress(part.stop, len(questions))
    return found
