"""The sample shop from nothing to the lookbook, stage by stage: what a first run costs, and what costs most of it.

`python -m fashionrec_assets_tests.benchmarks.lineage [--before FILE] [--folder FOLDER] [--quick]` draws the sample shop
and runs the whole lineage on it with the preset quick, each in a process of its own, as `make demo` does. `--before`: a
kept result of an earlier run, to be shown beside this one. `--folder` keeps the shop, its home and the log.

Belongs here: one run, its time by stage, its table. Does not belong here: what changes of a shop cost (`refresh.py`,
`month.py`).

A stage's seconds are wall clock, as the summary has them. What a run takes beside its stages (imports, Dagster, checks)
is the row "between stages". Processor seconds are of all threads, so they may be more than the clock's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashionrec_assets_tests.benchmarks.comparisons import command_line, keep_rows
from fashionrec_assets_tests.benchmarks.nightly import Night, Usage, markdown, refresh, usage_of
from fashionrec_assets_tests.end_to_end.place import SMALL

SAMPLE, BETWEEN = "sample_shop", "between stages"


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--before", type=Path, help="a kept result of an earlier run")
    parser.add_argument("--folder", type=Path, help="where the shop and its home stay (default: nowhere)")
    given = parser.parse_args()
    before = json.loads(given.before.read_text("utf-8"))[0] if given.before else {}
    with tempfile.TemporaryDirectory() as folder:
        row = measure(given.folder or Path(folder), quick=given.quick, before=before)
    print(table(row))
    if not given.quick:
        keep_rows("lineage", [row])


def measure(folder: Path, *, quick: bool = False, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The row that is kept: wall `stages` and processor `cpu` seconds by stage, their totals, `peak_mib`, and of an
    earlier row `before` its seconds by stage and in total. Raises RuntimeError, with the log's end, if a run fails."""
    raw, home = folder / "shop", folder / "home"
    size = ["--items", "90", "--users", "120", "--events", "4000", "--seed", "3"] if quick else []
    sample = _sample(raw, size)
    if quick:
        home.mkdir(parents=True)
        (home / "settings.json").write_text(json.dumps(SMALL), "utf-8")
    night = refresh(raw, home, folder / "run.log", preset="quick")
    if night.returncode:
        raise RuntimeError("the run failed:\n" + (folder / "run.log").read_text("utf-8")[-4_000:])
    stages = {SAMPLE: sample.seconds, **_rounded(night, "seconds")}
    cpu = {SAMPLE: sample.cpu_seconds, **_rounded(night, "cpu_seconds")}
    stages[BETWEEN] = round(night.seconds - sum(stages.values()) + sample.seconds, 2)
    cpu[BETWEEN] = round(night.cpu_seconds - sum(cpu.values()) + sample.cpu_seconds, 2)
    row: dict[str, Any] = {
        "kind": "Lineage",
        "stages": stages,
        "cpu": cpu,
        "total": round(sample.seconds + night.seconds, 2),
        "total_cpu": round(sample.cpu_seconds + night.cpu_seconds, 2),
        "peak_mib": max(sample.peak_mib, night.peak_mib),
        "figures": dict(night.figures),
    }
    if before:
        row["before"] = {**before["stages"], "**together**": before["total"]}
        row["before_peak_mib"] = before["peak_mib"]
    return row


def table(row: Mapping[str, Any]) -> str:
    """The stages as Markdown, dearest first, each with its share of all, beside an earlier run's if there is one."""
    before: Mapping[str, float] = row.get("before", {})
    headings = ["stage", "s", "share", "CPU s", *(["s before", "now / before"] if before else [])]
    lines: list[list[str]] = []
    for name, seconds in [
        *sorted(row["stages"].items(), key=lambda entry: -entry[1]),
        ("**together**", row["total"]),
    ]:
        spent = row["total_cpu"] if name == "**together**" else row["cpu"].get(name, 0.0)
        line = [name, f"{seconds:,.1f}", f"{seconds / row['total']:.1%}", f"{spent:,.1f}"]
        then = before.get(name)
        if before:
            line += ["-", "-"] if not then else [f"{then:,.1f}", f"{seconds / then:.2f}"]
        lines.append(line)
    memory = f"Peak memory {row['peak_mib']:,.0f} MiB"
    if before:
        memory += f" (before: {row['before_peak_mib']:,.0f})"
    figures = "; ".join(f"{name} {value:.4g}" for name, value in row["figures"].items())
    return f"{markdown(headings, lines)}\n{memory}.{f' {figures}.' if figures else ''}\n"


def _sample(raw: Path, size: list[str]) -> Usage:
    """Draws the shop into `raw`. Raises RuntimeError if that fails."""
    command = [sys.executable, "-W", "ignore", "-m", "fashionrec_assets", "sample", "--out", str(raw), *size]
    usage = usage_of(command, out=subprocess.DEVNULL)
    if usage.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {usage.returncode}")
    return usage


def _rounded(night: Night, name: str) -> dict[str, float]:
    return {stage: round(float(asset[name]), 2) for stage, asset in night.assets.items() if asset.get(name) is not None}


if __name__ == "__main__":
    main()
