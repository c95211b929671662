"""Reads the behaviour log line by line inside DuckDB, so that 100 million rows neither fill the memory nor get lost.

Belongs here: a log file (CSV, gzipped or not, or Parquet) as SQL that yields its lines in order, what can be wrong with
one, and the repair of files DuckDB refuses. Does not belong here: the bookkeeping (`validation.py`), small files
(`records.py`).

Why by line: DuckDB's CSV reader drops the rows it cannot read, numbers the rest anew, and lets one unclosed quote
swallow the file's tail. Read as one column, every physical line is one row; splitting it costs less than the scan.
The price: a record is one line, so a quoted field of the log cannot hold a line break (its lines are refused).

The file is read once, by all threads: what is wrong with a line stands in the same table as the events, in the order of
the file, so that a row's place there is its line's number.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final, TypeVar

import duckdb

from fashionrec_assets.catalog import contract
from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.erasure import Erasures
from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.catalog.queries import literal, query
from fashionrec_assets.catalog.records import open_binary
from fashionrec_assets.catalog.sources.base import RowsFile
from fashionrec_assets.storage.tables import quote

_UNUSED: Final = "\x1f"
"""A delimiter no text has (a repaired copy is free of it), so that a line stays one column."""

_MARKER: Final = "\ufffd"
"""What undecodable bytes become in a repaired copy."""

BEHAVIOURS_SQL: Final = "[" + ", ".join(map(literal, BEHAVIOURS)) + "]"

MAX_LINE_CHARS: Final = 200_000
"""A repaired copy's lines are cut off a little beyond this, and refused."""

_SPACE: Final = "' ' || chr(9)"
"""SQL of what is trimmed."""

_BLANK: Final = "0"
_ERASED: Final = "-1"
"""SQL of the `problem` of lines that are no records, and of the records of users on the suppression list."""

_CHUNK_CHARS: Final = 1 << 24
_SAMPLE_LINES: Final = 100
_DELIMITERS: Final = (",", "\t", ";", "|")

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """Something wrong with one record: its number (SQL handles nothing longer), and what the user is told."""

    number: str
    reason: str
    column: str | None
    """Contract column at fault; None: the whole line."""


PROBLEMS: Final[Mapping[str, Problem]] = {
    name: Problem(str(number), reason, column)
    for number, (name, reason, column) in enumerate(
        (
            ("line_too_long", contract.TOO_LONG, None),
            ("unbalanced_quote", contract.UNBALANCED_QUOTE, None),
            ("missing_columns", contract.MISSING_COLUMNS, None),
            ("too_many_columns", contract.TOO_MANY_COLUMNS, None),
            ("not_utf8", contract.NOT_UTF8, None),
            ("nul_byte", contract.NUL_BYTE, None),
            ("user_empty", contract.EMPTY, "user_id"),
            ("item_empty", contract.EMPTY, "item_id"),
            ("user_too_long", contract.TOO_LONG, "user_id"),
            ("item_too_long", contract.TOO_LONG, "item_id"),
            ("unknown_behaviour", contract.UNKNOWN_BEHAVIOUR, "behaviour"),
            ("not_a_time", contract.NOT_A_TIME, "ts"),
            ("impossible_time", contract.IMPOSSIBLE_TIME, "ts"),
            ("future_time", contract.FUTURE_TIME, "ts"),
            ("unknown_item", contract.UNKNOWN_ITEM, "item_id"),
        ),
        1,
    )
}


def _about(column: str) -> str:
    return "(" + ", ".join(problem.number for problem in PROBLEMS.values() if problem.column == column) + ")"


