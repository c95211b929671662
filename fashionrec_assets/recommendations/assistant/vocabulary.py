"""The words the assistant understands, and which values of an item they mean.

Belongs here: phrases and their meanings (the lexicon's, the shop's own values, words about occasions), and when a value
of an item is what was asked for. Does not belong here: grammar (`query.py`), sums of money (`prices.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from fashionrec_assets.descriptions.lexicon import CJK, COLOUR_FAMILY, canonical, entries, type_of, word_set

HARD = ("type", "colour", "pattern", "gender", "brand", "section", "material")
"""Attributes whose naming is a constraint: an item that does not say it, or says something else, does not fit."""
SOFT = ("neckline", "sleeves", "length", "fit", "style")
"""Attributes most items are silent about: naming one moves items up, and excluding one takes out who says it."""
SILENT = frozenset({*SOFT, "material"})
"""Of these, silence does not contradict an exclusion."""

KINDS_OF: Mapping[str, frozenset[str]] = {
    "top": frozenset({"t-shirt", "polo shirt", "shirt", "blouse", "tank top", "bodysuit", "sweater", "sweatshirt",
                      "hoodie", "cardigan", "waistcoat"}),
    "shirt": frozenset({"blouse", "polo shirt"}),
    "jacket": frozenset({"down jacket", "blazer"}),
    "coat": frozenset({"trench coat"}),
    "trousers": frozenset({"jeans", "joggers", "leggings"}),
    "shoes": frozenset({"sneakers", "boots", "sandals", "heels", "loafers", "slippers"}),
    "hat": frozenset({"cap", "beanie"}),
    "bag": frozenset({"backpack"}),
    "swimsuit": frozenset({"bikini"}),
}  # fmt: skip
"""General types, with the types that are kinds of them: who asks for shoes is served with boots."""

SERVES: Mapping[str, frozenset[str]] = {
    "women": frozenset({"unisex", "ladieswear", "womenswear"}),
    "men": frozenset({"unisex", "menswear"}),
    "kids": frozenset({"girls", "boys", "baby", "baby children", "childrenswear"}),
}
"""Genders, with what else catalogs say of items that serve them."""

CHEAP = word_set("cheap cheaply affordable inexpensive budget bargain low-cost lowcost 便宜 实惠 平价")
DEAR = word_set("expensive luxury luxurious premium designer upscale 昂贵 奢侈 高档")

SPOKEN: Mapping[str, Mapping[str, str]] = {
    "colour": {
        "red": "scarlet crimson ruby cherry vermilion", "burgundy": "bordeaux claret oxblood",
        "pink": "fuchsia magenta",
        "orange": "rust tangerine apricot terracotta", "yellow": "lemon canary", "green": "emerald jade moss",
        "dark green": "forest", "blue": "cobalt azure sapphire", "dark blue": "midnight indigo",
        "light blue": "sky", "turquoise": "aqua cyan", "purple": "plum aubergine eggplant mauve",
        "brown": "bronze hazel",
        "black": "noir ebony jet", "beige": "nude oatmeal taupe", "grey": "slate ash heather", "silver": "metallic",
    },
    "type": {
        "jacket": "bomber blouson anorak windbreaker", "coat": "parka duffle", "dress": "frock sundress minidress",
        "sneakers": "kicks runners plimsolls", "boots": "booties wellies chelseas", "hoodie": "hooded-top zip-hoodie",
        "shorts": "bermuda bermudas", "trousers": "culottes cargos", "jeans": "denims", "sweater": "turtlenecks",
        "bag": "clutch crossbody satchel shoulder-bag", "hat": "headwear fedora", "scarf": "wrap pashmina",
        "sandals": "flip-flops espadrilles", "swimsuit": "trunks", "heels": "stilettos",
    },
    "pattern": {
        "floral": "flowery blossom", "striped": "breton pinstripe pinstriped", "solid": "unpatterned one-colour",
    },
}  # fmt: skip
"""What shoppers say, beyond what sellers write: value -> words; hyphens part the words of a phrase."""

_OCCASIONS = """
wedding weddings bridesmaid party parties prom ball cocktail gala dinner date night festival concert beach holiday
vacation travel trip hiking camping gym yoga running training workout interview meeting work office school college
university graduation christmas birthday garden brunch club clubbing everyday weekend lounge home summer winter
spring autumn fall rainy rain cold warm hot snow sunny evening day 婚礼 派对 聚会 约会 面试 上班 旅行 度假 夏天 冬天
春天 秋天 夏季 冬季 春季 秋季
"""
_MOODS = """
cozy cosy comfy comfortable chic classy smart cute sexy sweet romantic edgy minimalist minimal simple modern classic
timeless colourful colorful bright dark light pale bold subtle soft thin thick warm lightweight heavy breathable
stretchy waterproof trendy fashionable stylish pretty beautiful nice elegant feminine masculine
"""
MOODS = word_set(_OCCASIONS + _MOODS)
"""Words about occasions, seasons and moods: nothing in the catalog answers them with yes or no."""

_HERS = "her wife girlfriend mother mum mom sister aunt grandma bride 女朋友 老婆 妈妈"
_HIS = "him husband boyfriend father dad brother uncle grandpa guy guys groom 男朋友 老公 爸爸"
PEOPLE: Mapping[str, str] = dict.fromkeys(word_set(_HERS), "women") | dict.fromkeys(word_set(_HIS), "men")
"""Whom something is for, by who they are to the shopper."""

STOP = word_set(
    """
    a an the and or nor but with in on of for from to at by as is are be am i i'm i'd id me my mine we us our you
    your it its that this these those them they some any something anything someone please thanks thank hi hello hey
    show find give get got want wants wanted need needs looking look search searching like would could can may have
    has having see shop buy wear wearing go going do does did not no non never without except one ones item items
    thing things kind kinds sort type piece pieces clothes clothing outfit what which who there here so too very
    really quite just also only maybe perhaps more most less much many my friend she he his theirs recommend suggest
    suggestion suggestions ideas idea option options available let let's lets think about into out up colour color
    coloured colored pattern patterned style styled brand price priced costs cost costing made make making if when
    where how all size instead rather than then now other another different same matching match goes help will
    should must possible anyone anybody everyone spend 我 想 要 买 的 一 件 条 双 个 找 给 和 或 在 有 请 款 色 装
    穿 适合 一件 一条 一双 想要
    """
)
"""Words that say nothing about an item."""

NEGATIONS = word_set("not no non without except never isn't aren't don't dont nothing excluding avoid minus neither")
CHINESE_NEGATIONS = ("不要", "不想要", "不是", "没有", "除了", "非", "无", "不")

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
LONGEST = 5
"""Words of the longest phrase that is looked up."""

Meaning = tuple[str, str]
"""Attribute and value. The attribute `mood` is what no item can be checked for; `cheap` and `dear` are about prices."""


def words_of(text: str) -> list[str]:
    """The words of folded text, as phrases are looked up by: punctuation and hyphens part words."""
    return _WORD.findall(text)


def folded(text: str) -> str:
    """A value as it is looked up."""
    return " ".join(words_of(text.casefold().replace("\u2019", "'")))


def value_of(attribute: str, raw: str) -> str:
    """A catalog value as it is compared: the lexicon's word for it, else its own, folded; brands and sections as is."""
    if attribute in ("brand", "section"):
        return raw.strip()
    if attribute == "type":
        return type_of(raw) or folded(raw)
    return canonical(attribute, raw) or folded(raw)


