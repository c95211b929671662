"""A text about a recommendation, its claims, and the words whose meaning is a matter of numbers.

Belongs here: `Claim`, `Explanation`, what a name looks like inside a text, and from which number on something is called
popular, new, alike or about the same. Does not belong here: wording (`realiser.py`, `by_llm.py`), judging
(`verifier.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fashionrec_assets.recommendations.explanations.facts import Kind, Surface

Writer = Literal["rules", "llm", "fallback"]
WRITERS: tuple[Writer, ...] = ("rules", "llm", "fallback")

ABOUT = 0.1
"""A price within this share of another is about the same; beyond, it is below or above."""
POPULAR_FROM = 10
"""People who turned to an item from which on it is called popular; below, only their number is told."""
NEW_UP_TO = 30
"""Days before the end of the log up to which an item is called new."""
NAME_CHARS = 60

NOTHING: dict[Surface, str] = {
    "homepage": "Chosen from your activity as a whole; no single item of it stands out.",
    "style": "Chosen from your activity as a whole; no single item of it stands out.",
    "outfit": "Chosen for the look as a whole; no single reason stands out.",
    "assistant": "Chosen for your words as a whole; no single one of them stands out.",
}
"""What is said of a recommendation without a fact that can be told. It claims nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A clause as it stands in the text, and the id of the fact it states."""

    text: str
    cites: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text made of `claims` in their order, joined by words that claim nothing.

    `lead`: the kind of fact it begins with, None where there are no claims. `rejected`: claims that the verifier
    refused on the way to this text.
    """

    text: str
    claims: tuple[Claim, ...]
    lead: Kind | None
    writer: Writer = "rules"
    rejected: int = 0


def compared(number: float, base: float) -> Literal["below", "about", "above"]:
    """How a price stands to another; `ABOUT` says what counts as the same."""
    if abs(number - base) <= ABOUT * base:
        return "about"
    return "below" if number < base else "above"


@lru_cache(maxsize=65_536)
def shown_name(name: str, item_id: str | None) -> str:
    """What an item is called in a text: its name in “quotes”, cut at a word, or its id where it has none."""
    name = " ".join(name.translate(_QUOTES).split())
    if len(name) > NAME_CHARS:
        cut = name[:NAME_CHARS].rsplit(" ", 1)[0] if " " in name[:NAME_CHARS] else name[:NAME_CHARS]
        name = cut.rstrip(" ,;:-") + "…"
    return f"“{name}”" if name and name != f"item {item_id}" else f"item {item_id}"


_QUOTES = str.maketrans({"“": "'", "”": "'", '"': "'", "„": "'"})
