"""Queries whose meaning is known: drawn from the fields of items, in words that are not the parser's.

Belongs here: templates, words, and what each query means. Does not belong here: asking (`study.py`), checking
(`checking.py`).

A query is drawn around a target item: some of its fields, worded by a template. In a sample shop types and colours are
also called what its sellers call them ("kicks", "noir"), which the parser's lexicon only partly knows; elsewhere by the
values of the catalog. Some templates use turns of phrase that no rule foresees. Impossible queries combine fields of
different items, or ask for a price that nothing has.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fashionrec_assets.resources.shop import Shop

NAMES = ("type", "colour", "pattern", "gender", "brand")
COLUMNS = ("product_type", "colour", "pattern", "gender", "brand")
"""The fields of `items` that hold these attributes."""


@dataclass(frozen=True)
class Source:
    """An item as queries are drawn from it: its fields by attribute, only those that are filled."""

    item_id: str
    title: str
    price: float | None
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Meant:
    """What a query asks for: values of fields as the catalog writes them, those it rules out, and price limits."""

    wanted: Mapping[str, str] = field(default_factory=dict[str, str])
    excluded: Mapping[str, str] = field(default_factory=dict[str, str])
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Drawn:
    """The `lines` of a query, the last of which is answered, and what they mean together. `target`: the item it was
    drawn from; None if the query was put together so that nothing need fit. `exact`: whether the meaning is complete,
    so that an understanding can be compared with it."""

    lines: tuple[str, ...]
    meant: Meant
    target: str | None
    kind: str
    exact: bool = True
    own: bool = True
    """Whether values are called as the catalog writes them."""

    @property
    def text(self) -> str:
        """All lines together: what a search without a memory is given."""
        return ", ".join(self.lines)


@dataclass(frozen=True)
class Words:
    """How values are called: attribute -> value -> further names of it. A value without any is called itself."""

    names: Mapping[str, Mapping[str, Sequence[str]]]

    def one(self, attribute: str, value: str, rng: np.random.Generator, *, own: bool) -> str:
        """The value as the catalog writes it (`own`), or else one of its further names, each with the same chance."""
        further = self.names.get(attribute, {}).get(value.casefold(), ())
        return value.casefold() if own or not further else further[int(rng.integers(len(further)))]


_GENDERS = {"women": ("ladies", "my wife", "her", "a woman"), "men": ("gents", "my husband", "him", "guys"),
            "unisex": ("anyone",)}  # fmt: skip
_PATTERNS = {
    "solid": ("plain",), "stripes": ("striped", "stripey"), "dots": ("polka dot", "spotted"),
    "check": ("checked", "tartan", "gingham"), "floral": ("flowery", "flower print"), "logo": ("logo print",),
}  # fmt: skip


def words_of_shop(sample: bool) -> Words:
    """The names in use: those of the sample shop's sellers if it is one."""
    if not sample:
        return Words({"gender": _GENDERS})
    from fashionrec_assets.sample.attributes import COLOURS, PRODUCT_TYPES

    return Words(
        {
            "type": {one.name: one.synonyms for one in PRODUCT_TYPES},
            "colour": {one.name: (*one.synonyms, one.chinese) for one in COLOURS},
            "pattern": _PATTERNS,
            "gender": _GENDERS,
        }
    )


_PLAIN = (
    ("{colour} {type}", ()),
    ("{pattern} {colour} {type}", ()),
    ("hi, i'm looking for a {colour} {type} for {gender}", ()),
    ("{type} for {gender} {price}", ()),
    ("do you have any {pattern} {type} {price}?", ()),
    ("need some {type}, the colour should be {colour}, made by {brand}", ()),
    ("{brand} {type} {price} please", ()),
    ("{type} in {colour} {price}, thanks", ()),
    ("my friend wants {colour} {type}, {pattern} if possible, {price}", ()),
    ("{colour} {type} for a wedding {price}", ()),
    ("{TYPE}!! {colour} only, {price}", ()),
    ("could i see a {pattern} {type} by {brand}", ()),
)
_NEGATED = (
    ("{colour} {type} but not {not_pattern}", ()),
    ("{type} without {not_pattern}, {price}", ()),
    ("no {not_colour} please, {type} for {gender}", ()),
    ("a {type} that isn't {not_colour}, {price}", ()),
    ("{type}, anything but {not_colour}", ()),
)
_TALKS = (
    ("{other_colour} {type} {price}", ("in {colour} instead",)),
    ("{type} for {gender}", ("make it {colour}", "{price}")),
    ("{colour} {type}", ("not {not_pattern}",)),
    ("{other_type} {price}", ("{type} instead", "{colour} ones")),
    ("{colour} {type}", ("for {gender} please",)),
)
_LOOSE = (("{colour} {type} {word} {word2}", ()), ("{word} {type} {price}", ()))
_BELOW = ("under {n}", "less than {n} euros", "max {n}", "up to ${n}", "no more than {n}", "below {n}.50",
          "{n} or less", "for {n} at the most", "nothing over {n}", "i can spend {n}", "cheaper than {n}",
          "with a budget of {n}")  # fmt: skip
_RANGE = ("between {a} and {b}", "{a}-{b}", "from {a} to {b}", "{a} to {b} dollars")
_ABOVE = ("over {n}", "at least {n}", "more than {n}", "starting at {n}")
SHARES = {"plain": 0.4, "negated": 0.2, "talk": 0.2, "loose": 0.1, "impossible": 0.1}
"""Of the queries, by kind."""
OWN_SHARE = 0.5
"""Of the queries, those in the catalog's own words for values."""
_BLANK = re.compile(r"\{(\w+)\}")


