"""From proposals to synthetic rows: which real rows they start from, and which proposed item is taken.

Belongs here: the rules that every generator keeps to. Does not belong here: proposals (`conditional_vae.py`,
`controls.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.synthesis.rows import ItemContent, SyntheticRows, TrainingRows, contains, pair_keys

ROUNDS = 8
"""So often are further sources drawn for rows that found no item; after that the rows are fewer."""

AT_ONCE = 100_000
"""Rows proposed at once, which bounds memory."""

Propose = Callable[[NDArray[np.int64], np.random.Generator], tuple[NDArray[np.int64], NDArray[np.float32]]]
"""For sources (m,): items (m, k) in order of preference, -1 for none, and labels (m,)."""


def source_weights(rows: TrainingRows, eligible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64 (n,), sums to 1: how likely each row is a source; 0 where `eligible` (n,) is false.

    1 / sqrt(rows of the user x rows of the item): what is seen little gets more. Likes and dislikes keep their share:
    the sampled negatives of unpopular items would otherwise turn the balance.
    """
    users, items = np.bincount(rows.users), np.bincount(rows.items)
    weights = np.where(eligible, 1 / np.sqrt(users[rows.users] * items[rows.items].astype(np.float64)), 0.0)
    for liked in (True, False):
        part = (rows.labels > 0.5) == liked
        total = weights[part].sum()
        weights[part] *= (eligible & part).sum() / total if total else 0.0
    return weights / max(weights.sum(), 1e-12)


def draw_rows(
    count: int, rows: TrainingRows, content: ItemContent, eligible: NDArray[np.bool_], propose: Propose, *, seed: int
) -> SyntheticRows:
    """`count` distinct (user, item) pairs, sorted by source: for each source the first proposed item that may be taken.

    An item may be taken if it is usable (available before the cut, with content), not the source's, and in no row of
    its user. Sources without such an item are replaced by others; where too few are left, the rows are fewer than
    `count`. `eligible` bool (n,): rows that may be sources. Deterministic by `seed`.
    """
    rng = np.random.default_rng([seed, 3])
    n_items = len(content.available)
    banned = np.unique(pair_keys(rows.users, rows.items, n_items))
    weights = source_weights(rows, eligible)
    keys, labels, sources = np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
    for _ in range(ROUNDS + count // AT_ONCE if eligible.any() else 0):
        wanted = min(count - len(keys), AT_ONCE)
        if wanted <= 0:
            break
        drawn = np.sort(rng.choice(len(rows), size=wanted, p=weights))
        candidates, preference = propose(drawn, rng)
        found = _first_allowed(rows.users[drawn], candidates, content.usable, banned)
        taken = found >= 0
        keys = np.concatenate([keys, found[taken]])
        labels = np.concatenate([labels, preference[taken].astype(np.float32)])
        sources = np.concatenate([sources, drawn[taken]])
        banned = np.union1d(banned, found[taken])
    order = np.lexsort((keys, sources))
    keys, labels, sources = keys[order], labels[order], sources[order]
    return SyntheticRows(
        (keys // max(n_items, 1)).astype(np.int32), (keys % max(n_items, 1)).astype(np.int32), labels, sources
    )


def _first_allowed(
    users: NDArray[np.int32],
    candidates: NDArray[np.int64],
    usable: NDArray[np.bool_],
    banned: NDArray[np.int64],
) -> NDArray[np.int64]:
    """int64 (m,): the pair of each user with the first of their `candidates` (m, k) that may be taken, else -1.

    A source's own item is in a row of its user, so it is `banned` with the rest. No pair is given twice.
    """
    found = np.full(len(users), -1, np.int64)
    for column in candidates.T:
        open_rows = np.flatnonzero((found < 0) & (column >= 0))
        open_rows = open_rows[usable[column[open_rows]]]
        keys = pair_keys(users[open_rows], column[open_rows], len(usable))
        free = ~contains(banned, keys) & ~contains(np.sort(found), keys)
        keys, open_rows = keys[free], open_rows[free]
        _, first = np.unique(keys, return_index=True)
        found[open_rows[first]] = keys[first]
    return found


def nearest(
    table: NDArray[np.float32], queries: NDArray[np.float32], k: int, *, cosine: bool = False
) -> NDArray[np.int64]:
    """int64 (m, min(k, n)): rows of `table` (n, d) nearest to each of `queries` (m, d), nearest first, exactly.

    By Euclidean distance, or with `cosine` by the inner product.
    """
    import faiss

    k = min(k, len(table))
    if not k or not len(queries):
        return np.zeros((len(queries), k), np.int64)
    metric = faiss.METRIC_INNER_PRODUCT if cosine else faiss.METRIC_L2
    return faiss.knn(np.ascontiguousarray(queries), np.ascontiguousarray(table), k, metric=metric)[1]
