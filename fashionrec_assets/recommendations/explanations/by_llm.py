"""Texts by a language model, every claim of it judged before anyone reads it.

Belongs here: the way from refused claims to a text that keeps the rules, and bounded concurrency. Does not belong here:
the protocol and its failures (`resources.llm`), judging (`verifier.py`), what the model is told (`prompt.py`).

The model is given one recommendation's facts, as data between fences, without any id of a person. Its answer is
structured: clauses, each citing a fact. Claims that the verifier refuses go back to it with the verifier's words, for
as many rounds as the settings allow; what is still refused then is replaced by the clause that rules make of the same
fact. Whatever fails (no answer, no budget, no JSON) ends in the text that rules write, flagged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from fashionrec_assets.recommendations.explanations.facts import Evidence
from fashionrec_assets.recommendations.explanations.prompt import Draft, Prompt, Wish
from fashionrec_assets.recommendations.explanations.realiser import clause, realise
from fashionrec_assets.recommendations.explanations.texts import Claim, Explanation
from fashionrec_assets.recommendations.explanations.verifier import claim_problems
from fashionrec_assets.resources.llm import (
    Answer,
    CallFailedError,
    CallSettings,
    ChatModel,
    NoEndpointError,
    endpoint_host,
    endpoint_is_set,
    quiet,
)
from fashionrec_assets.resources.spending import Meter, Prices
from fashionrec_assets.settings import ExplanationSettings, digest

MOST_CLAIMS = {"short": 1, "normal": 3}
CLAIM_CHARS = 300
_VERSION = "1"


class LanguageModelWriter:
    """One model, one prompt, one meter. `version` covers what would change a text.

    Raises NoEndpointError if the environment names no endpoint, FileNotFoundError if there is no such prompt.
    """

    def __init__(self, settings: ExplanationSettings) -> None:
        if not endpoint_is_set():
            raise NoEndpointError(
                "explanations.provider is openai, but neither OPENAI_API_KEY nor OPENAI_BASE_URL is set. Set "
                "OPENAI_API_KEY (and OPENAI_BASE_URL for another endpoint than OpenAI's), or set "
                "FASHIONREC_EXPLANATIONS__PROVIDER=rules."
            )
        self._settings = settings
        self.prompt = Prompt(settings)
        self.meter = Meter(Prices(settings.price_in, settings.price_out), settings.budget, settings.token_cap)
        self.model = ChatModel(CallSettings.of(settings), self.meter)

    @cached_property
    def version(self) -> str:
        """Digest of the prompt, the model and every setting that changes a text."""
        settings = self._settings
        return digest([_VERSION, self.prompt.source, settings.model, settings.rounds, settings.temperature])[:16]

    def write(
        self, wishes: Sequence[Wish], *, seed: int, progress: Callable[[int, int], None] | None = None
    ) -> list[Explanation]:
        """One explanation for each of `wishes`, in order. Their claims pass the verifier."""
        from anyio.from_thread import start_blocking_portal

        with quiet(), start_blocking_portal() as portal:
            portal.call(self.model.open)
            try:
                return portal.call(self._all, wishes, seed, progress)
            finally:
                portal.call(self.model.close)

    async def _all(
        self, wishes: Sequence[Wish], seed: int, progress: Callable[[int, int], None] | None
    ) -> list[Explanation]:
        import asyncio

        made: list[Explanation | None] = [None] * len(wishes)
        todo = iter(enumerate(wishes))
        done = 0

        async def work() -> None:
            nonlocal done
            # All workers draw from one iterator: a slow answer holds up one of them only.
            for place, wish in todo:
                made[place] = await self.one(wish, seed=seed)
                done += 1
                if progress is not None:
                    progress(done, len(wishes))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._settings.concurrency, len(wishes))):
                group.create_task(work())
        return [one for one in made if one is not None]

    async def one(self, wish: Wish, *, seed: int) -> Explanation:
        """The text of one wish: by the model, mended by rules, or by rules."""
        settings, evidence = self._settings, wish.evidence
        by_rules = realise(evidence, settings, seed=seed, order=wish.order)
        if not by_rules.claims:
            return by_rules
        rejected = 0
        claims: list[Claim] = []
        refused: dict[int, list[str]] = {}
        for _ in range(settings.rounds):
            try:
                answer = await self.model.ask(self.prompt.question(wish, by_rules, claims, refused, seed=seed))
            except CallFailedError:
                break
            heard = parse(answer)
            if heard is None:
                continue
            claims = heard[: MOST_CLAIMS[settings.length]]
            faults = [self._faults(claims, place, wish) for place in range(len(claims))]
            refused = {place: found for place, found in enumerate(faults) if found}
            rejected += len(refused)
            if wish.order is not None and claims[0].cites != by_rules.claims[0].cites:
                refused.setdefault(0, []).append(f"the first claim must cite {by_rules.claims[0].cites}")
            if not refused:
                break
        if claims and not refused:
            return _text(claims, evidence, "llm", rejected)
        mended = [self._mended(claim, place, refused, evidence, seed) for place, claim in enumerate(claims)]
        kept = list({one.cites: one for one in mended if one is not None}.values())
        if not kept or (
            wish.order is not None and evidence.fact(kept[0].cites) != evidence.fact(by_rules.claims[0].cites)
        ):
            return replace(by_rules, writer="fallback", rejected=rejected)
        return _text(kept, evidence, "fallback", rejected)

    def _faults(self, claims: Sequence[Claim], place: int, wish: Wish) -> list[str]:
        """What the verifier says of one claim; a fact told twice is a fault of the second."""
        claim = claims[place]
        found = claim_problems(claim, wish.evidence, self._settings)
        if any(other.cites == claim.cites for other in claims[:place]):
            found.append(f"{claim.cites} was told already")
        return found

    def _mended(
        self, claim: Claim, place: int, refused: dict[int, list[str]], evidence: Evidence, seed: int
    ) -> Claim | None:
        if place not in refused:
            return claim
        fact = evidence.fact(claim.cites)
        made = None if fact is None else clause(fact, evidence, self._settings, seed=seed)
        return None if made is None else Claim(made.text[:1].upper() + made.text[1:], made.cites)

    def figures(self) -> dict[str, Any]:
        """What this run's calls took, for people; the cost only where prices are known."""
        meter = self.meter
        return {
            "model": f"{self._settings.model} at {endpoint_host()}",
            "calls": meter.calls,
            "retries": meter.retries,
            "tokens_in": meter.used.tokens_in,
            "tokens_out": meter.used.tokens_out,
            "cost": round(meter.cost, 6) if meter.prices.known else None,
            "calls_ended_early": None if self.model.closed is None else self.model.closed.value,
        }


def parse(answer: Answer) -> list[Claim] | None:
    """The claims in an answer, as they will stand in a text; None if it is no draft."""
    if answer.refused or answer.cut_short:
        return None
    try:
        draft = Draft.model_validate(json.loads(answer.text))
        draft.model_dump_json()  # half a surrogate pair is valid JSON, but no text
    except (ValueError, RecursionError):
        return None
    claims = [Claim(_sentence(one.text), one.cites) for one in draft.claims]
    return claims if claims and all(1 < len(one.text) <= CLAIM_CHARS for one in claims) else None


def _sentence(text: str) -> str:
    text = " ".join(text.split()).rstrip(" .")
    return text[:1].upper() + text[1:]


def _text(claims: Sequence[Claim], evidence: Evidence, writer: Any, rejected: int) -> Explanation:
    lead = evidence.fact(claims[0].cites)
    assert lead is not None
    text = ". ".join(claim.text for claim in claims) + "."
    return Explanation(text, tuple(claims), lead.kind, writer, rejected)
