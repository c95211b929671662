"""Processes that are killed at a point of a write, and stages that are killed at one point after the other.

The process that calls these must have no other threads: it forks, so that a killed one costs no start.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.faults import listening

_SEEN = re.compile(r"draft-\w+|[0-9a-f]{8,}|\d+")


@dataclass(frozen=True)
class Ending:
    """How a process ended: `points` that it had not been at before, the last the one at which it was killed, if it was;
    `said`, what its work gave."""

    points: tuple[str, ...]
    killed: bool
    said: str


def die_at(
    work: Callable[[], str], root: Path, nth: int, *, known: frozenset[str] = frozenset(), each: bool = False
) -> Ending:
    """Do `work` in a process of its own that is killed at the `nth` point it comes to that is not `known`.

    A point is named by what is written, from `root`, without numbers and versions; with `each`, a name that comes
    again is another point.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _live_or_die(work, root, nth, known, each, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        lines = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    points = tuple(json.loads(line) for line in lines if line.startswith('"'))
    said = "".join(json.loads(line)[0] for line in lines if line.startswith("["))
    if not killed and os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"the work failed by itself after {points}: {said}")
    return Ending(points, killed, said)


def _live_or_die(work: Callable[[], str], root: Path, nth: int, known: frozenset[str], each: bool, pipe: int) -> None:
    passed: list[str] = []

    def at(point: str, subject: str) -> None:
        subject = subject.removeprefix(f"{root}/")
        name = f"{point}: {_SEEN.sub('#', subject)}"
        if not each and (name in known or name in passed):
            return
        passed.append(name)
        os.write(pipe, json.dumps(name).encode() + b"\n")
        if len(passed) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        with listening(at):
            said = work()
        os.write(pipe, json.dumps([said]).encode() + b"\n")
        code = 0
    except BaseException as error:
        os.write(pipe, json.dumps([repr(error)]).encode() + b"\n")
    finally:
        os._exit(code)


@dataclass(frozen=True)
class Kill:
    """A kill of a process that made one stage: entries of the ledger that were lost by it, and how long it lived."""

    stage: str
    point: str
    lost: int
    seconds: float


_EVERYWHERE = ("run.json", ".backup", ".backup.json")
_everywhere: set[str] = set()


def kills_of_stage(raw: Path, home: Path, stage: str, *, first: int, every: int, most: int = 0) -> Iterator[Kill]:
    """Make one stage again and again until it is done: killed at the `first` point, then each time `every` points that
    it had not come to before further on; `most` times, if that is not 0. What every stage writes, such as who is at
    work, counts the first time only.

    Raises RuntimeError if the stage fails by itself.
    """
    from fashionrec_assets.resources import shop
    from fashionrec_assets_tests.end_to_end.place import Place

    def work() -> str:
        # Every bucket in a transaction of its own: so there are points between them.
        shop.COMMIT_SECONDS = 0.0
        result = Place(raw, home).run(select=f'key:"{stage}"')
        # A check may look at tables of stages that are not made yet: the run of everything at the end must pass them.
        errors = [said for _, said in result.errors if "check failed" not in said]
        if errors or stage not in result.assets:
            raise RuntimeError(f"{stage}: {errors}")
        return "done"

    known = frozenset(_everywhere)
    nth = first
    for number in itertools.count(1):
        began, before = time.monotonic(), committed(home)
        ending = die_at(work, home, 10**9 if most and number > most else nth, known=known)
        seconds = time.monotonic() - began
        if not ending.killed:
            return
        known |= set(ending.points)
        _everywhere.update(point for point in ending.points if point.endswith(_EVERYWHERE))
        nth = every
        yield Kill(stage, ending.points[-1], len(before - committed(home)), seconds)


def committed(home: Path) -> set[tuple[str, str, str]]:
    """What the ledger has: (stage, key, output)."""
    path = home / "warehouse.duckdb"
    if not path.exists():
        return set()
    with duckdb.connect(str(path)) as connection:
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'ledger'").fetchall():
            return set()
        return set(connection.execute("SELECT stage, key, output_fp FROM ledger").fetchall())


MEASURED = {"fit_seconds", "score_seconds", "fit_growth_mb", "train_seconds", "run_at"}
"""Columns with what a run measured of itself."""


def content(home: Path) -> dict[str, Any]:
    """Everything a reader of the shop can see: all tables, bucket stores, exports and the weights of current models.

    Of a store it is the rows: over how many files they are spread depends on how often a run was interrupted.
    """
    found: dict[str, Any] = {}
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall():
            rows = connection.sql(f'SELECT * FROM "{table}"')
            kept = ", ".join(f'"{name}"' for name in rows.columns if name not in MEASURED)
            found[table] = sorted(map(repr, connection.execute(f'SELECT {kept} FROM "{table}"').fetchall()))
    for folder in sorted((home / "stores").iterdir()) if (home / "stores").is_dir() else ():
        for path in sorted(folder.glob("*.parquet"))[:1]:
            columns = [column for column in pq.read_schema(path).remove_metadata() if column.name != "item_id"]
            found[str(folder.relative_to(home))] = BucketStore(folder, 1, pa.schema(columns)).scan()
    for path in sorted((home / "exports").rglob("*.parquet")):
        rows = pq.read_table(path)
        found[str(path.relative_to(home))] = rows.select([n for n in rows.column_names if n not in MEASURED])
    for path in sorted((home / "artifacts").rglob("*.safetensors")):
        found[str(path.relative_to(home))] = path.read_bytes()
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of what is not the same in both."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def warm() -> None:
    """Import what stages import, so that the processes need not."""
    import faiss  # noqa: F401
    import sentence_transformers  # noqa: F401
    import torch

    from fashionrec_assets import definitions  # noqa: F401

    torch.set_num_threads(1)


def main() -> None:
    """`python -m fashionrec_assets_tests.killing RAW HOME EVERY STAGE...`: kills as JSON lines.

    The stages begin at different points, so that together they are killed at all kinds of them.
    """
    raw, home, every, *stages = sys.argv[1:]
    warm()
    for number, stage in enumerate(stages):
        first = 1 + number % int(every)
        for kill in kills_of_stage(Path(raw), Path(home), stage, first=first, every=int(every)):
            print(json.dumps(asdict(kill)), flush=True)


if __name__ == "__main__":
    main()
