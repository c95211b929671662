"""The rows that the lookbook shows.

Belongs here: their types. Does not belong here: reading them (`reading.py`), view models (`pages.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fashionrec_assets.recommendations.explanations.facts import Fact

Role = Literal["named", "busy", "light", "cold", "typical"]


@dataclass(frozen=True)
class Item:
    """What the catalog says of an item; `name` is plain text, entities decoded."""

    item_id: str
    name: str
    kind: str | None
    colour: str | None
    brand: str | None
    price: float | None


@dataclass(frozen=True)
class Placed:
    """An item in a list: why it is there in words, and the facts it rests on. `score`: what its table says."""

    item_id: str
    score: float
    text: str
    facts: tuple[Fact, ...]
    style_id: int | None = None


@dataclass(frozen=True)
class Shelf:
    name: str
    title: str
    items: tuple[Placed, ...]


@dataclass(frozen=True)
class TurnedTo:
    """An item of a shopper's history: the furthest they went with it, and when last."""

    item_id: str
    behaviour: str
    at: datetime


@dataclass(frozen=True)
class StyleShare:
    style_id: int
    share: float
    items: int


@dataclass(frozen=True)
class Shopper:
    """`history`: the newest items first, the first of the `different` items of all `events`."""

    user_id: str
    role: Role
    events: int
    different: int
    history: tuple[TurnedTo, ...]
    shelves: tuple[Shelf, ...]
    styles: tuple[StyleShare, ...]
    picks: tuple[Placed, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        """The items of the page, in order."""
        return tuple(placed.item_id for shelf in self.shelves for placed in shelf.items)


@dataclass(frozen=True)
class Piece:
    slot: str
    placed: Placed
    coherence: float


@dataclass(frozen=True)
class Look:
    anchor_id: str
    number: int
    score: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class StyleAttribute:
    """The attribute `name` is one of `values` for `share` of a style's items, `lift` times the catalog's share."""

    name: str
    values: tuple[str, ...]
    share: float
    lift: float


@dataclass(frozen=True)
class Style:
    style_id: int
    name: str
    size: int
    x: float
    y: float
    attributes: tuple[StyleAttribute, ...]
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Similar:
    item_id: str
    score: float
