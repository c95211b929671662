"""What sellers write: keyword-soup titles and descriptions, worse as a source than the clean fields.

Belongs here: words, and the ways sellers spoil them: missing, ambiguous or misleading words, brand spam, season spam,
HTML entities, Chinese, capitals. Does not belong here: rows that break the contract (`flaws`).
"""

from __future__ import annotations

import html

import numpy as np

from fashionrec_assets.sample.attributes import (
    BRANDS,
    COLOURS,
    GENDERS,
    LENGTHS,
    NECKLINES,
    NONE,
    PATTERNS,
    PATTERNS_CHINESE,
    PRODUCT_TYPES,
    SLEEVES,
    STYLES,
    Wardrobe,
)

_SPAM = (
    "HOT SALE", "new arrival", "2024 new", "free shipping", "best seller", "top quality", "limited", "must have", "ins",
    "korean style", "plus size", "wholesale", "dropship", "gift for her", "trendy", "high street", "100% brand new",
)  # fmt: skip
_SEASONS = ("spring summer", "Spring/Summer 2024", "SS24", "autumn winter 2023", "all season", "summer", "winter warm")
_SPAM_CHINESE = ("2024新款", "韩版", "显瘦", "百搭", "宽松", "春夏", "潮流", "包邮", "大码", "网红同款")
_GENDER_WORDS = {"women": ("women", "womens", "ladies", "girls", "women's"), "men": ("men", "mens", "gents", "men's"),
                 "unisex": ("unisex", "women men", "couple")}  # fmt: skip
_GENDER_CHINESE = {"women": "女", "men": "男", "unisex": "男女"}
_STYLE_WORDS = {
    "casual": ("casual", "everyday", "relaxed", "basic"),
    "sporty": ("sport", "gym", "running", "athletic"),
    "office": ("office", "formal", "business", "smart"),
    "romantic": ("romantic", "boho", "elegant", "sweet", "vintage"),
    "street": ("street", "hip hop", "oversized", "punk", "y2k"),
}
_PATTERN_WORDS = {
    "solid": ("solid", "plain", "solid color"),
    "stripes": ("striped", "stripe", "breton"),
    "dots": ("polka dot", "dotted", "spot"),
    "check": ("plaid", "check", "tartan", "gingham"),
    "floral": ("floral", "flower print", "blossom"),
    "logo": ("graphic", "logo print", "letter print"),
}
_NECK_WORDS = {
    "crew": ("crew neck", "round neck", "o-neck"),
    "v-neck": ("v neck", "v-neck"),
    "scoop": ("scoop neck", "low neck"),
    "high": ("turtleneck", "high neck", "mock neck"),
    "collar": ("lapel", "turn-down collar", "collared"),
    "hood": ("hooded", "with hood"),
}
_SLEEVE_WORDS = {
    "sleeveless": ("sleeveless", "tank"),
    "short": ("short sleeve", "half sleeve"),
    "three-quarter": ("3/4 sleeve", "three quarter sleeve"),
    "long": ("long sleeve", "full sleeve"),
}
_LENGTH_WORDS = {
    "cropped": ("cropped", "crop"), "mini": ("mini", "short"), "midi": ("midi", "knee length"), 
    "maxi": ("maxi", "long"),
    "knee": ("knee length", "knee high"), "ankle": ("ankle",), "high": ("high top",), "low": ("low top",),
    "small": ("mini", "small"), "large": ("large", "big capacity"),
}  # fmt: skip
_FILLERS = (
    "Wash cold, do not bleach.",
    "Colour may differ slightly from the photo due to lighting.",
    "Please allow 1-3 cm error due to manual measurement!!!",
    "Ships within 48h &amp; free returns.",
    "<p>Model is wearing size S/M</p>",
    "Check the size chart <b>before</b> buying.",
    "Contact us for wholesale prices.",
    "温馨提示：手工测量，存在1-3cm误差。",
)