def accepts(attribute: str, asked: str, value: str) -> bool:
    """Whether an item that says `value` is what `asked` asks for.

    The name of a colour family ("blue") asks for all of its shades, a shade ("navy") for itself; a general type for its
    kinds; a gender for what is unisex as well. Everything else must be the same.
    """
    if asked == value:
        return True
    if attribute == "colour":
        return COLOUR_FAMILY.get(asked) == asked and COLOUR_FAMILY.get(value) == asked
    if attribute == "type":
        return value in KINDS_OF.get(asked, ())
    return attribute == "gender" and value in SERVES.get(asked, ())


@dataclass(frozen=True)
class Vocabulary:
    """Phrases (folded) to meanings: the lexicon's, the shop's `own` values, what shoppers say, occasions and moods."""

    own: Mapping[str, Meaning]

    @classmethod
    def of(cls, values: Mapping[str, Iterable[str]]) -> Vocabulary:
        """With the values that the shop's items have, attribute -> values as `value_of` gives them."""
        own: dict[str, Meaning] = {}
        for attribute in HARD:
            for value in sorted(values.get(attribute, ())):
                phrase = folded(value)
                # A brand called "And" would turn every second word of English into a brand.
                if phrase and not set(phrase.split()) <= STOP and not phrase.isdigit():
                    own.setdefault(phrase, (attribute, value))
                    own.setdefault(phrase.replace("'", ""), (attribute, value))
        return cls(own)

    @cached_property
    def phrases(self) -> dict[str, Meaning]:
        """Every phrase; of several meanings the lexicon's comes first."""
        known: dict[str, Meaning] = {folded(key): meaning for key, meaning in entries().items() if folded(key)}
        for phrase, meaning in self.own.items():
            known.setdefault(phrase, meaning)
        for attribute, words in SPOKEN.items():
            for value, spoken in words.items():
                for word in spoken.split():
                    known.setdefault(folded(word), (attribute, value))
        for word, gender in sorted(PEOPLE.items()):
            known.setdefault(word, ("gender", gender))
        for word in sorted(CHEAP):
            known.setdefault(folded(word), ("cheap", word))
        for word in sorted(DEAR):
            known.setdefault(folded(word), ("dear", word))
        for word in sorted(MOODS):
            known.setdefault(word, ("mood", word))
        return known

    def meaning(self, phrase: str) -> Meaning | None:
        """What a phrase means, in the singular too ("hoodies"); None if nothing is known of it."""
        known = self.phrases
        if phrase in known:
            return known[phrase]
        for ending, length in (("es", 2), ("s", 1), ("'s", 2)):
            if phrase.endswith(ending) and len(phrase) > length + 2 and phrase[:-length] in known:
                return known[phrase[:-length]]
        return None

    @cached_property
    def chinese(self) -> re.Pattern[str]:
        """Every phrase with a Chinese character, the longest first."""
        keys = [key for key in self.phrases if CJK.search(key)]
        keys += [word for word in STOP if CJK.search(word)] + list(CHINESE_NEGATIONS)
        return re.compile("|".join(map(re.escape, sorted(set(keys), key=lambda key: (-len(key), key)))))
