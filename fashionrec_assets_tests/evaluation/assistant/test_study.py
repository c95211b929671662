from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fashionrec_assets.evaluation.assistant.checking import Facts, readings
from fashionrec_assets.evaluation.assistant.page import assistant_page, assistant_verdicts
from fashionrec_assets.evaluation.assistant.queries import NAMES, Drawn, Meant
from fashionrec_assets.evaluation.assistant.study import AssistantReport, Outcome, TasteGain, ask_all
from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.render import html, markdown
from fashionrec_assets.recommendations.assistant.query import Query
from fashionrec_assets.recommendations.assistant.stylist import Stylist
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets_tests.recommendations.assistant.catalog import ROWS
from fashionrec_assets_tests.recommendations.assistant.test_stylist import CATALOG, Few, Known

DRAWN = Drawn(("<b>red</b> dress",), Meant({"type": "dress", "colour": "red"}), "a", "plain")
HIT = Outcome(DRAWN, Query(), ("a", "b"), True, 1, 2, 2, True, False, False)
MISS = Outcome(replace(DRAWN, own=False), Query(), ("b",), False, 1, 1, 0, False, False, True)
SILENT = Outcome(replace(DRAWN, target=None, kind="impossible"), Query(), (), True, 0, 0, 0, False, False, False)
UP = Interval(0.2, 0.1, 0.3)


def report(*outcomes: Outcome, taste: TasteGain | None = None) -> AssistantReport:
    return AssistantReport(outcomes, {0.0: 0.5, 0.5: 0.6}, 0.25, taste, (0.01, 0.02), 50, 1, 7)


def test_shares_are_of_what_they_say() -> None:
    shares = {name: one.value for name, one in report(HIT, HIT, MISS, SILENT).shares().items() if one is not None}
    assert shares["constraints_kept"] == 1.0
    assert shares["items_as_meant"] == pytest.approx(4 / 5)
    assert shares["read_exactly"] == pytest.approx(3 / 4)
    assert shares["read_exactly.own_words"] == 1.0
    assert shares["read_exactly.other_words"] == 0.0
    assert shares["nothing_when_nothing_fits"] == shares["nothing_was_right"] == 1.0
    assert shares["hits@10"] == pytest.approx(2 / 3)
    assert shares["hits@10.clip_only"] == pytest.approx(1 / 3)
    assert report(HIT, MISS).gains()["text_only"].value == 0.5


def test_a_broken_constraint_is_a_bad_verdict() -> None:
    assert assistant_verdicts(report(*[HIT] * 20))[0].tone == "good"
    assert assistant_verdicts(report(*[HIT] * 19, replace(HIT, kept=1)))[0].tone == "bad"
    assert assistant_verdicts(report())[0].tone == "undecided"


def test_verdicts_follow_the_intervals() -> None:
    tones = [one.tone for one in assistant_verdicts(report(*[HIT] * 20))]
    assert tones[1:3] == ["good", "good"]
    assert [one.tone for one in assistant_verdicts(report(*[MISS] * 20))][1:3] == ["undecided", "bad"]
    down = Interval(-0.2, -0.3, -0.1)
    taste = TasteGain(9, UP, UP, UP, UP, down)
    assert [one.tone for one in assistant_verdicts(report(HIT, taste=taste))][3:5] == ["good", "bad"]


def test_the_page_shows_misread_queries_as_text() -> None:
    page = assistant_page(report(HIT, MISS, SILENT, taste=TasteGain(9, UP, UP, UP, UP, UP)))
    assert "&lt;b&gt;red" in html(page)
    assert "<b>red" not in html(page)
    assert "<b>red" not in markdown(page)
    assert "colour red" in html(page)


def test_figures_are_finite_and_named() -> None:
    figures = report(HIT, MISS, taste=TasteGain(9, UP, UP, UP, UP, UP)).flat()
    assert figures["assistant.hits@10"] == 0.5
    assert figures["assistant.taste.gain.low"] == 0.1
    assert all(np.isfinite(value) for value in figures.values())
    assert all(name.startswith("assistant.") for name in figures)


def test_conversations_are_asked_to_their_end_and_judged_by_the_tables(tmp_path: Path) -> None:
    stylist = Stylist(Shop(Settings(home=tmp_path), ()), allowed=np.ones(len(CATALOG), dtype=np.bool_))
    stylist.__dict__.update(catalog=CATALOG, retriever=Known(), people=Few())
    fields = {row[0]: row[3] | {name: value for name, value in row[4] if name not in row[3]} for row in ROWS}
    said = {
        name: {item: frozenset(readings(name, of[name]) if name in of else ()) for item, of in fields.items()}
        for name in NAMES
    }
    facts = Facts({row[0]: row[2] for row in ROWS}, said)
    talk = Drawn(("red dress", "in navy instead"), Meant({"type": "dress", "colour": "navy"}), "b", "talk")
    slang = Drawn(("gorpy zibble",), Meant({"type": "t-shirt"}), "c", "plain")
    nothing = Drawn(("dress under 2",), Meant({"type": "dress"}, high=2.0), None, "impossible")
    first, second, third = ask_all(stylist, facts, [talk, slang, nothing], lambda done, total: None)
    assert (first.returned, first.exact, first.hit, first.really, first.kept, first.right) == (
        ("b",),
        True,
        True,
        1,
        1,
        1,
    )
    assert (second.exact, second.hit, second.right) == (False, True, 1)
    assert len(second.returned) == len(CATALOG)
    assert (third.returned, third.exact, third.really, third.hit) == ((), True, 0, False)
