"""Where on the body a garment goes, and for whom it is made: what decides whether two items can be worn together.

Belongs here: the slots, the tables that lead from a shop's words to a slot and to an audience, and which audiences go
together. Does not belong here: how well two items match, which is learned (`compatibility.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.descriptions.lexicon import canonical, type_of

SLOTS: tuple[str, ...] = (
    "top",
    "bottom",
    "dress",
    "outerwear",
    "footwear",
    "accessory",
    "legwear",
    "underwear",
    "swimwear",
    "nightwear",
)
UNKNOWN = -1
"""The slot of an item whose words say none; it is no complement and in no look."""

BASES: tuple[tuple[str, ...], ...] = (("top", "bottom"), ("dress",))
"""What a look is built on: one of these, complete."""
FURTHER: tuple[str, ...] = ("footwear", "accessory", "outerwear")
"""What is added to it where something goes with it."""

TYPE_SLOTS: dict[str, str] = {
    **dict.fromkeys(
        ("t-shirt", "polo shirt", "shirt", "blouse", "tank top", "top", "bodysuit", "sweater", "sweatshirt", "hoodie"),
        "top",
    ),
    **dict.fromkeys(("cardigan", "waistcoat", "jacket", "down jacket", "coat", "trench coat", "blazer"), "outerwear"),
    **dict.fromkeys(("skirt", "shorts", "trousers", "jeans", "joggers", "leggings"), "bottom"),
    **dict.fromkeys(("dress", "jumpsuit", "suit"), "dress"),
    **dict.fromkeys(("shoes", "sneakers", "boots", "sandals", "heels", "loafers", "slippers"), "footwear"),
    **dict.fromkeys(
        (
            "hat",
            "cap",
            "beanie",
            "scarf",
            "bag",
            "backpack",
            "belt",
            "gloves",
            "tie",
            "sunglasses",
            "earrings",
            "necklace",
            "bracelet",
        ),
        "accessory",
    ),
    **dict.fromkeys(("socks", "tights"), "legwear"),
    **dict.fromkeys(("bra", "underwear"), "underwear"),
    **dict.fromkeys(("swimsuit", "bikini"), "swimwear"),
    "pyjamas": "nightwear",
}
"""The slot of each type of the lexicon."""

CATEGORY_SLOTS: tuple[tuple[str, str], ...] = (
    (r"swim|beach", "swimwear"),
    (r"night|pyjama|sleep", "nightwear"),
    (r"underwear|lingerie", "underwear"),
    (r"socks|tights|hosiery", "legwear"),
    (r"shoe care|stationery|cosmetic|interior|furniture|\bfun\b|\bitems\b", ""),
    (r"shoe|footwear", "footwear"),
    (r"accessor|\bbags?\b|jewel", "accessory"),
    (r"outerwear|\bcoats?\b|\bjackets?\b", "outerwear"),
)
"""Broad categories that decide the slot whatever the type is called (a bikini top is no top); "": worn by nobody."""

CATEGORY_FALLBACKS: tuple[tuple[str, str], ...] = (
    (r"upper body|\btops?\b|\bshirts?\b|knitwear", "top"),
    (r"lower body|\bbottoms?\b|\btrousers\b|\bjeans\b|\bskirts?\b", "bottom"),
    (r"full body|\bdress(?:es)?\b", "dress"),
)
"""Broad categories that decide where the type says nothing."""

AUDIENCES: tuple[str, ...] = ("anyone", "women", "men", "kids")

_AUDIENCE_WORDS: tuple[tuple[str, str], ...] = (
    (r"bab(?:y|ies)|child|kid|girl|boy|toddler|infant", "kids"),
    (r"unisex", "anyone"),
    (r"wom[ae]n|lad(?:y|ies)|divided|\bmama\b", "women"),
    (r"\bm[ae]ns?\b|mens?wear|\bgents?\b", "men"),
)
_LEXICON_AUDIENCES = {"women": "women", "men": "men", "girls": "kids", "boys": "kids", "kids": "kids", "baby": "kids"}


def slot_of(category: str | None, product_type: str | None, title: str = "") -> str | None:
    """The slot of an item by the shop's words for it, None if they say none.

    A category that decides comes first, then the type (of `product_type`, else of `title`), then what the category
    suggests.
    """
    words = (category or "").lower()
    decided = _first(CATEGORY_SLOTS, words)
    if decided is not None:
        return decided or None
    kind = type_of(product_type) if product_type else None
    if kind is not None and kind in TYPE_SLOTS:
        return TYPE_SLOTS[kind]
    suggested = _first(CATEGORY_FALLBACKS, words)
    if suggested is not None:
        return suggested
    kind = type_of(title) if title and not product_type else None
    return TYPE_SLOTS.get(kind) if kind else None


def audience_of(gender: str | None, section: str | None = None) -> str:
    """For whom an item is made, one of `AUDIENCES`: by `gender`, or by `section` where that says nothing."""
    for words in (gender, section):
        if not words:
            continue
        known = canonical("gender", words)
        if known in _LEXICON_AUDIENCES:
            return _LEXICON_AUDIENCES[known]
        found = _first(_AUDIENCE_WORDS, words.lower())
        if found is not None:
            return found
    return "anyone"


def codes(names: Sequence[str | None], vocabulary: tuple[str, ...]) -> NDArray[np.int8]:
    """Positions of `names` in `vocabulary`, int8 (n,); `UNKNOWN` for None. Raises KeyError for any other name."""
    place = {name: position for position, name in enumerate(vocabulary)}
    return np.array([UNKNOWN if name is None else place[name] for name in names], dtype=np.int8)


def go_together() -> NDArray[np.bool_]:
    """Which audiences (a, a) an outfit may mix: the same, or either is anyone, as long as nobody is dressed as a
    child."""
    size = len(AUDIENCES)
    allowed = np.eye(size, dtype=bool)
    anyone, kids = AUDIENCES.index("anyone"), AUDIENCES.index("kids")
    allowed[anyone, :] = allowed[:, anyone] = True
    allowed[anyone, kids] = allowed[kids, anyone] = False
    return allowed


def _first(table: tuple[tuple[str, str], ...], words: str) -> str | None:
    return next((value for pattern, value in table if re.search(pattern, words)), None)
