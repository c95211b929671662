"""Reading a behaviour log beside plain DuckDB and pandas, on a clean log and on one with lines to be refused.

    python -m fashionrec_assets_tests.benchmarks.ingestion

Plain DuckDB is taken three ways. The useful work without any checking: the typed CSV reader, events of known items
only, sorted as ours are, written as Parquet as ours is. The same of all items: what a sorted copy costs anybody. And
the scan alone: the typed reader, every column parsed, nothing sorted, nothing written. Same threads and memory limit
for all of DuckDB; pandas has no limit and one thread. DuckDB guesses that a CSV file has few rows, and so keeps the
log and not the catalog in memory for the join: the alternative is told not to, or it would take half as long again.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from fashionrec_assets.catalog.sources import open_source
from fashionrec_assets.catalog.validation import Reading, read_interactions
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.tables import literal
from fashionrec_assets.storage.warehouse import scratch
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, command, in_turns
from fashionrec_assets_tests.benchmarks.logs import write_log

EVENTS, QUICK = 10_000_000, 100_000
FLAWED = 1e-3
BAR = 1.3

COLUMNS = "{'user_id': 'VARCHAR', 'item_id': 'VARCHAR', 'category': 'VARCHAR', 'behaviour': 'VARCHAR', 'ts': 'BIGINT'}"
PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2"
"""As `queries.copy_to` writes a log: the default compression makes no difference to the time."""

EVENTS_OF = "SELECT user_id, item_id, behaviour, make_timestamp(ts * 1000000) AS ts FROM {scan}"
KNOWN = "WHERE item_id IN (SELECT item_id FROM known)"
ORDER = "ORDER BY user_id, ts, item_id, behaviour"


class Place:
    """A raw log in a folder, and every way to read it."""

    def __init__(self, folder: Path, events: int, flawed: float) -> None:
        self.settings = Settings()
        self.folder = folder
        self.log = write_log(folder / "raw", events, flawed=flawed)
        self.items = self.log.parent / "items.parquet"
        self.spill = folder / "spill"
        read = (
            f"read_csv({literal(str(self.log))}, header = false, auto_detect = false, delim = ',', columns = {COLUMNS}"
        )
        self.quoted = f"{read}, ignore_errors = true)"
        # A quote that is never closed swallows what follows: a log that may have one is best read without.
        self.typed = f"{read}, ignore_errors = true, quote = '', escape = '')" if flawed else f"{read})"

    def ours(self) -> Reading:
        return read_interactions(
            open_source("taobao", self.log.parent),
            self.items,
            self.folder / "ours",
            catalog=self.settings.catalog,
            storage=self.settings.storage,
            scratch=self.spill,
        )

    def plain(self, *, quoted: bool = False) -> Path:
        """The useful work of ours, unchecked; with `quoted`, as DuckDB reads CSV unless told otherwise."""
        target = self.folder / "plain.parquet"
        with scratch(self.settings.storage, self.spill) as connection:
            connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
            connection.execute(f"CREATE TABLE known AS FROM read_parquet({literal(str(self.items))})")
            select = f"{EVENTS_OF.format(scan=self.quoted if quoted else self.typed)} {KNOWN} {ORDER}"
            connection.execute(f"COPY ({select}) TO {literal(str(target))} ({PARQUET})")
        return target

    def unasked(self) -> Path:
        """Every line that parses, sorted and written, whatever it is about."""
        target = self.folder / "unasked.parquet"
        with scratch(self.settings.storage, self.spill) as connection:
            select = f"{EVENTS_OF.format(scan=self.typed)} {ORDER}"
            connection.execute(f"COPY ({select}) TO {literal(str(target))} ({PARQUET})")
        return target

    def scan(self) -> None:
        """Every column parsed, nothing else."""
        every = "count(user_id), count(item_id), count(category), count(behaviour), sum(ts)"
        with scratch(self.settings.storage, self.spill) as connection:
            connection.execute(f"SELECT {every} FROM {self.typed}").fetchall()

    def pandas(self) -> Path:
        """As pandas is used: lines that do not parse are skipped, times that are none become nothing and go.

        Without quoting, or one that is never closed ends it with an error.
        """
        target = self.folder / "pandas.parquet"
        names = ["user_id", "item_id", "category", "behaviour", "ts"]
        types: dict[Hashable, str] = dict.fromkeys(names[:4], "str")
        log = pd.read_csv(self.log, names=names, dtype=types, on_bad_lines="skip", quoting=csv.QUOTE_NONE)
        log["ts"] = pd.to_numeric(log["ts"], errors="coerce")
        known = pd.read_parquet(self.items)["item_id"]
        events = pd.DataFrame(log.dropna()[["user_id", "item_id", "behaviour", "ts"]]).drop_duplicates()
        sold = pd.DataFrame(events[events["item_id"].isin(known)])
        ordered = sold.sort_values(by=["user_id", "ts", "item_id", "behaviour"])
        ordered.assign(ts=pd.to_datetime(ordered["ts"], unit="s")).to_parquet(target, compression="zstd", index=False)
        return target

    def rows(self, file: Path) -> tuple[int, int]:
        """Rows and distinct rows of a Parquet file."""
        with scratch(self.settings.storage, self.spill) as connection:
            found = f"FROM read_parquet({literal(str(file))})"
            distinct = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT * {found})").fetchall()
            return connection.execute(f"SELECT count(*) {found}").fetchall()[0][0], distinct[0][0]

    def missing(self, from_file: Path, of_file: Path) -> int:
        """How many distinct events of one file are not in the other."""
        events = "SELECT user_id, item_id, behaviour, ts::TIMESTAMP AS ts FROM read_parquet({file})"
        one, other = (events.format(file=literal(str(file))) for file in (of_file, from_file))
        with scratch(self.settings.storage, self.spill) as connection:
            return connection.execute(f"SELECT count(*) FROM ({one} EXCEPT {other})").fetchall()[0][0]


def _same(place: Place, theirs: Path, reading: Reading) -> str:
    """Raises RuntimeError unless the accepted events are those of the alternative."""
    account = reading.conservation
    assert account is not None
    if place.missing(theirs, reading.table) or place.missing(reading.table, theirs):
        raise RuntimeError(f"{theirs.name} holds other events than ours")
    rows = place.rows(reading.table)[0]
    if rows != account.accepted or rows != place.rows(theirs)[1]:
        raise RuntimeError(f"{theirs.name} has {place.rows(theirs)}, ours has {rows} rows, accepted {account.accepted}")
    return f"the {rows:,} distinct events; ours also names {account.rejected:,} duplicates with their lines"


def measure(quick: bool) -> list[Comparison]:
    """Ours beside each alternative; on the dirty log, what each lost without a word."""
    events = QUICK if quick else EVENTS
    rounds = 1 if quick else 3
    storage = Settings().storage
    limits = f"{events:,} lines, {storage.threads} threads, DuckDB's memory limit {storage.memory_limit}"
    found: list[Comparison] = []

    def compare(place: Place, what: str, name: str, theirs: Callable[[], object], **more: object) -> None:
        ours, others = in_turns(place.ours, theirs, rounds)
        found.append(Comparison(what, name, ours, others, **more))  # pyright: ignore[reportArgumentType]

    with TemporaryDirectory() as folder:
        place = Place(Path(folder), events, 0.0)
        reading = place.ours()
        plain, with_pandas = _same(place, place.plain(), reading), _same(place, place.pandas(), reading)
        what = "a clean log read, checked, sorted and written"
        same = f"{limits}; typed reader, known items, sorted, the same Parquet options; duplicates stay"
        least = f"{limits}; nothing checked: what a sorted copy costs anybody"
        compare(place, what, "plain DuckDB, same work", place.plain, bar=BAR, equal=plain, note=same)
        compare(place, what, "plain DuckDB, scan, sort and write", place.unasked, note=least)
        copy = statistics.median(found[-1].theirs)
        compare(place, what, "plain DuckDB, scan only", place.scan)
        share = copy / statistics.median(found[-1].theirs)
        only = f"nothing checked, sorted or written; plain DuckDB's own sorted copy takes {share:.1f} times its scan"
        found[-1] = replace(found[-1], note=f"{limits}; {only}")
        compare(place, what, "pandas", place.pandas, equal=with_pandas, note=f"{limits}; pandas: one thread, no limit")
    with TemporaryDirectory() as folder:
        place = Place(Path(folder), events, FLAWED)
        reading = place.ours()
        account = reading.conservation
        assert account is not None and account.rejected > 0
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in reading.reasons.items())
        what = f"a log with {account.rejected:,} lines to refuse, each told with its number, value and reason"
        default = place.missing(place.plain(quoted=True), reading.table)
        own = f"; with the quotes of its default, {default:,} are lost"
        for name, theirs, more in (("plain DuckDB, same work", place.plain, own), ("pandas", place.pandas, "")):
            file = theirs()
            lost, false = place.missing(file, reading.table), place.missing(reading.table, file)
            wrong = f"{lost:,} good events lost without a word, {false:,} kept that are refused by ours{more}"
            note = f"{limits}; lines that do not parse skipped; {name}: {wrong}; ours: {reasons}"
            compare(place, what, name, theirs, bar=BAR if name.startswith("plain") else None, note=note)
    return found


if __name__ == "__main__":
    command("ingestion", measure, __doc__)
