"""What garments the shop sells: the vocabulary of attributes, and a wardrobe drawn from it.

Belongs here: names of types, colours, patterns, necklines, sleeves, lengths and styles, how they go together, and
launch dates and prices. Does not belong here: how they are drawn (`garments`, `canvas`), written about (`titles`) or
liked (`taste`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

DAY = 86_400
PERIOD_START = int(datetime(2024, 3, 4, tzinfo=UTC).timestamp())
"""Monday 2024-03-04 00:00 UTC. Fixed: the shop must not depend on the day it is generated."""
PERIOD_DAYS = 28
VALIDATION_DAYS = 3
TEST_DAYS = 4
TEST_START = PERIOD_START + (PERIOD_DAYS - TEST_DAYS) * DAY
VALIDATION_START = TEST_START - VALIDATION_DAYS * DAY
PERIOD_END = PERIOD_START + PERIOD_DAYS * DAY

NONE = "none"


@dataclass(frozen=True)
class ProductType:
    """One kind of garment. `genders` are the shares of women's, men's and unisex designs; `price` is the median."""

    name: str
    chinese: str
    category: str
    share: float
    genders: tuple[float, float, float]
    price: float
    synonyms: tuple[str, ...]
    necklines: tuple[str, ...] = (NONE,)
    sleeves: tuple[str, ...] = (NONE,)
    lengths: tuple[str, ...] = (NONE,)


PRODUCT_TYPES: tuple[ProductType, ...] = (
    ProductType("t-shirt", "T恤", "tops", 13, (0.45, 0.4, 0.15), 15, ("tee", "top", "tshirt"),
                ("crew", "v-neck", "scoop"), ("sleeveless", "short", "long"), ("cropped", "regular", "long")),
    ProductType("shirt", "衬衫", "tops", 9, (0.45, 0.5, 0.05), 32, ("blouse", "button up", "oxford"),
                ("collar",), ("short", "three-quarter", "long"), ("regular", "long")),
    ProductType("sweater", "毛衣", "tops", 8, (0.5, 0.4, 0.1), 38, ("jumper", "knit", "pullover"),
                ("crew", "v-neck", "high"), ("three-quarter", "long"), ("cropped", "regular", "long")),
    ProductType("hoodie", "卫衣", "tops", 7, (0.35, 0.4, 0.25), 36, ("sweatshirt", "hooded top", "pullover"),
                ("hood",), ("long",), ("cropped", "regular")),
    ProductType("jacket", "夹克", "outerwear", 7, (0.45, 0.5, 0.05), 69, ("blouson", "bomber", "outerwear"),
                ("collar", "high"), ("long",), ("cropped", "regular")),
    ProductType("coat", "大衣", "outerwear", 5, (0.55, 0.42, 0.03), 110, ("overcoat", "trench", "parka"),
                ("collar",), ("long",), ("midi", "maxi")),
    ProductType("dress", "连衣裙", "dresses", 11, (1, 0, 0), 45, ("gown", "frock", "one piece"),
                ("crew", "v-neck", "scoop"), ("sleeveless", "short", "three-quarter", "long"),
                ("mini", "midi", "maxi")),
    ProductType("skirt", "半身裙", "bottoms", 7, (1, 0, 0), 29, ("a-line", "bottom"), lengths=("mini", "midi", "maxi")),
    ProductType("trousers", "裤子", "bottoms", 9, (0.45, 0.5, 0.05), 42, ("pants", "jeans", "slacks"),
                lengths=("cropped", "regular")),
    ProductType("shorts", "短裤", "bottoms", 5, (0.4, 0.5, 0.1), 24, ("bermuda", "short pants"),
                lengths=("short", "knee")),
    ProductType("sneakers", "运动鞋", "footwear", 6, (0.35, 0.4, 0.25), 64, ("trainers", "shoes", "kicks"),
                lengths=("low", "high")),
    ProductType("boots", "靴子", "footwear", 4, (0.6, 0.38, 0.02), 88, ("shoes", "booties"), lengths=("ankle", "knee")),
    ProductType("bag", "包", "accessories", 5, (0.7, 0.1, 0.2), 49, ("tote", "handbag", "shoulder bag"),
                lengths=("small", "large")),
    ProductType("hat", "帽子", "accessories", 3, (0.3, 0.3, 0.4), 18, ("cap", "beanie", "headwear")),
    ProductType("scarf", "围巾", "accessories", 3, (0.5, 0.2, 0.3), 22, ("shawl", "wrap"), lengths=("short", "long")),
)  # fmt: skip
"""Every type the shop sells; positions in this tuple are the `types` of a `Wardrobe`."""


@dataclass(frozen=True)
class Colour:
    name: str
    chinese: str
    rgb: tuple[int, int, int]
    share: float
    synonyms: tuple[str, ...]


COLOURS: tuple[Colour, ...] = (
    Colour("black", "黑色", (34, 33, 37), 14, ("noir", "jet")),
    Colour("white", "白色", (240, 239, 235), 11, ("ivory", "off-white")),
    Colour("grey", "灰色", (142, 144, 148), 8, ("gray", "charcoal", "heather")),
    Colour("navy", "藏青", (34, 44, 82), 9, ("midnight", "dark blue")),
    Colour("blue", "蓝色", (47, 98, 178), 8, ("cobalt", "denim")),
    Colour("light blue", "浅蓝", (151, 190, 222), 6, ("sky", "baby blue")),
    Colour("red", "红色", (190, 38, 44), 7, ("scarlet", "cherry")),
    Colour("pink", "粉色", (233, 158, 178), 7, ("rose", "blush")),
    Colour("green", "绿色", (46, 124, 82), 6, ("emerald", "forest")),
    Colour("khaki", "卡其", (122, 119, 76), 5, ("olive", "army")),
    Colour("beige", "米色", (212, 192, 160), 7, ("sand", "nude", "cream")),
    Colour("brown", "棕色", (112, 72, 46), 5, ("chocolate", "camel")),
    Colour("yellow", "黄色", (234, 196, 62), 3, ("mustard", "lemon")),
    Colour("orange", "橙色", (224, 120, 44), 2, ("rust", "coral")),
    Colour("purple", "紫色", (112, 74, 148), 2, ("lilac", "plum")),
)

PATTERNS: tuple[str, ...] = ("solid", "stripes", "dots", "check", "floral", "logo")
PATTERN_SHARES = (46, 14, 9, 11, 11, 9)
PATTERNS_CHINESE = ("纯色", "条纹", "波点", "格子", "碎花", "印花")
NECKLINES: tuple[str, ...] = (NONE, "crew", "v-neck", "scoop", "high", "collar", "hood")
SLEEVES: tuple[str, ...] = (NONE, "sleeveless", "short", "three-quarter", "long")
LENGTHS: tuple[str, ...] = (
    NONE, "cropped", "regular", "long", "mini", "midi", "maxi", "short", "knee", "low", "high", "ankle", "small",
    "large",
)  # fmt: skip
STYLES: tuple[str, ...] = ("casual", "sporty", "office", "romantic", "street")
GENDERS: tuple[str, ...] = ("women", "men", "unisex")
BRANDS: tuple[str, ...] = (
    "Aurelle", "Northfjord", "Kitsu", "Bellamy & Co", "Volt9", "Maison Rue", "UrbanNest", "Sable", "O'Hara", "Lumi",
    "Greyline", "Fernweh", "Peaktrail", "Mirabel", "Zhen", "Tidewater",
)  # fmt: skip

# Log-weights: how much a style leans to a pattern (rows: STYLES) and which colours it prefers.
_STYLE_PATTERN = np.array(
    [
        [0.2, 0.5, 0.0, 0.2, -0.3, 0.2],
        [0.3, 0.4, -1.5, -1.2, -2.0, 1.2],
        [0.9, 0.5, -0.6, 0.4, -1.5, -2.5],
        [-0.5, -0.6, 0.9, -0.6, 1.6, -2.5],
        [-0.2, -0.2, -0.8, 0.6, -1.2, 1.5],
    ]
)
_STYLE_COLOURS: tuple[tuple[str, ...], ...] = (
    ("blue", "light blue", "grey", "white", "beige"),
    ("black", "red", "grey", "orange", "blue", "yellow"),
    ("navy", "white", "black", "grey", "beige", "light blue"),
    ("pink", "red", "white", "purple", "green", "yellow"),
    ("black", "khaki", "orange", "purple", "green", "brown"),
)
# How much a style leans to a type, beyond the type's own share.
_STYLE_TYPES: tuple[tuple[str, ...], ...] = (
    ("t-shirt", "trousers", "sweater", "scarf", "bag"),
    ("hoodie", "t-shirt", "shorts", "sneakers", "hat", "jacket"),
    ("shirt", "trousers", "coat", "boots", "bag", "skirt"),
    ("dress", "skirt", "shirt", "bag", "scarf"),
    ("hoodie", "jacket", "sneakers", "hat", "trousers", "t-shirt"),
)
_PATTERNLESS = {"sneakers": ("solid", "logo", "stripes"), "boots": ("solid",), "bag": PATTERNS, "hat": PATTERNS}

_DROPS: tuple[tuple[int, float], ...] = (
    (0, 0.03), (3, 0.03), (7, 0.03), (10, 0.03), (14, 0.03), (17, 0.03), (21, 0.05), (22, 0.03), (24, 0.14), (25, 0.04),
)  # fmt: skip
"""(day of the period, share of the catalog launched that day); the spring collection falls on the first test day."""


@dataclass(frozen=True)
class Wardrobe:
    """The catalog as arrays of positions in the vocabularies above; all of length I but `brands` of a row of names.

    `styles`: float64 (I, len(STYLES)), rows sum to 1. `launched`: int64 UTC seconds. `families`: int64, one number per
    design; items of a family differ in colour. `cuts`: int64, the seed of the design's silhouette.
    """

    item_ids: tuple[str, ...]
    types: NDArray[np.int64]
    colours: NDArray[np.int64]
    accents: NDArray[np.int64]
    patterns: NDArray[np.int64]
    necklines: NDArray[np.int64]
    sleeves: NDArray[np.int64]
    lengths: NDArray[np.int64]
    styles: NDArray[np.float64]
    genders: NDArray[np.int64]
    brands: NDArray[np.int64]
    families: NDArray[np.int64]
    cuts: NDArray[np.int64]
    prices: NDArray[np.float64]
    launched: NDArray[np.int64]
    drop_days: NDArray[np.int64] = field(repr=False)
    """Day of the period an item was launched on; -1 for items older than the period."""

    def __len__(self) -> int:
        return len(self.item_ids)

    def type_of(self, row: int) -> ProductType:
        return PRODUCT_TYPES[int(self.types[row])]


def shares(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """The weights, scaled to sum to 1."""
    return np.asarray(weights / weights.sum(), np.float64)


def unique_numbers(count: int, digits: int, rng: np.random.Generator) -> list[str]:
    """`count` different numbers of `digits` digits, as strings, in no order."""
    low, high = 10 ** (digits - 1), 10**digits
    if count > (high - low) // 2:
        raise ValueError(f"{count} identifiers do not fit {digits} digits")
    numbers = rng.choice(high - low, size=count, replace=False) + low
    return [str(number) for number in numbers]


def _pick(names: tuple[str, ...], vocabulary: tuple[str, ...], rng: np.random.Generator) -> int:
    return vocabulary.index(names[int(rng.integers(len(names)))])


def draw_wardrobe(items: int, rng: np.random.Generator) -> Wardrobe:
    """`items` garments in families of one to four colour variants.

    Style leads: it shifts which types, patterns and colours are drawn, so that taste for a style can be seen.
    """
    type_base = np.log(shares(np.array([t.share for t in PRODUCT_TYPES], np.float64)))
    colour_base = np.log(shares(np.array([c.share for c in COLOURS], np.float64)))
    pattern_base = np.log(shares(np.array(PATTERN_SHARES, np.float64)))
    contrast = _contrast()
    brand_shares = shares(1.0 / np.arange(1, len(BRANDS) + 1) ** 0.6)

    columns: dict[str, list[int]] = {name: [] for name in (
        "types", "colours", "accents", "patterns", "necklines", "sleeves", "lengths", "genders", "brands",
        "families", "cuts",
    )}  # fmt: skip
    styles: list[NDArray[np.float64]] = []
    prices: list[float] = []
    family = 0
    while len(styles) < items:
        family += 1
        style = int(rng.integers(len(STYLES)))
        lean = np.array([0.9 if t.name in _STYLE_TYPES[style] else 0.0 for t in PRODUCT_TYPES])
        # The first families cover every type once, so that the smallest shop still has them all.
        kind = family - 1 if family <= len(PRODUCT_TYPES) else int(
            rng.choice(len(PRODUCT_TYPES), p=shares(np.exp(type_base + lean)))
        )  # fmt: skip
        product = PRODUCT_TYPES[kind]
        allowed = _PATTERNLESS.get(product.name, PATTERNS)
        pattern_weights = np.exp(pattern_base + _STYLE_PATTERN[style])
        pattern_weights *= np.array([p in allowed for p in PATTERNS], np.float64)
        pattern = int(rng.choice(len(PATTERNS), p=shares(pattern_weights)))
        mixture = rng.dirichlet(0.35 + 3.0 * (np.arange(len(STYLES)) == style))
        gender = int(rng.choice(3, p=shares(np.array(product.genders))))
        neckline, sleeve = _pick(product.necklines, NECKLINES, rng), _pick(product.sleeves, SLEEVES, rng)
        length = _pick(product.lengths, LENGTHS, rng)
        brand = int(rng.choice(len(BRANDS), p=brand_shares))
        cut = int(rng.integers(2**31))
        price = product.price * float(np.exp(rng.normal(0, 0.35))) * (1.0 + 0.05 * (brand % 5))
        colour_lean = np.array([1.1 if c.name in _STYLE_COLOURS[style] else 0.0 for c in COLOURS])
        variants = min(int(rng.choice(4, p=[0.5, 0.25, 0.15, 0.1])) + 1, items - len(styles))
        drawn = rng.choice(len(COLOURS), size=variants, replace=False, p=shares(np.exp(colour_base + colour_lean)))
        for colour in drawn:
            others = np.flatnonzero(contrast[colour] > 70)
            values = (kind, colour, others[int(rng.integers(len(others)))], pattern, neckline, sleeve, length, gender,
                      brand, family, cut)  # fmt: skip
            for name, value in zip(columns, values, strict=True):
                columns[name].append(int(value))
            styles.append(mixture)
            prices.append(max(4.0, round(price * float(np.exp(rng.normal(0, 0.03)))) - 0.01))

    drop_days = _launch_days(items, rng)
    age = rng.integers(2 * DAY, 400 * DAY, size=items)
    launched = np.where(drop_days >= 0, PERIOD_START + drop_days * DAY, PERIOD_START - age)
    arrays = {name: np.array(values, np.int64) for name, values in columns.items()}
    return Wardrobe(
        item_ids=tuple(unique_numbers(items, 7, rng)),
        styles=np.stack(styles),
        prices=np.array(prices),
        launched=launched.astype(np.int64),
        drop_days=drop_days,
        **arrays,
    )


def _launch_days(items: int, rng: np.random.Generator) -> NDArray[np.int64]:
    days = np.full(items, -1, np.int64)
    order = rng.permutation(items)
    taken = 0
    for day, share in _DROPS:
        count = round(share * items)
        days[order[taken : taken + count]] = day
        taken += count
    return days


def _contrast() -> NDArray[np.float64]:
    """(C, C): how far apart two colours look, in grey levels."""
    rgb = np.array([c.rgb for c in COLOURS], np.float64)
    return np.abs(rgb[:, None] - rgb[None]) @ np.array([0.3, 0.5, 0.2])


def colour_similarity() -> NDArray[np.float64]:
    """(C, C): 1 on the diagonal, towards 0 for colours that look different."""
    rgb = np.array([c.rgb for c in COLOURS], np.float64)
    distance = np.sqrt((((rgb[:, None] - rgb[None]) * np.array([0.8, 1.0, 0.7])) ** 2).sum(-1))
    return np.exp(-((distance / 70.0) ** 2))
