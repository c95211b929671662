"""The tables of `data/benchmarks`: what the last run of each benchmark found, in Markdown.

Belongs here: reading the kept results and wording them. Does not belong here: measuring (`comparisons.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fashionrec_assets_tests.benchmarks.comparisons import RESULTS, Comparison, Growth
from fashionrec_assets_tests.benchmarks.nightly import markdown

DOCS = Path("docs/benchmarks.md")
_FROM, _TO = "<!-- results: written by `make bench` -->", "<!-- end of results -->"


def read(folder: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:
    """The kept rows by benchmark."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def render(kept: dict[str, list[dict[str, Any]]]) -> str:
    """All results as Markdown: comparisons, growth, and the lineage's stages."""
    rows = [row for results in kept.values() for row in results]
    machines = sorted({f"{row['machine']}, {row['day']}" for row in rows})
    text = f"Measured on: {'; '.join(machines)}.\n"
    comparisons = [_made(Comparison, row) for row in rows if row["kind"] == "Comparison"]
    growths = [_made(Growth, row) for row in rows if row["kind"] == "Growth"]
    if comparisons:
        text += "\n### Side by side\n\n" + _comparisons(comparisons)
    if growths:
        text += "\n### Growth\n\n" + _growths(growths)
    for row in rows:
        if row["kind"] == "Lineage":
            text += "\n### The sample shop, stage by stage\n\n" + _lineage(row)
    return text


def write(folder: Path = RESULTS, docs: Path = DOCS) -> None:
    """Renders the kept results into `<folder>/README.md` and between the marks in `docs`."""
    text = render(read(folder))
    (folder / "README.md").write_text(
        f"# Results of the benchmarks\n\nHow they are measured: `docs/benchmarks.md`.\n\n{text}", "utf-8"
    )
    if docs.exists():
        page = docs.read_text("utf-8")
        before, _, rest = page.partition(_FROM)
        _, found, after = rest.partition(_TO)
        if found:
            docs.write_text(f"{before}{_FROM}\n\n{text}\n{_TO}{after}", "utf-8")


def _made(kind: type, row: dict[str, Any]) -> Any:
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def _comparisons(found: Iterable[Comparison]) -> str:
    return markdown(
        ("what", "beside", "ours s", "theirs s", "ours / theirs (range)", "bar", "equal in", "note"),
        [
            (
                one.what,
                one.alternative,
                _seconds(_median(one.ours)),
                _seconds(_median(one.theirs)),
                f"**{one.ratio:.3f}** ({min(one.ratios):.3f} to {max(one.ratios):.3f})",
                "-" if one.bar is None else f"{one.bar:g}: {_verdict(one.met)}",
                one.equal or "-",
                one.note or "-",
            )
            for one in found
        ],
    )


def _growths(found: Iterable[Growth]) -> str:
    return markdown(
        ("what", "sizes", "seconds", "peak MiB", "slope", "bar", "note"),
        [
            (
                one.what,
                f"{', '.join(f'{size:,}' for size in one.sizes)} {one.unit}",
                ", ".join(map(_seconds, one.seconds)),
                ", ".join(f"{mib:,.0f}" for mib in one.mib),
                f"**{one.slope:.2f}**",
                "-" if one.bar is None else f"{one.bar:g}: {_verdict(one.met)}",
                one.note or "-",
            )
            for one in found
        ],
    )


def _lineage(row: dict[str, Any]) -> str:
    before: dict[str, float] = row.get("before", {})
    stages = sorted(row["stages"].items(), key=lambda entry: -entry[1])
    lines = [
        (name, _seconds(seconds), _seconds(before[name]) if name in before else "-")
        for name, seconds in [*stages, ("**together**", row["total"])]
    ]
    return markdown(("stage", "s", "s before"), lines) + f"\nPeak memory {row['peak_mib']:,.0f} MiB.\n"


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _verdict(met: bool | None) -> str:
    return "met" if met else "**missed**"


if __name__ == "__main__":
    write()
