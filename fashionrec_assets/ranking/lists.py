"""Lists of candidates with what came of them: what the ranker learns from, and how well a ranking of them does.

Belongs here: the lists of users, several windows' as one, their NDCG. Does not belong here: making lists of a window
(`late_fusion.py`), learning from them (`training.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS = 262_144
"""Pairs that are compared at a time."""


@dataclass(frozen=True)
class Lists:
    """Candidates of u users with what came of them: p pairs, sorted by `owner` int64 (p,), a position among the users.

    `people` int64 (u,): who each is; one person may stand for several users, at different moments.

    `values` float32 (p, features), `taken` bool (p,), `bits` uint8 (p,): the behaviours shown, as bits; `warm` bool
    (p,); `targets` int64 (u,): how many items each user took, candidates or not. `behaviours`: name -> bit.
    """

    people: NDArray[np.int64]
    owner: NDArray[np.int64]
    values: NDArray[np.float32]
    taken: NDArray[np.bool_]
    bits: NDArray[np.uint8]
    warm: NDArray[np.bool_]
    targets: NDArray[np.int64]
    behaviours: Mapping[str, int]

    def of_users(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool (p,): the pairs of `chosen` (u,) users."""
        return chosen[self.owner]


def joined(parts: Sequence[Lists]) -> Lists:
    """The lists of several windows as one: a person who is in two of them is two users."""
    starts = np.cumsum([0, *(len(part.targets) for part in parts)])
    return Lists(
        people=np.concatenate([part.people for part in parts]),
        owner=np.concatenate([part.owner + start for part, start in zip(parts, starts[:-1], strict=True)]),
        values=np.concatenate([part.values for part in parts]),
        taken=np.concatenate([part.taken for part in parts]),
        bits=np.concatenate([part.bits for part in parts]),
        warm=np.concatenate([part.warm for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        behaviours={name: bit for part in parts for name, bit in part.behaviours.items()},
    )


def ndcg(lists: Lists, scores: NDArray[np.float32], k: int = 20, counted: NDArray[np.bool_] | None = None) -> float:
    """Mean NDCG@k of the lists' users, whose targets may be no candidate; `counted` (p,): hits that count. Of equal
    scores the pair that stands first is the better."""
    hits = np.flatnonzero(lists.taken if counted is None else lists.taken & counted)
    owner = lists.owner[hits]
    # Only what was taken needs its place in the list, which is cheaper counted than sorted.
    starts = np.searchsorted(lists.owner, owner)
    sizes = np.searchsorted(lists.owner, owner, side="right") - starts
    place = np.zeros(len(hits), np.int64)
    for part in _together(sizes, _ROWS):
        size = sizes[part]
        bounds = np.cumsum(size) - size
        rival = np.arange(size.sum()) + np.repeat(starts[part] - bounds, size)
        hit = np.repeat(hits[part], size)
        above = (scores[rival] > scores[hit]) | ((scores[rival] == scores[hit]) & (rival < hit))
        place[part] = np.add.reduceat(above, bounds, dtype=np.int64)
    gains = np.where(place < k, 1 / np.log2(place + 2.0), 0)
    ideal = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(k) + 2.0))])
    mine = np.bincount(owner, weights=gains, minlength=len(lists.targets))
    asked = lists.targets > 0
    return float((mine[asked] / ideal[np.minimum(lists.targets[asked], k)]).mean())


def _together(sizes: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Parts of `sizes` whose sums are at most `most`, or of one element."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, stop)
        start = stop
