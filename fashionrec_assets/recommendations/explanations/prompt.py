"""What a language model is asked about a recommendation, and the form of its answer.

Belongs here: the data between the fences, the prompt around it, the schema of an answer. Does not belong here: asking
(`by_llm.py`), the words of the prompt (`prompts/<version>/explain.jinja`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict

from fashionrec_assets.descriptions.prompts import fence_of
from fashionrec_assets.recommendations.explanations.facts import Evidence, Fact, Kind
from fashionrec_assets.recommendations.explanations.realiser import clause
from fashionrec_assets.recommendations.explanations.texts import Claim, Explanation, shown_name
from fashionrec_assets.resources.llm import Question
from fashionrec_assets.settings import ExplanationSettings

PACKAGED = Path(__file__).parent / "prompts"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    text: str
    cites: str


class Draft(BaseModel):
    """The model's answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    claims: list[_Part]


ANSWER_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "explanation", "strict": True, "schema": Draft.model_json_schema()},
}


@dataclass(frozen=True)
class Wish:
    """One text to write: of what, and the kinds of facts to lead with."""

    evidence: Evidence
    order: Sequence[Kind] | None = None


class Prompt:
    """The prompt in force. Raises FileNotFoundError if there is no such prompt."""

    def __init__(self, settings: ExplanationSettings) -> None:
        self._settings = settings
        packaged = PACKAGED / settings.prompts
        self._folder = packaged if packaged.is_dir() else Path(settings.prompts)
        if not (self._folder / "explain.jinja").is_file():
            raise FileNotFoundError(f"explanations.prompts = {settings.prompts!r} has no explain.jinja")
        loader = FileSystemLoader(self._folder)
        self._environment = Environment(
            loader=loader, undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
        )

    @property
    def source(self) -> str:
        """The text of the prompt's file."""
        return (self._folder / "explain.jinja").read_text("utf-8")

    def question(
        self,
        wish: Wish,
        by_rules: Explanation,
        claims: Sequence[Claim],
        refused: dict[int, list[str]],
        *,
        seed: int,
    ) -> Question:
        """The question about one wish; `claims` are the last answer, `refused` what was wrong with it."""
        evidence, settings = wish.evidence, self._settings
        data: dict[str, Any] = {"surface": evidence.surface, "item shown": evidence.name}
        data["facts"] = [told for fact in evidence.facts if (told := self._told(fact, evidence, seed)) is not None]
        if refused:
            data["draft"] = [{"text": one.text, "cites": one.cites} for one in claims]
            data["refused"] = {claims[place].text: found for place, found in refused.items()}
        text = json.dumps(data, ensure_ascii=False, indent=1)
        values = {
            "fence": fence_of(text),
            "data": text,
            "refused": bool(refused),
            "length": settings.length,
            "tone": settings.tone,
            "lead": by_rules.claims[0].cites if wish.order is not None else "",
        }
        template = self._environment.get_template("explain.jinja")
        system, user = (
            "".join(template.blocks[name](template.new_context(values))).strip() for name in ("system", "user")
        )
        return Question(system, user, ANSWER_FORMAT)

    def _told(self, fact: Fact, evidence: Evidence, seed: int) -> dict[str, Any] | None:
        """A fact as the model sees it; None where it should not be told."""
        wording = clause(fact, evidence, self._settings, seed=seed)
        if wording is None:
            return None
        value = fact.value if fact.item is None else shown_name(fact.value, fact.item)
        told = {"id": fact.id, "kind": fact.kind, "what": fact.what, "value": value, "number": fact.number}
        told |= {"base": fact.base, "at": fact.at and f"{fact.at:%Y-%m-%d}", "wording": wording.text}
        return {name: one for name, one in told.items() if one not in (None, "")}
