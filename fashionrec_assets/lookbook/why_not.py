"""Why an item is not on a shopper's page.

Belongs here: asking the served ranker and the rules about items that are not shown, and what keeps each off. Does not
belong here: choosing the page (`recommendations`), which items to ask about (`reading.py`), layout.

What pulls a candidate down is found as the facts of explanations are: its score is computed again as if the item were
different in one respect (the groups of features of `ranking/counterfactual.py`). There the other way of being is the
average candidate; here it is the average item of the first shelf, since the question is what those have that it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.lookbook.words import day_text, times
from fashionrec_assets.ranking.counterfactual import GROUPS
from fashionrec_assets.ranking.features import NAMES
from fashionrec_assets.recommendations.rules import Rule, RuleSet, concerns
from fashionrec_assets.settings import RecommendationSettings

if TYPE_CHECKING:
    from fashionrec_assets.ranking.late_fusion import LateFusionRecommender, RankedBlock
    from fashionrec_assets.ranking.ranker import Ranker

Kind = Literal["bought", "seen", "rule", "no_candidate", "rank", "varied", "unknown"]

COMPANY = "company"
RESPECTS: Mapping[str, str] = {
    COMPANY: "what people with the same items turn to",
    "product_type": "the kind of garment",
    "colour": "its colour",
    "pattern": "its pattern",
    "section": "its department",
    "gender": "for whom it is made",
    "brand": "its brand",
    "price": "its price",
    "popularity": "how many people turn to it",
    "new": "how long it has been on sale",
    "look": "its photo, beside those of their items",
    "wording": "its description, beside those of their items",
}
"""What the groups of features are called."""

_SHARES = {"product_type": "kind", "colour": "colour", "pattern": "pattern", "section": "department", "brand": "brand"}
_COMPANY = (
    "item_knn",
    "item_knn_cosine",
    "item_knn_last_day",
    "family_knn",
    "rank_item_knn",
    "rank_family_knn",
    "share_family_id",
    "two_tower",
    "two_tower_below_best",
    "rank_two_tower",
)
_SHELF = "for_you"
_AT = {name: at for at, name in enumerate(NAMES)}
_DONE = {"pv": "looked at", "fav": "saved", "cart": "put in the cart", "buy": "bought"}


@dataclass(frozen=True)
class Pull:
    """By how much an item's score, in natural log units, would fall if it were like the first shelf's average in one
    respect; below 0, that respect held it back."""

    respect: str
    words: str
    detail: str
    by: float


@dataclass(frozen=True)
class Answer:
    """What keeps `item_id` off the page: each reason in words, the first being `kind`.

    `rank`: its place among the `candidates` that may be shown; both 0 where it is none. `pulls`: what moved its score,
    what held it back most first.
    """

    item_id: str
    kind: Kind
    reasons: tuple[str, ...]
    rank: int = 0
    candidates: int = 0
    pulls: tuple[Pull, ...] = ()


@dataclass(frozen=True)
class Question:
    """A shopper (row of the log), the item rows on the page's first shelf and on all of it, and those asked about."""

    user: int
    shelf: NDArray[np.int64]
    page: NDArray[np.int64]
    asked: NDArray[np.int64]


@dataclass(frozen=True)
class Catalog:
    """What answers name: item `columns` as the rules read them, `names` of items, and who is `similar` to whom.

    `rules`: those in force. `similar`: item row -> item rows that look and read like it.
    """

    names: Sequence[str]
    columns: Mapping[str, Sequence[Any]]
    rules: RuleSet
    similar: Mapping[int, Sequence[int]]


def why_not(
    fusion: LateFusionRecommender,
    catalog: Catalog,
    questions: Sequence[Question],
    settings: RecommendationSettings,
) -> list[list[Answer]]:
    """The answers to each question, in its order; every user of a question must have a history."""
    log = fusion.known.log
    histories = [_history(log, one.user) for one in questions]
    hidden = [_hidden(history, settings) for history in histories]
    allowed = _allowed(catalog, log.n_items)
    answers: list[list[Answer]] = []
    users = np.array([one.user for one in questions], np.int64)
    for block in fusion.ranked(users, hidden):
        for position in range(len(block.users)):
            question, history = questions[len(answers)], histories[len(answers)]
            asker = _Asker(fusion.ranker, catalog, question, history, settings, log.item_ids)
            answers.append(asker.answers(_of_user(block, position), allowed))
    return answers


