"""What a description provider reads and returns, and the check that every claim has a source.

Belongs here: `ItemText`, `Attribute`, `Description`, the provider protocol, `unsupported_claims`. Does not belong here:
how a description is written (`deterministic.py`, and one module for each further provider).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fashionrec_assets.descriptions.cleaning import clean_text
from fashionrec_assets.descriptions.lexicon import meanings, word_set

FIELDS = ("description", "category", "product_type", "brand", "colour", "pattern", "section", "gender")
GLUE = word_set(
    """
    a an and also as by called described fashion for from in is it item of on the this title with words
    """
)
"""Words a description may use without a source: they claim nothing."""


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


def unsupported_claims(description: Description, item: ItemText) -> list[str]:
    """What `description` says that `item` does not, one line each; empty when everything can be traced.

    An attribute must name a source the item has, its evidence must stand there, and its value must be that evidence
    or what the lexicon says it means. Every word of the text must come from an attribute or a field.
    """
    problems: list[str] = []
    allowed = set(GLUE)
    for attribute in description.attributes:
        where = _source_text(attribute.source, item)
        label = f"{attribute.name} = {attribute.value!r}"
        if where is None:
            problems.append(f"{label}: the item has no {attribute.source}")
            continue
        if _folded(attribute.evidence) not in _folded(where):
            problems.append(f"{label}: {attribute.evidence!r} is not in {attribute.source}")
            continue
        same = _folded(attribute.value) == _folded(attribute.evidence)
        if not same and attribute.value not in meanings(attribute.evidence):
            problems.append(f"{label}: {attribute.evidence!r} does not mean that")
            continue
        allowed |= _words(attribute.value)
    known = allowed.union(*(_words(clean_text(getattr(item, name) or "")) for name in FIELDS))
    unknown = sorted(_words(description.text) - known)
    problems += [f"the word {word!r} has no source" for word in unknown]
    return problems


def _source_text(source: str, item: ItemText) -> str | None:
    if source == "title":
        return clean_text(item.title) or None
    if source == "photo":
        return " | ".join(name for name, _ in item.measured_colours) or None
    kind, _, name = source.partition(":")
    if kind != "field" or name not in FIELDS:
        return None
    value = getattr(item, name)
    return clean_text(value) or None if value else None


def _folded(text: str) -> str:
    return " ".join(re.sub(r"[-_/:]", " ", text.casefold()).split())


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.casefold()))
