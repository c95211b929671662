"""Which items are nearest in meaning to a text: by their descriptions, by their photos, and by a user's taste.

Belongs here: scores of texts against all items, and their fusion. Does not belong here: constraints (`catalog.py`),
what a user has done (`taste.py`).

Cosines of different spaces are on different scales, so each is standardised over the catalog before the weighted sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.encoders import Encoders
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, Vectors, vectors
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import AssistantSettings

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """Standardised scores of q texts against n items, float32 (q, n): `by_text` of descriptions, `by_image` of photos
    (0, the mean, where an item has none)."""

    by_text: Matrix
    by_image: Matrix

    def fused(self, settings: AssistantSettings) -> Matrix:
        """The weighted sum."""
        fused = settings.text_weight * self.by_text + settings.image_weight * self.by_image
        return fused.astype(np.float32)


def standardised(values: Matrix, present: NDArray[np.bool_] | None = None) -> Matrix:
    """Rows of `values` (q, n) with mean 0 and deviation 1 over the columns that are `present`; 0 in all others.

    A row without any spread becomes zeros.
    """
    there = np.ones(values.shape[1], dtype=np.bool_) if present is None else present
    if not there.any():
        return np.zeros_like(values)
    known = values[:, there].astype(np.float64)
    spread = known.std(axis=1, keepdims=True)
    result = (values - known.mean(axis=1, keepdims=True)) / np.where(spread > 1e-9, spread, 1)
    return np.where(there[None, :] & (spread > 1e-9), result, 0).astype(np.float32)


class Retriever:
    """Texts against the vectors of `item_ids` (sorted). Vectors and models are loaded when first needed."""

    def __init__(self, shop: Shop, item_ids: Sequence[str]) -> None:
        self._shop, self._ids = shop, list(item_ids)
        self._encoders = Encoders(shop)

    @cached_property
    def texts(self) -> Vectors:
        """Sentence vectors of descriptions."""
        return vectors(self._shop, TEXT_STORE, self._ids)

    @cached_property
    def images(self) -> Vectors:
        """CLIP vectors of photos."""
        return vectors(self._shop, IMAGE_STORE, self._ids)

    def scores(self, texts: Sequence[str]) -> Scores:
        """The scores of `texts` (q,) against all items (n,)."""
        sentences = self._encoders.sentences.encode(texts)
        by_text = standardised(sentences @ self.texts.values.T, self.texts.present)
        if not self.images.present.any():
            return Scores(by_text, np.zeros_like(by_text))
        pictures = self._encoders.clip_with_text.encode_texts(texts) @ self.images.values.T
        return Scores(by_text, standardised(pictures, self.images.present))

    def alike(self, row: int) -> Scores:
        """The scores (1, n) of all items for being like one item, by description and by photo."""
        by_text = standardised(self.texts.values[row : row + 1] @ self.texts.values.T, self.texts.present)
        if not self.images.present[row]:
            return Scores(by_text, np.zeros_like(by_text))
        by_image = self.images.values[row : row + 1] @ self.images.values.T
        return Scores(by_text, standardised(by_image, self.images.present))


def best(scores: Matrix, fits: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """The rows of the at most `k` highest of `scores` (n,) among those that fit, best first; ties by row."""
    rows = np.flatnonzero(fits)
    return rows[np.argsort(-scores[rows], kind="stable")[:k]]
