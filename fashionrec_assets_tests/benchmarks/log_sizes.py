"""A log of 1, 10 and 100 million events from its file to what models are given: seconds and memory of each stage.

    python -m fashionrec_assets_tests.benchmarks.log_sizes

Each size has a process of its own. The log of 100 million lines takes 4 GB, and what DuckDB spills while it reads it
some 15 GB beside it: `--folder` says on which disk (default: where temporary files go); nothing is left behind.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import duckdb

from fashionrec_assets.catalog.events import load_event_log
from fashionrec_assets.catalog.sessions import write_sessions
from fashionrec_assets.catalog.sources import open_source
from fashionrec_assets.catalog.splits import cuts_of_log, split_summary
from fashionrec_assets.catalog.validation import read_interactions, read_users
from fashionrec_assets.settings import Settings
from fashionrec_assets_tests.benchmarks.comparisons import Growth, command_line, in_a_process, peak_mib, tell
from fashionrec_assets_tests.benchmarks.logs import write_log

SIZES = (1_000_000, 10_000_000, 100_000_000)
QUICK = (20_000, 200_000)
FLAWED = 1e-5
MOST_MIB = 8 * 1024
STAGES = {
    "interactions": "reading, checking, sorting and writing the log",
    "users": "who is in the log, and bots",
    "splits": "the time split and what its parts hold",
    "sessions": "visits",
    "arrays": "the log as arrays, cut by time",
}

T = TypeVar("T")


def one_size(events: int, memory_limit: str, folder: Path | None) -> dict[str, Any]:
    """Every stage on a log of `events` lines; the peak MiB of a stage is that of the process up to its end."""
    settings = Settings()
    storage = settings.storage.model_copy(update={"memory_limit": memory_limit})
    found: dict[str, Any] = {"stages": {}}

    def timed(stage: str, act: Callable[[], T]) -> T:
        began, cpu = time.perf_counter(), time.process_time()
        result = act()
        found["stages"][stage] = [time.perf_counter() - began, time.process_time() - cpu, peak_mib()]
        return result

    with TemporaryDirectory(dir=folder, prefix="log-") as place:
        raw, out, spill = (Path(place) / name for name in ("raw", "out", "spill"))
        write_log(raw, events, flawed=FLAWED)
        found["made_mib"] = peak_mib()
        source = open_source("taobao", raw)
        common: dict[str, Any] = {"catalog": settings.catalog, "storage": storage, "scratch": spill}
        reading = timed("interactions", lambda: read_interactions(source, raw / "items.parquet", out, **common))
        assert reading.conservation is not None and reading.conservation.rows == events
        found["rejected"] = reading.conservation.rejected
        people = timed("users", lambda: read_users(source, reading.table, out, **common))

        def split() -> Any:
            cuts = cuts_of_log(reading.table, source, settings.splits, storage)
            return cuts, split_summary(reading.table, people.table, cuts, storage, scratch=spill)

        cuts, _ = timed("splits", split)
        gap = settings.catalog.session_gap_minutes
        timed("sessions", lambda: write_sessions(reading.table, out, gap_minutes=gap, storage=storage, scratch=spill))

        def arrays() -> int:
            files = (reading.table, raw / "items.parquet", people.table)
            log = load_event_log(*files, storage=storage, scratch=spill)
            return len(log.between(None, cuts.test_start))

        found["before_test"] = timed("arrays", arrays)
        with duckdb.connect() as connection:
            found["kept"] = connection.execute(f"SELECT count(*) FROM read_parquet('{reading.table}')").fetchall()[0][0]
    assert found["kept"] == reading.conservation.accepted
    return found


def measure(quick: bool, memory_limit: str | None = None, folder: Path | None = None) -> list[Growth]:
    """Every stage over the sizes, and all of them together. Raises RuntimeError beyond 8 GiB."""
    sizes = QUICK if quick else SIZES
    limit = memory_limit or Settings().storage.memory_limit
    asked = ["--memory", limit, *(["--folder", str(folder)] if folder else [])]
    runs = [in_a_process(__spec__.name if __spec__ else __name__, "--size", str(size), *asked) for size in sizes]
    if max(run.mib for run in runs) > MOST_MIB:
        raise RuntimeError(f"peak memory {max(run.mib for run in runs):,.0f} MiB, at most {MOST_MIB:,} are allowed")
    stages = [run.said["stages"] for run in runs]
    refused = ", ".join(f"{run.said['rejected']:,}" for run in runs)

    def growth(what: str, names: tuple[str, ...]) -> Growth:
        cpu = ", ".join(f"{sum(one[name][1] for name in names):.1f}" for one in stages)
        return Growth(
            what,
            "lines",
            sizes,
            [sum(one[name][0] for name in names) for one in stages],
            [max(one[name][2] for name in names) for one in stages],
            note=f"DuckDB's memory limit {limit}; {cpu} CPU s; MiB: peak of the process up to the end of the stage",
        )

    every = growth("from the log's file to arrays: all of these", tuple(STAGES))
    print(f"refused lines, found and told: {refused}")
    return [*(growth(what, (name,)) for name, what in STAGES.items()), every]


def main() -> None:
    asked = command_line(__doc__)
    asked.add_argument("--memory", help="DuckDB's memory limit (default: that of the settings)")
    asked.add_argument("--folder", type=Path, help="where the logs are made")
    asked.add_argument("--size", type=int, help="one size in this process, as JSON")
    options = asked.parse_args()
    if options.size:
        limit = options.memory or Settings().storage.memory_limit
        print(json.dumps(one_size(options.size, limit, options.folder)))
        return
    tell("log_sizes", measure(options.quick, options.memory, options.folder), quick=options.quick)


if __name__ == "__main__":
    main()
