"""Answers as training data for a language model, in the file formats of OpenAI's fine-tuning service.

Belongs here: which answers make an example, their lines, and pseudonyms. Does not belong here: the prompt and the form
of a model's answer (`explanations/prompt.py`), judging claims (`verifier.py`), sending anything anywhere.

Supervised fine-tuning: a line is `{"messages": [system, user, assistant]}`. Direct preference optimisation: a line is
`{"input": {"messages": [system, user]}, "preferred_output": [assistant], "non_preferred_output": [assistant]}`. Both
are those of the service's guide, and other trainers read them. A fine-tuned model is put to use by its name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fashionrec_assets.recommendations.explanations.facts import Evidence, Surface
from fashionrec_assets.recommendations.explanations.prompt import Draft, Prompt, Wish
from fashionrec_assets.recommendations.explanations.reading import SEPARATOR, evidence_of
from fashionrec_assets.recommendations.explanations.realiser import realise
from fashionrec_assets.recommendations.explanations.texts import Claim, Explanation
from fashionrec_assets.recommendations.explanations.verifier import claim_problems
from fashionrec_assets.recommendations.feedback.answers import Answer
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import ExplanationSettings
from fashionrec_assets.storage.files import write_text

NO_EVIDENCE = "the recommendation is not shown any more, so what it rested on is not known"
NO_TEXT = "the answer came without the text that was shown, and nobody edited it"
UNSUPPORTED = "a statement in the text has no evidence"
NOT_HELPFUL = "not helpful, and nobody wrote a better one"

Question = Callable[[Evidence], tuple[str, str]]
"""The system's and the user's message that ask for the words about a piece of evidence, the evidence fenced."""
Reply = Callable[[str, Evidence, str], str | None]
"""The message in which a model would have given a user a text; None if a statement in it has no evidence."""
_SENTENCE = re.compile(r"(?<=[.!])\s+(?=[A-Z0-9“])")


@dataclass(frozen=True)
class Exports:
    """Lines of both files, and why the other answers gave none."""

    supervised: tuple[dict[str, Any], ...]
    preferences: tuple[dict[str, Any], ...]
    left_out: Mapping[str, int]


class Pseudonyms:
    """Names for users that only who holds `key` can tell: the first 16 hex digits of HMAC-SHA256."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def kept_in(cls, path: Path) -> Pseudonyms:
        """Pseudonyms by the key in a file that its owner alone may read; a new one is drawn where there is none."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            draft.replace(path)
        return cls(path.read_bytes())

    def of(self, user_id: str) -> str:
        """The name of a user."""
        return hmac.new(self._key, user_id.encode(), hashlib.sha256).hexdigest()[:16]


def training_examples(
    answers: Sequence[Answer],
    evidence: Mapping[tuple[str, str], Evidence],
    pseudonyms: Pseudonyms,
    *,
    prompt: Question,
    reply: Reply,
) -> Exports:
    """Examples made of `answers`; `evidence` by user and item, as far as it is still known.

    What somebody wrote in place of an explanation is an example, and so is an explanation that was helpful. The former
    is preferred to what was shown; and of two texts about the same evidence the helpful one to the other. Only what
    passes the check of statements is taught, on either side: a model must not learn to say more than the evidence does.
    """
    supervised: dict[str, dict[str, Any]] = {}
    preferences: dict[str, dict[str, Any]] = {}
    left_out: Counter[str] = Counter()
    liked: dict[tuple[str, str], str] = {}
    disliked: dict[tuple[str, str], list[str]] = {}
    asked: dict[tuple[str, str], list[dict[str, str]]] = {}
    for one in answers:
        key = (one.user_id, one.item_id)
        found = evidence.get(key)
        if found is None:
            left_out[NO_EVIDENCE] += 1
            continue
        known = replace(found, subject=pseudonyms.of(one.user_id)) if found.subject == one.user_id else found
        if key not in asked:
            system, user = prompt(known)
            asked[key] = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        wanted = one.edited_text or (one.text if one.helpful else None)
        shown = reply(one.user_id, known, one.text) if one.text else None
        if wanted is None:
            left_out[NO_TEXT if one.text is None else NOT_HELPFUL] += 1
            if shown is not None:
                disliked.setdefault(key, []).append(shown)
            continue
        said = reply(one.user_id, known, wanted)
        if said is None:
            left_out[UNSUPPORTED] += 1
            continue
        _keep(supervised, {"messages": [*asked[key], _assistant(said)]})
        liked[key] = said
        if one.edited_text and shown is not None and shown != said:
            _keep(preferences, _preference(asked[key], said, shown))
    for key, texts in disliked.items():
        for shown in texts:
            if key in liked and liked[key] != shown:
                _keep(preferences, _preference(asked[key], liked[key], shown))
    return Exports(tuple(supervised.values()), tuple(preferences.values()), dict(left_out))


def _assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def _preference(messages: list[dict[str, str]], better: str, worse: str) -> dict[str, Any]:
    return {
        "input": {"messages": messages, "tools": [], "parallel_tool_calls": True},
        "preferred_output": [_assistant(better)],
        "non_preferred_output": [_assistant(worse)],
    }


def _keep(lines: dict[str, dict[str, Any]], line: dict[str, Any]) -> None:
    lines.setdefault(json.dumps(line, sort_keys=True), line)


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write JSON lines, complete or not at all."""
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def known_evidence(
    shop: Shop, user_ids: Sequence[str]
) -> tuple[dict[tuple[str, str], Evidence], dict[tuple[str, str], list[Explanation]]]:
    """What is shown to `user_ids` now: the evidence, and the published explanations, by user and item.

    Of an item shown on several surfaces, the evidence of the homepage.
    """
    surfaces: tuple[Surface, ...] = ("style", "homepage")
    found = evidence_of(shop, [f"{surface}{SEPARATOR}{user}" for surface in surfaces for user in user_ids])
    found.sort(key=lambda one: surfaces.index(one.surface))
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT subject, item_id, text, claims, lead, writer FROM explanations "
            "WHERE surface IN (SELECT unnest(?)) AND subject IN (SELECT unnest(?)) ORDER BY ALL",
            [list(surfaces), list(user_ids)],
        ).fetchall()
    published: dict[tuple[str, str], list[Explanation]] = {}
    for user, item, text, claims, lead, writer in rows:
        stated = tuple(Claim(claim["text"], claim["cites"]) for claim in claims)
        published.setdefault((user, item), []).append(Explanation(text, stated, lead, writer))
    return {(one.subject, one.item_id): one for one in found}, published


