"""The prompts: versioned Jinja2 files, and the catalog's text fenced inside them.

Belongs here: rendering, fencing and the version that the ledger knows the prompts by. Does not belong here: the words
(`prompts/<version>/*.jinja`) and the order in which they are used (`conversation.py`).

Catalog text reaches a prompt as a value, never as a template, as JSON (no line of it can begin or end anything), and
between two lines that carry a digest of the very text they fence: no text can contain a digest of itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fashionrec_assets.descriptions.answers import Draft, Verdict, schema_of
from fashionrec_assets.descriptions.claims import CLEAR_SHARE, FIELDS, SEEN, ItemText
from fashionrec_assets.descriptions.cleaning import clean_text
from fashionrec_assets.descriptions.evaluator import word_runs
from fashionrec_assets.descriptions.lexicon import TABLES
from fashionrec_assets.resources.llm import Question
from fashionrec_assets.settings import digest

Step = Literal["summarise", "evaluate", "refine"]
STEPS: tuple[Step, ...] = ("summarise", "evaluate", "refine")
PACKAGED = Path(__file__).parent / "prompts"
MOST_TEXT = 2_000
"""Characters of a title or field that are sent; nobody describes one garment in more."""


class Prompts:
    """The prompts of one version: a folder of this package (`v1`), or a folder of the user's own.

    Raises FileNotFoundError, naming what is missing, if the folder lacks one of the three steps.
    """

    def __init__(self, version: str = "v1") -> None:
        packaged = PACKAGED / version
        self.folder = packaged if packaged.is_dir() else Path(version)
        missing = [f"{step}.jinja" for step in STEPS if not (self.folder / f"{step}.jinja").is_file()]
        if missing:
            raise FileNotFoundError(
                f"descriptions.prompts = {version!r} has no {', '.join(missing)}; packaged versions are "
                + ", ".join(sorted(path.name for path in PACKAGED.iterdir() if path.is_dir()))
            )
        self._environment = Environment(
            loader=FileSystemLoader(self.folder),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    @cached_property
    def sources(self) -> dict[str, str]:
        """The files by name."""
        return {path.name: path.read_text("utf-8") for path in sorted(self.folder.glob("*.jinja"))}

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the files and of the schemas of the answers."""
        return digest([self.sources, schema_of(Draft), schema_of(Verdict)])[:16]

    @cached_property
    def word_runs(self) -> frozenset[str]:
        """Runs of words of the prompts, by which an answer that repeats them is known."""
        texts = (re.sub(r"\{[{%].*?[}%]\}", " ", text, flags=re.DOTALL) for text in self.sources.values())
        return frozenset().union(*(word_runs(text) for text in texts))

    def question(
        self,
        step: Step,
        item: ItemText,
        *,
        kind: str | None,
        max_chars: int,
        jpeg: bytes | None = None,
        draft: Draft | None = None,
        critique: str = "",
    ) -> Question:
        """The question of one step; `kind` is the type that the rules read, `jpeg` the crop of the photo."""
        data = _facts(item)
        if kind is not None:
            data["kind"] = kind
        if draft is not None:
            data["draft"] = draft.model_dump()
        if critique:
            data["critique"] = critique
        text = json.dumps(data, ensure_ascii=False, indent=1)
        values = {
            "fence": fence_of(text),
            "data": text,
            "kind": kind is not None,
            "photo": jpeg is not None,
            "seen": ", ".join(sorted(SEEN)),
            "vocabulary": _vocabulary(),
            "measured": ", ".join(name for name, share in item.measured_colours if share >= CLEAR_SHARE) or "none",
            "max_chars": max_chars,
        }
        template = self._environment.get_template(f"{step}.jinja")
        parts = {
            name: "".join(template.blocks[name](template.new_context(values))).strip() for name in ("system", "user")
        }
        answer_format = schema_of(Verdict if step == "evaluate" else Draft)
        return Question(parts["system"], parts["user"], answer_format, jpeg)


def fence_of(text: str) -> str:
    """A line that does not occur in `text`: it carries a digest of it."""
    return f"=== {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:24]} ==="


def _facts(item: ItemText) -> dict[str, Any]:
    """What is sent of an item: its title and fields, cleaned. No id, no price, nothing of any person."""
    values: Mapping[str, str | None] = {"title": item.title} | {name: getattr(item, name) for name in FIELDS}
    cleaned = {name: clean_text(value)[:MOST_TEXT] for name, value in values.items() if value}
    return {name: value for name, value in cleaned.items() if value}


def _vocabulary() -> str:
    lines = []
    for name in sorted(SEEN):
        words = [line.partition(":")[0].strip() for line in TABLES[name].strip().splitlines()]
        lines.append(f"{name}: {', '.join(words)}")
    return "; ".join(lines) + "."
