"""What a language model is asked to return, and turning it into a description.

Belongs here: the JSON schemas of the answers and the parsing of the model's text. Does not belong here: whether the
answer is any good (`evaluator.py`), the protocol around it (`resources.llm`).
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from fashionrec_assets.descriptions.claims import Attribute, Description
from fashionrec_assets.descriptions.lexicon import canonical, meanings

AttributeName = Literal[
    "name",
    "type",
    "colour",
    "pattern",
    "material",
    "neckline",
    "sleeves",
    "length",
    "fit",
    "style",
    "gender",
    "brand",
    "section",
    "category",
    "detail",
]
Source = Literal[
    "title",
    "photo",
    "field:description",
    "field:category",
    "field:product_type",
    "field:brand",
    "field:colour",
    "field:pattern",
    "field:section",
    "field:gender",
]
MOST_ATTRIBUTES = 24
MOST_CHARS = 200
"""Longer values and evidence are no attribute of a garment."""
CRITIQUE_CHARS = 1_000


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DraftAttribute(_Answer):
    name: AttributeName
    value: str
    source: Source
    evidence: str


class Draft(_Answer):
    """The Summariser's and the Refiner's answer."""

    description: str
    attributes: list[DraftAttribute]

    def as_description(self) -> Description:
        """The draft as the lineage keeps it: values in the lexicon's words, a photo's evidence being its value."""
        return Description(" ".join(self.description.split()), tuple(_attribute(one) for one in self.attributes))


class Verdict(_Answer):
    """The Evaluator's answer: approval, or what to change."""

    approved: bool
    critique: str


def schema_of(answer: type[_Answer]) -> dict[str, Any]:
    """The JSON schema of an answer, as `response_format` of the chat completions protocol wants it (strict)."""
    return {
        "type": "json_schema",
        "json_schema": {"name": answer.__name__.lower(), "strict": True, "schema": answer.model_json_schema()},
    }


def parse_draft(text: str) -> Draft | None:
    """The draft in a model's text; None if it is not one: no JSON, another shape, or longer than any garment needs."""
    try:
        draft = Draft.model_validate(json.loads(text, parse_constant=_no_number))
        draft.model_dump_json()  # half a surrogate pair is valid JSON, but no text
    except (ValueError, RecursionError):
        return None
    long = any(len(part) > MOST_CHARS for one in draft.attributes for part in (one.value, one.evidence))
    blank = any(not one.value.strip() for one in draft.attributes)
    return None if long or blank or len(draft.attributes) > MOST_ATTRIBUTES else draft


def parse_verdict(text: str) -> Verdict | None:
    """The verdict in a model's text, its critique cut to `CRITIQUE_CHARS`; None if it is not one."""
    try:
        verdict = Verdict.model_validate(json.loads(text, parse_constant=_no_number))
        verdict.model_dump_json()
    except (ValueError, RecursionError):
        return None
    return verdict.model_copy(update={"critique": verdict.critique[:CRITIQUE_CHARS]})


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _attribute(one: DraftAttribute) -> Attribute:
    value = " ".join(one.value.split())
    if one.name not in ("name", "brand", "section"):
        value = value.lower()
    if one.source == "photo":
        value = canonical(one.name, value) or value
        return Attribute(one.name, value, "photo", value)
    meant = canonical(one.name, value)
    if meant and meant in meanings(one.evidence):
        value = meant
    return Attribute(one.name, value, one.source, " ".join(one.evidence.split()))
