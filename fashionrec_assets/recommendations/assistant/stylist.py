"""The assistant: a question in, items that satisfy it out, each with what it rests on; and a conversation about them.

Belongs here: `Stylist`, `Conversation` and what they answer. Does not belong here: any of the steps they take,
printing, Dagster.

    stylist = Stylist.open(Path("data/home"))
    answer = stylist.ask("a red summer dress under 40", user="u1")
    talk = stylist.conversation()
    talk.ask("a red summer dress under 40"); talk.ask("in blue instead"); talk.ask("more like the second")
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.descriptions.lexicon import alike
from fashionrec_assets.recommendations.assistant.catalog import CatalogFrame, read_catalog, shown_now
from fashionrec_assets.recommendations.assistant.evidence import Grounds, evidence
from fashionrec_assets.recommendations.assistant.follow_up import Turn, follow_up
from fashionrec_assets.recommendations.assistant.query import Constraint, Query, cleaned, parse
from fashionrec_assets.recommendations.assistant.retrieval import Matrix, Retriever, best, standardised
from fashionrec_assets.recommendations.assistant.taste import People, Taste
from fashionrec_assets.recommendations.explanations.facts import Evidence, Kind
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import AssistantSettings, Settings

_log = logging.getLogger(__name__)

MOST_RELAXED = 2
"""Constraints that are given up at the same time, at the most, to find out which of them leaves nothing."""


@dataclass(frozen=True)
class Found:
    """An item of an answer: its place from 1, what speaks for it, and the text that says so."""

    rank: int
    item_id: str
    name: str
    price: float | None
    score: float
    evidence: Evidence
    text: str = ""


@dataclass(frozen=True)
class Relaxation:
    """`items` fit once `constraints` are given up and the others kept."""

    constraints: tuple[Constraint, ...]
    items: int


@dataclass(frozen=True)
class Answer:
    """`fitting` items satisfy every constraint of `query`; `items` are the best of them. Where none does,
    `relaxations` say what would, most items first. `notes`: what the shopper should know besides."""

    query: Query
    items: tuple[Found, ...]
    fitting: int
    relaxations: tuple[Relaxation, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class Stylist:
    """Answers from one shop. Models and vectors are loaded by the first question; the catalog is read once."""

    def __init__(self, shop: Shop, *, allowed: NDArray[np.bool_] | None = None) -> None:
        self._shop = shop
        self._given = allowed
        self._worded = True
        self._tastes: dict[str, Taste | None] = {}
        self.settings: AssistantSettings = shop.settings.assistant
        self.people = People(shop)

    @classmethod
    def open(cls, home: Path) -> Stylist:
        """The assistant of the shop in `home`. Raises LookupError, when asked, if it was never run."""
        return cls.of(Shop(Settings.load(home=home), ()))

    @classmethod
    def of(cls, shop: Shop) -> Stylist:
        """The assistant of an open shop."""
        return cls(shop)

    def measured(self, *, worded: bool) -> Stylist:
        """This assistant as reports ask it: it reads by rules, whatever the settings say, and asks no language model;
        its answers have texts only if `worded`."""
        self.settings = self.settings.model_copy(update={"provider": "deterministic"})
        self._worded = worded
        return self

    @cached_property
    def catalog(self) -> CatalogFrame:
        """What can be asked for. Raises LookupError if the shop has no items yet."""
        return read_catalog(self._shop)

    @cached_property
    def retriever(self) -> Retriever:
        """What is near in meaning."""
        return Retriever(self._shop, self.catalog.item_ids.tolist())

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """bool (n,): the items that may be shown at all, by the business rules in force where none were given."""
        return shown_now(self._shop, self.catalog) if self._given is None else self._given

    @cached_property
    def _grounds(self) -> Grounds:
        days = self.settings.popular_days
        return Grounds(self.catalog, self.people.popularity(days), days, self.retriever.texts.values)

    @cached_property
    def _cheapness(self) -> Matrix:
        """float32 (n,): minus the log price, standardised; 0 where it is unknown."""
        prices = self.catalog.prices
        known = prices > 0
        logs = np.log(np.where(known, prices, 1.0)).astype(np.float32)
        return -standardised(logs[None, :], known)[0]

    def read(self, text: str) -> Query:
        """`text` as a query, by the reader that the settings name."""
        if self.settings.provider == "openai":
            from fashionrec_assets.recommendations.assistant.by_llm import read_by_model

            return read_by_model(text, self.catalog.vocabulary, self.settings)
        return parse(text, self.catalog.vocabulary)

    def ask(self, text: str, user: str | None = None, k: int | None = None) -> Answer:
        """The answer to one question, for `user` if one is named, with at most `k` items."""
        return self.answer(lambda: Turn(self.read(text)), user, k)[0]

    def conversation(self, user: str | None = None, k: int | None = None) -> Conversation:
        """A conversation with one shopper."""
        return Conversation(self, user, k)

    def taste(self, user: str) -> Taste | None:
        """What is known of a user, remembered for the next question; None for one nobody knows."""
        if user not in self._tastes:
            self._tastes[user] = self.people.taste(user)
        return self._tastes[user]

    def answer(
        self, turn_of: Callable[[], Turn], user: str | None, k: int | None, shown: Iterable[int] = ()
    ) -> tuple[Answer, list[int]]:
        """The answer to a turn, and the rows of its items; `shown` are the rows that a turn's `like` counts in."""
        started = time.perf_counter()
        turn = turn_of()
        query = turn.query
        taste = None if user is None else self.taste(user)
        notes = list(query.notes)
        if user is not None and (taste is None or not len(taste.items)):
            notes.append("Nothing is known about this shopper yet: the answer rests on the query alone.")
        before = list(shown)
        anchor = None if turn.like is None else before[turn.like - 1]
        allowed = self._allowed_to(taste, anchor)
        fits = self.catalog.fitting(query, allowed)
        rows, found = list[int](), tuple[Found, ...]()
        relaxed: tuple[Relaxation, ...] = ()
        if query.empty and anchor is None:
            notes.append("Say what you are looking for: a kind of item, a colour, a price, an occasion.")
        elif fits.any():
            scores = self.scores(query, anchor, taste)
            rows = best(scores, fits, self.settings.size if k is None else k).tolist()
            found = self._explained(query, rows, scores, taste, user)
        else:
            relaxed = relaxations(self.catalog, query, allowed)
            notes += near_kinds(self.catalog, query, allowed)
        answer = Answer(query, found, int(fits.sum()), relaxed, tuple(notes), time.perf_counter() - started)
        return answer, rows

    def scores(self, query: Query, anchor: int | None, taste: Taste | None) -> Matrix:
        """float32 (n,): how well every item answers, whatever the constraints say."""
        settings, parts = self.settings, list[Matrix]()
        if query.text:
            parts.append(self.retriever.scores([query.text]).fused(settings)[0])
        if anchor is not None:
            parts.append(self.retriever.alike(anchor).fused(settings)[0])
        if taste is not None:
            parts.append(np.float32(settings.user_weight) * taste.scores)
        wanted = [name for name, _ in query.wishes if name in ("cheap", "dear")]
        if wanted:
            sign = 1 if wanted[-1] == "cheap" else -1
            parts.append(np.float32(sign * settings.price_weight) * self._cheapness)
        return np.sum(np.stack(parts), axis=0) if parts else self._grounds.popularity.astype(np.float32)

    def _allowed_to(self, taste: Taste | None, anchor: int | None) -> NDArray[np.bool_]:
        allowed = self.allowed.copy()
        if taste is not None and not self._shop.settings.recommendations.repeat_purchases:
            allowed[taste.bought] = False
        if anchor is not None:
            allowed[anchor] = False
        return allowed

    def _explained(
        self, query: Query, rows: list[int], scores: Matrix, taste: Taste | None, user: str | None
    ) -> tuple[Found, ...]:
        settings = self._shop.settings
        known = evidence(
            self._grounds, query, rows, taste, subject=user or query.text, most=settings.explanations.facts
        )
        prices = self.catalog.prices[rows]
        found = [
            Found(
                rank, one.item_id, one.name, None if price != price else float(price), round(float(scores[row]), 3), one
            )
            for rank, (row, one, price) in enumerate(zip(rows, known, prices, strict=True), 1)
        ]
        return tuple(replace(one, text=text) for one, text in zip(found, self._texts(known), strict=True))

    def _texts(self, known: list[Evidence]) -> list[str]:
        """The explanation of each; empty where the verifier refuses whatever is said, which leaves the bare facts."""
        if not self._worded:
            return [""] * len(known)
        from fashionrec_assets.recommendations.explanations.writing import UnverifiedTextError, explain

        settings = self._shop.settings
        orders: list[tuple[Kind, ...]] = [("asked",)] * len(known)
        try:
            made = explain(known, settings.explanations, seed=settings.seed, orders=orders)
        except UnverifiedTextError as error:
            _log.warning("an answer goes without texts: %s", error)
            return [""] * len(known)
        return [one.text for one in made]