def read_sources(shop: Shop) -> list[Source]:
    """Every item of the shop as a source of queries, by id."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT item_id, title, price, {', '.join(COLUMNS)} FROM items ORDER BY item_id"
        ).fetchall()
    return [
        Source(
            row[0],
            html.unescape(row[1] or ""),
            row[2],
            {name: value for name, value in zip(NAMES, row[3:], strict=True) if value and value.strip()},
        )
        for row in rows
    ]


def draw_queries(
    sources: Sequence[Source], chosen: Sequence[str], words: Words, count: int, *, seed: int
) -> list[Drawn]:
    """`count` queries about items of `chosen`; fewer if no item has the fields that templates need."""
    rng = np.random.default_rng(seed)
    pool = [one for one in sources if one.item_id in set(chosen) and "type" in one.fields]
    if not pool:
        return []
    values = {name: sorted({one.fields[name] for one in sources if name in one.fields}) for name in NAMES}
    kinds = rng.choice(list(SHARES), size=count, p=list(SHARES.values()))
    templates = {"plain": _PLAIN, "negated": _NEGATED, "talk": _TALKS, "loose": _LOOSE}
    drawn: list[Drawn] = []
    for kind in kinds.tolist():
        made = None
        for _ in range(30):
            source = pool[int(rng.integers(len(pool)))]
            if kind == "impossible":
                made = _impossible(source, values, words, rng)
            else:
                lines, later = templates[kind][int(rng.integers(len(templates[kind])))]
                made = _fill((lines, *later), source, values, words, rng, kind)
            if made is not None:
                break
        if made is not None:
            drawn.append(made)
    return drawn


def draw_vague(source: Source, words: Words, rng: np.random.Generator) -> Drawn | None:
    """A short query that many items answer, such as "shoes for him"; None for an item without a type."""
    if "type" not in source.fields:
        return None
    templates = ["{type}"] + ["{type} for {gender}"] * ("gender" in source.fields)
    templates += ["{colour} {type}"] * ("colour" in source.fields)
    line = templates[int(rng.integers(len(templates)))]
    return _fill((line,), source, {}, words, rng, "vague")


def _fill(
    lines: Sequence[str],
    source: Source,
    values: Mapping[str, Sequence[str]],
    words: Words,
    rng: np.random.Generator,
    kind: str,
) -> Drawn | None:
    """The template with the source's fields; None if it lacks one."""
    blanks = [name for line in lines for name in _BLANK.findall(line)]
    wanted: dict[str, str] = {}
    excluded: dict[str, str] = {}
    filled: dict[str, str] = {}
    low = high = None
    own = bool(rng.random() < OWN_SHARE)
    for blank in blanks:
        name = blank.lower().removeprefix("not_").removeprefix("other_")
        if blank == "price":
            if source.price is None or source.price <= 1:
                return None
            filled[blank], low, high = _price(source.price, rng)
        elif blank.startswith("word"):
            title = re.findall(r"[A-Za-z]{3,}", source.title)
            if len(title) < 2:
                return None
            filled[blank] = title[int(rng.integers(len(title)))].lower()
        elif blank.startswith(("not_", "other_")):
            others = [one for one in values.get(name, ()) if one != source.fields.get(name)]
            if not others or name not in source.fields:
                return None
            value = others[int(rng.integers(len(others)))]
            filled[blank] = words.one(name, value, rng, own=own)
            if blank.startswith("not_"):
                excluded[name] = value
        else:
            if name not in source.fields:
                return None
            value = source.fields[name]
            spoken = words.one(name, value, rng, own=own)
            filled[blank] = spoken.upper() if blank.isupper() else spoken
            wanted[name] = value
    texts = tuple(_BLANK.sub(lambda match: filled[match[1]], line) for line in lines)
    return Drawn(texts, Meant(wanted, excluded, low, high), source.item_id, kind, kind != "loose", own)


def _price(price: float, rng: np.random.Generator) -> tuple[str, float | None, float | None]:
    """A phrase that `price` satisfies, and its limits."""
    style = rng.random()
    high = math.ceil(price * float(rng.uniform(1.02, 1.6)))
    low = max(1, math.floor(price * float(rng.uniform(0.5, 0.98))))
    if style < 0.6:
        phrase = _BELOW[int(rng.integers(len(_BELOW)))]
        return phrase.format(n=high), None, high + 0.5 if ".50" in phrase else float(high)
    if style < 0.85:
        return _RANGE[int(rng.integers(len(_RANGE)))].format(a=low, b=high), float(low), float(high)
    return _ABOVE[int(rng.integers(len(_ABOVE)))].format(n=low), float(low), None


def _impossible(
    source: Source, values: Mapping[str, Sequence[str]], words: Words, rng: np.random.Generator
) -> Drawn | None:
    """Three fields of three items put together, or the source's type for next to nothing."""
    kind = source.fields["type"]
    own = bool(rng.random() < OWN_SHARE)
    spoken = words.one("type", kind, rng, own=own)
    if rng.random() < 0.4 or not (values["colour"] and values["pattern"]):
        return Drawn((f"{spoken} under 2",), Meant({"type": kind}, high=2.0), None, "impossible", own=own)
    colour, pattern = (values[name][int(rng.integers(len(values[name])))] for name in ("colour", "pattern"))
    line = f"{words.one('pattern', pattern, rng, own=own)} {words.one('colour', colour, rng, own=own)} {spoken}"
    return Drawn((line,), Meant({"type": kind, "colour": colour, "pattern": pattern}), None, "impossible", own=own)