def claims_of(
    text: str, evidence: Evidence, published: Sequence[Explanation], settings: ExplanationSettings
) -> list[Claim] | None:
    """The claims a text is made of: those it was published with, or its sentences, each with a fact that holds it.

    None if a sentence says more than any one fact, or two say the same fact.
    """
    told = next((one.claims for one in published if one.text == text), ())
    if told and not any(claim_problems(claim, evidence, settings) for claim in told):
        return list(told)
    found: list[Claim] = []
    for sentence in _SENTENCE.split(" ".join(text.split())):
        clause = sentence.rstrip(" .!")
        free = [fact.id for fact in evidence.facts if all(fact.id != claim.cites for claim in found)]
        held = (Claim(clause, name) for name in free if not claim_problems(Claim(clause, name), evidence, settings))
        claim = next(held, None)
        if claim is None:
            return None
        found.append(claim)
    return found


def reply_of(settings: ExplanationSettings, published: Mapping[tuple[str, str], Sequence[Explanation]]) -> Reply:
    """The answer, in the form the writer asks of a model, that would have given a text."""

    def reply(user_id: str, evidence: Evidence, text: str) -> str | None:
        claims = claims_of(text, evidence, published.get((user_id, evidence.item_id), ()), settings)
        stated = None if claims is None else [{"text": one.text, "cites": one.cites} for one in claims]
        return None if stated is None else Draft.model_validate({"claims": stated}).model_dump_json()

    return reply


def prompt_of(settings: ExplanationSettings, seed: int) -> Question:
    """The question that a model is asked about a piece of evidence, before any answer was refused."""
    asked = Prompt(settings)

    def prompt(evidence: Evidence) -> tuple[str, str]:
        by_rules = realise(evidence, settings, seed=seed)
        question = asked.question(Wish(evidence), by_rules, [], {}, seed=seed)
        return question.system, question.user

    return prompt
