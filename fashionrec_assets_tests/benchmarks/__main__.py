"""Runs the benchmarks one after the other and renders their tables: `python -m fashionrec_assets_tests.benchmarks`.

Each runs in a process of its own, so that none inherits another's memory or threads. One that fails does not stop the
others: the exit code says so at the end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from fashionrec_assets_tests.benchmarks import results

NAMES = (
    "encoding",
    "ingestion",
    "evaluators",
    "neighbours",
    "training",
    "index",
    "ledger_sizes",
    "scoring_sizes",
    "page_sizes",
    "index_sizes",
    "log_sizes",
    "ray_scaling",
    "lineage",
)
"""Side by side first, then growth, which takes longest. `faults`, `month` and `refresh` need a folder: run by name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, help=f"which (default: all): {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that they run; nothing is kept")
    given = parser.parse_args()
    failed: list[str] = []
    for name in given.names:
        began = time.monotonic()
        print(f"{name} ...", flush=True)
        command = [sys.executable, "-W", "ignore", "-m", f"fashionrec_assets_tests.benchmarks.{name}"]
        if subprocess.run([*command, *(["--quick"] if given.quick else [])], check=False).returncode:
            failed.append(name)
        print(f"{name}: {time.monotonic() - began:,.0f} s{' (failed)' if name in failed else ''}", flush=True)
    if not given.quick:
        results.write()
        print(f"Results: {results.RESULTS / 'README.md'}")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
