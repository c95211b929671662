"""Running the nightly refresh as at night, in a process of its own, and reading what it says of itself.

Belongs here: starting the process, its time and memory, its summary, the size of a home. Does not belong here: what is
changed before a night, and what is to be expected of it (`refresh.py`, `month.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from fashionrec_assets_tests.benchmarks.comparisons import resident_mib

ITEM_STAGES = (
    "items",
    "grounded_crops",
    "clarified_descriptions",
    "image_embeddings",
    "text_embeddings",
    "text_tokens",
    "image_tokens",
    "item_vectors",
    "faiss_index",
    "similar_items",
)
"""The stages whose work is about single items, and the index over them."""


@dataclass(frozen=True)
class Night:
    """What one run took and said. `seconds` are wall clock, `cpu_seconds` of all its threads, `peak_mib` resident.

    `assets` are those of the summary, each with its own `cpu_seconds`.
    """

    returncode: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    assets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failed: Sequence[str] = ()
    warned: Sequence[str] = ()
    missing: Sequence[str] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    def item_seconds(self) -> float:
        """CPU seconds of the item stages together."""
        return sum(float(self.assets[name]["cpu_seconds"]) for name in ITEM_STAGES if name in self.assets)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Usage:
    """What a process took: wall `seconds`, `cpu_seconds` of all its threads, `peak_mib` resident."""

    returncode: int
    seconds: float
    cpu_seconds: float
    peak_mib: float


def usage_of(command: Sequence[str], *, out: IO[bytes] | int, environment: Mapping[str, str] | None = None) -> Usage:
    """Run `command`, with what it says in `out`, to its end."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    # The usage of this one child: that of all children together would hide a night behind the greediest.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    spent, peak = usage.ru_utime + usage.ru_stime, resident_mib(usage.ru_maxrss)
    return Usage(process.returncode, round(seconds, 2), round(spent, 2), round(peak, 1))


def refresh(raw: Path, home: Path, log: Path, *, preset: str | None = None, select: str | None = None) -> Night:
    """`fashionrec run` on the shop, its output in `log`. Settings come from `<home>/settings.json` and the
    environment, as always. A run that fails is a result too: see `returncode`."""
    command = [sys.executable, "-W", "ignore", "-m", "fashionrec_assets_tests.benchmarks.timed"]
    command += ["run", "--raw", str(raw), "--home", str(home)]
    command += ["--preset", preset] if preset else []
    command += ["--select", select] if select else []
    summary, times = home / "summary.json", log.with_suffix(".times.json")
    environment = {
        **os.environ,
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "COLUMNS": "200",
        "STAGE_TIMES": str(times.resolve()),
    }
    for earlier in (summary, times):
        earlier.unlink(missing_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        usage = usage_of(command, out=out, environment=environment)
    said: dict[str, Any] = json.loads(summary.read_text("utf-8")) if summary.exists() else {}
    checks = said.get("checks", {})
    spent: dict[str, float] = json.loads(times.read_text("utf-8")) if times.exists() else {}
    assets = {
        name: {**asset, "cpu_seconds": round(spent.get(name, 0.0), 3)} for name, asset in said.get("assets", {}).items()
    }
    return Night(
        **asdict(usage),
        assets=assets,
        failed=checks.get("failed", ()),
        warned=checks.get("warned", ()),
        missing=checks.get("missing", ()),
        figures=said.get("figures", {}),
    )


def disk_use(home: Path) -> dict[str, int]:
    """Bytes below each entry of `home`; a file with several names counts where it is met first, and once."""
    seen: set[tuple[int, int]] = set()
    sizes: dict[str, int] = {}
    for entry in sorted(home.iterdir()):
        total = 0
        for path in [entry, *entry.rglob("*")] if entry.is_dir() and not entry.is_symlink() else [entry]:
            found = path.lstat()
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                total += found.st_blocks * 512
        sizes[entry.name] = total
    return sizes


def markdown(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines) + "\n"
