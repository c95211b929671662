"""Runs a module as `python -m` does and says, as one more line of JSON, the most memory that its process held.

The kernel's account of a child that has ended (`ru_maxrss`) begins with what its parent held when it was started.
"""

from __future__ import annotations

import json
import runpy
import sys

from fashionrec_assets_tests.benchmarks.comparisons import peak_mib

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    finally:
        print(json.dumps({"peak_mib": peak_mib()}), flush=True)
