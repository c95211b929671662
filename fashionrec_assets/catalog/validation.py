"""The contract, enforced: raw files in, clean tables and a list of everything refused out.

Belongs here: what makes a row or a field unacceptable, and the bookkeeping that nothing is lost. Does not belong
here: file formats (`records.py`, `lines.py`), photos (`photos.py`), where a shop's columns are (`sources/`).

Every record is either accepted or refused with file, line, column and reason: `Conservation` states both counts and
is checked. A row is refused for its identity, its title, or (events) anything; an unusable optional field of an item
or user is emptied, noted, and the row kept: a shop must not lose an article over a bad price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import pyarrow as pa

from fashionrec_assets.catalog import contract
from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.erasure import NOBODY, Erasures
from fashionrec_assets.catalog.lines import BEHAVIOURS_SQL, Log, open_log
from fashionrec_assets.catalog.photos import PhotoFinding, PhotoStore, default_threads, inspect_photos
from fashionrec_assets.catalog.queries import copy_to, literal, query
from fashionrec_assets.catalog.records import Staged, stage_records
from fashionrec_assets.catalog.sources.base import Source
from fashionrec_assets.catalog.tables import IMAGE_STATUSES, ITEMS
from fashionrec_assets.settings import CatalogSettings, StorageSettings
from fashionrec_assets.storage.tables import quote
from fashionrec_assets.storage.warehouse import one_row
from fashionrec_assets.storage.warehouse import scratch as scratch_connection

_LATEST_LAUNCH: Final = "2200-01-01"
_OLDEST: Final = 130
_YES_OR_NO: Final = (
    "CASE WHEN lower(helpful) IN ('yes', 'y', 'true', '1') THEN true "
    "WHEN lower(helpful) IN ('no', 'n', 'false', '0') THEN false END"
)

Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """The default progress."""


@dataclass(frozen=True)
class Conservation:
    """The count of one file's records: `rows` = `accepted` + `rejected` + `erased` (of users on the suppression list).

    Raises AssertionError otherwise.
    """

    file: str
    rows: int
    accepted: int
    rejected: int
    erased: int = 0

    def __post_init__(self) -> None:
        if self.rows != self.accepted + self.rejected + self.erased:
            raise AssertionError(
                f"{self.file}: {self.rows} rows in, but {self.accepted} accepted, {self.rejected} rejected and "
                f"{self.erased} of erased users; "
                "please report this file"
            )


@dataclass(frozen=True)
class Reading:
    """What reading one file gave. `table` and `rejects` are Parquet files in the columns of `tables.py`.

    `reasons`: "column: reason" (or just the reason) -> rows of `rejects`, most frequent first.
    """

    table: Path
    rejects: Path
    conservation: Conservation | None
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class PhotosReading(Reading):
    """`photos`: status -> rows of the file. `findings`: give it to the next reading of it as `known_photos`."""

    photos: Mapping[str, int] = field(default_factory=dict)
    findings: Mapping[str, PhotoFinding] = field(default_factory=dict)


def read_items(
    source: Source,
    out: Path,
    *,
    catalog: CatalogSettings,
    storage: StorageSettings,
    scratch: Path,
    known_photos: Mapping[str, PhotoFinding] | None = None,
    erasures: Erasures = NOBODY,
    progress: Progress = _silent,
) -> PhotosReading:
    """Reads and checks the catalog; writes `out/items.parquet` (sorted by item_id) and `out/rejects_items.parquet`.

    With `source.prices_in_log`, an item's price is the median paid, by users who are not among `erasures`. `progress`
    counts photos.
    Raises ContractError, before writing anything, if the file cannot be used or no row of it can.
    """
    rows = source.items()
    columns = [column for column in ITEMS.column_names if column not in {"image_status", "image_digest"}]
    limits = dict.fromkeys(columns, catalog.max_title_chars) | {
        "item_id": contract.MAX_ID_CHARS,
        "family_id": contract.MAX_ID_CHARS,
        "description": catalog.max_text_chars,
    }
    with scratch_connection(storage, scratch) as connection:
        staged = stage_records(
            connection, rows, table="staged", problems="problems", limits=limits, fatal=("item_id", "title")
        )
        table = _Staging(connection, staged.names)
        table.refuse_empty_and_repeated("item_id")
        table.empty_where("price", "isfinite(try_cast(price AS DOUBLE)) IS NOT TRUE", contract.NOT_A_NUMBER)
        table.empty_where("price", "try_cast(price AS DOUBLE) < 0", contract.NEGATIVE)
        launched = _seconds_sql("launched_at")
        earliest, latest = _seconds(catalog.earliest_event), _seconds(_LATEST_LAUNCH)
        table.empty_where("launched_at", f"{launched} IS NULL", contract.NOT_A_TIME)
        table.empty_where("launched_at", f"{launched} NOT BETWEEN {earliest} AND {latest}", contract.IMPOSSIBLE_TIME)
        for column, expression in rows.expressions.items():
            connection.execute(f"UPDATE staged SET {quote(column)} = {expression}")
        accepted = table.count(rows.path)
        if source.prices_in_log:
            _price_from_log(connection, source, scratch, erasures)

        store = PhotoStore(source.raw, catalog)
        photos, findings = table.look_at_photos(
            "image_ref", "image", store, known_photos, promised=source.images_promised, progress=progress
        )
        out.mkdir(parents=True, exist_ok=True)
        copy_to(connection, query("items_select", launched=launched), out / "items.parquet")
        reading = table.finish(rows.path, out / "items.parquet", out / "rejects_items.parquet", staged, accepted)
    return _with_photos(reading, photos, findings)


def read_interactions(
    source: Source,
    items: Path,
    out: Path,
    *,
    catalog: CatalogSettings,
    storage: StorageSettings,
    scratch: Path,
    erasures: Erasures = NOBODY,
    now: datetime | None = None,
) -> Reading:
    """Reads and checks the behaviour log against the `items` Parquet file (column item_id).

    Writes `out/interactions.parquet` (in the order of `tables.INTERACTIONS`) and `out/rejects_interactions.parquet`.
    Records of `erasures` are left out before anything else and only counted. Out of core: memory stays within
    `storage.memory_limit`, the rest spills into `scratch`. Events after `catalog.latest_event` (default: `now`,
    default: this moment) are in the future. Raises ContractError, before writing anything, if the file cannot be used
    or no row of it can.
    """
    latest = _seconds(catalog.latest_event) if catalog.latest_event else int((now or datetime.now(UTC)).timestamp())
    rows = source.events()
    with scratch_connection(storage, scratch) as connection, TemporaryDirectory(dir=scratch) as copies:
        connection.execute(query("log_items", items=literal(str(items))))

        def judge(log: Log) -> Log:
            log = log.without(connection, erasures)
            connection.execute(log.judged_sql(_seconds_sql("ts"), _seconds(catalog.earliest_event), latest))
            return log

        log = open_log(connection, rows).read(Path(copies), judge)
        total, erased = one_row(connection, log.accounts_sql())
        if total == 0:
            raise ContractError(rows.path, "no rows", "Export it again.")
        connection.execute(query("log_sorted"))
        accepted = _one(connection, "SELECT count(item) FROM sorted")
        connection.execute(log.rejects_sql(any_left=accepted + erased < total))
        erasures.withhold(connection)
        rejected = _one(connection, "SELECT count(*) FROM rejects")
        conservation = Conservation(rows.path.name, total, accepted, rejected, erased)
        reasons = _reasons(connection)
        if accepted == 0:
            raise _nothing_left(rows.path, reasons)
        connection.execute("DROP TABLE judged")
        out.mkdir(parents=True, exist_ok=True)
        table, rejects = out / "interactions.parquet", out / "rejects_interactions.parquet"
        copy_to(connection, query("log_select", behaviours=BEHAVIOURS_SQL), table, long=True)
        copy_to(connection, "SELECT * FROM rejects", rejects)
    return Reading(table, rejects, conservation, reasons)


def read_users(
    source: Source,
    interactions: Path,
    out: Path,
    *,
    catalog: CatalogSettings,
    storage: StorageSettings,
    scratch: Path,
    known_photos: Mapping[str, PhotoFinding] | None = None,
    erasures: Erasures = NOBODY,
    progress: Progress = _silent,
) -> PhotosReading:
    """Everyone in the `interactions` Parquet file or the source's user file, with what the log says about them.

    Writes `out/users.parquet` (sorted by user_id) and `out/rejects_users.parquet`; `conservation` is None where there
    is no user file. Rows of `erasures` are left out before anything else and only counted. `progress` counts avatars.
    Raises ContractError, before writing anything, if the user file cannot be used.
    """
    rows = source.users()
    limits: dict[str, int] = dict.fromkeys(["user_id", "gender", "age", "city"], contract.MAX_ID_CHARS)
    limits["avatar_ref"] = catalog.max_title_chars
    with scratch_connection(storage, scratch) as connection:
        if rows is None:
            connection.execute(query("no_profiles"))
            staged = None
        else:
            staged = stage_records(
                connection, rows, table="staged", problems="problems", limits=limits, fatal=("user_id",)
            )
        table = _Staging(connection, {} if staged is None else staged.names, erasures)
        table.drop_erased()
        table.refuse_empty_and_repeated("user_id")
        table.empty_where("age", "isfinite(try_cast(age AS DOUBLE)) IS NOT TRUE", contract.NOT_A_NUMBER)
        table.empty_where("age", "try_cast(age AS DOUBLE) < 0", contract.NEGATIVE)
        table.empty_where("age", f"try_cast(age AS DOUBLE) > {_OLDEST}", contract.IMPOSSIBLE_AGE)
        accepted = _one(connection, "SELECT count(*) FROM staged")
        store = PhotoStore(source.raw, catalog)
        photos, findings = table.look_at_photos(
            "avatar_ref", "avatar", store, known_photos, promised=True, progress=progress
        )
        out.mkdir(parents=True, exist_ok=True)
        users, rejects = out / "users.parquet", out / "rejects_users.parquet"
        copy_to(
            connection,
            query("users_select", interactions=literal(str(interactions)), limit=str(catalog.bot_events_per_day)),
            users,
        )
        reading = table.finish(source.raw / "users" if rows is None else rows.path, users, rejects, staged, accepted)
    return _with_photos(reading, photos, findings)


def read_feedback(
    source: Source,
    items: Path,
    users: Path,
    out: Path,
    *,
    catalog: CatalogSettings,
    storage: StorageSettings,
    scratch: Path,
    erasures: Erasures = NOBODY,
    now: datetime | None = None,
) -> Reading | None:
    """Reads and checks what users said about explanations, against the `items` and `users` Parquet files.

    Writes `out/feedback.parquet` (sorted by user_id, item_id and ts) and `out/rejects_feedback.parquet`; None, and
    nothing is written, where there is no such file. A row is refused for anything but its optional columns, a second
    answer of one user about one item at one time as a duplicate. Answers after `catalog.latest_event` (default: `now`,
    default: this moment) are in the future. Rows of `erasures` are left out before anything else and only counted.
    Raises ContractError, before writing anything, if the file cannot be used.
    """
    rows = source.feedback()
    if rows is None:
        return None
    latest = _seconds(catalog.latest_event) if catalog.latest_event else int((now or datetime.now(UTC)).timestamp())
    limits: dict[str, int] = dict.fromkeys(
        ["user_id", "item_id", "ts", "helpful", "lead", "tone", "length"], contract.MAX_ID_CHARS
    )
    limits |= dict.fromkeys(["text", "edited_text"], catalog.max_title_chars)
    needed = ("user_id", "item_id", "ts", "helpful")
    with scratch_connection(storage, scratch) as connection:
        staged = stage_records(connection, rows, table="staged", problems="problems", limits=limits, fatal=needed)
        table = _Staging(connection, staged.names, erasures)
        table.drop_erased()
        for column in needed:
            table.refuse_where(column, f"{column} IS NULL", contract.EMPTY)
        moment = _seconds_sql("ts")
        table.refuse_where("ts", f"{moment} IS NULL", contract.NOT_A_TIME)
        table.refuse_where("ts", f"{moment} < {_seconds(catalog.earliest_event)}", contract.IMPOSSIBLE_TIME)
        table.refuse_where("ts", f"{moment} > {latest}", contract.FUTURE_TIME)
        table.refuse_where("helpful", f"{_YES_OR_NO} IS NULL", contract.NOT_YES_OR_NO)
        for column, known, reason in (
            ("user_id", users, contract.UNKNOWN_USER),
            ("item_id", items, contract.UNKNOWN_ITEM),
        ):
            there = f"(SELECT {column} FROM read_parquet({literal(str(known))}))"
            table.refuse_where(column, f"{column} NOT IN {there}", reason)
        earlier = f"QUALIFY row_number() OVER (PARTITION BY user_id, item_id, {moment} ORDER BY line) > 1"
        table.refuse_where("ts", f"line IN (SELECT line FROM staged {earlier})", contract.DUPLICATE)
        accepted = _one(connection, "SELECT count(*) FROM staged")
        out.mkdir(parents=True, exist_ok=True)
        answers, rejects = out / "feedback.parquet", out / "rejects_feedback.parquet"
        copy_to(connection, query("feedback_select", moment=moment, helpful=_YES_OR_NO), answers)
        return table.finish(rows.path, answers, rejects, staged, accepted)


class _Staging:
    """The tables `staged` and `problems` of a small file while its rows are judged."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, names: Mapping[str, str], erasures: Erasures = NOBODY
    ) -> None:
        self._connection = connection
        self._names = names
        self._erasures = erasures
        self._erased = 0

    def drop_erased(self) -> None:
        """Leaves out the rows of users on the suppression list, with what is noted of them."""
        self._erased = self._erasures.find(self._connection, "SELECT user_id FROM staged")
        if self._erased:
            self._connection.execute(query("erased_staged"))

    def refuse_empty_and_repeated(self, key: str) -> None:
        """Refuses rows without `key`, then every row but the first of those that share it."""
        parts = {"key": key, "name": literal(self._names.get(key, key))}
        self._connection.execute(query("refuse_empty", reason=literal(contract.EMPTY), **parts))
        self._connection.execute(query("refuse_repeated", reason=literal(contract.DUPLICATE), **parts))

    def refuse_where(self, column: str, condition: str, reason: str) -> None:
        """Refuses the rows where `condition` holds, for their `column`."""
        # The first statement and the second judge the same rows: a condition may look at the other rows too.
        self._connection.execute(
            query(
                "refuse_where",
                column=quote(column),
                condition=condition,
                name=literal(self._names.get(column, column)),
                reason=literal(reason),
                max_value=str(contract.MAX_VALUE_CHARS),
            )
        )

    def empty_where(self, column: str, condition: str, reason: str) -> None:
        """Empties `column` where it has a value and `condition` holds, and notes it."""
        self._connection.execute(
            query(
                "empty_field",
                column=quote(column),
                condition=condition,
                name=literal(self._names.get(column, column)),
                reason=literal(reason),
                max_value=str(contract.MAX_VALUE_CHARS),
            )
        )

    def look_at_photos(
        self,
        column: str,
        name: str,
        store: PhotoStore,
        known: Mapping[str, PhotoFinding] | None,
        *,
        promised: bool,
        progress: Progress,
    ) -> tuple[Mapping[str, int], Mapping[str, PhotoFinding]]:
        """Reads the photos named in `column` (called `name` where the file does not say), notes those that cannot be
        used, and leaves the table `findings`: (status -> rows, findings)."""
        refs = [row[0] for row in self._connection.execute(query("photo_refs", ref=column)).fetchall()]
        findings = inspect_photos(store, refs, known=known, threads=default_threads(), progress=progress)
        _stage_findings(self._connection, findings, promised=promised)
        called = literal(self._names.get(column, name))
        self._connection.execute(query("photo_notes", prefix=literal(contract.PHOTO), column=called, ref=column))
        photos = dict(self._connection.execute(query("photo_counts", ref=column)).fetchall())
        return {status: photos[status] for status in IMAGE_STATUSES if status in photos}, findings

    def count(self, path: Path) -> int:
        """Rows left. Raises ContractError if that is none."""
        left = _one(self._connection, "SELECT count(*) FROM staged")
        if left == 0:
            self._connection.execute(query("staged_rejects", file=literal(path.name)))
            raise _nothing_left(path, _reasons(self._connection))
        return left

    def finish(self, path: Path, table: Path, rejects: Path, staged: Staged | None, accepted: int) -> Reading:
        """Writes the rejects and closes the books."""
        self._connection.execute(query("staged_rejects", file=literal(path.name)))
        self._erasures.withhold(self._connection)
        rejected = _one(self._connection, "SELECT count(*) FROM rejects WHERE NOT row_kept")
        conservation = (
            None if staged is None else Conservation(path.name, staged.records, accepted, rejected, self._erased)
        )
        copy_to(self._connection, "SELECT * FROM rejects", rejects)
        return Reading(table, rejects, conservation, _reasons(self._connection))


