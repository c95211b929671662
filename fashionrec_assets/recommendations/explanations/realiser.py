"""Sentences made of facts, by rules.

Belongs here: which facts are told, in which words, and how clauses become sentences. Does not belong here: judging a
text (`verifier.py`), finding facts.

Each kind of fact has a function that gives the clauses in which it can be told, each complete and without a capital;
none at all where the fact should not be told (a cosine too small to call two items alike, a value that means
"unknown"). A digest of seed, subject and item chooses among them, so a text does not depend on which others are made
with it, but for one thing: of the clauses left, one is taken that does not open like the text before.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache

from fashionrec_assets.recommendations.explanations.facts import Evidence, Fact, Kind
from fashionrec_assets.recommendations.explanations.texts import (
    NEW_UP_TO,
    NOTHING,
    POPULAR_FROM,
    Claim,
    Explanation,
    compared,
    shown_name,
)
from fashionrec_assets.settings import ExplanationSettings

_MOST_CLAIMS = {"short": 1, "normal": 3}
_PLAIN_VALUE = 40
"""Characters up to which a word of the catalog stands in a sentence without quotes."""
_UNKNOWN = frozenset({"", "unknown", "other", "others", "undefined", "none", "n/a", "na", "-", "misc", "various"})
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_VERBS = {
    "pv": (("viewed ", ""), ("looked at ", "")),
    "fav": (("saved ", ""), ("saved ", "")),
    "cart": (("put ", " in your cart"), ("added ", " to your cart")),
    "buy": (("bought ", ""), ("bought ", "")),
}
_LISTED = frozenset({"category", "section", "gender"})
_WARM = ("Here is why: ", "A reason for this one: ", "")


def realise(
    evidence: Evidence,
    settings: ExplanationSettings,
    *,
    seed: int,
    order: Sequence[Kind] | None = None,
    before: str = "",
) -> Explanation:
    """A text about `evidence`, of one to three claims; without claims where no fact can be told.

    `order`: kinds of fact to lead with, the most wanted first; facts of other kinds follow by weight. `before`: the
    text shown before this one to the same subject, whose opening is not repeated where there is another.
    """
    mix = zlib.crc32(f"{seed}|{evidence.subject}|{evidence.item_id}".encode())
    chosen = _chosen(evidence, settings, order)
    if not chosen:
        return Explanation(NOTHING[evidence.surface], (), None)
    opening = _opening(before)
    clauses: list[tuple[str, Fact]] = []
    named = False
    for place, (fact, tell) in enumerate(chosen):
        # "It" would be the item named last.
        options = tell(
            fact, evidence, ("this", "this one")[mix >> 9 & 1] if named else ("it", "this")[not place and mix >> 7 & 1]
        )
        at = (mix >> (3 * place + 3)) % len(options)
        if not place:
            for turn in range(len(options)):
                if _opening(_capital(options[(at + turn) % len(options)])) != opening:
                    at = (at + turn) % len(options)
                    break
        clauses.append((options[at], fact))
        named = fact.kind in _NAMING
    return _joined(clauses, mix, warm=settings.tone == "warm")


def clause(fact: Fact, evidence: Evidence, settings: ExplanationSettings, *, seed: int) -> Claim | None:
    """One fact as a claim of its own, None if it should not be told."""
    if not _tellable(fact, evidence, settings):
        return None
    options = _TELL[fact.kind](fact, evidence, "this")
    mix = zlib.crc32(f"{seed}|{evidence.subject}|{evidence.item_id}|{fact.id}".encode())
    return Claim(options[mix % len(options)], fact.id)


_Tell = Callable[[Fact, Evidence, str], list[str]]


def _chosen(
    evidence: Evidence, settings: ExplanationSettings, order: Sequence[Kind] | None
) -> list[tuple[Fact, _Tell]]:
    """The facts to tell, the leading one first: of different kinds, attributes and items."""
    facts = evidence.facts
    kept: list[Fact] = []
    for kind in order or ():
        lead = next((fact for fact in facts if fact.kind == kind and _tellable(fact, evidence, settings)), None)
        if lead is not None:
            kept.append(lead)
            break
    most = _MOST_CLAIMS[settings.length]
    for fact in facts:
        if len(kept) == most:
            break
        if not any(_overlap(fact, other) for other in kept) and _tellable(fact, evidence, settings):
            kept.append(fact)
    return [(fact, _TELL[fact.kind]) for fact in kept]


def _overlap(one: Fact, other: Fact) -> bool:
    if one.kind == other.kind or (one.item is not None and one.item == other.item):
        return True
    if {one.kind, other.kind} == {"price", "asked"}:
        return any(fact.what.startswith("price_") for fact in (one, other))
    return one.kind in _OF_CATALOG and other.kind in _OF_CATALOG and one.what == other.what


def _tellable(fact: Fact, evidence: Evidence, settings: ExplanationSettings) -> bool:
    kind, number, base = fact.kind, fact.number, fact.base
    if kind == "history":
        return fact.what in _VERBS and fact.item is not None
    if kind == "look":
        return number is not None and number >= settings.look_alike and fact.item is not None
    if kind == "wording":
        return number is not None and number >= settings.wording_alike and fact.item is not None
    if kind in ("shared", "attribute"):
        return fact.value.strip().lower() not in _UNKNOWN and (kind == "attribute" or bool(number and base))
    if kind == "new":
        return fact.at is not None
    if kind == "pairing":
        return bool(number and base) and fact.item is not None
    if kind == "kinds":
        return bool(number) and number > (base or 0) and bool(fact.what and fact.value)  # pyright: ignore[reportOptionalOperand]
    if kind == "asked":
        return fact.what.startswith("price_") is False or (number is not None and base is not None)
    if kind == "style":
        return bool(fact.value.strip())
    return bool(number) if kind == "popularity" else number is not None


def _joined(clauses: Sequence[tuple[str, Fact]], mix: int, *, warm: bool) -> Explanation:
    """Clauses as sentences; the joints claim nothing."""
    prefix = _WARM[(mix >> 13) % 3] if warm else ""
    lead = clauses[0][1].kind
    first = clauses[0][0]
    texts = [_capital(first) if not prefix else first]
    gaps = [prefix]
    way = (mix >> 17) % 4
    for place, (text, _) in enumerate(clauses[1:], 1):
        after = clauses[place - 1][0]
        long = len(after) + len(text) > 130 or ", " in after or ": " in after
        # Two clauses at the most share a sentence.
        own = long or gaps[-1] == ", and " or (way + place) % 2 == 0
        if own:
            also = way == 3 and place == len(clauses) - 1
            gaps.append(". Also, " if also else ". ")
            texts.append(text if also else _capital(text))
        else:
            gaps.append(", and ")
            texts.append(text)
    body = "".join(gap + text for gap, text in zip(gaps, texts, strict=True)) + "."
    claims = tuple(Claim(text, fact.id) for text, (_, fact) in zip(texts, clauses, strict=True))
    return Explanation(body, claims, lead)


def _opening(text: str) -> str:
    return " ".join(text.split(" ", 2)[:2])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _day(fact: Fact) -> str:
    return f"{fact.at.day} {_MONTHS[fact.at.month - 1]}" if fact.at else ""


def _count(number: float | None) -> int:
    return round(number or 0)


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def price_text(price: float) -> str:
    """A price without currency: two decimals, or three digits that count below 1."""
    return f"{price:.2f}" if price >= 1 or price == 0 else f"{price:.3g}"


@lru_cache(maxsize=65_536)
def value_text(what: str, value: str) -> str:
    """A word of the catalog inside a sentence: as it is, or in quotes where it reads like more than a word."""
    plain = " ".join(value.split())
    if (
        len(plain) > _PLAIN_VALUE
        or not all(char.isalnum() or char in " -&/'+" for char in plain)
        or not plain[:1].isalnum()
    ):
        return shown_name(value, None)
    return plain if what in ("brand", "section", "gender", "category", "style") else plain.lower()


def _history(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    day = _day(fact)
    when = f" on {day}" if day else ""
    (before, after), (before2, after2) = _VERBS[fact.what]
    if fact.item == evidence.item_id:
        first = [f"you {before}this{after} yourself{when}"]
        return (
            [*first, f"you last {before2}this{after2}{when}", f"{when[1:]} you {before}this{after}"] if day else first
        )
    name = shown_name(fact.value, fact.item)
    number, base = _count(fact.number), _count(fact.base)
    did, did2 = f"{before}{name}{after}", f"{before2}{name}{after2}"
    options = [f"you {did}{when}", f"you {did2}{when}"]
    if day:
        options += [f"you last {did}{when}", f"on {day} you {did2}"]
    if 2 <= number < base:
        share = f"{number} of the {base} people who turned to"
        options = [
            f"{options[0]}, and {share} it turned to this too",
            f"{share} {name}, which you {before}{after.strip()}".rstrip() + ", also turned to this one",
            f"of the {base} people who turned to {name}, which you {before2}{after2.strip()}".rstrip()
            + f", {number} turned to this too",
            f"{options[-1]}; {share} that item also turned to this one",
        ]
    return options


def _shared(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    number, base = _count(fact.number), _count(fact.base)
    value = value_text(fact.what, fact.value)
    if base == 1:
        own, verb = "the item you turned to", "is"
    elif number == base:
        own, verb = f"all {base} items you turned to", "are"
    else:
        own, verb = f"{number} of the {base} items you turned to", "is" if number == 1 else "are"
    if fact.what == "colour":
        return [
            f"{it} is {value}, as {verb} {own}",
            f"{own} {verb} {value}, and so is {it}",
            f"like {own}, {it} is {value}",
        ]
    if fact.what == "brand":
        return [f"{it} is by {value}, like {own}", f"{own} {verb} by {value}, and so is {it}"]
    if fact.what in _LISTED:
        return [f"{it} is listed under {value}, like {own}", f"{own} {verb} listed under {value}, and so is {it}"]
    name = fact.what.replace("product_type", "type").replace("_", " ")
    return [f"its {name} is {value}, as it is with {own}", f"{it} shares the {name} {value} with {own}"]


def _attribute(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    value = value_text(fact.what, fact.value)
    if fact.what == "colour":
        return [f"{it} is {value}", f"its colour is {value}"]
    if fact.what == "brand":
        return [f"{it} is by {value}", f"its brand is {value}"]
    if fact.what in _LISTED:
        return [f"{it} is listed under {value}"]
    name = fact.what.replace("product_type", "type").replace("_", " ")
    return [f"its {name} is {value}", f"{it} is of the {name} {value}"]


def _alike(fact: Fact) -> str:
    """The other item, and what the user did with it."""
    name = shown_name(fact.value, fact.item)
    if fact.what not in _VERBS:
        return name
    before, after = _VERBS[fact.what][0]
    return f"{name}, which you {before}{after.strip()}".rstrip()


def _look(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    other = _alike(fact)
    return [
        f"{it} looks like {other}",
        f"in the photo {it} resembles {other}",
        f"its photo is close to that of {other}",
    ]


def _wording(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    other = _alike(fact)
    return [f"its description reads like that of {other}", f"{it} is described in words close to those of {other}"]


def _price(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    price = price_text(fact.number or 0.0)
    if fact.base is None:
        return [f"{it} costs {price}", f"its price is {price}"]
    side, usual = compared(fact.number or 0.0, fact.base), price_text(fact.base)
    if side == "about":
        return [
            f"at {price} {it} costs about the median of the items you turned to ({usual})",
            f"{it} costs {price}, close to the median of {usual} of the items you turned to",
        ]
    return [
        f"{it} costs {price}, {side} the median of {usual} of the items you turned to",
        f"at {price} its price is {side} the median of the items you turned to ({usual})",
    ]


def _popularity(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    count, days = _count(fact.number), _count(fact.base)
    time = "the last day" if days == 1 else f"the last {days} days"
    options = [f"{_people(count)} turned to {it} in {time}", f"in {time}, {_people(count)} turned to {it}"]
    if count >= POPULAR_FROM:
        options += [f"{it} is popular: {_people(count)} turned to it in {time}"]
    return options


def _new(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    day = _day(fact)
    options = [f"{it} has been in the shop since {day}", f"{it} came into the shop on {day}"]
    if (fact.number or 0) <= NEW_UP_TO:
        options = [f"{it} is new: in the shop since {day}", f"{it} is a new arrival of {day}", *options[1:]]
    return options


def _pairing(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    number, base = _count(fact.number), _count(fact.base)
    name = shown_name(fact.value, fact.item)
    if fact.what == "baskets":
        one = "1 basket" if base == 1 else f"{base} baskets"
        return [
            f"{it} was in {number} of the {one} with {name}",
            f"of {one} with {name}, {number} had {it} too",
            f"{number} of the {one} with {name} had {it} too",
        ]
    who = "1 person" if base == 1 else f"{base} people"
    return [
        f"{number} of the {who} who chose {name} chose {it} too",
        f"of the {who} who chose {name}, {number} also chose {it}",
        f"{it} goes with {name}: {number} of the {who} who chose that one chose both",
    ]


def _kinds(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    one, other, count = (
        value_text("product_type", fact.what),
        value_text("product_type", fact.value),
        _count(fact.number),
    )
    baskets = "1 basket" if count == 1 else f"{count} baskets"
    if one == other:
        return [f"items of the type {one} were together in {baskets}, more often than by chance"]
    return [
        f"the types {one} and {other} met in {baskets}, more often than by chance",
        f"the types {one} and {other} go together: they met in {baskets}, where chance would be {fact.base or 0.0:.2f}",
    ]


def _style(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    name = shown_name(fact.value, None)
    number, base = _count(fact.number), _count(fact.base)
    if not number or not base:
        return [f"{it} belongs to the style {name}", f"its style is {name}"]
    if base == 1:
        own, verb = "the item you turned to", "does"
    elif number == base:
        own, verb = f"all {base} items you turned to", "do"
    else:
        own, verb = f"{number} of the {base} items you turned to", "does" if number == 1 else "do"
    return [f"{it} belongs to the style {name}, as {verb} {own}", f"its style is {name}, like {own}"]


def _asked(fact: Fact, evidence: Evidence, it: str) -> list[str]:
    if fact.what.startswith("price_"):
        side = "below" if fact.what == "price_below" else "above"
        price, limit = price_text(fact.base or 0.0), price_text(fact.number or 0.0)
        if price == limit:
            return [f"at {price} {it} is within your limit"]
        return [f"at {price} {it} is {side} your limit of {limit}", f"{it} costs {price}, {side} the limit of {limit}"]
    value = value_text(fact.what, fact.value)
    name = fact.what.replace("product_type", "type").replace("_", " ")
    if fact.what == "colour":
        return [f"{it} is {value}, as you asked", f"you asked for {value}"]
    return [f"you asked for the {name} {value}", f"its {name} is {value}, as you asked"]


_TELL: dict[Kind, _Tell] = {
    "history": _history,
    "shared": _shared,
    "attribute": _attribute,
    "look": _look,
    "wording": _wording,
    "price": _price,
    "popularity": _popularity,
    "new": _new,
    "pairing": _pairing,
    "kinds": _kinds,
    "style": _style,
    "asked": _asked,
}
_NAMING = frozenset({"history", "look", "wording", "pairing", "kinds"})
_OF_CATALOG = frozenset({"shared", "attribute", "asked"})
