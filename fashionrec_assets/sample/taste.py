"""Who likes what: items and users as factors of one space, popularity, trends and novelty.

Belongs here: the latent model behind the behaviour log. A session's log-propensity for an item is
`(user + intent) . item + bias of the day`. Does not belong here: sessions and events (`behaviour`), pixels, words.

Most item factors restate attributes that a photo or a title shows; the last block is idiosyncratic and only behaviour
reveals it, so that item IDs are worth learning for items with a past.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.sample.attributes import (
    COLOURS,
    DAY,
    LENGTHS,
    NECKLINES,
    PATTERNS,
    PERIOD_DAYS,
    PERIOD_START,
    PRODUCT_TYPES,
    SLEEVES,
    STYLES,
    Wardrobe,
    colour_similarity,
    shares,
)

IDIOSYNCRATIC = 8
INTENTS = 5
"""Short-term interests a user switches between."""

_BLOCKS = {
    "type": len(PRODUCT_TYPES),
    "colour": len(COLOURS),
    "pattern": len(PATTERNS),
    "style": len(STYLES),
    "neckline": len(NECKLINES),
    "sleeve": len(SLEEVES),
    "length": len(LENGTHS),
    "price": 1,
    "gender": 2,
    "idiosyncratic": IDIOSYNCRATIC,
}
_ENDS = np.cumsum(list(_BLOCKS.values()))
_SLICES = {name: slice(int(end) - width, int(end)) for (name, width), end in zip(_BLOCKS.items(), _ENDS, strict=True)}
DIMENSIONS = int(_ENDS[-1])

CROWDS = 24
CONFORMITY = 0.75
"""Share of the variance of taste that a user has in common with their crowd."""

# Strengths, in units of log-propensity. Chosen so that a user's next session is predictable but far from determined.
TYPE_TASTE = 1.0
COLOUR_TASTE = 0.9
PATTERN_TASTE = 0.6
STYLE_TASTE = 1.5
DETAIL_TASTE = 0.3
PRICE_TASTE = 0.35
GENDER_GAP = 4.5
IDIOSYNCRATIC_TASTE = 0.28
INTENT_TYPE = 3.9
INTENT_COLOUR = 0.8
INTENT_STYLE = 1.0
POPULARITY_EXPONENT = 0.65
TREND = 0.4
NOVELTY = 0.6
NOVELTY_DAYS = 5.0


@dataclass(frozen=True)
class Taste:
    """float32 factors. `items` (I, d); `users` (U, d); `intents` (U, INTENTS, d); `intent_shares` (U, INTENTS), rows
    sum to 1; `day_bias` (PERIOD_DAYS, I), minus infinity before an item's launch; `genders` (U,): 0 women, 1 men."""

    items: NDArray[np.float32]
    users: NDArray[np.float32]
    intents: NDArray[np.float32]
    intent_shares: NDArray[np.float32]
    day_bias: NDArray[np.float32]
    genders: NDArray[np.int64]


def item_factors(wardrobe: Wardrobe, rng: np.random.Generator) -> NDArray[np.float32]:
    """float32 (I, DIMENSIONS)."""
    factors = np.zeros((len(wardrobe), DIMENSIONS))
    factors[:, _SLICES["type"]] = np.eye(len(PRODUCT_TYPES))[wardrobe.types]
    factors[:, _SLICES["colour"]] = colour_similarity()[wardrobe.colours]
    factors[:, _SLICES["pattern"]] = np.eye(len(PATTERNS))[wardrobe.patterns]
    factors[:, _SLICES["style"]] = wardrobe.styles - 1.0 / len(STYLES)
    factors[:, _SLICES["neckline"]] = np.eye(len(NECKLINES))[wardrobe.necklines]
    factors[:, _SLICES["sleeve"]] = np.eye(len(SLEEVES))[wardrobe.sleeves]
    factors[:, _SLICES["length"]] = np.eye(len(LENGTHS))[wardrobe.lengths]
    medians = np.array([t.price for t in PRODUCT_TYPES])[wardrobe.types]
    factors[:, _SLICES["price"].start] = np.log(wardrobe.prices / medians) / 0.35
    factors[:, _SLICES["gender"].start] = wardrobe.genders == 0
    factors[:, _SLICES["gender"].start + 1] = wardrobe.genders == 1
    factors[:, _SLICES["idiosyncratic"]] = rng.normal(size=(len(wardrobe), IDIOSYNCRATIC))
    return factors.astype(np.float32)


