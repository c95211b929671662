"""Kills real processes at the boundaries and inside the writes of every stage, and compares what comes of it.

    python -m fashionrec_assets_tests.benchmarks.faults --folder /tmp/faults --every 6

Each stage of the small shop is made by processes that are killed one after the other, each some points further on than
the one before; at the end the shop must be what an undisturbed run makes of it. Writes `<folder>/faults.md`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from fashionrec_assets_tests.killing import Kill, content, differences, kills_of_stage, warm


def in_a_child(work: Callable[[], object]) -> None:
    """Run `work` in a process of its own, so that this one stays without threads. Raises RuntimeError if it fails."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise RuntimeError("a run that nobody disturbed failed")


def whole_run(raw: Path, home: Path) -> None:
    """A run of everything that must succeed."""
    from fashionrec_assets_tests.end_to_end.place import Place

    result = Place(raw, home).run()
    if not result.success or result.checks.failed:
        raise RuntimeError(f"{result.errors} {result.checks.failed}")


def table(kills: list[Kill], different: list[str], seconds: float) -> str:
    """The report, in Markdown."""
    stages = {kill.stage for kill in kills}
    lines = [
        f"{len(kills)} kills in {len(stages)} stages, {sum(kill.lost for kill in kills)} committed entries lost, "
        f"{len(different)} differences from an undisturbed run, {seconds:,.0f} s.",
        "",
        *(f"- differs: {name}" for name in different),
        "| stage | killed | entries lost | lived, s |",
        "| --- | --- | ---: | ---: |",
        *(f"| {kill.stage} | {kill.point} | {kill.lost} | {kill.seconds:.1f} |" for kill in kills),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--every", type=int, default=6, help="points from one kill of a stage to the next")
    parser.add_argument("--most", type=int, default=0, help="kills of a stage at the most; 0 means all")
    given = parser.parse_args()
    warm()
    from fashionrec_assets.definitions import build_definitions
    from fashionrec_assets.resources.runs import asset_names
    from fashionrec_assets.sample import generate_shop
    from fashionrec_assets_tests.end_to_end.place import Place

    raw, undisturbed, home = given.folder / "shop", given.folder / "undisturbed", given.folder / "killed"
    if not raw.exists():
        in_a_child(lambda: generate_shop(raw, items=90, users=120, events=4000, seed=3))
    if not undisturbed.exists():
        in_a_child(lambda: whole_run(raw, undisturbed))
    stages = asset_names(build_definitions(Place(raw, home).settings()))
    began = time.monotonic()
    kills: list[Kill] = []
    for number, stage in enumerate(stages):
        first = 1 + number % given.every
        for kill in kills_of_stage(raw, home, stage, first=first, every=given.every, most=given.most):
            kills.append(kill)
            print(f"{stage}: {kill.point}, {kill.lost} lost, {kill.seconds:.1f} s", flush=True)
    in_a_child(lambda: whole_run(raw, home))
    report = table(kills, differences(content(home), content(undisturbed)), time.monotonic() - began)
    (given.folder / "faults.md").write_text(report, "utf-8")
    print(report.splitlines()[0])


if __name__ == "__main__":
    main()
