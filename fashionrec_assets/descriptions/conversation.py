"""One item's way through Summariser, Evaluator and Refiner, as a state machine that calls nothing.

Belongs here: what to ask next, and what an answer leads to (VL-CLIP, arXiv 2507.17080: the agent loop, at most five
rounds). Does not belong here: asking (`live.py` one by one, `batch.py` in batches), the rules (`evaluator.py`).

A round is one draft and its judgement. The rules judge first; a draft that breaks one goes to the Refiner with the
rules' own words, and costs no Evaluator call. A draft that keeps them goes to the Evaluator. Its approval ends the
loop. After the last round the latest draft that kept the rules is used, flagged as not approved; if none did, the item
is rejected with the reason of the last draft.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ConfigDict

from fashionrec_assets.descriptions.answers import CRITIQUE_CHARS, Draft, parse_draft, parse_verdict
from fashionrec_assets.descriptions.claims import Description, ItemText
from fashionrec_assets.descriptions.evaluator import HOPELESS, Objection, Rejection, objections
from fashionrec_assets.descriptions.prompts import Prompts, Step
from fashionrec_assets.resources.llm import Answer, Failure, Question

UNAPPROVED = "language model: the evaluator did not approve it in the last round"
VERSION = "1"
"""Raised when the loop or the rules change what comes out."""


class Talk(BaseModel):
    """Where an item stands: kept between runs, so that nothing that was paid for is asked again.

    `good` is the latest draft that kept the rules, `broken` why the latest one did not.
    """

    model_config = ConfigDict(frozen=True)

    step: Step = "summarise"
    round: int = 1
    draft: Draft | None = None
    good: Draft | None = None
    critique: str = ""
    broken: Rejection | None = None
    photo: bool = True
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Case:
    """An item under way: what is known of it, what the rules made of it, its photo, and where it stands."""

    item: ItemText
    baseline: Description
    jpeg: bytes | None = None
    talk: Talk = field(default_factory=Talk)

    @property
    def kind(self) -> str | None:
        """The type that the rules read."""
        return next((one.value for one in self.baseline.attributes if one.name == "type"), None)


@dataclass(frozen=True)
class Outcome:
    """What the catalog says of an item now, and how that came about.

    `reason` is None where the model's text is used; a `Rejection` is final, a `Failure` is tried again by the next run,
    which goes on from `talk`.
    """

    item_id: str
    description: Description
    reason: Rejection | Failure | None
    approved: bool
    talk: Talk

    @property
    def finished(self) -> bool:
        return not isinstance(self.reason, Failure)


class Loop:
    """The rules of the conversation, the same for every item."""

    def __init__(self, prompts: Prompts, *, max_chars: int, max_rounds: int) -> None:
        self._prompts = prompts
        self._max_chars = max_chars
        self._max_rounds = max_rounds

    def question(self, case: Case) -> Question:
        """What to ask next."""
        talk = case.talk
        return self._prompts.question(
            talk.step,
            case.item,
            kind=case.kind,
            max_chars=self._max_chars,
            jpeg=case.jpeg if talk.photo else None,
            draft=talk.draft,
            critique=talk.critique,
        )

    def hear(self, case: Case, answer: Answer) -> Case | Outcome:
        """What an answer leads to: the case one step further, or its end."""
        talk = case.talk
        used = {"calls": talk.calls + 1}
        if answer.use is not None:
            used["tokens_in"] = talk.tokens_in + answer.use.tokens_in
            used["tokens_out"] = talk.tokens_out + answer.use.tokens_out
        case = replace(case, talk=talk.model_copy(update=used))
        if answer.refused:
            return rejected(case, Rejection.REFUSED)
        return self._judged(case, answer) if talk.step == "evaluate" else self._drafted(case, answer)

    def _drafted(self, case: Case, answer: Answer) -> Case | Outcome:
        draft = None if answer.cut_short else parse_draft(answer.text)
        if draft is None:
            reason = Rejection.CUT_SHORT if answer.cut_short else Rejection.BROKEN_SCHEMA
            said = "the answer was too long" if answer.cut_short else "the answer did not keep to the JSON schema"
            return self._once_more(case, case.talk.draft, said, reason)
        found = objections(
            draft.as_description(),
            case.item,
            limit=self._max_chars,
            baseline=case.baseline,
            photo_read=case.jpeg is not None and case.talk.photo,
            prompt_words=self._prompts.word_runs,
        )
        hopeless = next((one for one in found if one.reason in HOPELESS), None)
        if hopeless is not None:
            return rejected(case, hopeless.reason)
        if found:
            return self._once_more(case, draft, _listed(found), found[0].reason)
        changes = {"step": "evaluate", "draft": draft, "good": draft, "critique": "", "broken": None}
        return replace(case, talk=case.talk.model_copy(update=changes))

    def _judged(self, case: Case, answer: Answer) -> Case | Outcome:
        verdict = None if answer.cut_short else parse_verdict(answer.text)
        if verdict is not None and verdict.approved:
            return self._written(case, approved=True)
        if verdict is None and case.talk.round < self._max_rounds:
            return replace(case, talk=case.talk.model_copy(update={"round": case.talk.round + 1}))
        return self._once_more(case, case.talk.draft, verdict.critique if verdict else "", None)

    def _once_more(self, case: Case, draft: Draft | None, critique: str, broken: Rejection | None) -> Case | Outcome:
        talk = case.talk
        if talk.round >= self._max_rounds:
            return self._written(case, approved=False) if talk.good else rejected(case, broken or Rejection.EMPTY)
        changes = {
            "step": "refine",
            "round": talk.round + 1,
            "draft": draft,
            "critique": critique[:CRITIQUE_CHARS],
            "broken": broken,
        }
        return replace(case, talk=talk.model_copy(update=changes))

    @staticmethod
    def _written(case: Case, *, approved: bool) -> Outcome:
        assert case.talk.good is not None
        made = case.talk.good.as_description()
        made = made if approved else replace(made, flags=(UNAPPROVED,))
        return Outcome(case.item.item_id, made, None, approved, case.talk)


def rejected(case: Case, reason: Rejection) -> Outcome:
    """The end of a case whose answers cannot be used: the deterministic text, flagged."""
    return Outcome(case.item.item_id, fallback(case.baseline, reason), reason, False, case.talk)


def waiting(case: Case, reason: Failure) -> Outcome:
    """A case that the next run goes on with: until then the deterministic text, flagged."""
    return Outcome(case.item.item_id, fallback(case.baseline, reason), reason, False, case.talk)


def fallback(baseline: Description, reason: Rejection | Failure) -> Description:
    """The deterministic description, flagged with why the language model's is not there."""
    return replace(baseline, flags=(*baseline.flags, f"language model: {reason.value}"))


def _listed(found: list[Objection]) -> str:
    return "; ".join(dict.fromkeys(one.said for one in found))
