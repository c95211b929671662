"""The pages of the lookbook: what stands on each, in the words and sizes it is shown in.

Belongs here: view models made of the gathered content. Does not belong here: reading (`content.py`), HTML
(`templates`), files (`site.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fashionrec_assets.lookbook.content import Content
from fashionrec_assets.lookbook.pictures import Photo, slug
from fashionrec_assets.lookbook.rows import Item, Look, Placed, Role, Shopper, Style
from fashionrec_assets.lookbook.why_not import Answer
from fashionrec_assets.lookbook.words import day_text, factor
from fashionrec_assets.recommendations.explanations.facts import Evidence, Fact, Surface
from fashionrec_assets.recommendations.explanations.realiser import clause, price_text
from fashionrec_assets.settings import Settings

_ROLES: dict[Role, str] = {
    "named": "chosen by name",
    "busy": "a busy shopper",
    "light": "a light shopper",
    "cold": "a stranger",
    "typical": "a typical shopper",
}
_DONE = {"pv": "viewed", "fav": "saved", "cart": "in the cart", "buy": "bought"}
_BY = (("both", "Looks and reads like it"), ("image", "Looks like it"), ("text", "Reads like it"))
_UNTOLD = {"look": "likeness of the photo", "wording": "likeness of the description", "kinds": "the types together"}
_LEAST_WEIGHT = 0.005
_ID_CHARS = 16


@dataclass(frozen=True)
class Tile:
    """An item as it is shown anywhere: `href` is empty where it has no page of its own."""

    name: str
    line: str
    price: str
    photo: Photo | None
    alt: str
    href: str
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """One line of evidence: `width` from 0 to 100, `effect` its weight in words, `held`: it pulled down."""

    words: str
    detail: str
    width: int
    effect: str
    held: bool = False


@dataclass(frozen=True)
class Card:
    tile: Tile
    text: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Row:
    """A list of items with its title; `anchor`: its id in the page."""

    title: str
    anchor: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class StyleBar:
    name: str
    href: str
    width: int
    share: str


@dataclass(frozen=True)
class Question:
    tile: Tile
    reasons: tuple[str, ...]
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class ShopperPage:
    href: str
    name: str
    role: str
    summary: str
    history: tuple[Tile, ...]
    rows: tuple[Row, ...]
    styles: tuple[StyleBar, ...]
    picks: tuple[Card, ...]
    questions: tuple[Question, ...]

    @property
    def faces(self) -> tuple[Tile, ...]:
        """The first items of the page that have a photo."""
        tiles = [card.tile for row in self.rows for card in row.cards]
        return tuple([tile for tile in tiles if tile.photo] or tiles)[:4]


@dataclass(frozen=True)
class LookView:
    number: int
    score: str
    pieces: tuple[tuple[str, Card], ...]


@dataclass(frozen=True)
class AnchorView:
    tile: Tile
    anchor: str
    looks: tuple[LookView, ...]


@dataclass(frozen=True)
class StyleView:
    style_id: int
    name: str
    size: str
    attributes: tuple[str, ...]
    examples: tuple[Tile, ...]
    shoppers: tuple[tuple[str, str, str], ...]
    """(name, address, share) of the shoppers shown who turned to it."""


@dataclass(frozen=True)
class ItemPage:
    href: str
    tile: Tile
    terms: tuple[tuple[str, str], ...]
    style: tuple[str, str] | None
    rows: tuple[Row, ...]
    seen_on: tuple[tuple[str, str], ...]


class Pages:
    """Every page of `content`, with the `photos` there are."""

    def __init__(self, content: Content, photos: Mapping[str, Photo], settings: Settings) -> None:
        self.content, self.photos = content, photos
        self._settings = settings
        self._paged = frozenset(content.paged)
        self._styles = {style.style_id: style for style in content.styles}

    def tile(self, item_id: str, note: str = "") -> Tile:
        item = self.content.items.get(item_id) or Item(item_id, f"Item {item_id}", None, None, None, None)
        line = " · ".join(part for part in (item.brand, item.kind, item.colour) if part)
        return Tile(
            item.name,
            line,
            "" if item.price is None else price_text(item.price),
            self.photos.get(item_id),
            f"{item.name}{f', {line}' if line else ''}",
            item_href(item_id) if item_id in self._paged else "",
            note,
        )

    def shoppers(self) -> list[ShopperPage]:
        return [self._shopper(one) for one in self.content.shoppers]

    def anchors(self) -> list[AnchorView]:
        by_anchor: dict[str, list[Look]] = {}
        for look in self.content.looks:
            by_anchor.setdefault(look.anchor_id, []).append(look)
        return [
            AnchorView(self.tile(anchor), f"look-{slug(anchor)}", tuple(self._look(look) for look in looks))
            for anchor, looks in by_anchor.items()
        ]

    def styles(self) -> list[StyleView]:
        return [self._style(style) for style in self.content.styles]

    def items(self) -> Iterable[ItemPage]:
        seen: dict[str, list[tuple[str, str]]] = {}
        for shopper in self.content.shoppers:
            for item in shopper.shown:
                seen.setdefault(item, []).append((shopper_name(shopper), shopper_href(shopper)))
        for item_id in self.content.paged:
            yield self._item(item_id, tuple(seen.get(item_id, ())))

    def _shopper(self, shopper: Shopper) -> ShopperPage:
        heaviest = _heaviest(fact for shelf in shopper.shelves for placed in shelf.items for fact in placed.facts)
        rows = tuple(
            Row(
                shelf.title,
                f"shelf-{shelf.name}",
                tuple(self._card(placed, "homepage", shopper.user_id, heaviest) for placed in shelf.items),
            )
            for shelf in shopper.shelves
        )
        most = _heaviest(fact for pick in shopper.picks for fact in pick.facts)
        styles = [(share, self._styles.get(share.style_id)) for share in shopper.styles[:8]]
        answers = self.content.answers.get(shopper.user_id, ())
        return ShopperPage(
            shopper_href(shopper),
            shopper_name(shopper),
            _ROLES[shopper.role],
            _summary(shopper),
            tuple(self.tile(one.item_id, f"{_DONE[one.behaviour]} {day_text(one.at)}") for one in shopper.history),
            rows,
            tuple(
                StyleBar(style.name, style_href(style), round(100 * share.share), f"{share.share:.0%}")
                for share, style in styles
                if style is not None
            ),
            tuple(self._card(pick, "style", shopper.user_id, most, self._style_note(pick)) for pick in shopper.picks),
            tuple(self._question(answer, answers) for answer in answers),
        )

    def _style_note(self, placed: Placed) -> str:
        style = self._styles.get(placed.style_id) if placed.style_id is not None else None
        return "" if style is None else style.name

    def _question(self, answer: Answer, answers: Sequence[Answer]) -> Question:
        widest = max((abs(pull.by) for each in answers for pull in each.pulls), default=1.0)
        held = [pull for pull in answer.pulls if pull.by < 0][:4]
        spoke = [pull for pull in reversed(answer.pulls) if pull.by > 0][:1]
        bars = tuple(
            Bar(pull.words, pull.detail, _width(pull.by, widest), factor(pull.by), pull.by < 0)
            for pull in (*held, *spoke)
        )
        return Question(self.tile(answer.item_id), answer.reasons, bars)

    def _card(self, placed: Placed, surface: Surface, subject: str, heaviest: float, note: str = "") -> Card:
        tile = self.tile(placed.item_id, note)
        evidence = Evidence(surface, subject, placed.item_id, tile.name, placed.facts)
        bars = [self._bar(fact, evidence, heaviest) for fact in placed.facts]
        return Card(tile, placed.text, tuple(bar for bar in bars if bar is not None))

    def _bar(self, fact: Fact, evidence: Evidence, heaviest: float) -> Bar | None:
        """A fact in words, with its weight; None where it says nothing that can be told."""
        told = clause(fact, evidence, self._settings.explanations, seed=self._settings.seed)
        if told is not None:
            words = told.text[:1].upper() + told.text[1:]
        elif fact.kind in _UNTOLD and fact.number is not None and abs(fact.weight) >= _LEAST_WEIGHT:
            other = f" to “{fact.value}”" if fact.value and fact.kind != "kinds" else ""
            number = f"{fact.number:.2f}" if fact.kind != "kinds" else f"met {fact.number:.0f} times"
            words = f"{_UNTOLD[fact.kind].capitalize()}{other}: {number}"
        else:
            return None
        effect = factor(fact.weight) if abs(fact.weight) >= _LEAST_WEIGHT else ""
        return Bar(words, "", _width(fact.weight, heaviest) if effect else 0, effect, fact.weight < 0)

    def _look(self, look: Look) -> LookView:
        heaviest = _heaviest(fact for piece in look.pieces for fact in piece.placed.facts)
        return LookView(
            look.number,
            f"{look.score:.2f}",
            tuple(
                (piece.slot.replace("_", " "), self._card(piece.placed, "outfit", look.anchor_id, heaviest))
                for piece in look.pieces
            ),
        )

    def _style(self, style: Style) -> StyleView:
        shares = [
            (shopper_name(shopper), shopper_href(shopper), f"{share.share:.0%}")
            for shopper in self.content.shoppers
            for share in shopper.styles
            if share.style_id == style.style_id
        ]
        attributes = tuple(
            f"{one.name.replace('product_type', 'type').replace('_', ' ')}: {', '.join(one.values)} — {one.share:.0%} "
            f"of its items, {one.lift:.1f} times the catalog’s share"
            for one in style.attributes
        )
        return StyleView(
            style.style_id,
            style.name,
            f"{style.size:,} items" if style.size != 1 else "1 item",
            attributes,
            tuple(self.tile(item) for item in style.examples),
            tuple(shares),
        )

    def _item(self, item_id: str, seen_on: tuple[tuple[str, str], ...]) -> ItemPage:
        content, item = self.content, self.content.items[item_id]
        named = (("Brand", item.brand), ("Type", item.kind), ("Colour", item.colour))
        terms = [(name, value) for name, value in named if value]
        if item.price is not None:
            terms.append(("Price", price_text(item.price)))
        style = self._styles.get(content.item_styles.get(item_id, -1))
        by = content.similar.get(item_id, {})
        rows = [
            Row(
                title,
                name,
                tuple(Card(self.tile(one.item_id, f"{one.score:.2f}"), "", ()) for one in by.get(name, ())),
            )
            for name, title in _BY
        ]
        with_it = tuple(Card(self.tile(one), "", ()) for one in content.complements.get(item_id, ()))
        rows.append(Row("Goes with it", "with", with_it))
        return ItemPage(
            item_href(item_id),
            self.tile(item_id),
            tuple(terms),
            None if style is None else (style.name, style_href(style)),
            tuple(row for row in rows if row.cards),
            seen_on,
        )


def item_href(item_id: str) -> str:
    return f"items/{slug(item_id)}.html"


def shopper_href(shopper: Shopper) -> str:
    return f"shoppers/{slug(shopper.user_id)}.html"


def style_href(style: Style) -> str:
    return f"styles.html#style-{style.style_id}"


def shopper_name(shopper: Shopper) -> str:
    if not shopper.user_id:
        return "A new visitor"
    # Some shops' ids are hashes: nobody reads them to the end.
    short = shopper.user_id if len(shopper.user_id) <= _ID_CHARS else shopper.user_id[: _ID_CHARS - 4] + "…"
    return f"Shopper {short}"


def _summary(shopper: Shopper) -> str:
    if not shopper.different:
        return "Nothing is known yet, so the page shows what many shoppers turned to lately."
    items = "1 item" if shopper.different == 1 else f"{shopper.different:,} different items"
    events = "1 event" if shopper.events == 1 else f"{shopper.events:,} events"
    return f"Turned to {items} in {events}, last on {day_text(shopper.history[0].at)}."


def _heaviest(facts: Iterable[Fact]) -> float:
    return max((abs(fact.weight) for fact in facts), default=0.0) or 1.0


def _width(weight: float, heaviest: float) -> int:
    return max(1, min(100, round(100 * abs(weight) / max(heaviest, 1e-9))))