def pulls(ranker: Ranker, values: NDArray[np.float32], shelf: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Respect -> float32 (r,): by how much the scores of r candidates with the features `values` (r, F) would fall if
    they were, in that respect, like the average of the `shelf` (s, F); below 0 where they would rise."""
    before = ranker.scores(values, lift=False)
    average = shelf.mean(axis=0)
    found: dict[str, NDArray[np.float32]] = {}
    for respect, names in {COMPANY: _COMPANY, **GROUPS}.items():
        columns = [_AT[name] for name in names]
        changed = values.copy()
        changed[:, columns] = average[columns]
        found[respect] = before - ranker.scores(changed, lift=False)
    return found


def _of_user(block: RankedBlock, position: int) -> RankedBlock:
    from fashionrec_assets.ranking.late_fusion import RankedBlock

    own = block.owner == position
    return RankedBlock(
        block.users[position : position + 1],
        np.zeros(int(own.sum()), np.int64),
        block.items[own],
        block.scores[own],
        block.chances[own],
        block.values[own],
    )


def _history(log: EventLog, user: int) -> dict[int, tuple[int, int]]:
    """Item row -> (the furthest behaviour, when it last happened) of one user."""
    offsets = log.offsets()
    own = slice(int(offsets[user]), int(offsets[user + 1]))
    found: dict[int, tuple[int, int]] = {}
    for item, behaviour, at in zip(
        log.items[own].tolist(), log.behaviours[own].tolist(), log.times[own].tolist(), strict=True
    ):
        found[item] = max(found.get(item, (-1, 0)), (behaviour, at))
    return found


def _hidden(history: Mapping[int, tuple[int, int]], settings: RecommendationSettings) -> NDArray[np.int64]:
    return np.array([item for item, (done, _) in history.items() if _keeps_off(done, settings)], np.int64)


def _keeps_off(behaviour: int, settings: RecommendationSettings) -> bool:
    return not (settings.repeat_purchases if BEHAVIOURS[behaviour] == "buy" else settings.show_seen)


def _allowed(catalog: Catalog, n_items: int) -> NDArray[np.bool_]:
    """bool (n,): the items that rules let onto the first shelf."""
    allowed = np.ones(n_items, bool)
    for rule in catalog.rules.rules:
        if _forbids(rule):
            allowed &= ~concerns(rule, catalog.columns)
    return allowed


def _forbids(rule: Rule) -> bool:
    return rule.rule != "cap" and rule.shelf in ("", _SHELF)


@dataclass(frozen=True)
class _Asker:
    """One shopper's question, with all that answers are made of."""

    ranker: Ranker
    catalog: Catalog
    question: Question
    history: Mapping[int, tuple[int, int]]
    settings: RecommendationSettings
    ids: NDArray[np.str_]

    def answers(self, block: RankedBlock, allowed: NDArray[np.bool_]) -> list[Answer]:
        """`block`: this shopper's candidates, best first."""
        open_to = np.flatnonzero(allowed[block.items])
        place = {item: rank for rank, item in enumerate(block.items[open_to].tolist(), 1)}
        row = {item: at for at, item in enumerate(block.items.tolist())}
        wanted = [item for item in self.question.asked.tolist() if item in place]
        shelf = [row[item] for item in self.question.shelf.tolist() if item in row]
        moved: dict[str, NDArray[np.float32]] = {}
        if wanted and shelf:
            moved = pulls(self.ranker, block.values[[row[item] for item in wanted]], block.values[shelf])
        answers: list[Answer] = []
        for item in self.question.asked.tolist():
            kinds, reasons = self._kept_off(item)
            if kinds:
                answers.append(Answer(str(self.ids[item]), kinds[0], tuple(reasons)))
            elif item not in place:
                answers.append(Answer(str(self.ids[item]), "no_candidate", (_NO_CANDIDATE,), 0, len(open_to)))
            else:
                at = wanted.index(item)
                by = {name: float(values[at]) for name, values in moved.items()}
                kind, reason = self._outranked(item, place, block, row)
                told = self._pulls(by, item, block.values[row[item]])
                answers.append(Answer(str(self.ids[item]), kind, (reason,), place[item], len(open_to), told))
        return answers

    def _kept_off(self, item: int) -> tuple[list[Kind], list[str]]:
        """What forbids the item, whatever its score."""
        kinds: list[Kind] = []
        reasons: list[str] = []
        if item in self.history and _keeps_off(self.history[item][0], self.settings):
            done, at = self.history[item]
            bought = BEHAVIOURS[done] == "buy"
            kinds.append("bought" if bought else "seen")
            what = "what was bought" if bought else "what was seen before"
            reasons.append(f"Already {_DONE[BEHAVIOURS[done]]} on {_day(at)}; {what} is not shown again.")
        for rule in self.catalog.rules.rules:
            if _forbids(rule) and bool(concerns(rule, self.catalog.columns)[item]):
                kinds.append("rule")
                reasons.append(rule_words(rule))
        return kinds, reasons

    def _outranked(
        self, item: int, place: Mapping[int, int], block: RankedBlock, row: Mapping[int, int]
    ) -> tuple[Kind, str]:
        shelf = [one for one in self.question.shelf.tolist() if one in place]
        stands = f"Place {place[item]:,} of {len(place):,} candidates"
        last = max((place[one] for one in shelf), default=0)
        if place[item] < last:
            return "varied", f"{stands}, good enough for the first shelf; but {self._varied(item)}."
        reason = f"{stands}; the first shelf holds {len(self.question.shelf)}."
        if shelf:
            worst = min(float(block.chances[row[one]]) for one in shelf)
            own = float(block.chances[row[item]])
            if own > 0 and worst / own >= 1.1:
                reason += f" Even the least likely item of that shelf is {times(worst / own)} times as likely."
        return "rank", reason

    def _varied(self, item: int) -> str:
        """Why items further down the order were taken instead."""
        caps = [rule for rule in self.catalog.rules.rules if rule.rule == "cap" and rule.shelf in ("", _SHELF)]
        for rule in caps:
            if bool(concerns(rule, self.catalog.columns)[item]):
                return (
                    f"variety, or a business rule that limits items of one {rule.field.replace('_', ' ')}, kept it off"
                )
        page = set(self.question.page.tolist())
        alike = next((one for one in self.catalog.similar.get(item, ()) if one in page), None)
        if alike is not None:
            return f"the page already shows “{self.catalog.names[alike]}”, which is much like it"
        return "that shelf mixes kinds of items, and further down it found more of a change"

    def _pulls(self, by: Mapping[str, float], item: int, values: NDArray[np.float32]) -> tuple[Pull, ...]:
        told = [
            Pull(name, RESPECTS[name], self._detail(name, item, values), round(amount, 3))
            for name, amount in by.items()
            if abs(amount) >= _LEAST_PULL
        ]
        return tuple(sorted(told, key=lambda pull: (pull.by, pull.respect)))

    def _detail(self, respect: str, item: int, values: NDArray[np.float32]) -> str:
        """What can be said of a respect in figures; empty where there is nothing."""
        if respect in _SHARES:
            value = (self.catalog.columns[respect][item] or "").strip()
            share = float(values[_AT[f"share_{respect}"]])
            return f"{value}: {share:.0%} of their items" if value else ""
        if respect == "popularity":
            people = round(float(values[_AT["people"]]))
            return "1 person turned to it" if people == 1 else f"{people:,} people turned to it"
        if respect == "price" and values[_AT["price_gap"]]:
            ratio = float(np.exp(values[_AT["price_gap"]]))
            return f"{times(ratio)} times what their items typically cost"
        if respect == "look" and values[_AT["image_nearest"]] > -1:
            return f"cosine {float(values[_AT['image_nearest']]):.2f} to the closest"
        if respect == COMPANY and not values[_AT["item_knn"]]:
            return "not among what people with their items turn to most"
        return ""


_NO_CANDIDATE = "No candidate: none of the sources that propose items to this shopper proposed it."
_LEAST_PULL = 0.02
"""Natural log units below which a respect moved nothing worth telling."""


def rule_words(rule: Rule) -> str:
    """What a rule that forbids an item says."""
    until = "" if rule.ends is None else f" until {day_text(datetime.combine(rule.ends, time()))} {rule.ends.year}"
    field = rule.field.replace("_", " ")
    if rule.rule == "out_of_stock":
        return f"Out of stock{until}, by a business rule."
    if rule.rule == "price_band":
        low, high = rule.value, rule.number
        band = f"from {low} to {high:g}" if low and high is not None else f"from {low}" if low else f"up to {high:g}"
        return f"A business rule{until} shows only prices {band}."
    return f"A business rule{until} keeps off items of {field} “{rule.value}”."


def unknown_shopper(item_id: str, rank: int | None, shown: int) -> Answer:
    """The answer for a shopper of whom nothing is known; `rank`: the item's place among the popular ones."""
    place = f"is number {rank:,} of them" if rank is not None else "is not among them"
    reason = f"Nothing is known about this shopper, so the {shown} most popular items are shown; this one {place}."
    return Answer(item_id, "unknown", (reason,))


def _day(at: int) -> str:
    return day_text(datetime.fromtimestamp(at, UTC))
