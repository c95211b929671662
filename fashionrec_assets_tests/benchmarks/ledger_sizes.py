"""One stage over a catalog of ten thousand, a hundred thousand and a million items: the ledger, its files, its table.

`python -m fashionrec_assets_tests.benchmarks.ledger_sizes [--quick]` makes a vector of 32 numbers for every item, as a
stage of the lineage does: plan, files in buckets, and the entries of the ledger; then again with nothing changed, and
with one per cent of the items changed. What an item costs to compute is next to nothing here, so what is measured is
what the lineage adds to it. Beside that, the same items are put into the table `items`, and one per cent of them again.
Each size is a process of its own, all four parts in turn; its peak memory is that of all of them.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashionrec_assets.catalog.tables import ITEMS
from fashionrec_assets.resources.compute import Made, Work
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.ledger import LEDGER, Stage
from fashionrec_assets.storage.tables import Column, literal
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows
from fashionrec_assets.storage.warehouse import scratch, upsert_selected
from fashionrec_assets_tests.benchmarks.comparisons import Growth, command_line, in_a_process, peak_mib, tell

SIZES, QUICK = (10_000, 100_000, 1_000_000), (2_000, 20_000)
SHARE = 0.01
MOST_ROWS = 1.1
"""Rows that a refresh may write for each row that changed."""
DIM = 32
PARTS = {
    "build": "every item new: plan, files, ledger",
    "unchanged": "nothing changed: plan",
    "changed": "1 % changed: plan, files, ledger",
    "table": "1 % changed: the table items",
}

STAGE = Stage("measured_vectors", "item", version="1", rows="SELECT * FROM measured", reads=("text",))


@dataclass(frozen=True)
class Vectors(Work["list[tuple[str, str]]", Made]):
    """A vector of an item's text that takes hardly any time."""

    def start(self) -> Callable[[list[tuple[str, str]]], Made]:
        return made_of


def made_of(batch: list[tuple[str, str]]) -> Made:
    """Vectors of (item, text) pairs, and their digests."""
    seeds = [hashlib.blake2b(f"{key}{text}".encode(), digest_size=2 * DIM).digest() for key, text in batch]
    vectors = np.frombuffer(b"".join(seeds), np.uint16).reshape(len(batch), DIM).astype(np.float32)
    keys = [key for key, _ in batch]
    return Made(vector_rows(keys, vectors), {key: seed.hex()[:64] for key, seed in zip(keys, seeds, strict=True)})


