"""The shop: settings, storage and the bookkeeping of a stage, in one object that assets are given.

Belongs here: what every asset body needs around its one call (plan, progress, counts, time). Does not belong here:
the work of any stage, and Dagster types (`glue.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa

from fashionrec_assets.resources.compute import Batch, Compute, Made, Work, compute_of, pieces
from fashionrec_assets.resources.redaction import harmless
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.artifacts import Artifacts
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.faults import reached
from fashionrec_assets.storage.files import draft_of, explained
from fashionrec_assets.storage.healing import Beside
from fashionrec_assets.storage.ledger import WHOLE, Counts, ModelPlan, Plan, Stage
from fashionrec_assets.storage.tables import Table, literal, quote
from fashionrec_assets.storage.warehouse import Connection, Warehouse, delete_keys, upsert_rows

_log = logging.getLogger(__name__)

COMMIT_SECONDS = 2.0
"""Pieces of work that are done within it are written down in one transaction."""


class Reporter(Protocol):
    """Hears how the work goes on."""

    def started(self, stage: str) -> None: ...

    def advanced(self, stage: str, done: int, total: int) -> None: ...

    def finished(self, stage: str, counts: Counts, unit: str, seconds: float) -> None: ...

    def failed(self, stage: str) -> None: ...


class LogReporter:
    """Progress as log lines, at most one every few seconds a stage: for the UI's runs."""

    def __init__(self, every_s: float = 5.0) -> None:
        self._every = every_s
        self._last = 0.0

    def started(self, stage: str) -> None:
        self._last = time.monotonic()

    def advanced(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            _log.info("%s: %d of %d", stage, done, total)

    def finished(self, stage: str, counts: Counts, unit: str, seconds: float) -> None:
        _log.info("%s: %s in %.1f s", stage, counts.as_dict(), seconds)

    def failed(self, stage: str) -> None:
        _log.error("%s failed", stage)


@dataclass
class StageRun:
    """One stage at work: its plan, what it has written, and how it went."""

    shop: Shop
    stage: Stage
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    def seconds_so_far(self) -> float:
        """Seconds since the stage started."""
        return time.monotonic() - self._started

    def progress(self, done: int, total: int) -> None:
        """Report progress; also the place where a caller's interrupt reaches long work."""
        self.shop.reporter.advanced(self.stage.name, done, total)

    def plan(self, *, rows: str | None = None, present: Iterable[str] | None = None, **models: str) -> Plan:
        """Plan a stage with one output per key; see `ledger.plan_rows`."""
        code_fp = self.stage.code_fp(self.shop.settings, **models)
        with self.shop.warehouse.reader() as connection:
            plan = ledger.plan_rows(
                connection, self.stage, code_fp, rows=rows, present=present, force=self.shop.rebuild
            )
        self.counts = plan.counts
        return plan

    def plan_whole(self, inputs: Any, *, exists: bool = True, **models: str) -> Plan:
        """Plan a stage that makes one thing; see `ledger.plan_whole`."""
        plan = self.plan_whole_of(self.stage, inputs, exists=exists, **models)
        self.counts = plan.counts
        return plan

    def plan_whole_of(self, stage: Stage, inputs: Any, *, exists: bool = True, **models: str) -> Plan:
        """Plan a file this stage makes on the way, under a stage of its own; the counts stay this stage's."""
        code_fp = stage.code_fp(self.shop.settings, **models)
        with self.shop.warehouse.reader() as connection:
            return ledger.plan_whole(connection, stage, code_fp, inputs, exists=exists, force=self.shop.rebuild)

    def plan_model(self, rows: Mapping[str, str], *, tolerance: float, exists: bool, **models: str) -> ModelPlan:
        """Plan a model by its training rows; see `ledger.plan_model`."""
        code_fp = self.stage.code_fp(self.shop.settings, **models)
        with self.shop.warehouse.reader() as connection:
            planned = ledger.plan_model(
                connection,
                self.stage,
                code_fp,
                rows,
                tolerance=tolerance,
                exists=exists,
                force=self.shop.anew,
            )
        self.counts = planned.plan.counts
        return planned

    def by_bucket(
        self,
        plan: Plan,
        store: BucketStore,
        work: Work[Batch, Made],
        read: Callable[[list[str]], Batch],
        table: Table | None = None,
    ) -> list[str]:
        """Do a plan piece by piece: `work` on what `read` gives of its keys, the files of its buckets, then its rows
        and its ledger entries. Returns the keys that failed.

        The files always come first: a kill in between leaves keys that the next run finds stale (or orphaned) and does
        again, never a ledger entry without its file. A piece is several small buckets or a large one (`pieces`), never
        a part of one, and is entered in the ledger whole, so that an interrupted run goes on with the same batches and
        ends with the same bytes as an undisturbed one, and so does one whose batches were computed elsewhere
        (`Shop.compute`). Opening the warehouse costs more than a small piece: pieces done within `COMMIT_SECONDS` share
        a transaction, and an error keeps what was done before it.
        """
        if plan.orphaned:
            store.put(store.schema.empty_table(), drop=plan.orphaned)
            with self.commit(plan, {}, orphans=True) as connection:
                if table is not None:
                    delete_keys(connection, table, table.key[0], plan.orphaned)
        if plan.previous:
            with self.shop.warehouse.writer() as connection:
                ledger.begin(connection, plan)
        done, total = 0, len(plan.todo)
        outputs: dict[str, str] = {}
        rows: list[pa.Table] = []

        def commit() -> None:
            with self.commit(plan, outputs) as connection:
                if table is not None and rows:
                    upsert_rows(connection, table, pa.concat_tables(rows))
            outputs.clear()
            rows.clear()

        planned = list(pieces((keys for _, keys in store.group(list(plan.todo))), work.at_once))
        failed: list[str] = []
        committed = time.monotonic()
        with closing(self.shop.compute.map(work, [keys for piece in planned for keys in piece], read)) as computed:
            try:
                for piece in planned:
                    made = Made.joined(list(islice(computed, len(piece))))
                    keys = [key for batch in piece for key in batch]
                    failed_here = [key for key in keys if key not in made.outputs]
                    store.put(made.rows, drop=failed_here)
                    outputs.update(made.outputs)
                    failed += failed_here
                    if made.table_rows is not None:
                        rows.append(made.table_rows)
                    done += len(keys)
                    if time.monotonic() - committed >= COMMIT_SECONDS:
                        commit()
                        committed = time.monotonic()
                    self.progress(done, total)
            finally:
                if outputs:
                    commit()
        return failed

    @contextmanager
    def commit(self, plan: Plan, outputs: Mapping[str, str], *, orphans: bool = False) -> Generator[Connection]:
        """A transaction for the tables of this stage; the ledger's rows for `outputs` change in the same one.

        With `orphans`, the plan's orphaned keys are forgotten too.
        """
        with self.shop.warehouse.writer() as connection:
            yield connection
            ledger.record(connection, plan, outputs)
            if orphans:
                ledger.forget(connection, self.stage, plan.orphaned)

    def data_version(self) -> str:
        """The ordered digest of everything this stage has made."""
        return self.shop.digest(self.stage.name)


class Shop:
    """One home folder: its settings, warehouse, bucket stores and artifacts."""

    def __init__(
        self,
        settings: Settings,
        tables: Iterable[Table],
        reporter: Reporter | None = None,
        *,
        rebuild: bool = False,
        retrain: bool = False,
        retry: Callable[[Exception, str], Exception | None] = lambda error, stage: None,
        compute: Compute | None = None,
    ) -> None:
        self.settings = settings
        self.tables = tuple(tables)
        self.reporter: Reporter = reporter or LogReporter()
        self.rebuild = rebuild
        """Whether everything counts as stale: what the job `full_refresh` asks for."""
        self.anew = rebuild or retrain
        """Whether models count as stale and start from the beginning: what the job `weekly_retrain` asks for."""
        self._retry = retry
        self._compute = compute
        self._stamp: tuple[object, ...] = ()
        self._known: dict[tuple[str, str], str | None] = {}

    @property
    def home(self) -> Path:
        return self.settings.home

    @cached_property
    def compute(self) -> Compute:
        """Where the batches of stages are computed: what the shop was given, else what the settings name."""
        return self._compute or compute_of(self.settings.compute)

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def exports(self) -> Path:
        """The folder of the tables that applications read, as Parquet files."""
        return self.home / "exports"

    def export(self, table: Table, version: str = "") -> Path:
        """Write a table, in the order of its key, to `<exports>/<name>.parquet`, whole or not at all.

        `version` says what its content is; it stands in the file's metadata.
        """
        path = self.exports / f"{table.name}.parquet"
        order = f" ORDER BY {', '.join(map(quote, table.key))}" if table.key else ""
        with draft_of(path) as draft, self.warehouse.reader() as connection:
            connection.execute(
                f"COPY (SELECT {', '.join(map(quote, table.column_names))} FROM {quote(table.name)}{order}) "
                f"TO {literal(str(draft))} (FORMAT parquet, KV_METADATA {{version: {literal(version)}}})"
            )
        return path

    @property
    def spill(self) -> Path:
        return self.home / "spill"

    @cached_property
    def warehouse(self) -> Warehouse:
        beside = Beside(self.home, ("stores/*/*.parquet", "exports/*.parquet", "reports/*.html"))
        return Warehouse(self.home / "warehouse.duckdb", self.settings.storage, self.tables, beside)

    def close(self) -> None:
        """End of a run's work with the shop: the warehouse as it is now is kept as the copy for bad times."""
        if "warehouse" in self.__dict__:
            self.warehouse.back_up()

    @cached_property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.home / "artifacts")

    def store(self, name: str, columns: Any) -> BucketStore:
        """The bucket store called `name`, with the Arrow schema `columns` beside its key."""
        return BucketStore(self.home / "stores" / name, self.settings.storage.buckets, columns)

    def current(self, name: str) -> Path:
        """The folder of the current version of an artifact.

        Raises LookupError, with the remedy, if it was never made, ArtifactMissingError if its folder is gone.
        """
        return self.artifacts.folder(name, self.version(name))

    def _ledger(self, what: Literal["output", "digest"], stage: str) -> str | None:
        """What the ledger says of a stage.

        Opening the warehouse takes longer than reading it: what is short to read is read of all stages at once, and
        kept while the warehouse is the same.
        """
        stamp = self.warehouse.stamp()
        if stamp != self._stamp:
            self._known.clear()
            self._stamp = stamp
        if (what, stage) not in self._known:
            with self.warehouse.reader() as connection:
                if not self._known:
                    self._known.update({("output", name): made for name, made in ledger.whole_outputs(connection)})
                    self._known.update({("digest", name): made for name, made in ledger.small_digests(connection)})
                if (what, stage) not in self._known:
                    read = ledger.output_of if what == "output" else ledger.stage_digest
                    self._known[what, stage] = read(connection, stage)
        return self._known[what, stage]

    def version(self, name: str) -> str:
        """The current version of an artifact. Raises LookupError if there is none."""
        version = self._ledger("output", name)
        if version is None:
            raise LookupError(f"{name} has not been made yet in {self.home}: run `fashionrec run`, or materialize it.")
        return version

    def version_or_none(self, name: str) -> str | None:
        """The current version of an artifact whose folder is there, else None."""
        version = self._ledger("output", name)
        return version if version is not None and self.artifacts.exists(name, version) else None

    def model_id(self, name: str) -> str:
        """The id of the current version of a model: the part that stays when rows are taken out of it."""
        return self.version(name).split(".")[0]

    def digest(self, stage: str) -> str:
        """The data version of a stage."""
        return self._ledger("digest", stage) or ""

    @contextmanager
    def stage(self, stage: Stage) -> Generator[StageRun]:
        """Time a stage, and tell the reporter when it starts and how it ended.

        An error that the shop's `retry` finds worth another attempt is raised as what asks the caller for one.
        """
        run = StageRun(self, stage)
        self.reporter.started(stage.name)
        reached("stage started", stage.name)
        try:
            with explained(self.home):
                yield run
        except BaseException as error:
            self.reporter.failed(stage.name)
            # Dagster keeps what an error says for as long as the home exists.
            told = harmless(error)
            again = self._retry(error, stage.name) if isinstance(error, Exception) else None
            if again is not None:
                raise again from told
            if told is error:
                raise
            raise told from None
        run.seconds = run.seconds_so_far()
        reached("stage done", stage.name)
        self.reporter.finished(stage.name, run.counts, stage.unit, run.seconds)


__all__ = ["WHOLE", "LogReporter", "Made", "Reporter", "Shop", "StageRun"]
