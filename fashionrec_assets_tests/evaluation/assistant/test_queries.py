from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.evaluation.assistant.checking import Facts, readings
from fashionrec_assets.evaluation.assistant.queries import (
    NAMES,
    SHARES,
    Drawn,
    Meant,
    Source,
    draw_queries,
    draw_vague,
    words_of_shop,
)
from fashionrec_assets.evaluation.assistant.study import as_meant
from fashionrec_assets.recommendations.assistant.query import Constraint, Query, parse
from fashionrec_assets.recommendations.assistant.vocabulary import Vocabulary

SOURCES = [
    Source("a", "Sweet floral frock", 30.0, {"type": "dress", "colour": "red", "pattern": "floral", "gender": "women"}),
    Source("b", "Plain kicks low top", 80.5, {"type": "sneakers", "colour": "navy", "gender": "men", "brand": "Kitsu"}),
    Source("c", "Tee", None, {"type": "t-shirt", "colour": "light blue", "pattern": "stripes", "brand": "O'Hara"}),
    Source("d", "Nothing known", 5.0, {}),
]
FACTS = Facts(
    {one.item_id: one.price for one in SOURCES},
    {
        name: {
            one.item_id: frozenset(readings(name, one.fields[name]) if name in one.fields else ()) for one in SOURCES
        }
        for name in NAMES
    },
)
ALL = [one.item_id for one in SOURCES]


def drawn(seed: int = 1, count: int = 200) -> list[Drawn]:
    return draw_queries(SOURCES, ALL, words_of_shop(True), count, seed=seed)


def test_every_query_means_its_target_and_every_kind_is_drawn() -> None:
    queries = drawn()
    assert {one.kind for one in queries} == set(SHARES)
    assert {one.own for one in queries} == {True, False}
    for one in queries:
        if one.kind == "impossible":
            assert one.target is None
        else:
            assert one.target in FACTS.right(one.meant), one
        assert not any("{" in line or "}" in line for line in one.lines)


def test_the_seed_decides_and_nothing_else() -> None:
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_only_chosen_items_with_a_type_are_drawn_from() -> None:
    words = words_of_shop(False)
    assert {one.target for one in draw_queries(SOURCES, ["a", "d"], words, 50, seed=3)} <= {"a", None}
    assert draw_queries(SOURCES, ["d"], words, 50, seed=3) == []
    assert draw_vague(SOURCES[3], words, np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("meant", "right"),
    [
        (Meant({"colour": "blue"}), "bc"),
        (Meant({"colour": "navy"}), "b"),
        (Meant({"type": "shoes"}), "b"),
        (Meant({}, {"pattern": "floral"}), "c"),
        (Meant({}, {}, None, 30.0), "ad"),
        (Meant({}, {}, 30.0, None), "ab"),
        (Meant({"brand": "O'Hara"}), "c"),
        (Meant({"type": "coat"}), ""),
    ],
)
def test_who_is_what_was_meant(meant: Meant, right: str) -> None:
    assert FACTS.right(meant) == frozenset(right)


def test_a_broken_constraint_is_seen() -> None:
    def kept(item_id: str, *constraints: Constraint) -> bool:
        return FACTS.keeps(item_id, constraints)

    assert kept("b", Constraint("colour", ("blue", "red")), Constraint("price_below", limit=80.5))
    assert not kept("b", Constraint("price_below", limit=80.49))
    assert not kept("c", Constraint("price_below", limit=1_000))
    assert not kept("b", Constraint("colour", ("light blue",)))
    assert not kept("d", Constraint("colour", ("red",), excluded=True))
    assert not kept("a", Constraint("colour", ("red",), excluded=True))
    assert kept("b", Constraint("colour", ("red",), excluded=True))
    assert not kept("d", Constraint("type", ("dress",)))


def test_understood_exactly_means_no_constraint_more_and_none_less() -> None:
    one = Drawn(("navy kicks under 90",), Meant({"colour": "navy", "type": "sneakers"}, {}, None, 90.0), "b", "plain")
    vocabulary = Vocabulary.of({})
    assert as_meant(parse("navy kicks under 90", vocabulary), one)
    assert not as_meant(parse("navy kicks", vocabulary), one)
    assert not as_meant(parse("navy kicks under 91", vocabulary), one)
    assert not as_meant(parse("navy kicks over 90", vocabulary), one)
    assert not as_meant(parse("navy kicks for men under 90", vocabulary), one)
    assert not as_meant(parse("navy or red kicks under 90", vocabulary), one)
    assert not as_meant(parse("kicks under 90, not navy", vocabulary), one)
    assert not as_meant(Query(), one)
