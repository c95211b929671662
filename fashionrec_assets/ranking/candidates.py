"""Which items are worth scoring for a user: the best of each source, together.

Belongs here: retrieval per source and their union. Does not belong here: features of the pairs, scores.

Sources: two-tower nearest neighbours, item-kNN (co-purchase), co-purchase of product families, the families of the
user's own items, content (TF-IDF), recent popularity, popularity within the user's sections, the best new items by
content and by the two-tower model, and the user's own items where they may be shown again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.ranking.knowledge import Knowledge
from fashionrec_assets.ranking.sources.dense_products import dense_product
from fashionrec_assets.settings import RankingSettings

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """Dense scores of a block of users (b, n_items), one array per source; those that features read again.

    `tower_users` float32 (b, d): the users' vectors, None without a tower.
    """

    knn: Matrix
    cosine_knn: Matrix
    newest_knn: Matrix
    content: Matrix
    families: Matrix
    types: Matrix
    section: Matrix
    tower_users: Matrix | None

    @classmethod
    def of(cls, known: Knowledge, users: NDArray[np.int32]) -> Scores:
        activity = np.maximum(np.diff(known.matrix.indptr)[users], 1).astype(np.float32)
        families, types = known.families.knn.evidence(users), known.types.knn.evidence(users)
        return cls(
            knn=known.knn.evidence(users),
            cosine_knn=known.cosine_knn.evidence(users),
            newest_knn=dense_product(known.newest[users], known.knn.similarity),
            content=known.tfidf.evidence(users),
            families=families[:, known.families.codes],
            types=types[:, known.types.codes] / activity[:, None],
            section=_section_scores(known, users, activity),
            tower_users=None if known.tower is None else known.tower.users.user_vectors(users),
        )


def _section_scores(known: Knowledge, users: NDArray[np.int32], activity: Matrix) -> Matrix:
    """How much of the user's history lies in the item's section, times the item's share of what is taken there."""
    codes, share = known.section_shares
    return (history_shares(known, users, codes, activity)[:, codes] * share).astype(np.float32)


def history_shares(
    known: Knowledge, users: NDArray[np.int32], codes: NDArray[np.int64], activity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """float32 (len(users), codes): the share of each user's items that has each code."""
    mine, width = known.matrix[users], int(codes.max(initial=0)) + 1
    owner = np.repeat(np.arange(len(users)), np.diff(mine.indptr))
    counts = np.bincount(owner * width + codes[mine.indices], minlength=len(users) * width)
    return counts.reshape(len(users), width).astype(np.float32) / activity[:, None]


def retrieve(
    known: Knowledge,
    users: NDArray[np.int32],
    scores: Scores,
    available: NDArray[np.bool_],
    settings: RankingSettings,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(owner, item), both int64 (p,), sorted: positions in `users` and rows of items, without repetition.

    `available` bool (len(users), n_items): what each user may be shown.
    """
    new = available & ~known.warm
    popular = known.recent[0] + 1e-3 * known.people
    size = settings.candidates
    wanted = np.zeros(available.shape, bool)
    # What a source knows nothing of is no candidate of it, or the first rows of the catalog would be everyone's.
    for matrix, count, among in (
        (scores.knn, 2 * size, available),
        (scores.content, size, available),
        (scores.families + 1e-4 * np.log1p(known.people) * (scores.families > 0), size, available),
        (scores.section, size, available),
        (np.broadcast_to(popular.astype(np.float32), available.shape), size, available),
        (scores.content, settings.new_candidates, new),
    ):
        _mark_best(wanted, matrix * among, count)
    if known.tower is not None and scores.tower_users is not None:
        hidden = [np.flatnonzero(~row) for row in available]
        rows, _ = known.tower.index.search(scores.tower_users, 2 * size, hidden)
        owner, place = np.nonzero(rows >= 0)
        wanted[owner, rows[owner, place]] = True
        cold, vectors = known.cold
        if len(cold):
            near = np.exp(np.clip(scores.tower_users @ vectors.T, -60, 60))
            part = np.zeros((len(users), len(cold)), bool)
            _mark_best(part, np.where(new[:, cold], near, 0), settings.new_candidates)
            wanted[:, cold] |= part
    families = known.families.knn.matrix[users].toarray() > 0
    wanted |= families[:, known.families.codes]
    owner, item = np.nonzero(wanted & available)
    return owner.astype(np.int64), item.astype(np.int64)


def _mark_best(wanted: NDArray[np.bool_], scores: NDArray[np.floating], count: int) -> None:
    """Sets `wanted` (b, n) at the `count` best scores above 0 of every row."""
    n = scores.shape[1]
    if n > count:
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        keep = np.take_along_axis(scores, best, axis=1) > 0
        owner, place = np.nonzero(keep)
        wanted[owner, best[owner, place]] = True
    else:
        wanted |= scores > 0