@dataclass(frozen=True)
class Log:
    """A log file whose columns are known. `names`: contract column -> the name the file gives it."""

    rows: RowsFile
    path: Path
    header: int
    """Lines above the first row that SQL yields: 0 or 1."""
    width: int
    places: Mapping[str, int]
    names: Mapping[str, str]
    delimiter: str = ","
    damaged: bool = False
    suppressed: bool = False
    """Whether the records of the users in the table `erased` are left out."""

    @property
    def is_parquet(self) -> bool:
        return self.path.suffix == ".parquet"

    def columns_sql(self, columns: tuple[str, ...]) -> str:
        """SQL of every line but those of erased users: shape (what is wrong with its columns, or null), text, and
        `columns` as text."""
        if not self.suppressed:
            return self._columns_sql(columns)
        return query("erased_rows", records=self._columns_sql(tuple(dict.fromkeys((*columns, "user_id")))))

    def without(self, connection: duckdb.DuckDBPyConnection, erasures: Erasures) -> Log:
        """The log without the users of a suppression list."""
        if not erasures.find(connection, self._columns_sql(("user_id",))):
            return self
        connection.execute(query("erased_type"))
        return replace(self, suppressed=True)

    def _columns_sql(self, columns: tuple[str, ...]) -> str:
        if self.is_parquet:
            cells = {column: f"trim({quote(self.names[column])}::VARCHAR)" for column in self.places}
            every = ", ".join(f"{quote(name)}::VARCHAR" for name in self.names.values())
            head = f"SELECT NULL::TINYINT AS shape, concat_ws(',', {every}) AS text"
            return f"{head}, {self._select(cells, columns)} FROM read_parquet({literal(str(self.path))})"
        cells = {column: f"fields[{place + 1}]" for column, place in self.places.items()}
        return query(
            "log_columns",
            columns=self._select(cells, columns),
            lines=self._lines_sql(),
            space=_SPACE,
            blank=_BLANK,
            width=str(self.width),
            unbalanced_quote=PROBLEMS["unbalanced_quote"].number,
            missing_columns=PROBLEMS["missing_columns"].number,
            too_many_columns=PROBLEMS["too_many_columns"].number,
        )

    def read(self, scratch: Path, act: Callable[[Log], T]) -> T:
        """What `act` makes of the log; of a copy of it in `scratch`, where DuckDB refuses the file itself.

        A file with undecodable bytes, mixed line ends or over-long lines is repaired so that its good lines read as
        before and its bad ones can be refused one by one; `act` must be ready to begin anew. Raises ContractError if
        the file is damaged as a whole: the footer of a Parquet file, by which it is opened, says nothing about its
        pages.
        """
        try:
            return act(self)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            if self.is_parquet:
                if isinstance(error, duckdb.IOException):
                    raise
                raise _unreadable(self.path, error) from error
            # A disk that is full while DuckDB spills to it is an IOException too.
            refused = duckdb.IOException if self.path.suffix == ".gz" else duckdb.InvalidInputException
            if not isinstance(error, (duckdb.InvalidInputException, refused)):
                raise
        return act(replace(self, path=_repair(self.path, scratch), damaged=True))

    def judged_sql(self, seconds: str, earliest: int, latest: int) -> str:
        """SQL that makes the table `judged` of every line, in order; `seconds`: SQL of the UTC seconds in `ts`.

        Whether there is such an item is not asked.
        """
        return query(
            "log_judged",
            columns=self._columns_sql(("user_id", "item_id", "behaviour", "ts")),
            blank=_BLANK,
            erased=_ERASED,
            is_erased="try_cast(user_id AS erased_user) IS NOT NULL" if self.suppressed else "false",
            behaviour_cases=" ".join(f"WHEN {literal(name)} THEN {at}" for at, name in enumerate(BEHAVIOURS, 1)),
            seconds=seconds,
            damaged=str(self.damaged).lower(),
            marker=literal(_MARKER),
            earliest=str(earliest),
            latest=str(latest),
            max_line=str(MAX_LINE_CHARS),
            max_id=str(contract.MAX_ID_CHARS),
            max_value=str(contract.MAX_VALUE_CHARS),
            about_user=_about("user_id"),
            about_item=_about("item_id"),
            about_behaviour=_about("behaviour"),
            about_time=_about("ts"),
            **{name: problem.number for name, problem in PROBLEMS.items()},
        )

    def accounts_sql(self) -> str:
        """SQL of the numbers of records in the table `judged`: all, and those of erased users."""
        return query("log_accounts", blank=_BLANK, erased=_ERASED)

    def rejects_sql(self, *, any_left: bool) -> str:
        """SQL that makes the table `rejects`, in the columns of `tables.REJECTS`, of what `judged`, `known`, `sorted`
        and `repeated` say; it looks at them only if there are `any_left` besides the accepted records."""
        names = (None if p.column is None else self.names.get(p.column, p.column) for p in PROBLEMS.values())
        return query(
            "log_rejects",
            limit="" if any_left else "LIMIT 0",
            file=literal(self.rows.path.name),
            header=str(self.header),
            columns="[" + ", ".join("NULL" if name is None else literal(name) for name in names) + "]",
            reasons="[" + ", ".join(literal(problem.reason) for problem in PROBLEMS.values()) + "]",
            duplicate=literal(contract.DUPLICATE),
            unknown_item=PROBLEMS["unknown_item"].number,
            behaviours=BEHAVIOURS_SQL,
            max_value=str(contract.MAX_VALUE_CHARS),
        )

    def _lines_sql(self) -> str:
        return query(
            "log_lines",
            path=literal(str(self.path)),
            delimiter=literal(self.delimiter),
            stop=self.delimiter,
            space=_SPACE,
            unused=literal(_UNUSED),
            header=str(self.header),
            compression=literal("gzip" if self.path.suffix == ".gz" else "none"),
        )

    def _select(self, cells: Mapping[str, str], columns: tuple[str, ...]) -> str:
        found = {**cells, **self.rows.expressions}
        return ", ".join(f"{found.get(column, 'NULL::VARCHAR')} AS {quote(column)}" for column in columns)