def _one(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _maybe(words: tuple[str, ...] | None, chance: float, rng: np.random.Generator) -> list[str]:
    return [_one(words, rng)] if words and rng.random() < chance else []


def section_of(wardrobe: Wardrobe, row: int) -> str:
    """The shop's section, as a department sign reads: `Womens Romantic`."""
    style = STYLES[int(np.argmax(wardrobe.styles[row]))]
    gender = {"women": "Womens", "men": "Mens", "unisex": "Unisex"}[GENDERS[int(wardrobe.genders[row])]]
    return f"{gender} {style.capitalize()}"


def _chinese_title(wardrobe: Wardrobe, row: int, rng: np.random.Generator) -> str:
    words = list(rng.choice(_SPAM_CHINESE, size=int(rng.integers(1, 4)), replace=False))
    if rng.random() < 0.7:
        words.append(COLOURS[int(wardrobe.colours[row])].chinese)
    if rng.random() < 0.5:
        words.append(PATTERNS_CHINESE[int(wardrobe.patterns[row])])
    return "".join(map(str, words)) + wardrobe.type_of(row).chinese + _GENDER_CHINESE[GENDERS[wardrobe.genders[row]]]


def title(wardrobe: Wardrobe, row: int, rng: np.random.Generator) -> str:
    """A marketplace title of item `row`; '' for a few."""
    fate = rng.random()
    if fate < 0.02:
        return ""
    if fate < 0.06:
        return _chinese_title(wardrobe, row, rng)
    product, gender = wardrobe.type_of(row), GENDERS[int(wardrobe.genders[row])]
    brand = BRANDS[int(wardrobe.brands[row])]
    colour = COLOURS[int(wardrobe.colours[row])]
    if rng.random() < 0.06:  # a wrong colour: the variant's sister, or a typing slip
        colour = COLOURS[int(rng.integers(len(COLOURS)))]
    style = STYLES[int(rng.choice(len(STYLES), p=wardrobe.styles[row]))]

    core: list[str] = []
    core += _maybe(_GENDER_WORDS[gender], 0.6, rng)
    core += _maybe((colour.name, colour.name, *colour.synonyms), 0.55, rng)
    core += _maybe(_STYLE_WORDS[style], 0.5, rng)
    core += _maybe(_PATTERN_WORDS[PATTERNS[int(wardrobe.patterns[row])]], 0.55, rng)
    core += _maybe(_NECK_WORDS.get(NECKLINES[int(wardrobe.necklines[row])]), 0.35, rng)
    core += _maybe(_SLEEVE_WORDS.get(SLEEVES[int(wardrobe.sleeves[row])]), 0.35, rng)
    core += _maybe(_LENGTH_WORDS.get(LENGTHS[int(wardrobe.lengths[row])]), 0.35, rng)
    core += [str(core[i]) for i in rng.permutation(len(core))[: int(rng.random() < 0.15)]]
    core = [core[i] for i in rng.permutation(len(core))]
    core += _maybe((product.name, *product.synonyms), 0.85, rng)
    if rng.random() < 0.14:  # a misleading word: another type, as search bait
        other = PRODUCT_TYPES[int(rng.integers(len(PRODUCT_TYPES)))]
        core.append(_one((other.name, *other.synonyms), rng))
    words = _maybe((brand,), 0.45, rng) + _maybe(_SPAM, 0.45, rng) + core
    words += _maybe(_SEASONS, 0.4, rng) + _maybe(_SPAM, 0.3, rng) + _maybe(_SPAM_CHINESE, 0.12, rng)
    words += _maybe((product.chinese,), 0.08, rng)
    if rng.random() < 0.08:  # brand spam
        words += ["like", _one(BRANDS, rng), _one(BRANDS, rng), "style"]
    text = " ".join(words) or _one(_SPAM, rng)
    if rng.random() < 0.08:
        text = text.upper()
    if rng.random() < 0.1:
        text = f"【{_one(_SPAM_CHINESE, rng)}】{text}"
    if rng.random() < 0.12:
        text += _one((" & more", " S-XXL", ' 5"', " <new>", " !!!", " ***"), rng)
    # Half the sellers' tools escape twice, so the text reads `Bellamy &amp; Co`.
    return html.escape(text) if rng.random() < 0.5 else text


def description(wardrobe: Wardrobe, row: int, rng: np.random.Generator) -> str:
    """A product description; '' for half of the items."""
    if rng.random() < 0.5:
        return ""
    product = wardrobe.type_of(row)
    facts = [("Type", product.name), ("Color", COLOURS[int(wardrobe.colours[row])].name),
             ("Pattern", PATTERNS[int(wardrobe.patterns[row])]), ("Neckline", NECKLINES[int(wardrobe.necklines[row])]),
             ("Sleeve", SLEEVES[int(wardrobe.sleeves[row])]), ("Length", LENGTHS[int(wardrobe.lengths[row])]),
             ("Style", STYLES[int(np.argmax(wardrobe.styles[row])) ])]  # fmt: skip
    lines = [f"{name}: {value}" for name, value in facts if value != NONE and rng.random() < 0.5]
    lines = [lines[i] for i in rng.permutation(len(lines))]
    fillers = [str(text) for text in rng.choice(_FILLERS, size=int(rng.integers(1, 4)), replace=False)]
    separator = _one((". ", " | ", "<br>", "\n"), rng)
    return separator.join(lines + fillers)
