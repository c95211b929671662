"""What a benchmark states: two ways of doing one thing side by side, and one way at several sizes.

Belongs here: running in turns, measuring a process of its own, ratios, slopes, and the files in `data/benchmarks`.
Does not belong here: any thing measured.

Ratios are of times within one round, ours over theirs, so that a machine that slows down halfway slows both: below 1 we
are faster. The figure stated is the median of the rounds, and the spread is their range.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path("data/benchmarks")
"""Where results are kept, below the folder that the benchmark is run from."""

OTHERS_PYTHON = Path(os.environ.get("FASHIONREC_BENCH_PYTHON", ".venv-bench/bin/python"))
"""The interpreter of the environment with the alternatives (`others/requirements.txt`): they need an older numpy."""


@dataclass(frozen=True)
class Comparison:
    """One thing done by us and by a named alternative, `seconds` of every round of each, in turns.

    `bar`: the most that the ratio may be, None if nothing is asked. `equal`: in what the results were found to be equal
    (empty: nothing to compare). `note`: sizes, threads, and whatever a reader must know to judge it.
    """

    what: str
    alternative: str
    ours: Sequence[float]
    theirs: Sequence[float]
    bar: float | None = None
    equal: str = ""
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours over theirs, of every round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of `ratios`."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None if there is none."""
        return None if self.bar is None else self.ratio <= self.bar

    def told(self) -> str:
        """One line for a terminal."""
        spread = f"{min(self.ratios):.3f} to {max(self.ratios):.3f}"
        return f"{self.what} / {self.alternative}: {self.ratio:.3f} ({spread}); {self.note}"


@dataclass(frozen=True)
class Growth:
    """One thing at growing sizes: `sizes` of `unit`, `seconds` and peak resident `mib` at each."""

    what: str
    unit: str
    sizes: Sequence[int]
    seconds: Sequence[float]
    mib: Sequence[float]
    bar: float | None = 1.1
    note: str = ""

    @property
    def slope(self) -> float:
        """Least-squares slope of log seconds over log size: 1 is cost that grows as the work does."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), 1)[0])

    @property
    def met(self) -> bool | None:
        """Whether the slope is at most the bar; None if there is none."""
        return None if self.bar is None else self.slope <= self.bar

    def told(self) -> str:
        """One line for a terminal."""
        points = "; ".join(
            f"{size:,}: {seconds:.3g} s, {mib:,.0f} MiB"
            for size, seconds, mib in zip(self.sizes, self.seconds, self.mib, strict=True)
        )
        return f"{self.what} by {self.unit}: slope {self.slope:.2f} ({points}); {self.note}"


def in_turns(
    ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int = 5, *, warm_up: int = 1
) -> tuple[list[float], list[float]]:
    """Seconds of every round of each, after `warm_up` rounds that do not count; who goes first alternates.

    A function that returns a float gives its own seconds (as `Others.seconds` does); of any other the call is timed.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(warm_up + rounds):
        places = ((0, ours), (1, theirs)) if number % 2 == 0 else ((1, theirs), (0, ours))
        for place, run in places:
            began = time.perf_counter()
            said = run()
            spent = said if isinstance(said, float) else time.perf_counter() - began
            if number >= warm_up:
                times[place].append(spent)
    return times


class Others:
    """A script of `others/` at work in the alternatives' environment, asked line by line over its standard streams.

    `script` is a module name below `others`. It is started in a folder of its own, so paths given to it are absolute,
    and prints one JSON value a request (see `others/serving.py`).
    """

    def __init__(self, script: str, *arguments: str) -> None:
        if not OTHERS_PYTHON.exists():
            raise SystemExit(f"{OTHERS_PYTHON} is missing: run `make bench`, or name one by FASHIONREC_BENCH_PYTHON")
        folder = Path(__file__).parent / "others"
        # What libraries write where they are started (RecBole's logs and saved models) is not to stay.
        self._scratch = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [str(OTHERS_PYTHON.absolute()), "-W", "ignore", str(folder / f"{script}.py"), *arguments],
            cwd=self._scratch.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: str, **arguments: Any) -> Any:
        """What the script answers. Raises RuntimeError if it died."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([request, arguments]) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the alternative's process ended with {self._process.wait()} at {request!r}")
        return json.loads(line)

    def seconds(self, request: str, **arguments: Any) -> float:
        """How long the script says it took: its answer's `seconds`."""
        return float(self.ask(request, **arguments)["seconds"])

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=60)
        self._scratch.cleanup()


@dataclass(frozen=True)
class Measured:
    """What a process of its own took: wall `seconds` (of the work it timed itself, if it said so), peak `mib`, and
    what it `said`."""

    seconds: float
    mib: float
    said: Mapping[str, Any] = field(default_factory=dict)


def in_a_process(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Measured:
    """Run `python -m <module> <arguments>`; its last line on standard output is a JSON object.

    `seconds` in that object, if it is there, counts instead of the process's life. Raises RuntimeError if it fails, or
    ends by `os._exit`.
    """
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"{__package__}.watched", module, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with {done.returncode}")
    *lines, last = done.stdout.splitlines()
    said: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    peak = json.loads(last)["peak_mib"]
    return Measured(float(said.pop("seconds", time.monotonic() - began)), peak, said)


def resident_mib(maximum: int) -> float:
    """`ru_maxrss` in MiB: the kernel counts KiB, but that of macOS bytes."""
    return maximum / (2**20 if sys.platform == "darwin" else 2**10)


def peak_mib() -> float:
    """The most memory this process has held since its program started."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text("utf-8"), re.MULTILINE)
        if found:
            return int(found[1]) / 2**10
    return resident_mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def keep(name: str, results: Sequence[Comparison | Growth], folder: Path = RESULTS) -> None:
    """Write the results of the benchmark `name` to `<folder>/<name>.json`."""
    keep_rows(name, [{"kind": type(result).__name__, **asdict(result)} for result in results], folder)


def keep_rows(name: str, rows: Sequence[Mapping[str, Any]], folder: Path = RESULTS) -> None:
    """Write results that are no comparison, with the machine and the day."""
    folder.mkdir(parents=True, exist_ok=True)
    dated = [{**row, "machine": machine(), "day": time.strftime("%Y-%m-%d")} for row in rows]
    (folder / f"{name}.json").write_text(json.dumps(dated, indent=1, ensure_ascii=False) + "\n", "utf-8")


def tell(name: str, found: Sequence[Comparison | Growth], *, quick: bool) -> None:
    """Print the results of the benchmark `name`, and keep them unless they are of `--quick`."""
    for one in found:
        print(one.told(), flush=True)
    if not quick:
        keep(name, found)


def command_line(about: str | None) -> argparse.ArgumentParser:
    """The arguments of a benchmark: `--quick`, and what the caller adds."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; nothing is kept")
    return parser


def command(name: str, measure: Callable[[bool], Sequence[Comparison | Growth]], about: str | None) -> None:
    """The benchmark `name` as a command without further arguments."""
    quick = command_line(about).parse_args().quick
    tell(name, measure(quick), quick=quick)


def machine() -> str:
    """The machine in words: what figures of time depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {sys.platform}, Python {sys.version.split()[0]}"