def open_log(connection: duckdb.DuckDBPyConnection, rows: RowsFile) -> Log:
    """The log at `rows.path`, of which only the beginning is read.

    Raises ContractError if the file is empty, lacks a required column, or is no file of a known kind.
    """
    suffixes = [suffix for suffix in rows.path.suffixes if suffix != ".gz"]
    kind = suffixes[-1].lower() if suffixes else ""
    if kind == ".parquet":
        return _open_parquet(connection, rows)
    if kind in {".csv", ".tsv", ".txt"}:
        return _open_text(rows)
    raise ContractError(rows.path, "expected .csv or .csv.gz or .parquet", "Convert the file.")


def _open_parquet(connection: duckdb.DuckDBPyConnection, rows: RowsFile) -> Log:
    with open_binary(rows.path):
        pass
    try:
        header = connection.sql("SELECT * FROM read_parquet($path)", params={"path": str(rows.path)}).columns
    except duckdb.Error as error:
        raise _unreadable(rows.path, error) from error
    places = rows.locate(list(header))
    return Log(rows, rows.path, 0, len(header), places, {column: header[place] for column, place in places.items()})


def _open_text(rows: RowsFile) -> Log:
    known = {name for column in rows.columns for name in rows.spellings(column)}
    with open_binary(rows.path) as raw:
        sample = _sample(raw)
    if not sample:
        raise ContractError(rows.path, "no rows", "Export it again.")

    def fields(line: str, delimiter: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            return []

    for delimiter in _DELIMITERS:
        header = fields(sample[0], delimiter)
        if known.intersection(name.strip().lower() for name in header):
            places = rows.locate(header)
            names = {column: header[place].strip() for column, place in places.items()}
            return Log(rows, rows.path, 1, len(header), places, names, delimiter)
    if rows.positional is None:
        raise ContractError(
            rows.path,
            # Not the line itself: it may name a user, and what went wrong is kept in Dagster's history.
            f"the first line, of {len(sample[0])} characters, is no header",
            f"Expected columns {', '.join(' or '.join(rows.spellings(column)) for column in rows.required)}.",
        )
    names = list(rows.positional)
    for delimiter in _DELIMITERS:
        if any(len(fields(line, delimiter)) == len(names) for line in sample):
            places = rows.locate(names)
            columns = {column: names[place] for column, place in places.items()}
            return Log(rows, rows.path, 0, len(names), places, columns, delimiter)
    raise ContractError(
        rows.path,
        f"expected {len(names)} columns ({', '.join(names)}), or a header that names them; "
        f"the first line has {max(len(fields(sample[0], one)) for one in _DELIMITERS)}",
        "Export these columns in this order, or add a header line.",
    )


def _unreadable(path: Path, error: duckdb.Error) -> ContractError:
    return ContractError(path, f"not a readable Parquet file ({error})", "Export it again.")


def _sample(raw: IO[bytes]) -> list[str]:
    text = raw.read(1 << 20).decode("utf-8-sig", "replace")
    return [line for line in text.splitlines()[:_SAMPLE_LINES] if line.strip()]


def _repair(path: Path, scratch: Path) -> Path:
    """A copy of `path` that DuckDB reads: UTF-8, one kind of line end, no over-long line; same line numbers."""
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / "repaired_log.csv"
    over_long = re.compile(f"[^\n]{{{MAX_LINE_CHARS + 1},}}")
    with (
        open_binary(path) as raw,
        io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline=None) as source,
        target.open("w", encoding="utf-8", newline="\n") as sink,
    ):
        rest = ""
        while chunk := source.read(_CHUNK_CHARS):
            text = rest + chunk.replace(_UNUSED, _MARKER)
            end = text.rfind("\n") + 1
            sink.write(over_long.sub(_cut, text[:end]))
            # What was cut off a line without an end in sight is not kept either.
            rest = over_long.sub(_cut, text[end:])
        sink.write(rest)
    return target


def _cut(match: re.Match[str]) -> str:
    return match.group()[: MAX_LINE_CHARS + 1]
