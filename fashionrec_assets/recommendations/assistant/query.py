"""What a shopper asks for: constraints, wishes, which words were understood; and reading it from free text by rules.

Belongs here: `Query` and the deterministic parser. Does not belong here: phrases and what they mean (`vocabulary.py`),
reading by a language model (`by_llm.py`), follow-ups (`follow_up.py`), the catalog (`catalog.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from fashionrec_assets.descriptions.lexicon import BAIT, CJK
from fashionrec_assets.recommendations.assistant.prices import PriceRead, prices_in
from fashionrec_assets.recommendations.assistant.vocabulary import (
    CHINESE_NEGATIONS,
    HARD,
    LONGEST,
    NEGATIONS,
    SOFT,
    STOP,
    Meaning,
    Vocabulary,
)

MOST_CHARS = 500
"""Characters of a query that are read."""
PRICE_BELOW, PRICE_ABOVE = "price_below", "price_above"
_CARRIES_ON = frozenset({"or", "nor", "或"})
_INSTEAD = (("instead", "of"), ("rather", "than"))
_ANY = frozenset({"anything", "everything", "any", "all", "something"})
_TOKEN = r"[^\W_\u3400-\u9fff]+(?:'[^\W_\u3400-\u9fff]+)*|[\u3400-\u9fff]"
_PARTS = re.compile(r"[,.;:!?，。；！？]")


@dataclass(frozen=True)
class Constraint:
    """What an item must satisfy: one of `values` of `attribute` (none of them if `excluded`), or a price `limit`.

    Limits are inclusive; `attribute` is then `price_below` or `price_above`.
    """

    attribute: str
    values: tuple[str, ...] = ()
    limit: float | None = None
    excluded: bool = False

    @property
    def key(self) -> tuple[str, bool]:
        """A query has one constraint for each of these."""
        return self.attribute, self.excluded

    @property
    def label(self) -> str:
        """For people: `colour red or pink`, `not pattern floral`, `price at most 40`."""
        if self.limit is not None:
            return f"price {'at most' if self.attribute == PRICE_BELOW else 'at least'} {self.limit:g}"
        return f"{'not ' if self.excluded else ''}{self.attribute} {' or '.join(self.values)}"


@dataclass(frozen=True)
class Reading:
    """Words of the query and what they were taken for."""

    words: str
    meaning: str


@dataclass(frozen=True)
class Query:
    """`constraints` are hard, at most one of each key; `wishes` are soft: attribute (of `SOFT`, `mood`, `cheap`,
    `dear`) and value. `unknown`: words that are no constraint and no wish, searched for by meaning. `readings`: how the
    words were understood. `notes`: why it was not read as the settings say."""

    constraints: tuple[Constraint, ...] = ()
    wishes: tuple[Meaning, ...] = ()
    unknown: tuple[str, ...] = ()
    readings: tuple[Reading, ...] = ()
    notes: tuple[str, ...] = ()

    def constraint(self, attribute: str, *, excluded: bool = False) -> Constraint | None:
        """The constraint on an attribute, None if there is none."""
        return next((one for one in self.constraints if one.key == (attribute, excluded)), None)

    def with_constraint(self, new: Constraint) -> Query:
        """With `new` in the place of what has its key, else at the end."""
        kept = tuple(new if one.key == new.key else one for one in self.constraints)
        return replace(self, constraints=kept if new in kept else (*kept, new))

    def without(self, *attributes: str, excluded: bool | None = None) -> Query:
        """Without constraints on `attributes`; only excluding ones or only others where `excluded` says so."""
        return replace(
            self,
            constraints=tuple(
                one
                for one in self.constraints
                if one.attribute not in attributes or (excluded is not None and one.excluded != excluded)
            ),
        )

    @property
    def text(self) -> str:
        """What is searched for by meaning: everything wanted, in the order in which descriptions say it."""
        wanted = {one.attribute: one.values for one in self.constraints if not one.excluded}
        soft = [value for attribute, value in self.wishes if attribute in SOFT]
        moods = [value for attribute, value in self.wishes if attribute == "mood"]
        garment = [value for name in ("colour", "pattern", "material", "type") for value in wanted.get(name, ())]
        whom = [f"for {value}" for value in wanted.get("gender", ())]
        made = [value for name in ("brand", "section") for value in wanted.get(name, ())]
        return " ".join([*soft, *garment, *whom, *moods, *self.unknown, *made])

    @property
    def empty(self) -> bool:
        """Whether nothing at all is asked for."""
        return not (self.constraints or self.wishes or self.unknown)


def cleaned(text: str) -> str:
    """A query as it is read: NFKC, folded, one line, without control characters, at most `MOST_CHARS` long."""
    plain = unicodedata.normalize("NFKC", text[: 4 * MOST_CHARS]).casefold().replace("\u2019", "'")
    plain = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in plain)
    return " ".join(plain.split())[:MOST_CHARS]


def parse(text: str, vocabulary: Vocabulary) -> Query:
    """`text` as a query, by rules alone: the same text always gives the same query.

    The longest known phrase wins. A negation reaches the next known phrase, and further ones joined by "or". Several
    values of one attribute are alternatives. Of types side by side ("dress shoes") the last is the type.
    """
    folded = cleaned(text)
    prices = prices_in(folded)
    pieces = _one_head(list(_pieces(_hidden(folded, prices), vocabulary)))
    query = Query(readings=tuple(_price_readings(folded, prices)))
    for price in prices:
        for attribute, limit in ((PRICE_ABOVE, price.low), (PRICE_BELOW, price.high)):
            if limit is not None:
                query = query.with_constraint(Constraint(attribute, limit=limit))
    return collected(query, pieces)


@dataclass(frozen=True)
class Piece:
    """A phrase of the query: its `words`, what it means (None: nothing is known), whether it is negated."""

    words: str
    meaning: Meaning | None
    negated: bool
    beside: bool = False
    """Whether it follows the piece before with nothing in between."""


def collected(query: Query, pieces: Iterable[Piece]) -> Query:
    """`query` with what `pieces` say."""
    values: dict[tuple[str, bool], list[str]] = {}
    wishes, unknown, readings = list(query.wishes), list(query.unknown), list(query.readings)
    for piece in pieces:
        if piece.meaning is None:
            if not piece.negated:
                unknown.append(piece.words)
            else:
                readings.append(Reading(piece.words, "left out of the search"))
            continue
        attribute, value = piece.meaning
        constrains = attribute in HARD or (piece.negated and attribute in SOFT)
        if constrains:
            found = values.setdefault((attribute, piece.negated), [])
            if value not in found:
                found.append(value)
        elif not piece.negated and piece.meaning not in wishes:
            wishes.append(piece.meaning)
        readings.append(Reading(piece.words, _said(piece, constrains)))
    for (attribute, negated), found in values.items():
        query = query.with_constraint(Constraint(attribute, tuple(found), excluded=negated))
    return replace(query, wishes=tuple(wishes), unknown=tuple(unknown), readings=tuple(readings))


def _said(piece: Piece, constrains: bool) -> str:
    assert piece.meaning is not None
    attribute, value = piece.meaning
    if constrains:
        return f"{'not ' if piece.negated else ''}{attribute} {value}"
    if piece.negated:
        return "left out of the search"
    kind = {"mood": "", "cheap": "lower prices first", "dear": "higher prices first"}.get(attribute, attribute)
    return f"a wish: {kind or value}" if attribute not in SOFT else f"a wish: {attribute} {value}"


def _price_readings(text: str, prices: Sequence[PriceRead]) -> Iterator[Reading]:
    for one in prices:
        limits = [
            Constraint(name, limit=limit).label
            for name, limit in ((PRICE_ABOVE, one.low), (PRICE_BELOW, one.high))
            if limit is not None
        ]
        yield Reading(text[one.start : one.end].strip(), " and ".join(limits))


def _hidden(text: str, prices: Sequence[PriceRead]) -> str:
    """`text` of the same length, with prices and phrases of advertising as a mark that parts phrases."""
    spans = [(one.start, one.end) for one in prices]
    spans += [match.span() for match in BAIT.finditer(text) if not match.group().startswith("gift")]
    for start, end in spans:
        text = text[:start] + "," * (end - start) + text[end:]
    return text


def _pieces(text: str, vocabulary: Vocabulary) -> Iterator[Piece]:
    tokens = [(match.group(), *match.span()) for match in re.finditer(f"{vocabulary.chinese.pattern}|{_TOKEN}", text)]
    at, negating, before = 0, False, ""
    joined_at = -1
    while at < len(tokens):
        length, meaning = _longest(text, tokens, at, vocabulary)
        words = text[tokens[at][1] : tokens[at + length - 1][2]]
        if meaning is not None:
            yield Piece(words, meaning, negating, beside=joined_at == at)
            at += length
            joined_at = at if at < len(tokens) and not _parted(text, tokens, at) else -1
            # A negation goes on over "or" only: in "not floral, red" nobody means that red is unwanted.
            carried = at < len(tokens) and tokens[at][0] in _CARRIES_ON
            negating = negating and carried
            before = words
            continue
        after = tokens[at + 1][0] if at + 1 < len(tokens) else ""
        turns = (words == "but" and before in _ANY) or (words, after) in _INSTEAD
        if turns or words in NEGATIONS or words in CHINESE_NEGATIONS:
            negating = True
        elif words not in STOP and not words.isdigit():
            yield Piece(words, None, negating)
            negating = False
        elif negating and before not in NEGATIONS and _parted(text, tokens, at):
            negating = False
        before = words
        at += 1


def _longest(
    text: str, tokens: Sequence[tuple[str, int, int]], at: int, vocabulary: Vocabulary
) -> tuple[int, Meaning | None]:
    """How many tokens the longest known phrase at `at` has, and its meaning; 1 and None if there is none."""
    for length in range(min(LONGEST, len(tokens) - at), 0, -1):
        if any(_parted(text, tokens, at + step) for step in range(1, length)):
            continue
        phrase = " ".join(token[0] for token in tokens[at : at + length])
        if length == 1 and (phrase in STOP or phrase in NEGATIONS or phrase in CHINESE_NEGATIONS):
            continue
        meaning = vocabulary.meaning(phrase)
        if meaning is not None:
            return length, meaning
    return 1, None


def _parted(text: str, tokens: Sequence[tuple[str, int, int]], at: int) -> bool:
    """Whether punctuation stands between token `at` and the one before."""
    return bool(_PARTS.search(text[tokens[at - 1][2] : tokens[at][1]]))


def _one_head(pieces: list[Piece]) -> list[Piece]:
    """Of types side by side, all but the last become words that are searched for: dress shoes are shoes."""
    found: list[Piece] = []
    for place, piece in enumerate(pieces):
        after = pieces[place + 1] if place + 1 < len(pieces) else None
        both = _is_type(piece) and after is not None and after.beside and _is_type(after)
        # Chinese puts no head last, and nobody joins words by leaving out a space there.
        joined = both and not CJK.search(piece.words)
        found.append(replace(piece, meaning=("mood", piece.words)) if joined else piece)
    return found


def _is_type(piece: Piece) -> bool:
    return piece.meaning is not None and piece.meaning[0] == "type"
