"""Picks that widen a user's choice: the likeliest items of unexplored styles, and how far novelty may outweigh chance.

Belongs here: profiles, novelty, the choice under the dial. Does not belong here: candidates (the index's), evidence
(`pick_facts.py`).

A style is unexplored to a user if no more than `rare_share` of their different items are of it; a user who has turned
to nearly all of them in earnest is offered those with no more than the median share. The relevance of a candidate is
its chance under the two-tower model's softmax (score over temperature), as a multiple of the likeliest candidate's; its
novelty is the mean distance of its style from the styles of the user's items (Rao's quadratic distance of a single
style from a profile).

The dial e in [0, 1] does two things. It is the weight of the list's objective, (1 - e) relevance + e novelty, the
latter scaled to [0, 1] over the user's candidates. And it is the bound: every pick has at least 1 - e times the
relevance of the last item of the list that relevance alone would give. At 0 the list is that list, at 1 it is by
novelty alone.

As the dial turns up, the novelty of a full list never falls and its relevance never rises. For a fixed set of
candidates that is so for every weighted sum at its exact optimum, and under a limit per style, a matroid, the greedy
choice is the optimum (Edmonds 1971). A candidate that a lower bound admits displaces, at one weight, an item of at
least its relevance with no higher objective, hence of no more novelty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.recommendations.diversity import places
from fashionrec_assets.settings import StyleSettings


@dataclass(frozen=True)
class Profiles:
    """`counts` int64 (u, k): a user's different items per style."""

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, log: EventLog, style: NDArray[np.int64], k: int, users: NDArray[np.int64]) -> Profiles:
        """Of the rows `users` of the log, whose item row i has `style[i]`, -1 for none."""
        place = np.full(log.n_users, -1, np.int64)
        place[users] = np.arange(len(users))
        mine = place[log.users] >= 0
        pairs = np.unique(place[log.users[mine]] * log.n_items + log.items[mine])
        owner, item = np.divmod(pairs, log.n_items)
        known = style[item] >= 0
        flat = np.bincount(owner[known] * k + style[item[known]], minlength=len(users) * k)
        return cls(flat.reshape(len(users), k).astype(np.int64))

    @property
    def shares(self) -> NDArray[np.float64]:
        """float64 (u, k), rows that sum to 1, or to 0 for a user without items."""
        return self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)

    def unexplored(self, rare: float) -> NDArray[np.bool_]:
        """bool (u, k): the styles with at most the share `rare`, or the user's median share where that is more."""
        shares = self.shares
        return shares <= np.maximum(rare, np.median(shares, axis=1, keepdims=True))

    def novelty(self, distances: NDArray[np.floating]) -> NDArray[np.float64]:
        """float64 (u, k): the mean distance (k, k) of each style from the styles of the user's items."""
        return np.round(self.shares @ distances.T, 6)


@dataclass(frozen=True)
class Candidates:
    """p pairs of a user and an item they may be shown. `owner` int64 (p,): places in `Profiles`. `items` int64 (p,).
    `logits` float64 (p,): log of the chance, up to a constant of each user."""

    owner: NDArray[np.int64]
    items: NDArray[np.int64]
    logits: NDArray[np.float64]

    def where(self, keep: NDArray[np.bool_]) -> Candidates:
        return Candidates(self.owner[keep], self.items[keep], self.logits[keep])


@dataclass(frozen=True)
class Pool:
    """Candidates of unexplored styles, one per family: `owner`, `items`, `style` int64 (p,), `relevance` float64 (p,)
    in [0, 1], `novelty` float64 (p,)."""

    owner: NDArray[np.int64]
    items: NDArray[np.int64]
    style: NDArray[np.int64]
    relevance: NDArray[np.float64]
    novelty: NDArray[np.float64]


@dataclass(frozen=True)
class Picks:
    """The lists: `rows` int64 (n,) of the pool, sorted by owner and rank, and `rank` int64 (n,), from 1."""

    rows: NDArray[np.int64]
    rank: NDArray[np.int64]


def unexplored_pool(
    candidates: Candidates,
    profiles: Profiles,
    style: NDArray[np.int64],
    families: NDArray[np.int64],
    distances: NDArray[np.floating],
    rare: float,
) -> Pool:
    """The candidates among which picks are chosen. `style`, `families` int64 (n_items,): of item rows; style -1 is
    none, and such items are left out. Of a family only the likeliest item of each user stays, the smaller row if
    several are."""
    known = style[candidates.items] >= 0
    kept = candidates.where(known)
    open_to = profiles.unexplored(rare)[kept.owner, style[kept.items]]
    kept = kept.where(open_to)
    order = np.lexsort((kept.items, -kept.logits, families[kept.items], kept.owner))
    owner, family = kept.owner[order], families[kept.items[order]]
    first = np.ones(len(order), bool)
    first[1:] = (owner[1:] != owner[:-1]) | (family[1:] != family[:-1])
    kept = Candidates(owner[first], kept.items[order][first], kept.logits[order][first])
    best = np.full(len(profiles.counts), -np.inf)
    np.maximum.at(best, kept.owner, kept.logits)
    relevance = np.round(np.exp(kept.logits - best[kept.owner]), 9).astype(np.float64)
    of = style[kept.items]
    return Pool(kept.owner, kept.items, of, relevance, profiles.novelty(distances)[kept.owner, of])


def pick(pool: Pool, settings: StyleSettings, exploration: float) -> Picks:
    """For each owner up to `settings.picks` items, at most `per_style` of one style, by the dial `exploration`.

    Raises ValueError for a dial outside [0, 1].
    """
    if not 0 <= exploration <= 1:
        raise ValueError(f"the dial goes from 0 to 1, not to {exploration}")
    everything = np.ones(len(pool.owner), bool)
    likeliest = _chosen(pool, pool.relevance, everything, settings)
    owners = int(pool.owner.max(initial=-1)) + 1
    floor = np.full(owners, np.inf)
    np.minimum.at(floor, pool.owner[likeliest.rows], pool.relevance[likeliest.rows])
    low, top = np.full(owners, np.inf), np.full(owners, -np.inf)
    np.minimum.at(low, pool.owner, pool.novelty)
    np.maximum.at(top, pool.owner, pool.novelty)
    newness = (pool.novelty - low[pool.owner]) / np.maximum((top - low)[pool.owner], 1e-9)
    value = np.round((1 - exploration) * pool.relevance + exploration * newness, 9)
    return _chosen(pool, value, pool.relevance >= (1 - exploration) * floor[pool.owner], settings)


def _chosen(pool: Pool, value: NDArray[np.float64], allowed: NDArray[np.bool_], settings: StyleSettings) -> Picks:
    """The greedy choice by `value` (p,); ties go to the higher relevance, then to the smaller item row."""
    order = np.flatnonzero(allowed)
    order = order[np.lexsort((pool.items[order], -pool.relevance[order], -value[order], pool.owner[order]))]
    owner, style = pool.owner[order], pool.style[order]
    by_style = np.lexsort((np.arange(len(order)), style, owner))
    group = owner[by_style] * (int(pool.style.max(initial=0)) + 1) + style[by_style]
    within = np.empty(len(order), np.int64)
    within[by_style] = places(group)
    order = order[within < settings.per_style]
    rank = places(pool.owner[order])
    kept = rank < settings.picks
    return Picks(order[kept], rank[kept] + 1)
