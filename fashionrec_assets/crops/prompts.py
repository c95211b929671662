"""What a text-guided detector is asked for: the words of an item's type and category, and other names for them.

Belongs here: catalog text to a prompt. Does not belong here: models (`grounding_dino.py`), what a description may say
(`descriptions`).

Grounding DINO was trained on English phrases in lower case, each ending in a full stop (Liu et al. 2023; the authors'
README). Catalog text is data: only its words are kept, and few of them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

MOST_PHRASES = 5
MOST_WORDS = 4
"""Words kept of a phrase: the last ones, for English puts the noun there."""
LONGEST_WORD = 20
"""Letters; what is longer is no word."""

ANYTHING = ("clothing", "shoes", "bag", "fashion accessory")
"""The phrases where neither type nor category says anything a detector could know."""

SYNONYMS = """
t-shirt, tee
polo shirt, polo
tank top, vest top, camisole, singlet
shirt, blouse, button-down shirt
top, blouse, shirt
bodysuit, leotard
sweater, jumper, pullover, knitwear
sweatshirt, hoodie, hooded sweatshirt
cardigan, knitted jacket
waistcoat, vest, gilet
jacket, outerwear
blazer, suit jacket
coat, overcoat, trench coat, parka
dress, gown
skirt
shorts, short pants
trousers, pants, slacks
jeans, denim pants
joggers, sweatpants, track pants
leggings, tights
jumpsuit, playsuit, romper, overalls, dungarees
pyjamas, pajamas, nightwear
swimsuit, bathing suit, swimwear
bikini, bikini top
bra, bralette
underwear, briefs, panties, boxers
socks, stockings
shoes, footwear
sneakers, trainers, running shoes
boots
sandals, flip flops
heels, high heels, pumps
loafers, ballerinas, flat shoes
slippers
hat, cap, beanie
scarf, shawl
bag, handbag, tote bag, purse
backpack, rucksack
wallet, purse
belt
gloves, mittens
tie, necktie, bow tie
sunglasses, glasses, eyewear
earrings, earring
necklace, pendant
bracelet, bangle
ring
watch, wristwatch
umbrella
hair clip, hair band, hair accessory
"""
"""Names that are used for one another, one group a line; a word in several groups belongs to the first."""

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_OR = re.compile(r"[/|,;&+]|\b(?:and|or)\b")


def prompt_of(product_type: str | None, category: str | None = None) -> str:
    """The prompt for an item: phrases separated by " . ", ending in a full stop; "t-shirt . tee ."

    The type's own words come first, then other names for it. The category is asked for only where the type is missing
    or is no known garment: a category is broader, and a box for "ladieswear" would be the whole outfit.
    """
    return " . ".join(phrases_of(product_type, category)) + " ."


def phrases_of(product_type: str | None, category: str | None = None) -> tuple[str, ...]:
    """The phrases of `prompt_of`: at least one, at most `MOST_PHRASES`, only lower-case words, none twice."""
    own = _phrases(product_type)
    named = [phrase for phrase in own if _group(phrase)]
    if not named:
        broader = _phrases(category)
        own, named = [*own, *broader], [phrase for phrase in broader if _group(phrase)]
    found = [*own, *(other for phrase in named for other in _group(phrase))]
    return tuple(dict.fromkeys(found))[:MOST_PHRASES] or ANYTHING


def _phrases(text: str | None) -> list[str]:
    """`text` as phrases of lower-case Latin words; "Leggings/Tights" is two."""
    if text is None:
        return []
    # Accents go, as the models' own tokenizers drop them; other scripts go, for the models read English.
    plain = unicodedata.normalize("NFKD", text[:200]).lower()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    parts = [_WORD.findall(part.replace("'", "")) for part in _OR.split(plain)]
    kept = [[word for word in words if len(word) <= LONGEST_WORD][-MOST_WORDS:] for words in parts]
    return [" ".join(words) for words in kept if words]


def _group(phrase: str) -> tuple[str, ...]:
    """Other names for `phrase`, or for the noun it ends with; empty if neither is known."""
    words = phrase.split()
    for start in range(len(words)):
        tail = " ".join(words[start:])
        for form in (tail, tail.removesuffix("s"), tail.removesuffix("es"), f"{tail}s"):
            if form in _groups():
                return _groups()[form]
    return ()


@cache
def _groups() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in SYNONYMS.strip().splitlines():
        names = tuple(name.strip() for name in line.split(","))
        for name in names:
            found.setdefault(name, names)
    return found
