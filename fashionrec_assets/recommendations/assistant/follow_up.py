"""What a further line of a conversation changes: "cheaper", "in blue instead", "not floral", "more like the second".

Belongs here: merging a line into the query before it. Does not belong here: reading phrases (`query.py`), finding items
(`stylist.py`).

A line that names a kind of item starts anew, unless it says that it goes on ("boots instead", "the same in a coat").
Otherwise what the line names takes the place of what was asked of the same attribute; "also" and "or" add to it;
"any colour", "forget the price" drop it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from fashionrec_assets.recommendations.assistant.query import (
    PRICE_ABOVE,
    PRICE_BELOW,
    Constraint,
    Query,
    Reading,
    cleaned,
    parse,
)
from fashionrec_assets.recommendations.assistant.vocabulary import Vocabulary, accepts

_CENT = 0.01
_THAN = r"(?!\s+than\s+\S*\d)"
_CHEAPER = re.compile(
    rf"\b(?:(?:cheaper|less expensive){_THAN}|lower (?:price|budget)|too (?:expensive|dear|pricey|much))\b"
    "|便宜(?:一?点|些)|太贵"
)
_DEARER = re.compile(rf"\b(?:(?:more expensive|dearer){_THAN}|pricier|higher price|fancier|too cheap)\b|贵(?:一?点|些)")
_AFRESH = re.compile(r"^(?:start over|new search|reset|from scratch|重新开始)\b[,.:;]?\s*")
_GOES_ON = re.compile(r"\b(?:instead|same|also|rather|but)\b|^(?:or|and|not|no|without)\b|换成|也")
_ADDS = re.compile(r"\b(?:also|as well|too)\b|^(?:or|and)\b|也")
_DROPS = re.compile(
    r"\b(?:any|forget|drop|ignore|regardless of|no matter(?: the| what)?|whatever)\s+(?:the\s+|my\s+)?(\w+)"
    r"|\b(\w+)\s+(?:doesn't|does not) matter"
)
_NAMES = {"colour": "colour", "color": "colour", "colours": "colour", "colors": "colour", "pattern": "pattern",
          "print": "pattern", "brand": "brand", "brands": "brand", "gender": "gender", "material": "material",
          "fabric": "material", "section": "section", "department": "section", "price": "price", "budget": "price",
          "type": "type", "kind": "type"}  # fmt: skip
_PLACES = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
           "ninth": 9, "tenth": 10, "last": -1}  # fmt: skip
_LIKE = re.compile(
    r"\b(?:like|similar to|as)\s+(?:the\s+)?(?:(?:number|no\.?|item|#)\s*)?"
    rf"(?P<place>{'|'.join(_PLACES)}|#?\d{{1,2}}(?:st|nd|rd|th)?)(?:\s+(?:one|item))?(?=$|[\s,.;!?])"
)


@dataclass(frozen=True)
class Turn:
    """The query in force after a line. `like`: the place, from 1, of a shown item that others should be like."""

    query: Query
    like: int | None = None


def follow_up(before: Query, line: str, vocabulary: Vocabulary, prices: Sequence[float]) -> Turn:
    """The turn that `line` makes of the query `before`, whose answer showed items with `prices` (NaN: unknown)."""
    text = cleaned(line)
    if _AFRESH.match(text):
        return Turn(parse(_AFRESH.sub("", text), vocabulary))
    like, text = _like(text, len(prices))
    dropped, text = _dropped(text)
    cheaper, dearer = _CHEAPER.search(text), _DEARER.search(text)
    goes_on = bool(like or dropped or cheaper or dearer or _GOES_ON.search(text))
    added = parse(_DEARER.sub(",", _CHEAPER.sub(",", text)), vocabulary)
    if added.constraint("type") and not goes_on:
        return Turn(added)
    query = replace(_merged(before.without(*dropped), added, adds=bool(_ADDS.search(text))), notes=added.notes)
    known = [price for price in prices if price == price]
    readings = list(added.readings) + [Reading(name, "no longer asked for") for name in dropped]
    if (cheaper or dearer) and not known:
        query = replace(query, notes=(*query.notes, "nothing with a price was shown: say a price instead"))
    elif cheaper and added.constraint(PRICE_BELOW) is None:
        limit = Constraint(PRICE_BELOW, limit=round(median(known) - _CENT, 2))
        above = query.constraint(PRICE_ABOVE)
        if above is not None and above.limit is not None and limit.limit is not None and above.limit > limit.limit:
            query = query.without(PRICE_ABOVE)
        query = query.with_constraint(limit)
        readings.append(Reading(cheaper.group(), f"{limit.label}: below the middle of what was shown"))
    elif dearer and added.constraint(PRICE_ABOVE) is None:
        limit = Constraint(PRICE_ABOVE, limit=round(median(known) + _CENT, 2))
        query = query.without(PRICE_BELOW).with_constraint(limit)
        readings.append(Reading(dearer.group(), f"{limit.label}: above the middle of what was shown"))
    if like is not None:
        readings.append(Reading("like", f"similar to number {like} of what was shown"))
    return Turn(replace(query, readings=tuple(readings)), like)


def _merged(before: Query, added: Query, *, adds: bool) -> Query:
    """`before` with what `added` says; an exclusion takes back a wish for the same value, and the other way round."""
    query = before
    if added.constraint(PRICE_BELOW) or added.constraint(PRICE_ABOVE):
        query = query.without(PRICE_BELOW, PRICE_ABOVE)
    for new in added.constraints:
        other = query.constraint(new.attribute, excluded=not new.excluded)
        if other is not None:
            left = tuple(
                one for one in other.values if not any(_same(new.attribute, one, value) for value in new.values)
            )
            query = query.without(new.attribute, excluded=other.excluded)
            query = query.with_constraint(replace(other, values=left)) if left else query
        old = query.constraint(new.attribute, excluded=new.excluded)
        if old is not None and (adds or new.excluded) and new.limit is None:
            new = replace(new, values=tuple(dict.fromkeys((*old.values, *new.values))))
        query = query.with_constraint(new)
    wishes = tuple(dict.fromkeys((*(one for one in query.wishes if not _taken_back(one, added)), *added.wishes)))
    return replace(query, wishes=wishes, unknown=tuple(dict.fromkeys((*query.unknown, *added.unknown))))


def _same(attribute: str, first: str, second: str) -> bool:
    return accepts(attribute, first, second) or accepts(attribute, second, first)


def _taken_back(wish: tuple[str, str], added: Query) -> bool:
    attribute, value = wish
    excluded = added.constraint(attribute, excluded=True)
    opposite = {"cheap": "dear", "dear": "cheap"}.get(attribute)
    return (excluded is not None and value in excluded.values) or any(name == opposite for name, _ in added.wishes)


def _like(text: str, shown: int) -> tuple[int | None, str]:
    """The place of the item that is referred to, if it was shown, and the text without the reference."""
    found = _LIKE.search(text)
    if found is None:
        return None, text
    words = found["place"]
    place = _PLACES.get(words) or int(re.sub(r"\D", "", words))
    place = shown if place == -1 else place
    if not 1 <= place <= shown:
        return None, text
    rest = text[: found.start()] + "," + text[found.end() :]
    return place, re.sub(r"\b(?:some)?(?:thing|more)\s*,", ",", rest)


def _dropped(text: str) -> tuple[tuple[str, ...], str]:
    """Attributes that are no longer asked for, and the text without the words that say so."""
    names: list[str] = []

    def note(match: re.Match[str]) -> str:
        name = _NAMES.get(match[1] or match[2])
        if name is None:
            return match.group()
        names.extend((PRICE_BELOW, PRICE_ABOVE) if name == "price" else (name,))
        return ","

    rest = _DROPS.sub(note, text)
    return tuple(names), rest
