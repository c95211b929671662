"""`<home>/summary.json`: what a run did, for scripts and CI.

Belongs here: the documented schema and its file. Does not belong here: how the figures come about, and printing.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from fashionrec_assets.storage.files import write_text


class AssetSummary(BaseModel):
    """One asset of the run; the counts are in `unit`s, for example items."""

    unit: str
    new: int
    stale: int
    orphaned: int
    reused: int
    seconds: float


class CheckSummary(BaseModel):
    """Asset checks of the run, by `asset:check`."""

    passed: int = 0
    failed: list[str] = Field(default=[], description="ERROR checks that failed")
    warned: list[str] = Field(default=[], description="WARN checks that failed")
    missing: list[str] = Field(default=[], description="expected checks that did not run")


class Summary(BaseModel):
    """A run of `fashionrec run`. Keys are only ever added; `schema_version` rises if one changes its meaning."""

    schema_version: int = 1
    success: bool
    job: str
    run_id: str
    started: str = Field(description="UTC, ISO 8601")
    home: str
    source: str
    preset: str
    seconds: float = Field(description="wall-clock time of the run")
    peak_memory_mb: float = Field(description="largest resident set of the process, in MiB")
    assets: dict[str, AssetSummary] = {}
    checks: CheckSummary = CheckSummary()
    figures: dict[str, float] = Field(
        default={},
        description="`ranking.<method>[.<slice>].<metric>@<k>`, `retrieval.<arm>[.<slice>].<task>.<metric>@<k>`, "
        "`retrieval.effect.<technique>.<setting>[.<slice>].<task>.<metric>@<k>` and "
        "`ablations.<grid>.<variant>.<metric>@<k>`, with `.low` and `.high` for intervals",
    )
    reports: dict[str, str] = Field(default={}, description="report name to the path of its HTML page")

    def write(self, home: Path) -> Path:
        """Write atomically to `<home>/summary.json`."""
        path = home / "summary.json"
        write_text(path, self.model_dump_json(indent=2) + "\n")
        return path

    @classmethod
    def read(cls, home: Path) -> Summary | None:
        """The last summary of `home`, or None."""
        path = home / "summary.json"
        return cls.model_validate_json(path.read_text("utf-8")) if path.exists() else None
