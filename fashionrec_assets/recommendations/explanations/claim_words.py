"""The words a claim may use, by the kind of fact it cites, and how they are read.

Belongs here: closed lists of words, and the patterns of dates and tokens. Does not belong here: judging
(`verifier.py`), wording (`realiser.py`).
"""

from __future__ import annotations

import re
from functools import lru_cache

from fashionrec_assets.recommendations.explanations.facts import Kind


def words(text: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(text.split())


GLUE = words(
    """
    a an the this that these those it its it's is are was were be been being has have had having do does did and or but
    also too as at by for from in into of on to with within which who what whose where there here so because since while
    when one ones item items piece pieces you your you've they them their same other
    """
)
"""Words a claim may use whatever it cites: they claim nothing by themselves."""
JOINS = words(
    """
    and also besides moreover plus too in addition here is why because as since so for the a reason this one another
    what more then further
    """
)
"""Words that may stand between claims."""

PEOPLE = words("people persons person shoppers shopper customers customer users user")
THINGS = words("items item ones one pieces piece things thing")
DAYS = words("days day")
BASKETS = words("baskets basket")
BEHAVIOURS: dict[str, str] = {
    word: behaviour
    for behaviour, words in {
        "pv": "viewed view viewing looked seen saw browsed visited opened clicked",
        "fav": "saved save saving favourited favorited bookmarked wishlist favourites favorites",
        "cart": "cart bag put added placed adding",
        "buy": "bought buy buying purchased purchase ordered",
    }.items()
    for word in words.split()
}
CART_VERBS = words("put added placed adding")
ATTRIBUTES: dict[str, frozenset[str]] = {
    "product_type": words("type kind sort product garment"),
    "type": words("type kind sort product garment"),
    "colour": words("colour coloured shade"),
    "category": words("category listed under"),
    "section": words("section department listed under"),
    "gender": words("gender listed under range"),
    "brand": words("brand made label"),
    "pattern": words("pattern patterned print"),
    "material": words("material made fabric"),
    "sleeves": words("sleeves sleeve"),
    "length": words("length long"),
    "style": words("style"),
}
PRICED = words("costs cost costing price priced")
WORDS: dict[Kind, frozenset[str]] = {
    "history": PEOPLE | words("turned turn turning both last before already earlier previously yourself history"),
    "shared": words("turned turn shared shares share like all every each most things thing"),
    "attribute": frozenset(),
    "look": words("looks look looking like alike similar resembles resemble close photo photos picture cosine anchor"),
    "wording": words(
        "reads read reading described description descriptions words like alike similar resembles resemble close cosine"
    ),
    "price": PRICED
    | words("below under less cheaper lower above over more higher dearer than about around near close similar")
    | words("median middle usual usually typical normally turned turn look prices"),
    "popularity": PEOPLE | DAYS | words("turned turn last popular past within during"),
    "new": PEOPLE
    | DAYS
    | words("new newly arrival arrived came launched shop catalogue catalog range turned far until now ago old"),
    "pairing": PEOPLE
    | BASKETS
    | words("together had both bought cart put or chose chosen pair pairs paired goes go went"),
    "kinds": BASKETS | words("type types kind kinds together go goes met meet more often than expected would chance"),
    "style": words("style belongs belong like turned turn all every each most things thing"),
    "asked": PRICED
    | words("asked ask wanted named searched search query request limit below under above over than more less"),
}
AFTER_YOU: dict[Kind, frozenset[str]] = {
    "history": frozenset(BEHAVIOURS) | words("turned"),
    "shared": words("turned turn"),
    "attribute": frozenset(),
    "look": frozenset(BEHAVIOURS) | words("turned"),
    "wording": frozenset(BEHAVIOURS) | words("turned"),
    "price": words("turned turn usually normally look"),
    "popularity": frozenset(),
    "new": frozenset(),
    "pairing": frozenset(),
    "kinds": frozenset(),
    "style": words("turned turn"),
    "asked": words("asked ask wanted named searched"),
}
AFTER_YOUR: dict[Kind, frozenset[str]] = {
    "history": words("cart basket bag history wishlist favourites favorites"),
    "look": words("cart basket bag wishlist favourites favorites"),
    "wording": words("cart basket bag wishlist favourites favorites"),
    "price": words("usual typical median"),
    "asked": words("search query request limit words"),
}
YOU = words("you you've your")
SKIPPED = words("have had also already last did do yourself 've")
NAMED = frozenset({"history", "look", "wording", "pairing"})
"""Kinds whose `value` is the name of another item: a claim must name it, in quotes."""
VALUED = frozenset({"shared", "attribute", "style", "asked", "kinds"})
"""Kinds whose `value` is a word of the catalog: a claim must contain it."""
LESS = words("below under less cheaper lower")
MORE = words("above over more higher dearer")
SAME = words("about around near close similar")
MEDIAN = words("median middle usual usually typical normally")
SMALL = "one two three four five six seven eight nine ten eleven twelve"
NUMBERS = {word: str(value) for value, word in enumerate(SMALL.split(), 1)}
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
DIGITS = frozenset("0123456789")
MONTH = "|".join(MONTHS)
DATE = re.compile(
    rf"\b(?:(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<m>{MONTH})|"
    rf"(?P<M>{MONTH}) (?P<D>\d{{1,2}})(?:st|nd|rd|th)?)\b"
    r"(?:,? (?P<y>\d{4})\b)?|\b(?P<iso>\d{4}-\d{2}-\d{2})\b"
)
DATED = re.compile(rf"\d{{4}}-|{MONTH}")
TOKEN = re.compile(r"[\x01-\x03]|\d+(?:,\d{3})*(?:\.\d+)?|[^\W\d_]+(?:['’-][^\W\d_]+)*|\S")
NAME, VALUE, AT = "\x01", "\x02", "\x03"
MARKS = frozenset(",.;:()–—-…")
SPELLING = re.compile(r"\b(?:color|gray)")
OBJECTS = frozenset({NAME, "it", "this", "that"})


@lru_cache(maxsize=4_096)
def vocabulary(kind: Kind, what: str) -> frozenset[str]:
    """The words that a claim about such a fact may use, beside the fact's own values."""
    allowed = GLUE | WORDS[kind] | MARKS | frozenset(NUMBERS) | {NAME, VALUE, AT}
    if kind in ("history", "look", "wording") and what != "anchor":
        allowed |= frozenset(word for word, behaviour in BEHAVIOURS.items() if behaviour == what)
        allowed |= words("basket") if what == "cart" else frozenset()
    if kind in ("shared", "attribute", "asked"):
        allowed |= ATTRIBUTES.get(what, frozenset(what.split("_")))
    return allowed
