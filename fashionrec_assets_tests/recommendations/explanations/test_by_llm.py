"""Texts by a language model, against a server that lies, misbehaves, or does as it is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from fashionrec_assets.recommendations.explanations.by_llm import LanguageModelWriter, Wish, parse
from fashionrec_assets.recommendations.explanations.facts import Evidence
from fashionrec_assets.recommendations.explanations.texts import NOTHING, Explanation
from fashionrec_assets.recommendations.explanations.verifier import problems
from fashionrec_assets.recommendations.explanations.writing import explain
from fashionrec_assets.resources.llm import Answer, NoEndpointError
from fashionrec_assets.settings import ExplanationSettings
from fashionrec_assets_tests.descriptions.conftest import server  # noqa: F401
from fashionrec_assets_tests.descriptions.server import KEY, LEAKY, Call, LanguageModelServer, Reply, error, said
from fashionrec_assets_tests.recommendations.explanations.evidence import EVERYTHING, about

EVIDENCE = about(*EVERYTHING[:3], EVERYTHING[5], subject="user-4711")
GOOD = [
    {"text": "You saved “Kitsu breton” on 3 March.", "cites": "f1"},
    {"text": "it is dark blue, as are 5 of the 7 items you turned to", "cites": "f2"},
]
LIE = {"text": "It costs 9.99, a bargain you will love", "cites": "f6"}


def settings(**changes: Any) -> ExplanationSettings:
    fast = {"provider": "openai", "model": "m", "backoff_s": 0.001, "max_attempts": 2, "call_timeout_s": 10.0}
    return ExplanationSettings.model_validate(fast | changes)


def answering(server: LanguageModelServer, *answers: list[dict[str, str]]) -> None:  # noqa: F811
    """Let the server give these claims, one list after the other, the last one from then on."""
    left = list(answers)

    def reply(call: Call) -> Reply:
        return said({"claims": left.pop(0) if len(left) > 1 else left[0]})

    server.default = reply


def written(evidence: Evidence = EVIDENCE, order: Any = None, **changes: Any) -> Explanation:
    chosen = settings(**changes)
    (made,) = explain([evidence], chosen, seed=1, orders=[order], model=LanguageModelWriter(chosen))
    assert problems(made, evidence, chosen) == []
    return made


def test_claims_that_hold_are_published(server: LanguageModelServer) -> None:  # noqa: F811
    answering(server, GOOD)
    made = written()
    assert made.text == ("You saved “Kitsu breton” on 3 March. It is dark blue, as are 5 of the 7 items you turned to.")
    assert (made.lead, made.writer, made.rejected) == ("history", "llm", 0)
    assert [claim.cites for claim in made.claims] == ["f1", "f2"]
    assert len(server.calls) == 1
    assert server.calls[0].body["response_format"]["json_schema"]["strict"] is True


def test_a_refused_claim_goes_back_with_the_verifiers_words(server: LanguageModelServer) -> None:  # noqa: F811
    answering(server, [GOOD[0], LIE], GOOD)
    made = written()
    assert (made.writer, made.rejected) == ("llm", 1)
    first, second = (call.data for call in server.calls)
    assert "refused" not in first
    (found,) = second["refused"].values()
    assert any("9.99" in one for one in found) and any("bargain" in one for one in found)
    assert second["draft"][1]["text"] == LIE["text"]


def test_a_claim_refused_to_the_end_is_replaced_by_rules(server: LanguageModelServer) -> None:  # noqa: F811
    answering(server, [GOOD[0], LIE])
    made = written(rounds=2)
    assert (made.writer, made.rejected, len(server.calls)) == ("fallback", 2, 2)
    assert made.claims[0].text == "You saved “Kitsu breton” on 3 March"
    assert made.claims[1].cites == "f6" and "24.99" in made.claims[1].text
    assert "9.99, a" not in made.text and "love" not in made.text


def test_claims_about_nothing_told_twice_or_too_many_are_dropped(server: LanguageModelServer) -> None:  # noqa: F811
    answering(server, [{"text": "It is red", "cites": "f77"}, GOOD[1], GOOD[1]])
    made = written(rounds=1)
    assert [claim.cites for claim in made.claims] == ["f2"]
    assert (made.writer, made.rejected) == ("fallback", 2)
    answering(server, [GOOD[0], GOOD[1]])
    assert len(written(length="short").claims) == 1


@pytest.mark.parametrize(
    "reply",
    [
        lambda call: error(500),
        lambda call: error(401),
        lambda call: Reply(body={}, cut=3),
        lambda call: said({"claims": []}),
        lambda call: said({"other": 1}),
        lambda call: said({"claims": [LIE | {"cites": "f99"}]}),
    ],
)
def test_without_an_answer_rules_write_the_text(
    server: LanguageModelServer,  # noqa: F811
    reply: Callable[[Call], Reply],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.default = reply
    with caplog.at_level(logging.DEBUG):
        made = written()
    assert made.writer == "fallback" and made.claims and made.lead == "history"
    assert KEY not in caplog.text and LEAKY not in caplog.text


def test_the_budget_ends_calls_not_texts(server: LanguageModelServer) -> None:  # noqa: F811
    answering(server, GOOD)
    chosen = settings(token_cap=10)
    writer = LanguageModelWriter(chosen)
    made = explain([EVIDENCE] * 3, chosen, seed=1, model=writer)
    assert [one.writer for one in made] == ["fallback"] * 3 and not server.calls
    assert writer.figures()["calls_ended_early"] == "over_budget"


def test_the_model_is_told_facts_and_no_person(server: LanguageModelServer) -> None:  # noqa: F811
    answering(server, GOOD)
    written(order=["price"])
    call = server.calls[0]
    assert "user-4711" not in call.system + call.user
    assert [one["id"] for one in call.data["facts"]] == ["f1", "f2", "f3", "f6"]
    assert call.data["facts"][0]["wording"].startswith(("you ", "on ", "12 of", "of the 80"))
    assert "The first claim cites f6." in call.system


def test_a_lead_that_is_wanted_is_kept(server: LanguageModelServer) -> None:  # noqa: F811
    answering(server, [LIE | {"cites": "f1"}, GOOD[1]])
    made = written(order=["price"])
    assert (made.lead, made.writer, made.rejected) == ("price", "fallback", 2)
    answering(server, GOOD, [{"text": "It costs 24.99", "cites": "f6"}, *GOOD])
    made = written(order=["price"])
    assert (made.lead, made.writer, made.rejected) == ("price", "llm", 0)


def test_many_texts_keep_their_order(server: LanguageModelServer) -> None:  # noqa: F811
    def repeating(call: Call) -> Reply:
        fact = call.data["facts"][0]
        reply = said({"claims": [{"text": fact["wording"], "cites": fact["id"]}]})
        reply.wait_s = 0.05
        return reply

    server.default = repeating
    chosen = settings(concurrency=4)
    wishes = [Wish(about(fact, subject=f"u{n}")) for n, fact in enumerate(EVERYTHING[:8])]
    made = LanguageModelWriter(chosen).write(wishes, seed=1)
    assert [one.lead for one in made] == [fact.kind for fact in EVERYTHING[:8]]
    assert 1 < server.most_at_once <= 4
    assert [one.writer for one in made] == ["llm"] * 8


def test_without_facts_nothing_is_asked(server: LanguageModelServer) -> None:  # noqa: F811
    answering(server, GOOD)
    assert written(about()).text == NOTHING["homepage"]
    assert not server.calls


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(NoEndpointError, match="EXPLANATIONS__PROVIDER=rules"):
        LanguageModelWriter(settings())
    with pytest.raises(ValidationError, match="EXPLANATIONS__MODEL"):
        ExplanationSettings(provider="openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(FileNotFoundError, match="v99"):
        LanguageModelWriter(settings(prompts="v99"))
    assert LanguageModelWriter(settings()).version != LanguageModelWriter(settings(rounds=3)).version


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"claims": [{"text": "a"}]}', '{"claims": [{"text": "' + "a" * 400])
def test_what_is_no_draft_is_none(text: str) -> None:
    assert parse(Answer(text, False, False, None)) is None
    assert parse(Answer('{"claims": [{"text": "Red it is", "cites": "f1"}]}', False, True, None)) is None
