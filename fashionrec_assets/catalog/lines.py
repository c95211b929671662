"""Reads the behaviour log line by line inside DuckDB, so that 100 million rows neither fill the memory nor get lost.

Belongs here: a log file (CSV, gzipped or not, or Parquet) as SQL that yields its records with their line numbers, and
what can be wrong with one, and the repair of files DuckDB refuses. Does not belong here: duplicates and the
bookkeeping (`validation.py`), small files (`records.py`).

Why by line: DuckDB's CSV reader drops the rows it cannot read, numbers the rest anew, and lets one unclosed quote
swallow the file's tail. Read as one column, every physical line is one row; splitting it costs less than the scan.
The price: a record is one line, so a quoted field of the log cannot hold a line break (its lines are refused).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

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

_CHUNK_CHARS: Final = 1 << 24
_SAMPLE_LINES: Final = 100
_DELIMITERS: Final = (",", "\t", ";", "|")


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
    """Lines above the first record: 0 or 1."""
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
        """SQL of every record: line, shape (what is wrong with its columns, or null), text, and `columns` as text."""
        if not self.suppressed:
            return self._columns_sql(columns)
        return query("erased_rows", records=self._columns_sql(tuple(dict.fromkeys((*columns, "user_id")))))

    def without(self, connection: duckdb.DuckDBPyConnection, erasures: Erasures) -> tuple[Log, int]:
        """The log without the users of a suppression list, and how many records it left out."""
        dropped = erasures.find(connection, self._columns_sql(("user_id",)))
        return (replace(self, suppressed=True), dropped) if dropped else (self, 0)

    def _columns_sql(self, columns: tuple[str, ...]) -> str:
        if self.is_parquet:
            cells = {column: f"trim({quote(self.names[column])}::VARCHAR)" for column in self.places}
            every = ", ".join(f"{quote(name)}::VARCHAR" for name in self.names.values())
            head = f"SELECT file_row_number + 1 AS line, NULL::TINYINT AS shape, concat_ws(',', {every}) AS text"
            tail = f"FROM read_parquet({literal(str(self.path))}, file_row_number = true)"
            return f"{head}, {self._select(cells, columns)} {tail}"
        cells = {column: f"fields[{place + 1}]" for column, place in self.places.items()}
        return query(
            "log_columns",
            columns=self._select(cells, columns),
            lines=self._lines_sql(),
            width=str(self.width),
            unbalanced_quote=PROBLEMS["unbalanced_quote"].number,
            missing_columns=PROBLEMS["missing_columns"].number,
            too_many_columns=PROBLEMS["too_many_columns"].number,
        )

    @contextmanager
    def read(self) -> Generator[None]:
        """Where the records are read: damage that only then comes to light is a ContractError.

        The footer of a Parquet file, by which it is opened, says nothing about its pages.
        """
        try:
            yield
        except (duckdb.IOException, duckdb.OutOfMemoryException):
            raise
        except duckdb.Error as error:
            if not self.is_parquet:
                raise
            raise ContractError(self.rows.path, f"not a readable Parquet file ({error})", "Export it again.") from error

    def count_sql(self) -> str:
        """SQL of the number of records, without parsing them."""
        if self.is_parquet:
            return f"SELECT count(*) FROM read_parquet({literal(str(self.path))})"
        return f"SELECT count(text) FROM ({self._lines_sql()})"

    def rows_sql(self, seconds: str, earliest: int, latest: int) -> str:
        """SQL of every record, judged; `seconds`: SQL of the UTC seconds in `ts`. Needs the table `known`."""
        return query(
            "log_rows",
            columns=self.columns_sql(("user_id", "item_id", "behaviour", "ts")),
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

    def rejects_sql(self) -> str:
        """SQL of the refused records in the table `sorted`, in the columns of `tables.REJECTS`."""
        names = (None if p.column is None else self.names.get(p.column, p.column) for p in PROBLEMS.values())
        return query(
            "log_rejects",
            file=literal(self.rows.path.name),
            columns="[" + ", ".join("NULL" if name is None else literal(name) for name in names) + "]",
            reasons="[" + ", ".join(literal(problem.reason) for problem in PROBLEMS.values()) + "]",
            duplicate=literal(contract.DUPLICATE),
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


def open_log(connection: duckdb.DuckDBPyConnection, rows: RowsFile, scratch: Path) -> tuple[Log, int]:
    """The log at `rows.path` and its number of records (blank lines are none).

    A file with undecodable bytes, mixed line ends or over-long lines is copied into `scratch`, repaired so that its
    good lines read as before and its bad ones can be refused one by one. Raises ContractError if the file is empty,
    damaged as a whole, or lacks a required column.
    """
    suffixes = [suffix for suffix in rows.path.suffixes if suffix != ".gz"]
    kind = suffixes[-1].lower() if suffixes else ""
    if kind == ".parquet":
        log = _open_parquet(connection, rows)
    elif kind in {".csv", ".tsv", ".txt"}:
        log = _open_text(rows)
    else:
        raise ContractError(rows.path, "expected .csv or .csv.gz or .parquet", "Convert the file.")
    try:
        records = _count(connection, log)
    except (duckdb.InvalidInputException, duckdb.IOException) as error:
        if log.is_parquet:
            raise ContractError(rows.path, f"not a readable Parquet file ({error})", "Export it again.") from error
        log = replace(log, path=_repair(rows.path, scratch), damaged=True)
        records = _count(connection, log)
    if records == 0:
        raise ContractError(rows.path, "no rows", "Export it again.")
    return log, records


def _count(connection: duckdb.DuckDBPyConnection, log: Log) -> int:
    return int(connection.execute(log.count_sql()).fetchall()[0][0])


def _open_parquet(connection: duckdb.DuckDBPyConnection, rows: RowsFile) -> Log:
    with open_binary(rows.path):
        pass
    try:
        header = connection.sql("SELECT * FROM read_parquet($path)", params={"path": str(rows.path)}).columns
    except duckdb.Error as error:
        raise ContractError(rows.path, f"not a readable Parquet file ({error})", "Export it again.") from error
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