def relaxations(catalog: CatalogFrame, query: Query, allowed: NDArray[np.bool_]) -> tuple[Relaxation, ...]:
    """What would fit if constraints were given up: each alone, and where no single one helps, pairs of them.

    Most items first, then in the order of the query; what leaves nothing is listed only if everything does.
    """
    masks = [catalog.satisfying(one) for one in query.constraints]
    found: list[Relaxation] = []
    for given_up in range(1, MOST_RELAXED + 1):
        for left_out in itertools.combinations(range(len(masks)), given_up):
            kept = [mask for place, mask in enumerate(masks) if place not in left_out]
            fits = np.logical_and.reduce([allowed, *kept])
            found.append(Relaxation(tuple(query.constraints[place] for place in left_out), int(fits.sum())))
        if any(one.items for one in found):
            break
    helpful = [one for one in found if one.items]
    return tuple(sorted(helpful or found, key=lambda one: -one.items))


def near_kinds(catalog: CatalogFrame, query: Query, allowed: NDArray[np.bool_]) -> list[str]:
    """Where nothing of the type asked for fits: the types that sellers use for it, with how many items fit then."""
    asked = query.constraint("type")
    if asked is None:
        return []
    rest = catalog.fitting(query.without("type", excluded=False), allowed)
    found: list[tuple[int, str]] = []
    for kind in catalog.said["type"].values:
        if any(alike(one, kind) for one in asked.values):
            fits = rest & catalog.satisfying(Constraint("type", (kind,)))
            found += [(int(fits.sum()), kind)] if fits.any() else []
    listed = ", ".join(f"{kind} ({count:,})" for count, kind in sorted(found, key=lambda one: (-one[0], one[1])))
    return [f"Kinds near to {' or '.join(asked.values)} that fit the rest: {listed}."] if listed else []


@dataclass
class Conversation:
    """What was asked so far, merged, and the rows that the last answer with items showed."""

    stylist: Stylist
    user: str | None = None
    k: int | None = None
    query: Query = field(default_factory=Query)
    shown: list[int] = field(default_factory=list[int])

    def ask(self, line: str) -> Answer:
        """The answer to a line, seen against the lines before."""
        answer, rows = self.stylist.answer(lambda: self._turn(line), self.user, self.k, self.shown)
        self.query = answer.query
        self.shown = rows or self.shown
        return answer

    def _turn(self, line: str) -> Turn:
        if self.query.empty and not self.shown:
            return Turn(self.stylist.read(line))
        catalog = self.stylist.catalog
        prices = catalog.prices[self.shown].tolist()
        return follow_up(self.query, cleaned(line), catalog.vocabulary, prices)
