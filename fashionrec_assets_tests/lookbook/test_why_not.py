"""Why items are off a page, on a case small enough to work out by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.lookbook.why_not import Answer, Catalog, Question, pulls, rule_words, unknown_shopper, why_not
from fashionrec_assets.ranking.features import NAMES
from fashionrec_assets.ranking.late_fusion import RankedBlock
from fashionrec_assets.recommendations.rules import Rule, RuleSet
from fashionrec_assets.settings import RecommendationSettings

N = 8
DAY = 86_400
SETTINGS = RecommendationSettings()  # pyright: ignore[reportCallIssue]
_AT = {name: at for at, name in enumerate(NAMES)}
_WEIGHTS = {"people": 0.1, "price_gap": -2.0, "two_tower": 1.0}


class Linear:
    """A ranker whose score is a weighted sum: what a feature is worth is known."""

    def scores(self, values: NDArray[np.float32], *, lift: bool = True) -> NDArray[np.float32]:
        weights = np.zeros(len(NAMES), np.float32)
        for name, weight in _WEIGHTS.items():
            weights[_AT[name]] = weight
        return values @ weights


@dataclass
class Fusion:
    """Candidates as they are given, whatever the ranker: item rows of each user, best first, 0.1 apart."""

    log: EventLog
    lists: dict[int, list[int]]
    values: NDArray[np.float32]
    asked: list[list[int]]
    ranker: Any

    @property
    def known(self) -> Any:
        return SimpleNamespace(log=self.log)

    def ranked(self, users: NDArray[np.int64], hidden: Sequence[NDArray[np.int64]]) -> Iterator[RankedBlock]:
        self.asked += [rows.tolist() for rows in hidden]
        lists = [
            [item for item in self.lists[user] if item not in set(rows.tolist())]
            for user, rows in zip(users.tolist(), hidden, strict=True)
        ]
        owner = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
        items = np.array([item for one in lists for item in one], np.int64)
        scores = np.array([-0.1 * at for one in lists for at in range(len(one))], np.float32)
        yield RankedBlock(users, owner, items, scores, np.exp(scores) / 10, self.values[items])


def rule(kind: str, field: str, value: str | None, number: float | None = None, shelf: str = "") -> Rule:
    return Rule(1, kind, field, value, number, shelf, None, None)


def values() -> NDArray[np.float32]:
    found = np.zeros((N, len(NAMES)), np.float32)
    found[:, _AT["people"]] = [10, 10, 10, 10, 4, 10, 10, 10]
    found[5, _AT["price_gap"]] = np.log(2)
    found[:, _AT["item_knn"]] = 1
    found[:, _AT["image_nearest"]] = -1
    return found


def answers(*rules: Rule, **settings: Any) -> tuple[list[list[Answer]], Fusion]:
    """User 0 bought item 6 on 2 January 1970 and viewed item 7; items 0 and 3 are shown to them. User 1 has seen
    item 0 alone."""
    log = EventLog.build(
        ["u", "v"],
        [f"i{at}" for at in range(N)],
        [0, 0, 0, 1],
        [6, 6, 7, 0],
        [DAY, 9 * DAY, 2 * DAY, DAY],
        [3, 0, 0, 0],
    )
    fusion = Fusion(log, {0: [0, 1, 2, 3, 4, 5, 6, 7], 1: [1, 2, 3]}, values(), [], Linear())
    names = [f"item {at}" for at in range(N)]
    columns = {
        **dict.fromkeys(("product_type", "pattern", "section", "brand"), [""] * N),
        "item_id": log.item_ids.tolist(),
        "colour": ["red", *["black"] * (N - 1)],
        "price": [None, *[5.0] * (N - 1)],
    }
    catalog = Catalog(names, columns, RuleSet(rules), {1: [4, 3]})
    rows = np.array
    questions = [
        Question(0, rows([0, 3]), rows([0, 3]), rows([6, 1, 2, 4, 5])),
        Question(1, rows([1]), rows([1]), rows([2, 7])),
    ]
    return why_not(fusion, catalog, questions, SETTINGS.model_copy(update=settings)), fusion  # pyright: ignore[reportArgumentType]


def test_what_was_bought_is_named_with_its_day() -> None:
    (first, _), fusion = answers()
    assert (first[0].item_id, first[0].kind, first[0].rank) == ("i6", "bought", 0)
    assert first[0].reasons == ("Already bought on 2 January; what was bought is not shown again.",)
    assert fusion.asked == [[6], []]


def test_what_was_only_seen_is_kept_off_by_the_settings_alone() -> None:
    (first, _), fusion = answers(repeat_purchases=True)
    assert first[0].kind != "bought" and fusion.asked == [[], []]
    (first, _), fusion = answers(show_seen=False)
    assert fusion.asked == [[6, 7], [0]]


def test_a_place_behind_the_shelf_is_told_and_how_much_likelier_the_shelf_is() -> None:
    (first, second), _ = answers()
    outranked = first[3]
    assert (outranked.item_id, outranked.kind, outranked.rank, outranked.candidates) == ("i4", "rank", 5, 7)
    assert outranked.reasons == (
        "Place 5 of 7 candidates; the first shelf holds 2. Even the least likely item of that shelf is 1.1 times as "
        "likely.",
    )
    assert (second[0].kind, second[0].rank) == ("rank", 2)


def test_what_ranks_before_the_shelfs_last_item_gave_way_to_variety() -> None:
    (first, _), _ = answers()
    assert [one.kind for one in first[1:3]] == ["varied", "varied"]
    # Of the items much like it, 3 is on the page and 4 is not.
    assert "the page already shows “item 3”" in first[1].reasons[0]
    assert "more of a change" in first[2].reasons[0]


def test_a_limit_may_be_what_kept_a_high_place_off() -> None:
    (first, _), _ = answers(rule("cap", "colour", "black", 1), rule("cap", "brand", None, 1, shelf="new"))
    assert all("a business rule that limits items of one colour" in one.reasons[0] for one in first[1:3])
    (first, _), _ = answers(rule("cap", "colour", "red", 1))
    assert "the page already shows" in first[1].reasons[0]


def test_what_no_source_proposed_is_no_candidate() -> None:
    (_, second), _ = answers()
    assert (second[1].kind, second[1].rank, second[1].candidates) == ("no_candidate", 0, 3)


def test_rules_are_named_and_what_they_forbid_takes_no_place() -> None:
    forbids = rule("exclude", "item_id", "i4")
    (first, _), _ = answers(forbids, rule("cap", "colour", "black", 1), rule("exclude", "item_id", "i5", shelf="new"))
    assert (first[3].kind, first[3].reasons) == ("rule", ("A business rule keeps off items of item id “i4”.",))
    # i5 comes after i4, which no longer counts; a rule for another shelf and a cap forbid nothing here.
    assert (first[4].kind, first[4].rank, first[4].candidates) == ("rank", 5, 6)


def test_every_reason_is_told() -> None:
    (first, _), _ = answers(rule("out_of_stock", "item_id", "i6"))
    assert [len(one.reasons) for one in first] == [2, 1, 1, 1, 1]
    assert first[0].reasons[1] == "Out of stock, by a business rule."


def test_what_pulled_an_item_down_is_what_the_shelf_has_and_it_lacks() -> None:
    (first, _), _ = answers()
    few, dear = first[3].pulls, first[4].pulls
    assert [(pull.respect, pull.by, pull.detail) for pull in few] == [("popularity", -0.6, "4 people turned to it")]
    assert [(pull.respect, pull.detail) for pull in dear] == [("price", "2.0 times what their items typically cost")]
    assert dear[0].by == round(-2 * np.log(2), 3)
    assert first[1].pulls == ()


def test_what_other_people_turn_to_is_one_respect() -> None:
    lacking = np.zeros((1, len(NAMES)), np.float32)
    shelf = np.zeros((2, len(NAMES)), np.float32)
    shelf[:, _AT["two_tower"]] = [1, 2]
    found = pulls(Linear(), lacking, shelf)  # pyright: ignore[reportArgumentType]
    assert {name: round(float(by[0]), 3) for name, by in found.items() if by[0]} == {"company": -1.5}


def test_rules_in_words() -> None:
    assert rule_words(rule("price_band", "price", "5", None)) == "A business rule shows only prices from 5."
    assert rule_words(rule("price_band", "price", None, 9.5)) == "A business rule shows only prices up to 9.5."
    assert rule_words(rule("price_band", "price", "5", 9)) == "A business rule shows only prices from 5 to 9."


def test_a_stranger_is_told_where_the_item_stands_among_the_popular() -> None:
    assert unknown_shopper("x", 21, 20).reasons[0].endswith("this one is number 21 of them.")
    assert unknown_shopper("x", None, 20).reasons[0].endswith("this one is not among them.")