class Measured:
    """A shop with `items` generated items."""

    def __init__(self, folder: Path, items: int) -> None:
        self.items = items
        self.changed = max(1, round(items * SHARE))
        self.rows = folder / "measured.parquet"
        settings = Settings.load(home=folder / "home", raw=folder)
        self.shop = Shop(settings, [LEDGER, ITEMS])
        self.store = self.shop.store(STAGE.name, VECTOR_COLUMNS)

    def generate(self, changed: int) -> None:
        """The items, the first `changed` of them (in an order of their own) with another text than before."""
        order = np.random.default_rng(0).permutation(self.items)
        ids = pa.array([f"I{number:08d}" for number in order])
        text = pa.array([f"text {number}{' again' if at < changed else ''}" for at, number in enumerate(order)])
        pq.write_table(pa.table({"item_id": ids, "text": text}), self.rows)

    def texts(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        """(item, text) of the items `keys`."""
        with scratch(self.shop.settings.storage, self.shop.spill) as connection:
            return connection.execute(
                "SELECT item_id, text FROM read_parquet(?) WHERE item_id IN (SELECT unnest(?)) ORDER BY 1",
                [str(self.rows), list(keys)],
            ).fetchall()

    def refresh(self) -> tuple[int, float]:
        """What a stage does; items it worked on, and seconds."""
        began = time.perf_counter()
        with self.shop.stage(STAGE) as run:
            plan = run.plan(rows=f"SELECT * FROM read_parquet({literal(str(self.rows))})", present=self.store.keys())
            # Read once: finding the texts of a bucket is not what is measured.
            texts = dict(self.texts(list(plan.todo)))
            run.by_bucket(plan, self.store, Vectors(self.shop), lambda keys: [(key, texts[key]) for key in keys])
            run.data_version()
        return len(plan.todo), time.perf_counter() - began

    def put_items(self, few: bool) -> float:
        """Put all items, or a few of them, into the table `items`; seconds."""
        began = time.perf_counter()
        order = np.random.default_rng(0).permutation(self.items)[: self.changed if few else None]
        said = {"item_id": "base.item_id", "title": "base.text"}
        filled = {column.name: _anything(column) for column in ITEMS.columns} | said
        columns = ", ".join(f"{value} AS {name}" for name, value in filled.items())
        select = f"SELECT {columns} FROM read_parquet(?) base WHERE item_id IN (SELECT unnest(?))"
        with self.shop.warehouse.writer() as connection:
            upsert_selected(connection, ITEMS, select, [str(self.rows), [f"I{number:08d}" for number in order]])
        return time.perf_counter() - began

    def consistent(self) -> bool:
        """Whether the store has the vectors of the texts as they are now, and the ledger their entries."""
        rows = self.store.scan()
        some = list(range(0, len(rows), max(1, len(rows) // 2_000)))
        wanted = made_of(self.texts(rows.column("item_id").take(some).to_pylist())).rows
        with self.shop.warehouse.reader() as connection:
            entries = connection.execute("SELECT count(*) FROM ledger WHERE input_fp <> ''").fetchall()[0][0]
        return wanted.equals(rows.take(some).cast(wanted.schema)) and len(rows) == entries == self.items


def _anything(column: Column) -> str:
    """SQL of a value that the column may have."""
    value = "NULL" if column.nullable else literal(column.values[0]) if column.values else "1"
    if column.type.endswith("[]") and not column.nullable:
        value = "[]"
    return f"CAST({value} AS {column.type})"


def one_size(items: int) -> dict[str, Any]:
    """All parts at one size: seconds of each, and what the refresh of one per cent wrote. Checks what came out."""
    with tempfile.TemporaryDirectory(prefix="ledger-sizes-") as folder:
        measured = Measured(Path(folder), items)
        measured.generate(0)
        worked, build = measured.refresh()
        assert worked == items
        worked, unchanged = measured.refresh()
        assert worked == 0
        measured.put_items(few=False)
        measured.generate(measured.changed)
        before = measured.store.written
        worked, changed = measured.refresh()
        assert worked == measured.changed and measured.consistent()
        rows, wrote = measured.store.written.rows - before.rows, measured.store.written.bytes - before.bytes
        table = measured.put_items(few=True)
        return {
            "build": build,
            "unchanged": unchanged,
            "changed": changed,
            "table": table,
            "rows_a_change": rows / measured.changed,
            "bytes": wrote,
            "all_bytes": before.bytes,
            "mib": peak_mib(),
        }


def measure(quick: bool) -> list[Growth]:
    """Every part over the sizes. Raises RuntimeError if a refresh wrote more rows than `MOST_ROWS` a changed one."""
    sizes = QUICK if quick else SIZES
    said = [in_a_process(__spec__.name if __spec__ else __name__, "--size", str(size)).said for size in sizes]
    limit = Settings().storage.memory_limit
    # A bucket of few rows is written whole: see `buckets.SMALL`.
    written = ", ".join(f"{one['rows_a_change']:.2f}" for one in said)
    if not quick and said[-1]["rows_a_change"] > MOST_ROWS:
        raise RuntimeError(f"rows written for each row changed: {written}; at {sizes[-1]:,} items at most {MOST_ROWS}")
    share = [f"{one['bytes'] / one['all_bytes']:.1%}" for one in said]
    note = {
        "changed": f"rows written for each that changed: {written}; bytes of those of the first: {', '.join(share)}; "
        "at ten thousand items buckets are small and are written whole",
    }
    return [
        Growth(
            what,
            "items",
            sizes,
            [one[name] for one in said],
            [one["mib"] for one in said],
            note=f"DuckDB's memory limit {limit}; MiB of the process over all parts. {note.get(name, '')}".strip(),
        )
        for name, what in PARTS.items()
    ]


def main() -> None:
    asked = command_line(__doc__)
    asked.add_argument("--size", type=int, help="one size in this process, as JSON")
    options = asked.parse_args()
    if options.size:
        print(json.dumps(one_size(options.size)))
        return
    tell("ledger_sizes", measure(options.quick), quick=options.quick)


if __name__ == "__main__":
    main()
