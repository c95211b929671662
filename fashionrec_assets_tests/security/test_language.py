"""Whatever a seller, a shopper or a language model writes: read, refused or dropped, never an error, never believed."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fashionrec_assets.descriptions.answers import (
    AttributeName,
    Source,
    parse_draft,
    parse_verdict,
)
from fashionrec_assets.descriptions.claims import FIELDS, ItemText, unsupported_claims
from fashionrec_assets.descriptions.cleaning import clean_text
from fashionrec_assets.descriptions.conversation import Talk
from fashionrec_assets.descriptions.deterministic import DeterministicProvider
from fashionrec_assets.descriptions.prompts import fence_of
from fashionrec_assets.evaluation.explanations.judges import Grades
from fashionrec_assets.recommendations.assistant import by_llm
from fashionrec_assets.recommendations.assistant.follow_up import follow_up
from fashionrec_assets.recommendations.assistant.prices import amount, prices_in
from fashionrec_assets.recommendations.assistant.query import MOST_CHARS, Query, cleaned, parse
from fashionrec_assets.recommendations.explanations import by_llm as explaining
from fashionrec_assets.recommendations.explanations.texts import Claim, Explanation
from fashionrec_assets.recommendations.explanations.verifier import claim_problems, problems
from fashionrec_assets.resources import llm
from fashionrec_assets.resources.llm import Answer, BatchLine, CallFailedError, Failure, read_answer
from fashionrec_assets.settings import DescriptionSettings
from fashionrec_assets_tests.recommendations.assistant.catalog import small_catalog
from fashionrec_assets_tests.recommendations.explanations.evidence import ALL
from fashionrec_assets_tests.security.hostile import any_texts, examples, json_texts, json_values, texts, values

VOCABULARY = small_catalog().vocabulary
WRITER = DeterministicProvider(DescriptionSettings())

PHRASES = """red blue dress boots not without or under over between and about 30 €40 $1,299.50 cheaper more like the
second one in instead any brand start again 10-20 too expensive 红色 最多 100元 size 42"""
CLAIMING = "you bought Aurelle jeans 5 of 7 on 3 March “ ” it is Dark Blue"

words = st.lists(
    st.one_of(
        st.sampled_from(PHRASES.split()),
        texts,
    ),
    max_size=8,
).map(" ".join)


@given(text=any_texts)
@example(text="&amp;amp;lt;b&amp;amp;gt;x")
@example(text="<<b>script>alert(1)</script>")
@example(text="Ã©&#x3c;i&#x3e;")
def test_cleaning_ends_in_one_line_of_plain_words_and_changes_nothing_more(text: str) -> None:
    clean = clean_text(text)
    assert clean == " ".join(clean.split())
    assert not any(mark in clean.lower() for mark in ("<script", "<img", "<iframe", "<svg", "http://", "https://"))
    assert clean_text(clean) == clean
    clean.encode("utf-8")


@examples(1.5)
@given(
    title=st.one_of(texts, words),
    fields=st.fixed_dictionaries({}, optional={name: st.one_of(st.none(), texts) for name in FIELDS}),
    colours=st.lists(st.tuples(st.sampled_from(["red", "navy", "white"]), st.floats(0, 1)), max_size=2),
)
def test_the_rules_describe_anything_and_every_word_of_it_has_a_source(
    title: str, fields: dict[str, str | None], colours: list[tuple[str, float]]
) -> None:
    item = ItemText("i", title, **fields, measured_colours=tuple(colours))  # pyright: ignore[reportArgumentType]
    (found,) = WRITER.describe_batch([item])
    assert found.text and len(found.text) <= DescriptionSettings().max_chars
    assert unsupported_claims(found, item) == []
    assert "<script" not in found.text.lower() and "\x1b" not in found.text


attribute = st.fixed_dictionaries(
    {
        "name": st.sampled_from(AttributeName.__args__),  # pyright: ignore[reportAttributeAccessIssue]
        "value": texts,
        "source": st.sampled_from(Source.__args__),  # pyright: ignore[reportAttributeAccessIssue]
        "evidence": texts,
    }
)
drafts = st.fixed_dictionaries({"description": texts, "attributes": st.lists(attribute, max_size=3)})
verdicts = st.fixed_dictionaries({"approved": st.booleans(), "critique": texts})


@given(text=json_texts(drafts, verdicts))
@example(text='{"description": "\\ud800", "attributes": []}')
def test_a_draft_or_a_verdict_is_one_or_none(text: str) -> None:
    draft, verdict = parse_draft(text), parse_verdict(text)
    if draft is not None:
        assert parse_draft(draft.model_dump_json()) == draft
        said = draft.as_description()
        item = ItemText("i", "red dress")
        unsupported_claims(said, item, photo_read=True)
    if verdict is not None:
        assert parse_verdict(verdict.model_dump_json()) == verdict
    assert draft is None or verdict is None


@given(data=texts)
def test_nothing_inside_a_fence_can_close_it(data: str) -> None:
    assert fence_of(data) not in data


@examples(2)
@given(text=st.one_of(words, any_texts))
def test_any_query_is_read_and_the_same_way_again(text: str) -> None:
    query = parse(text, VOCABULARY)
    assert query == parse(text, VOCABULARY)
    assert cleaned(cleaned(text)) == cleaned(text) and len(cleaned(text)) <= MOST_CHARS
    assert all(one.limit is None or math.isfinite(one.limit) for one in query.constraints)
    for price in prices_in(cleaned(text)):
        assert price.low is None or price.high is None or price.low <= price.high
        assert 0 <= price.start < price.end <= len(cleaned(text))
    found = amount(text)
    assert found is None or (math.isfinite(found) and found >= 0)


@examples(2)
@given(lines=st.lists(st.one_of(words, any_texts), min_size=1, max_size=4))
def test_a_conversation_goes_on_whatever_is_said(lines: list[str]) -> None:
    query = Query()
    for line in lines:
        turn = follow_up(query, line, VOCABULARY, [30.0, float("nan"), 50.0])
        assert turn.like is None or 1 <= turn.like <= 3
        assert len({one.key for one in turn.query.constraints}) == len(turn.query.constraints)
        query = turn.query


asked = st.fixed_dictionaries(
    {
        "attribute": st.sampled_from(by_llm.Attribute.__args__),  # pyright: ignore[reportAttributeAccessIssue]
        "value": st.one_of(st.sampled_from(["red", "dress", "boots"]), texts),
        "excluded": st.booleans(),
        "words": st.one_of(st.sampled_from(["red", "not red", "dress"]), texts),
    }
)
limits = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["price_below", "price_above"]),
        "amount": st.one_of(st.sampled_from([30, 30.0, 10**400]), st.integers(), st.floats()),
        "words": st.one_of(st.sampled_from(["under 30", "30"]), texts),
    }
)
understood = st.fixed_dictionaries(
    {"asked": st.lists(asked, max_size=3), "limits": st.lists(limits, max_size=2), "rest": st.lists(texts, max_size=2)}
)


@examples(2)
@given(text=words, answer=json_texts(understood))
@example(
    text="a dress under 30",
    answer='{"asked": [], "limits": [{"kind": "price_below", "amount": 1%s, "words": "under 30"}], "rest": []}'
    % ("0" * 400),
)
def test_a_model_can_add_no_constraint_that_the_words_do_not_say(text: str, answer: str) -> None:
    found = by_llm.parse_answer(answer)
    if found is None:
        return
    by_rules = parse(text, VOCABULARY)
    query = by_llm.checked(found, text, VOCABULARY, by_rules)
    folded = cleaned(text)
    for one in query.constraints:
        assert one.limit is None or math.isfinite(one.limit)
        asked_for = [cleaned(part.words) for part in found.asked] + [cleaned(part.words) for part in found.limits]
        assert any(part and part in folded for part in (*asked_for, *map(cleaned, found.rest)))


claims = st.fixed_dictionaries(
    {"claims": st.lists(st.fixed_dictionaries({"cites": st.sampled_from(["f1", "f2", "f99"]), "text": texts}))}
)


@given(text=json_texts(claims))
def test_an_explanation_of_a_model_is_judged_whatever_it_says(text: str) -> None:
    found = explaining.parse(Answer(text, refused=False, cut_short=False, use=None))
    if found is None:
        return
    for claim in found:
        refused = claim_problems(claim, ALL)
        if any(mark in claim.text for mark in "<>{}\x1b"):
            assert refused


claim_texts = st.one_of(
    texts,
    st.lists(
        st.one_of(st.sampled_from(CLAIMING.split()), values),
        max_size=8,
    ).map(" ".join),
)


@given(text=claim_texts, cited=st.sampled_from([fact.id for fact in ALL.facts] + ["f99"]), whole=claim_texts)
def test_the_verifier_has_an_opinion_on_everything(text: str, cited: str, whole: str) -> None:
    claim = Claim(text, cited)
    assert all(claim_problems(claim, ALL)) and all(problems(Explanation(whole, (claim,), None), ALL))
    if cited == "f99":
        assert claim_problems(claim, ALL)


@given(text=json_texts(st.fixed_dictionaries({"grades": st.lists(json_values, max_size=2)})))
def test_the_judge_and_the_desk_read_what_they_wrote(text: str) -> None:
    for shape in (Grades, Talk):
        try:
            found = shape.model_validate_json(text)
        except ValueError:
            continue
        assert shape.model_validate_json(found.model_dump_json()) == found


choice: dict[str, Any] = {
    "message": st.one_of(st.fixed_dictionaries({"content": st.one_of(st.none(), texts)}), json_values),
    "finish_reason": st.one_of(st.sampled_from(["stop", "length", "content_filter"]), json_values),
}
completions = st.fixed_dictionaries(
    {
        "choices": st.lists(st.fixed_dictionaries(choice), max_size=2),
        "usage": st.one_of(
            st.fixed_dictionaries({"prompt_tokens": st.integers(), "completion_tokens": st.integers()}), json_values
        ),
    }
)
batch_lines = st.fixed_dictionaries(
    {
        "custom_id": st.one_of(texts, json_values),
        "response": st.one_of(
            st.fixed_dictionaries(
                {
                    "status_code": st.one_of(st.sampled_from([200, 400, 429, 500]), json_values),
                    "body": st.one_of(
                        completions, st.fixed_dictionaries({"error": st.dictionaries(st.just("code"), json_values)})
                    ),
                }
            ),
            json_values,
        ),
    }
)


@given(text=json_texts(completions, batch_lines))
@example(text='{"custom_id": "1", "response": {"status_code": 400, "body": {"error": {"code": ["x"]}}}}')
@example(text='{"custom_id": "1", "response": {"status_code": 400, "body": {"error": {"code": {}}}}}')
def test_an_answer_of_a_server_is_read_or_one_of_the_known_failures(text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    try:
        answer = read_answer(content)
    except CallFailedError as failed:
        assert failed.failure is Failure.UNREADABLE
    else:
        assert isinstance(answer.text, str)
    line = llm._read_line(content)
    assert line is None or isinstance(line, BatchLine)
    if line is not None and line.answer is None:
        assert isinstance(line.failure, Failure)


@given(text=st.one_of(values, texts, st.just("Wed, 21 Oct 99999 07:28:00 GMT"), st.dates().map(str)))
def test_a_server_can_ask_for_any_pause(text: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        found = llm._retry_after({name: text})
        assert found is None or (math.isfinite(found) and found >= 0)


@pytest.mark.parametrize("code", [["a"], {"a": 1}, None, 5, "content_filter"])
def test_an_error_code_of_any_shape_is_translated(code: object) -> None:
    import httpx
    import openai

    request = httpx.Request("POST", "http://127.0.0.1/")
    body = json.loads(json.dumps({"code": code, "message": "m"}))
    with pytest.raises(CallFailedError), llm._translated():
        response: Any = httpx.Response(400, request=request)
        raise openai.BadRequestError("no", response=response, body=body)
