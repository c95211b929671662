"""Two judges at a server on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from fashionrec_assets.evaluation.explanations.judges import Grades, grades_of, judge, kappa, question
from fashionrec_assets.settings import ExplanationSettings, FeedbackSettings
from fashionrec_assets_tests.descriptions.server import KEY, Call, LanguageModelServer, Reply, error, said, serving
from fashionrec_assets_tests.evaluation.explanations.made import made

CALLS = ExplanationSettings(backoff_s=0.001, max_attempts=2, concurrency=2)
ROWS = [made([name], subject="user-4711", item=name) for name in ("f1", "f2", "f3", "f1")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LanguageModelServer]:
    with serving() as (state, url):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield state


def grades(value: int) -> Reply:
    return said({"clear": value, "specific": value, "persuasive": 3})


def strict_or_kind(call: Call) -> Reply:
    """Both like texts about a type better; the kind one gives more."""
    liked = "type" in call.data["explanation"]
    return grades((2 if liked else 1) if call.body["model"] == "strict" else (5 if liked else 4))


def test_no_judges_no_calls() -> None:
    assert judge(ROWS, FeedbackSettings(), CALLS) is None


def test_grades_and_agreement(server: LanguageModelServer) -> None:
    server.default = strict_or_kind
    found = judge(ROWS, FeedbackSettings(judges=("strict", "kind")), CALLS)
    assert found is not None
    assert len(server.calls) == 8
    assert found.means["strict"]["clear"] == pytest.approx(1.25)
    assert found.means["kind"]["clear"] == pytest.approx(4.25)
    assert (found.both, found.failed) == (4, 0)
    clear = found.kappa["clear"]
    assert clear is not None and 0 <= clear < 0.2, "the same order, but never the same grade"
    assert found.kappa["persuasive"] is None, "one grade only: chance agrees always"


def test_answers_that_are_no_grades_are_counted_and_left_out(server: LanguageModelServer) -> None:
    def fault(call: Call) -> Reply:
        if call.body["model"] == "kind":
            return error(500)
        return said({"clear": 9, "specific": 1, "persuasive": 1}) if "type" in call.data["explanation"] else grades(2)

    server.default = fault
    found = judge(ROWS, FeedbackSettings(judges=("strict", "kind")), CALLS)
    assert found is not None
    assert (found.both, found.failed) == (0, 5)
    assert list(found.means) == ["strict"]
    assert found.kappa["clear"] is None


def test_what_is_asked_is_fenced_and_names_nobody() -> None:
    asked = question(ROWS[0])
    assert "user-4711" not in asked.system + asked.user
    first, data, last = asked.user.split("\n")
    assert first == last and first not in data
    assert json.loads(data)["explanation"] == ROWS[0].text


def test_kappa_is_one_for_agreement_and_below_zero_for_its_opposite() -> None:
    assert kappa([1, 3, 5, 2], [1, 3, 5, 2]) == 1
    opposite = kappa([1, 5, 1, 5], [5, 1, 5, 1])
    assert opposite is not None and opposite < 0
    assert kappa([], []) is None
    assert grades_of('{"clear": 1, "specific": 2, "persuasive": 3}') == Grades(clear=1, specific=2, persuasive=3)
    assert grades_of('{"clear": 0, "specific": 2, "persuasive": 3}') is None
    assert grades_of("[]") is None