def draw_taste(wardrobe: Wardrobe, users: int, rng: np.random.Generator) -> Taste:
    """Tastes of `users` users over the wardrobe."""
    items = item_factors(wardrobe, rng)
    genders = (rng.random(users) < 0.38).astype(np.int64)
    similarity = colour_similarity()

    # A user is mostly like their crowd: taste that is shared can be learnt from others' behaviour.
    crowds = rng.integers(CROWDS, size=users)

    def shared(strength: float, width: int) -> NDArray[np.float64]:
        common = rng.normal(0, 1, (CROWDS, width))[crowds]
        own = rng.normal(0, 1, (users, width))
        return strength * (np.sqrt(CONFORMITY) * common + np.sqrt(1 - CONFORMITY) * own)

    base = np.zeros((users, DIMENSIONS))
    type_taste = shared(TYPE_TASTE, len(PRODUCT_TYPES))
    base[:, _SLICES["type"]] = 0.4 * type_taste
    colour_taste = shared(COLOUR_TASTE, len(COLOURS))
    base[:, _SLICES["colour"]] = colour_taste
    base[:, _SLICES["pattern"]] = shared(PATTERN_TASTE, len(PATTERNS))
    style_taste = np.exp(shared(1.6, len(STYLES)))
    style_taste /= style_taste.sum(axis=1, keepdims=True)
    base[:, _SLICES["style"]] = STYLE_TASTE * style_taste
    for block in ("neckline", "sleeve", "length"):
        base[:, _SLICES[block]] = shared(DETAIL_TASTE, _BLOCKS[block])
    base[:, _SLICES["price"]] = shared(PRICE_TASTE, 1)
    base[:, _SLICES["gender"].start] = np.where(genders == 0, 0.0, -GENDER_GAP)
    base[:, _SLICES["gender"].start + 1] = np.where(genders == 1, 0.0, -GENDER_GAP)
    base[:, _SLICES["idiosyncratic"]] = shared(IDIOSYNCRATIC_TASTE, IDIOSYNCRATIC)

    intents = np.zeros((users, INTENTS, DIMENSIONS))
    type_shares = np.array([[t.share * (t.genders[g] + t.genders[2]) for t in PRODUCT_TYPES] for g in (0, 1)])
    # Gumbel keys: the largest INTENTS of them are a draw without replacement.
    keys = np.log(type_shares[genders] + 1e-12) + type_taste + rng.gumbel(size=(users, len(PRODUCT_TYPES)))
    chosen_types = np.argsort(-keys, axis=1, kind="stable")[:, :INTENTS]
    rows = np.arange(users)
    for m in range(INTENTS):
        intents[rows, m, _SLICES["type"].start + chosen_types[:, m]] = INTENT_TYPE
        colour = np.argmax(colour_taste * 0.6 + rng.gumbel(size=colour_taste.shape), axis=1)
        intents[:, m, _SLICES["colour"]] += INTENT_COLOUR * (similarity[colour] > 0.99)
        style = np.argmax(np.log(style_taste + 1e-3) + rng.gumbel(size=style_taste.shape), axis=1)
        intents[rows, m, _SLICES["style"].start + style] += INTENT_STYLE
    intent_shares = rng.dirichlet(np.full(INTENTS, 2.0), users) * (1 - 0.01 * INTENTS) + 0.01
    return Taste(
        items=items,
        users=base.astype(np.float32),
        intents=intents.astype(np.float32),
        intent_shares=intent_shares.astype(np.float32),
        day_bias=_day_bias(wardrobe, rng).astype(np.float32),
        genders=genders,
    )


def _day_bias(wardrobe: Wardrobe, rng: np.random.Generator) -> NDArray[np.float64]:
    """(PERIOD_DAYS, I): Zipf-like popularity, drifting fashions, and attention to what is new."""
    count = len(wardrobe)
    popularity = -POPULARITY_EXPONENT * np.log(shares(rng.permutation(count) + 3.0) * count)
    progress = np.linspace(-1.0, 1.0, PERIOD_DAYS)[:, None]
    wave = np.sin(np.linspace(0, 2 * np.pi, PERIOD_DAYS))[:, None]
    trends = np.zeros((PERIOD_DAYS, count))
    for membership in (
        np.eye(len(COLOURS))[wardrobe.colours],
        np.eye(len(PATTERNS))[wardrobe.patterns],
        wardrobe.styles * 1.5,
    ):
        width = membership.shape[1]
        drift = progress * rng.normal(0, TREND, width) + wave * rng.normal(0, TREND / 2, width)
        trends += drift @ membership.T
    days = PERIOD_START + np.arange(PERIOD_DAYS)[:, None] * DAY
    age = (days - wardrobe.launched[None]) / DAY
    novelty = NOVELTY * np.exp(-np.maximum(age, 0) / NOVELTY_DAYS)
    # The factor block for price is linear; the square that makes it a preferred level belongs to the item alone.
    level = -0.15 * item_price_levels(wardrobe) ** 2
    return np.where(age >= 0, popularity + trends + novelty + level, -np.inf)


def item_price_levels(wardrobe: Wardrobe) -> NDArray[np.float64]:
    """(I,): log price against the type's median, in units of its spread."""
    medians = np.array([t.price for t in PRODUCT_TYPES])[wardrobe.types]
    return np.log(wardrobe.prices / medians) / 0.35
