"""The methods that complete baskets: the outfit model and what it is held against.

Belongs here: their scores. Does not belong here: learning (`recommendations.outfits`), measuring (`report.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.evaluation.outfits.task import Scorer
from fashionrec_assets.recommendations.outfits.affinity import Affinity, dense, value_pairs
from fashionrec_assets.recommendations.outfits.compatibility import Compatibility

MODEL = "model"
COUNTS, CATEGORY, COSINE, POPULAR, LAST_DAY, RANDOM = (
    "co_purchase",
    "category_popularity",
    "co_purchase_cosine",
    "popularity",
    "last_day_popularity",
    "random",
)
_TIE = np.float32(1e-4)
"""Weight of popularity where it only breaks ties: a logarithm times this stays below one basket."""


@dataclass(frozen=True)
class Method:
    """What a report calls a method, and what it does."""

    name: str
    title: str
    meaning: str
    scores: Scorer


def methods(model: Compatibility, affinity: Affinity, seed: int) -> list[Method]:
    """The model first, then the baselines, all of the knowledge of one moment."""
    popular = affinity.popularity[:, 1]
    last_day = np.asarray(affinity.popularity[:, 0] + _TIE * popular, dtype=np.float32)
    cosine = affinity.shares[1]
    chance: NDArray[np.float32] = np.random.default_rng(seed).permutation(len(popular)).astype(np.float32)

    def counted(given: sparse.csr_array) -> NDArray[np.float32]:
        return np.asarray(dense(given, affinity.together) + _TIE * popular, dtype=np.float32)

    def close(given: sparse.csr_array) -> NDArray[np.float32]:
        return np.asarray(dense(given, cosine) + np.float32(1e-3) * _TIE * popular, dtype=np.float32)

    return [
        Method(
            MODEL,
            "Outfit model",
            "A log-linear model of counts, back-offs, lifts, content and popularity, given all of the basket.",
            lambda given: model.score(affinity, given),
        ),
        Method(
            COUNTS,
            "Co-purchase counts",
            "Baskets that have the item and a given one, added up over the given; popularity breaks ties.",
            counted,
        ),
        Method(
            CATEGORY,
            "Category popularity",
            "How often baskets have the item's type beside the given ones, times its share of the type's sales lately.",
            category_popularity(affinity),
        ),
        Method(
            COSINE,
            "Co-purchase cosine",
            "As the counts, each over the geometric mean of how often either item was had: item-kNN on baskets.",
            close,
        ),
        Method(
            POPULAR,
            "Popularity",
            "Baskets with the item; a day counts half as much two days later.",
            lambda _: popular[None, :],
        ),
        Method(
            LAST_DAY,
            "Popularity of the last day",
            "Baskets of the last day with the item.",
            lambda _: last_day[None, :],
        ),
        Method(RANDOM, "Random", "One order drawn at random.", lambda _: chance[None, :]),
    ]


def category_popularity(affinity: Affinity) -> Scorer:
    """log P(type of j | types given) + log P(j | its type): popularity within the types that go with the given."""
    types = affinity.wardrobe.column("type")
    size = len(affinity.wardrobe.values[0])
    pairs = value_pairs(affinity.baskets.select(affinity.baskets.several(affinity.wardrobe.families)), types, size)
    shares = pairs.sum(axis=0) / max(pairs.sum(), 1.0)
    conditional = (pairs + shares + 1e-6) / (pairs.sum(axis=1, keepdims=True) + 1)
    sold = np.expm1(affinity.popularity[:, 1]).astype(np.float64)
    of_type = np.bincount(types, weights=sold, minlength=size)
    within = np.log((sold + 1e-3) / (of_type[types] + 1))
    rows = conditional[types].astype(np.float32)

    def score(given: sparse.csr_array) -> NDArray[np.float32]:
        sizes = np.maximum(np.asarray(given.sum(axis=1)), 1)[:, None]
        expected = np.log((given @ rows) / sizes + 1e-9)
        return (expected[:, types] + within).astype(np.float32)

    return score