def _with_photos(reading: Reading, photos: Mapping[str, int], findings: Mapping[str, PhotoFinding]) -> PhotosReading:
    return PhotosReading(reading.table, reading.rejects, reading.conservation, reading.reasons, photos, findings)


def _price_from_log(connection: duckdb.DuckDBPyConnection, source: Source, scratch: Path, erasures: Erasures) -> None:
    with TemporaryDirectory(dir=scratch) as copies:
        log = open_log(connection, source.events())

        def find_prices(log: Log) -> None:
            log = log.without(connection, erasures)
            connection.execute(query("price_from_log", log=log.columns_sql(("item_id", "price"))))

        if "price" in log.places:
            log.read(Path(copies), find_prices)


def _stage_findings(
    connection: duckdb.DuckDBPyConnection, findings: Mapping[str, PhotoFinding], *, promised: bool
) -> None:
    rows = [(ref, found) for ref, found in findings.items() if promised or found.status != "missing"]
    connection.register(
        "_findings",
        pa.table(
            {
                "ref": pa.array([ref for ref, _ in rows], pa.string()),
                "status": pa.array([found.status for _, found in rows], pa.string()),
                "digest": pa.array([found.digest for _, found in rows], pa.string()),
            }
        ),
    )
    connection.execute("CREATE OR REPLACE TEMP TABLE findings AS SELECT * FROM _findings")
    connection.unregister("_findings")


def _seconds_sql(column: str) -> str:
    return query("seconds", column=column)


def _seconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(connection.execute(sql).fetchall()[0][0])


def _reasons(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return dict(connection.execute(query("reasons")).fetchall())


def _nothing_left(path: Path, reasons: Mapping[str, int]) -> ContractError:
    most = "; ".join(f"{reason} ({count} rows)" for reason, count in list(reasons.items())[:3])
    return ContractError(path, f"not one row can be used: {most}", "Correct the export; data/README.md has examples.")
