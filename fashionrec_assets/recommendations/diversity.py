"""Diversity of a list: choosing items that are good and not all the same, and measuring how different they are.

Belongs here: greedy choice per user under limits, and the measure. Does not belong here: which lists are made
(`shelves.py`), and where limits come from (`rules.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POOL = 5
"""So many times the wished size are looked at, the best by score: what is far down is no better for being different."""

_BLOCK_NUMBERS = 8_000_000
"""Vector components gathered at a time (32 MB)."""


@dataclass(frozen=True)
class Cap:
    """At most `limit` items of one list have the same of `codes` int64 (n_items,); code 0 is not limited."""

    codes: NDArray[np.int64]
    limit: int


def places(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (n,): the place of each element within its run of equal `groups` (n,), from 0."""
    if len(groups) == 0:
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))


def mmr(
    owner: NDArray[np.int64],
    items: NDArray[np.int64],
    scores: NDArray[np.number],
    vectors: NDArray[np.float32],
    size: int,
    weight: float,
    caps: Sequence[Cap] = (),
) -> NDArray[np.int64]:
    """For each owner up to `size` of their pairs by maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998).

    `owner`, `items`, `scores` (p,): pairs of an owner and an item row, in any order. `vectors` float32 (n_items, d):
    rows of any length, of which the cosine counts; a row of zeros is like nothing. What is chosen next has the highest
    (1 - weight) * relevance - weight * (cosine to the most similar item chosen so far), where relevance is the score
    scaled to [0, 1] over the owner's `POOL` * size best. A weight of 0 gives the order by score. An item that would
    break one of `caps` is passed over. Ties go to the higher score, then to the smaller item row. With the whole-number
    vectors of `cosines.rounded_units` the choice for an owner does not depend on the other owners.

    Returns rows of the pairs, sorted by owner and in the order chosen.
    """
    order = np.lexsort((items, -np.asarray(scores, np.float64), owner))
    for cap in caps:
        # A pool full of one value would leave the list short.
        order = order[_places_in_value(owner[order], cap.codes[items[order]]) < POOL * cap.limit]
    if weight == 0 and not caps:
        return order[places(owner[order]) < size]
    order = order[places(owner[order]) < POOL * size]
    if size < 1 or len(order) == 0:
        return order[:0]
    starts = np.flatnonzero(np.diff(owner[order], prepend=owner[order[0]] - 1))
    lengths = np.diff(starts, append=len(order))
    width = int(lengths.max())
    step = max(1, _BLOCK_NUMBERS // (width * max(vectors.shape[1] if weight > 0 else 1, width)))
    chosen = []
    for at in range(0, len(starts), step):
        start, length = starts[at : at + step], lengths[at : at + step]
        there = np.arange(width) < length[:, None]
        pool = order[np.where(there, start[:, None] + np.arange(width), 0)]
        picks = _greedy(items[pool], np.asarray(scores[pool], np.float64), there, vectors, size, weight, caps)
        line, place = np.nonzero(picks >= 0)
        chosen.append(pool[line, picks[line, place]])
    return np.concatenate(chosen)


def _places_in_value(owner: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each pair among those of the same owner and code before it; 0 where the code is 0."""
    key = owner * (int(codes.max(initial=0)) + 1) + codes
    by_key = np.argsort(key, kind="stable")
    found = np.empty(len(key), np.int64)
    found[by_key] = places(key[by_key])
    return np.where(codes > 0, found, 0)


def _greedy(
    items: NDArray[np.int64],
    scores: NDArray[np.float64],
    there: NDArray[np.bool_],
    vectors: NDArray[np.float32],
    size: int,
    weight: float,
    caps: Sequence[Cap],
) -> NDArray[np.int64]:
    """int64 (u, size): which places of each line of the pools (u, w), best first, are chosen; -1 for none."""
    u, _ = items.shape
    line = np.arange(u)
    lowest = np.where(there, scores, np.inf).min(axis=1, keepdims=True)
    spread = scores[:, :1] - lowest
    relevance = np.where(spread > 0, (scores - lowest) / np.where(spread > 0, spread, 1), 1.0)
    alike = _cosines(vectors[items]) if weight > 0 else None
    closest = np.zeros(items.shape)
    left = there.copy()
    codes = [cap.codes[items] for cap in caps]
    taken = [np.zeros(items.shape, np.int64) for _ in caps]
    picks = np.full((u, size), -1, np.int64)
    for number in range(size):
        value = np.where(left, (1 - weight) * relevance - weight * closest, -np.inf)
        best = value.argmax(axis=1)
        found = left[line, best]
        if not found.any():
            break
        picks[found, number] = best[found]
        left[line, best] = False
        if alike is not None:
            to_best = alike[line, best]
            closest = to_best if number == 0 else np.maximum(closest, to_best)
        for cap, code, count in zip(caps, codes, taken, strict=True):
            count += (code == code[line, best][:, None]) & (code > 0) & found[:, None]
            left &= count < cap.limit
    return picks


def _cosines(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines of all pairs within each line of (u, w, d), as (u, w, w)."""
    products = np.matmul(vectors, vectors.transpose(0, 2, 1)).astype(np.float64)
    lengths = np.sqrt(np.diagonal(products, axis1=1, axis2=2))
    return products / np.maximum(lengths[:, :, None] * lengths[:, None, :], 1e-12)


def intra_list_diversity(
    owner: NDArray[np.int64], items: NDArray[np.int64], vectors: NDArray[np.float32]
) -> NDArray[np.float64]:
    """float64, one per different owner in ascending order: the mean of 1 - cosine over the pairs of their items (Smyth
    & McClave, ICCBR 2001); NaN for an owner with fewer than two.

    `vectors` float32 (n_items, d): rows of any length; a row of zeros is like nothing.
    """
    who, line, count = np.unique(owner, return_inverse=True, return_counts=True)
    units = vectors[items].astype(np.float64)
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    units /= np.where(lengths > 0, lengths, 1)
    sums = np.zeros((len(who), vectors.shape[1]))
    np.add.at(sums, line, units)
    own = np.bincount(line, weights=(units**2).sum(axis=1), minlength=len(who))
    pairs = count * (count - 1) / 2
    alike = ((sums**2).sum(axis=1) - own) / 2
    return np.where(pairs > 0, 1 - alike / np.where(pairs > 0, pairs, 1), np.nan)
