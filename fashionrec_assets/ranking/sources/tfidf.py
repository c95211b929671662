"""TF-IDF content: items whose text is like the text of something the user touched. It knows cold items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.sources.dense_products import dense_product
from fashionrec_assets.ranking.sources.interactions import interaction_matrix, popularity_of

_SIMILARITY_BYTES = 32 << 20


def text_features(texts: Sequence[str]) -> sparse.csr_array:
    """L2-normalised TF-IDF of words and pairs of words, float32 (n_items, n_terms); sublinear in a term's count.

    Terms of a single item cannot make two items alike and are left out. Texts without any shared term give a matrix
    without columns rather than an error.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(texts) < 2 or not any(text.strip() for text in texts):
        return sparse.csr_array((len(texts), 0), dtype=np.float32)
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2))
    try:
        features = vectorizer.fit_transform(texts)
    except ValueError:
        # scikit-learn's way of saying that no term is left.
        return sparse.csr_array((len(texts), 0), dtype=np.float32)
    return sparse.csr_array(features, dtype=np.float32)


def recent_items(log: EventLog, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The last `limit` distinct items of every user as offsets (n_users + 1,) and item rows (h,)."""
    keys = log.users.astype(np.int64) * log.n_items + log.items
    # Events are sorted by time within a user: the last position of a key is when the item was last touched.
    _, position = np.unique(keys[::-1], return_index=True)
    last = np.sort(len(keys) - 1 - position)
    users, items = log.users[last], log.items[last]
    ends = np.searchsorted(users, np.arange(log.n_users), side="right")
    from_the_end = ends[users] - np.arange(len(users))
    keep = from_the_end <= limit
    users, items = users[keep], items[keep]
    return np.searchsorted(users, np.arange(log.n_users + 1)).astype(np.int64), items


@dataclass(frozen=True)
class TfIdf:
    """`features` float32 (n_items, n_terms) with rows of length 1 (or 0), `offsets` int64 (n_users + 1,) into
    `items` int32 (h,), `popularity` float32 (n_items,) in [0, 1]."""

    features: sparse.csr_array
    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    popularity: NDArray[np.float32]
    name: str = "tfidf"

    @classmethod
    def fit(cls, log: EventLog, features: sparse.csr_array, *, history: int = 50) -> TfIdf:
        """`features` from `text_features`, one row per item; `history`: how many of a user's last items count."""
        n_texts, _ = cast(tuple[int, int], features.shape)
        if n_texts != log.n_items:
            raise ValueError(f"there are {n_texts} texts for {log.n_items} items")
        offsets, items = recent_items(log, history)
        return cls(features, offsets, items, popularity_of(interaction_matrix(log)))

    def evidence(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """The cosine to the most similar item of the user's history, (len(user_rows), n_items)."""
        n_items = len(self.popularity)
        lengths = np.diff(self.offsets)
        best = np.zeros((len(user_rows), n_items), dtype=np.float32)
        transposed = self._transposed
        starts, counts = self.offsets[user_rows], lengths[user_rows]
        limit = max(1, _SIMILARITY_BYTES // (4 * max(n_items, 1)))
        ends = np.cumsum(counts)
        first = 0
        while first < len(user_rows):
            done = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, done + limit, side="right")))
            rows = np.flatnonzero(counts[first:last]) + first
            if len(rows):
                places = [
                    np.arange(start, start + count) for start, count in zip(starts[rows], counts[rows], strict=True)
                ]
                touched = self.items[np.concatenate(places)]
                unique, inverse = np.unique(touched, return_inverse=True)
                similar = dense_product(self.features[unique], transposed)
                # An item is no evidence for itself: what was looked at would otherwise be nearest to itself.
                similar[np.arange(len(unique)), unique] = 0
                for row, place in zip(np.repeat(rows, counts[rows]).tolist(), inverse.tolist(), strict=True):
                    np.maximum(best[row], similar[place], out=best[row])
            first = last
        return best

    @cached_property
    def _transposed(self) -> sparse.csr_array:
        return sparse.csr_array(self.features.T)

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """The evidence; what shares no word follows in order of popularity, which is the answer without a history."""
        scores = self.evidence(user_rows)
        return np.where(scores > 0, scores, self.popularity[None, :] - np.float32(2))
