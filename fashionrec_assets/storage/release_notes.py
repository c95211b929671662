"""What is written down of releases: what each holds and was made from, which one is served, and what was decided.

Belongs here: the schema of `release.json` and of `state.json`. Does not belong here: the folders (`releases.py`), how a
decision is made (the promotion room).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Decision = Literal["promoted", "blocked", "set aside"]

_MOST_SWITCHES = 200
_MOST_VERDICTS = 100


class _Note(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileNote(_Note):
    """One file of a release."""

    sha256: str
    bytes: int


class TableNote(_Note):
    """One table of a release: its Parquet file, and the columns by which rows are left out or taken out."""

    file: str
    items: tuple[str, ...] = Field(default=(), description="columns that name items of the catalog")
    people: str | None = Field(default=None, description="the column that names the shopper a row is about")
    people_where: dict[str, tuple[str, ...]] = Field(
        default={}, description="column to values: only in those rows does `people` name a shopper"
    )


class Provenance(_Note):
    """What a release was made from. `cut` (UTC seconds): its evaluation models know nothing from then on."""

    stages: dict[str, str] = Field(description="stage to the data version of what it made")
    code: dict[str, str] = Field(description="stage to the fingerprint of its code, settings and models")
    models: dict[str, str] = Field(description="model to its id")
    cut: int
    package: str = Field(description="version of the software")
    settings_digest: str
    settings: dict[str, Any] = Field(default={}, description="all settings in force, without paths and secrets")
    figures: dict[str, float] = Field(default={}, description="what the reports of that day said")


class Release(_Note):
    """`release.json`: a version of everything that is served together."""

    schema_version: Literal[1] = 1
    version: str
    sequence: int = Field(ge=1, description="counts up with every release made in this home")
    created: str = Field(description="UTC")
    parent: str | None = Field(description="what was served when this was made")
    made_from: Provenance
    tables: dict[str, TableNote]
    files: dict[str, FileNote]
    erased: int = Field(default=0, description="how often shoppers were taken out after it was made")

    @property
    def models(self) -> Mapping[str, str]:
        return self.made_from.models

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())


class Comparison(_Note):
    """Challenger against champion on the same users; `low` and `high` bound their mean difference with 95 %."""

    metric: str
    k: int
    users: int
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    margin: float
    least: float = Field(description="-margin x champion: what `low` must reach")
    champion_recall: float
    challenger_recall: float
    evaluation: str = Field(description="digest of the frozen slice: users, targets, pool and history")

    @property
    def passed(self) -> bool:
        return self.low >= self.least

    def told(self) -> str:
        """The numbers in one sentence."""
        return (
            f"{self.metric}@{self.k} {self.challenger:.4f} against the champion's {self.champion:.4f} for the same "
            f"{self.users:,} users: difference {self.difference:+.4f}, 95 % interval {self.low:+.4f} to "
            f"{self.high:+.4f}; allowed is {self.least:+.4f} ({self.margin:.0%} of the champion's)"
        )


class Verdict(_Note):
    """What was decided about a release, against which champion."""

    decision: Decision
    why: str
    at: str
    against: str | None = None
    against_models: dict[str, str] = {}
    models: dict[str, str] = {}
    comparison: Comparison | None = None


class Switch(_Note):
    """Another release began to be served."""

    version: str
    previous: str | None
    at: str
    by: str
    why: str


class State(_Note):
    """`state.json`: the last sequence number, every switch (the last is what is served), and verdicts by version."""

    schema_version: Literal[1] = 1
    sequence: int = 0
    switches: tuple[Switch, ...] = ()
    verdicts: dict[str, Verdict] = {}

    def switched(self, switch: Switch) -> State:
        return self.model_copy(update={"switches": (*self.switches, switch)[-_MOST_SWITCHES:]})

    def judged(self, version: str, verdict: Verdict) -> State:
        """The newest verdict of a release stands last, whatever was said of it before."""
        others = {known: one for known, one in self.verdicts.items() if known != version}
        kept = dict(list(others.items())[-_MOST_VERDICTS + 1 :])
        return self.model_copy(update={"verdicts": {**kept, version: verdict}})

    def served_before(self, version: str) -> list[str]:
        """The releases served before `version`, the latest first, each once."""
        seen = [one for switch in self.switches for one in (switch.previous, switch.version) if one is not None]
        return [one for one in dict.fromkeys(reversed(seen)) if one != version]
