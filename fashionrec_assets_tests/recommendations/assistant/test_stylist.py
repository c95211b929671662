from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.embeddings.reading import Vectors
from fashionrec_assets.recommendations.assistant.printing import answer_lines
from fashionrec_assets.recommendations.assistant.query import Constraint, Query, Reading
from fashionrec_assets.recommendations.assistant.retrieval import Retriever, Scores, best, standardised
from fashionrec_assets.recommendations.assistant.stylist import Answer, Found, Relaxation, Stylist
from fashionrec_assets.recommendations.assistant.taste import People, Taste
from fashionrec_assets.recommendations.explanations.facts import Evidence
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets_tests.recommendations.assistant.catalog import small_catalog

CATALOG = small_catalog()
N = len(CATALOG)
DAY = 86_400


class Known(Retriever):
    """Scores that can be foreseen: items in the order of their ids, likeness by the distance of rows."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.texts = Vectors(np.eye(N, dtype=np.float32) * 0.8 + np.float32(0.6), np.ones(N, dtype=np.bool_))

    def scores(self, texts: Sequence[str]) -> Scores:
        self.asked += texts
        return Scores(np.tile(-np.arange(N, dtype=np.float32), (len(texts), 1)), np.zeros((len(texts), N), np.float32))

    def alike(self, row: int) -> Scores:
        near = -100 * np.abs(np.arange(N, dtype=np.float32) - row)[None, :]
        return Scores(near, np.zeros_like(near))


class Few(People):
    """One user, "u", who bought item b and looked at item a and c; "v" is a user without events."""

    def __init__(self) -> None:
        places = [BEHAVIOURS.index(name) for name in ("buy", "pv", "pv")]
        self.log = EventLog.build(
            ["u", "v"], CATALOG.item_ids.tolist(), [0, 0, 0], [1, 0, 2], [0, DAY, 2 * DAY], places
        )

    def _scores(self, mine: EventLog, row: int) -> np.ndarray:
        return np.where(np.arange(N) == 6, np.float32(1_000), np.float32(0)).astype(np.float32)


@pytest.fixture
def stylist(tmp_path: Path) -> Stylist:
    found = Stylist(Shop(Settings(home=tmp_path), ()), allowed=np.ones(N, dtype=np.bool_))
    found.__dict__.update(catalog=CATALOG, retriever=Known(), people=Few())
    return found


def ids(answer: object) -> list[str]:
    return [one.item_id for one in answer.items]  # pyright: ignore[reportAttributeAccessIssue]


def test_what_fits_comes_in_the_order_of_the_scores(stylist: Stylist) -> None:
    answer = stylist.ask("something blue", k=2)
    assert ids(answer) == ["b", "c"]
    assert answer.fitting == 3
    assert [one.rank for one in answer.items] == [1, 2]
    assert all(one.text for one in answer.items)
    assert isinstance(stylist.retriever, Known)
    assert stylist.retriever.asked == ["blue"]


def test_the_evidence_is_what_was_asked_for_and_true_of_the_item(stylist: Stylist) -> None:
    found = stylist.ask("blue shirt under 45").items[0]
    facts = {(fact.kind, fact.what): fact for fact in found.evidence.facts}
    assert found.item_id == "g"
    assert facts["asked", "colour"].value == "blue"
    assert (facts["asked", "price_below"].number, facts["asked", "price_below"].base) == (45.0, 40.0)
    assert facts["attribute", "colour"].value == "light blue"
    assert [fact.id for fact in found.evidence.facts] == [f"f{place}" for place in range(1, len(facts) + 1)]


def test_a_user_s_taste_counts_and_what_they_bought_is_left_out(stylist: Stylist) -> None:
    assert ids(stylist.ask("blue", user="u")) == ["g", "c"]
    facts = stylist.ask("dress", user="u").items[0].evidence.facts
    assert [fact.item for fact in facts if fact.kind == "wording"] == ["c"]
    assert next(fact for fact in facts if fact.kind == "price").base == 30.0


@pytest.mark.parametrize("user", ["v", "nobody"])
def test_an_unknown_user_is_answered_and_told(stylist: Stylist, user: str) -> None:
    answer = stylist.ask("blue", user=user)
    assert sorted(ids(answer)) == ["b", "c", "g"]
    assert any("Nothing is known" in note for note in answer.notes)


def test_where_nothing_fits_it_says_which_constraint_to_give_up(stylist: Stylist) -> None:
    answer = stylist.ask("blue dress under 40")
    assert not answer.items
    assert answer.fitting == 0
    assert {one.constraints[0].label: one.items for one in answer.relaxations}["colour blue"] == 1
    printed = list(answer_lines(answer))
    assert "Nothing fits all of it." in printed
    assert any("Without" in line and "1 item fits" in line for line in printed)


def test_a_conversation_remembers_what_was_asked_and_shown(stylist: Stylist) -> None:
    talk = stylist.conversation(k=3)
    assert ids(talk.ask("blue")) == ["b", "c", "g"]
    assert ids(talk.ask("more like the third")) == ["c", "b"]
    assert ids(talk.ask("cheaper")) == ["c"]
    assert not talk.ask("over 900").items
    assert ids(talk.ask("forget the price")) == ["b", "c", "g"]


def test_an_empty_question_is_asked_back(stylist: Stylist) -> None:
    answer = stylist.ask("show me something please")
    assert not answer.items
    assert answer.notes


def test_rules_of_the_shop_are_kept(tmp_path: Path) -> None:
    found = Stylist(Shop(Settings(home=tmp_path), ()), allowed=CATALOG.item_ids != "b")
    found.__dict__.update(catalog=CATALOG, retriever=Known(), people=Few())
    assert ids(found.ask("blue")) == ["c", "g"]


def test_texts_of_shoppers_and_sellers_are_no_markup() -> None:
    sly = "[red]sly[/red]"
    found = Found(1, sly, sly, 3.0, 1.0, Evidence("assistant", "u", sly, sly, ()), sly)
    wanted = Constraint("brand", (sly,))
    query = Query((wanted,), unknown=(sly,), readings=(Reading(sly, sly),))
    answers = [Answer(query, (found,), 1, notes=(sly,)), Answer(query, (), 0, (Relaxation((wanted,), 1),))]
    for line in (line for answer in answers for line in answer_lines(answer)):
        shown = Text.from_markup(line).plain
        assert "sly" not in shown.replace(sly, "")
    shown = "".join(Text.from_markup(line).plain for answer in answers for line in answer_lines(answer))
    assert shown.count(sly) == 13


def test_standardised_ignores_what_is_absent_and_what_is_flat() -> None:
    values = np.array([[1.0, 3.0, 99.0], [5.0, 5.0, 5.0]], dtype=np.float32)
    present = np.array([True, True, False])
    np.testing.assert_allclose(standardised(values, present), [[-1, 1, 0], [0, 0, 0]])
    assert not standardised(values, ~(present | True)).any()


def test_best_takes_only_what_fits_and_breaks_ties_by_row() -> None:
    scores = np.array([1, 5, 5, 9, 5], dtype=np.float32)
    assert best(scores, np.array([True, True, True, False, True]), 3).tolist() == [1, 2, 4]
    assert best(scores, np.zeros(5, dtype=np.bool_), 3).tolist() == []


def test_taste_orders_a_user_s_items_by_time(stylist: Stylist) -> None:
    taste = stylist.taste("u")
    assert isinstance(taste, Taste)
    assert taste.items.tolist() == [1, 0, 2]
    assert taste.bought.tolist() == [1]
    assert stylist.people.popularity(1).tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert stylist.people.popularity(7).tolist() == [1, 1, 1, 0, 0, 0, 0]
