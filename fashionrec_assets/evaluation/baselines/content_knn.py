"""Content-kNN: items whose text and photo are like those of what the user touched last. It knows cold items.

Belongs here: that method, and the pooled vectors it reads. Does not belong here: encoders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.sources.interactions import interaction_matrix, popularity_of
from fashionrec_assets.ranking.sources.tfidf import recent_items

NEIGHBOURS = 5
"""Items of the history that speak for an item: a wide wardrobe must not outvote what is really alike."""
_SIMILARITY_BYTES = 128 << 20


def pooled_content(views: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]]) -> NDArray[np.float32]:
    """The views of the items side by side, float32 (n_items, d), each row of each view of length 1 where it is present.

    A view is its vectors (n_items, d_v) and bool (n_items,) where it is present; zeros stand for what is missing. So
    the cosine of two items that have every view is the mean of their cosines in each.
    """
    parts = [_units(np.where(present[:, None], values, np.float32(0))) for values, present in views]
    if not parts:
        raise ValueError("content-kNN needs at least one view of the items")
    return np.concatenate(parts, axis=1).astype(np.float32)


def _units(values: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)


@dataclass(frozen=True)
class ContentKnn:
    """`content` float32 (n_items, d) with rows of length 1 (or 0), `offsets` int64 (n_users + 1,) into `items` int32
    (h,), `popularity` float32 (n_items,) in [0, 1]."""

    content: NDArray[np.float32]
    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    popularity: NDArray[np.float32]
    neighbours: int = NEIGHBOURS
    name: str = "content_knn"

    @classmethod
    def fit(
        cls, log: EventLog, content: NDArray[np.float32], *, history: int = 20, neighbours: int = NEIGHBOURS
    ) -> ContentKnn:
        """`content` from `pooled_content`; `history`: how many of a user's last items count.

        Raises ValueError if there are not as many rows as items.
        """
        if len(content) != log.n_items:
            raise ValueError(f"there are {len(content)} content vectors for {log.n_items} items")
        offsets, items = recent_items(log, history)
        return cls(_units(content), offsets, items, popularity_of(interaction_matrix(log)), neighbours)

    def evidence(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """The sum of the cosines to the `neighbours` most similar items of the user's history, (len(user_rows),
        n_items); cosines below zero count nothing."""
        n_items = len(self.content)
        found = np.zeros((len(user_rows), n_items), dtype=np.float32)
        # A block of items at a time: the similarities of one history to them are never a matrix of the whole catalog.
        longest = int(np.diff(self.offsets).max(initial=1))
        step = max(1, _SIMILARITY_BYTES // (4 * max(longest, 1)))
        for place, user in enumerate(user_rows.tolist()):
            touched = self.items[self.offsets[user] : self.offsets[user + 1]]
            if not len(touched):
                continue
            for start in range(0, n_items, step):
                block = slice(start, min(start + step, n_items))
                similar = np.maximum(self.content[touched] @ self.content[block].T, 0)
                # An item is no evidence for itself: what was looked at would otherwise be nearest to itself.
                inside = (touched >= block.start) & (touched < block.stop)
                similar[np.flatnonzero(inside), touched[inside] - block.start] = 0
                if len(touched) > self.neighbours:
                    cut = len(touched) - self.neighbours
                    similar = np.partition(similar, cut, axis=0)[cut:]
                found[place, block] = similar.sum(axis=0)
        return found

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """The evidence; what is like nothing follows in order of popularity, which is the answer without a history."""
        scores = self.evidence(user_rows)
        return np.where(scores > 0, scores, self.popularity[None, :] - np.float32(2))
