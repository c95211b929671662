"""What a model is told its users did not turn to: drawn at random, by popularity, from the batch, or mined.

Belongs here: samplers, mining with its guards, and the curriculum. Does not belong here: losses, networks. torch is
imported inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog

GUARD = 5
"""So many of the best unseen items are not mined: what ranks that high, the user may well want."""

FULL_AFTER = 4
"""The epoch from which all hard negatives are used; the first has none."""


@dataclass(frozen=True)
class Candidates:
    """Distinct items (c,) that stand for the whole catalog, and `log_weight` (c,): how many items each stands for."""

    items: NDArray[np.int64]
    log_weight: NDArray[np.float32]


class NegativeSampler:
    """Negatives shared by a batch: `count` draws from a mix of uniform and popularity, and the batch's own targets.

    An item drawn c times when E draws were expected gets the weight c / E, which makes the weighted sum over the draws
    an unbiased estimate of the sum over all items: the log-frequency correction of Bengio & Senécal (2008) and Yi et
    al. (2019), with E summed over both sources of draws. With `count` >= the number of items that can be negatives,
    the candidates are all of them with weight one, and the loss is the full softmax.
    """

    def __init__(
        self, frequency: NDArray[np.int64], *, count: int, uniform_share: float = 0.5, in_batch: bool = True
    ) -> None:
        """`frequency` int64 (n,): how often each item is a target. Items with 0 are never negatives: they are new or
        not yet launched, and teaching the model that nobody wants them would bury every new item. With `count` 0 only
        the batch's own targets are candidates."""
        self.pool = np.flatnonzero(frequency)
        self.count, self.in_batch = count, in_batch
        self.full = count >= len(self.pool)
        share = frequency / max(int(frequency.sum()), 1)
        self.target_probability = share
        self.probability = (1 - uniform_share) * share
        self.probability[self.pool] += uniform_share / max(len(self.pool), 1)
        self.cumulative = np.cumsum(self.probability[self.pool])

    @property
    def sampling_rate(self) -> float:
        """The share of the possible negatives that one batch draws."""
        return min(1.0, self.count / max(len(self.pool), 1))

    def draw(self, targets: NDArray[np.int64], rng: np.random.Generator) -> Candidates:
        """Candidates for a batch with `targets` (p,)."""
        if self.full:
            return Candidates(self.pool, np.zeros(len(self.pool), np.float32))
        picks = np.searchsorted(self.cumulative, rng.random(self.count) * self.cumulative[-1], side="right")
        drawn = self.pool[np.minimum(picks, len(self.pool) - 1)]
        if self.in_batch:
            drawn = np.concatenate([drawn, targets])
        items, times_drawn = np.unique(drawn, return_counts=True)
        expected = self.count * self.probability[items]
        if self.in_batch:
            expected = expected + len(targets) * self.target_probability[items]
        return Candidates(items, np.log(times_drawn / expected).astype(np.float32))


def curriculum(epoch: int, hardest: int) -> int:
    """How many of `hardest` mined negatives a row gets in the 1-based `epoch`: none at first, then evenly more."""
    return round(hardest * min(1.0, (epoch - 1) / (FULL_AFTER - 1)))


def mine(
    user_vectors: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
    log: EventLog,
    pool: NDArray[np.int64],
    *,
    count: int,
    guard: int = GUARD,
    block: int = 512,
) -> NDArray[np.int64]:
    """int64 (n_users, count): for every user the items of `pool` that the model ranks next after the `guard` best.

    Exact inner products. No item that the user has in `log` at any time is taken. -1 where the pool has too few.
    """
    offsets = log.offsets()
    place = np.full(log.n_items, -1)
    place[pool] = np.arange(len(pool))
    table = np.ascontiguousarray(item_vectors[pool].T)
    most = min(guard + count, len(pool))
    found = np.full((log.n_users, count), -1, np.int64)
    for start in range(0, log.n_users, block):
        scores = user_vectors[start : start + block] @ table
        stop = start + len(scores)
        events = slice(int(offsets[start]), int(offsets[stop]))
        owner, column = log.users[events] - start, place[log.items[events]]
        scores[owner[column >= 0], column[column >= 0]] = -np.inf
        best = np.argpartition(-scores, most - 1, axis=1)[:, :most]
        ranked = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-ranked, axis=1, kind="stable")[:, guard:]
        chosen = np.where(
            np.isfinite(np.take_along_axis(ranked, order, axis=1)), np.take_along_axis(best, order, 1), -1
        )
        found[start:stop, : chosen.shape[1]] = np.where(chosen >= 0, pool[chosen], -1)
    return found
