"""What a description provider reads and returns, and the check that every claim has a source.

Belongs here: `ItemText`, `Attribute`, `Description`, the provider protocol, `unsupported_claims`. Does not belong here:
how a description is written (`deterministic.py`, and one module for each further provider).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from fashionrec_assets.descriptions.cleaning import clean_text
from fashionrec_assets.descriptions.lexicon import (
    TABLES,
    canonical,
    colours_agree,
    meanings,
    without_orders,
    word_set,
)

FIELDS = ("description", "category", "product_type", "brand", "colour", "pattern", "section", "gender")
GLUE = word_set(
    """
    a an and also as by called described fashion for from in is it item of on the this title with words
    """
)
"""Words a description may use without a source: they claim nothing."""
CLEAR_SHARE = 0.2
"""A colour on less of the garment neither confirms nor denies a word in the title."""
SEEN = frozenset({"type", "pattern", "neckline", "sleeves", "length", "fit"})
"""What a model may read from a photo besides the colour, in words of the lexicon only. A photo does not show what a
garment is made of, whom it is for or who makes it."""
_NEGATION = re.compile(r"\b(?:no|not|non|never|without|free of|isn't|aren't)\b|没有|无|不", re.IGNORECASE)


@dataclass(frozen=True)
class ItemText:
    """Everything a description may draw on for one item. `measured_colours` are (name, share) from the photo."""

    item_id: str
    title: str = ""
    description: str | None = None
    category: str | None = None
    product_type: str | None = None
    brand: str | None = None
    colour: str | None = None
    pattern: str | None = None
    section: str | None = None
    gender: str | None = None
    measured_colours: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Attribute:
    """One claim: `value` was read from `evidence`, words that stand in `source`.

    `source` is "title", "photo", or "field:" and the name of the field. `value` differs from `evidence` only where the
    lexicon says that they mean the same ("红色" and "red", "tee" and "t-shirt").
    """

    name: str
    value: str
    source: str
    evidence: str = field(default="")

    def __post_init__(self) -> None:
        if not self.evidence:
            object.__setattr__(self, "evidence", self.value)


@dataclass(frozen=True)
class Description:
    """The text, the claims in it, and `flags`: what was dropped or could not be decided, one short phrase each."""

    text: str
    attributes: tuple[Attribute, ...] = ()
    flags: tuple[str, ...] = ()


class DescriptionProvider(Protocol):
    """Writes descriptions. `name` and `version` are part of the ledger's code fingerprint."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def describe_batch(self, items: Sequence[ItemText]) -> list[Description]:
        """One description for each item, in order; an item without any usable word still gets one."""
        ...


def unsupported_claims(
    description: Description, item: ItemText, *, photo_read: bool = False, joining: frozenset[str] = frozenset()
) -> list[str]:
    """What `description` says that `item` does not, one line each; empty when everything can be traced.

    An attribute must name a source the item has, its evidence must stand there, and its value must be that evidence,
    words of it that nothing negates, or what the lexicon says it means. Every word of the text must come from an
    attribute or a field, be one of `joining`, or be another form of such a word ("stripes" and "striped"). What reads
    like an order to a language model is no source.

    A colour from the photo must be one that was measured there. With `photo_read`, a model looked at the photo: it may
    then name what `SEEN` lists, in words of the lexicon, and colours in other words for what was measured. Nothing here
    can look at the pixels, so such an attribute is a statement of the model, and its source says so.
    """
    problems: list[str] = []
    sources: dict[str, str | None] = {}
    allowed: set[str] = set()
    for attribute in description.attributes:
        source = attribute.source
        if source not in sources:
            where = _source_text(source, item)
            sources[source] = None if where is None else _folded(where)
        problem = _problem(attribute, sources[source], item, photo_read=photo_read)
        if problem:
            problems.append(f"{attribute.name} = {attribute.value!r}: {problem}")
        else:
            allowed |= _words(attribute.value)
    unknown = _words(description.text) - allowed - GLUE - joining
    for name in FIELDS:
        if not unknown:
            return problems
        value = getattr(item, name)
        if value:
            unknown -= _words(_readable(value))
    if not unknown:
        return problems
    stems = {stem(word) for word in allowed}
    stems.update(stem(word) for name in FIELDS for word in _words(_readable(getattr(item, name) or "")))
    problems += [f"the word {word!r} has no source" for word in sorted(unknown) if stem(word) not in stems]
    return problems


def stem(word: str) -> str:
    """`word` without the endings of English plurals and participles: equal for forms of one word, no word itself."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and (word[-1] == word[-2] or word[-1] == "e") else word


def _problem(attribute: Attribute, source: str | None, item: ItemText, *, photo_read: bool) -> str:
    """Why an attribute cannot be believed, "" if it can; `source` is the folded text of its source."""
    if attribute.source == "photo" and photo_read:
        if attribute.name in SEEN:
            known = canonical(attribute.name, attribute.value)
            return (
                "" if known else f"a photo shows {attribute.name} only as one of {', '.join(_values(attribute.name))}"
            )
        if attribute.name != "colour":
            return f"a photo does not show {attribute.name}"
        clear = [name for name, share in item.measured_colours if share >= CLEAR_SHARE]
        known = canonical("colour", attribute.value)
        if known and any(colours_agree(known, name) for name in clear):
            return ""
        return "the colours measured on the photo are " + (", ".join(clear) or "unknown")
    if source is None:
        return f"the item has no {attribute.source}"
    if not _stands_in(_folded(attribute.evidence), source):
        return f"{attribute.evidence!r} is not in {attribute.source}"
    if _folded(attribute.value) == _folded(attribute.evidence) or attribute.value in meanings(attribute.evidence):
        return ""
    within = {stem(word) for word in _words(attribute.value)} <= {stem(word) for word in _words(attribute.evidence)}
    if within and not _NEGATION.search(attribute.evidence):
        return ""
    return f"{attribute.evidence!r} does not mean that"


def _stands_in(evidence: str, source: str) -> bool:
    """Whether `evidence` stands in `source` as whole words: "tee" is not said by "steel". Chinese has no word ends."""
    at = source.find(evidence)
    while at >= 0:
        before, after = source[at - 1 : at], source[at + len(evidence) : at + len(evidence) + 1]
        if not (_latin(before) and _latin(evidence[:1])) and not (_latin(after) and _latin(evidence[-1:])):
            return True
        at = source.find(evidence, at + 1)
    return False


def _latin(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _values(name: str) -> list[str]:
    return [line.partition(":")[0].strip() for line in TABLES[name].strip().splitlines()]


def _source_text(source: str, item: ItemText) -> str | None:
    if source == "title":
        return _readable(item.title) or None
    if source == "photo":
        return " | ".join(name for name, _ in item.measured_colours) or None
    kind, _, name = source.partition(":")
    if kind != "field" or name not in FIELDS:
        return None
    value = getattr(item, name)
    return _readable(value) or None if value else None


@lru_cache(maxsize=4096)
def _readable(text: str) -> str:
    return without_orders(clean_text(text)).strip(" |")


_SEPARATORS = str.maketrans("-_/:", "    ")
_WORD = re.compile(r"[^\W_]+")


@lru_cache(maxsize=4096)
def _folded(text: str) -> str:
    return " ".join(text.casefold().translate(_SEPARATORS).split())


@lru_cache(maxsize=4096)
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
