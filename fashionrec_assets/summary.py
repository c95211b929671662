"""`<home>/summary.json`: what a run did, for scripts and CI.

Belongs here: the documented schema and its file. Does not belong here: how the figures come about, and printing.
"""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fashionrec_assets.storage.files import write_text

_PACKAGES = (
    "fashionrec_assets",
    "dagster",
    "duckdb",
    "faiss-cpu",
    "numpy",
    "open_clip_torch",
    "scikit-learn",
    "sentence-transformers",
    "torch",
    "transformers",
)
_METHOD = re.compile(r"ranking\.[^.]+\.ndcg@20")


class AssetSummary(BaseModel):
    """One asset of the run; the counts are in `unit`s, for example items."""

    unit: str
    new: int
    stale: int
    orphaned: int
    reused: int
    seconds: float

    @property
    def work(self) -> int:
        """Units that were computed or deleted."""
        return self.new + self.stale + self.orphaned


class CheckOutcome(BaseModel):
    """What one asset check said."""

    asset: str
    check: str
    status: Literal["passed", "failed", "warned", "missing"] = Field(
        description="failed: an ERROR check that does not hold; warned: a WARN check that does not; missing: not run"
    )
    blocking: bool = Field(default=False, description="its failure keeps what follows from being made")
    seconds: float | None = Field(default=None, description="None: it did not run, or not in a step of its own")
    description: str = ""
    metadata: dict[str, bool | int | float | str] = Field(default={}, description="what it measured; no tables")

    @property
    def name(self) -> str:
        """`asset:check`."""
        return f"{self.asset}:{self.check}"


class CheckSummary(BaseModel):
    """Asset checks of the run, by `asset:check`."""

    passed: int = 0
    failed: list[str] = Field(default=[], description="ERROR checks that failed")
    warned: list[str] = Field(default=[], description="WARN checks that failed")
    missing: list[str] = Field(default=[], description="expected checks that did not run")
    results: list[CheckOutcome] = Field(default=[], description="each check of the above, by asset and name")


class StepError(BaseModel):
    """Why a step of a run failed."""

    step: str
    message: str


class RankingFigures(BaseModel):
    """A method on the held-out days, as the ranking report publishes it; intervals are 95 % over users."""

    method: str
    ndcg: float
    low: float
    high: float
    recall: float
    cold_recall: float | None = Field(description="of items that nobody had touched; None: not measured")


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
    errors: list[StepError] = Field(default=[], description="of the steps that failed, in order")
    versions: dict[str, str] = Field(default={}, description="of Python and the packages that results depend on")
    figures: dict[str, float] = Field(
        default={},
        description="`ranking.<method>[.<slice>].<metric>@<k>`, `retrieval.<arm>[.<slice>].<task>.<metric>@<k>`, "
        "`retrieval.effect.<technique>.<setting>[.<slice>].<task>.<metric>@<k>` and "
        "`ablations.<grid>.<variant>.<metric>@<k>`, with `.low` and `.high` for intervals",
    )
    reports: dict[str, str] = Field(default={}, description="report name to the path of its HTML page")

    def ranking(self) -> list[RankingFigures]:
        """Every method of the ranking report, the best NDCG@20 first."""
        value = self.figures.get
        methods = [name.split(".")[1] for name in self.figures if _METHOD.fullmatch(name)]
        found = [
            RankingFigures(
                method=method,
                ndcg=self.figures[f"ranking.{method}.ndcg@20"],
                low=value(f"ranking.{method}.ndcg@20.low", 0.0),
                high=value(f"ranking.{method}.ndcg@20.high", 0.0),
                recall=value(f"ranking.{method}.recall@20", 0.0),
                cold_recall=value(f"ranking.{method}.cold.recall@20"),
            )
            for method in methods
        ]
        return sorted(found, key=lambda row: -row.ndcg)

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


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on; nothing is imported."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}
