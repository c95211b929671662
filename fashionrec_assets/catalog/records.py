"""Reads the small files (catalog, users) record by record, so that every bad one is known by its line.

Belongs here: CSV, JSON lines and Parquet into checked text columns in a DuckDB table, in bounded memory. Does not
belong here: what a number or a date is (`validation.py`), and the behaviour log (`lines.py`: too many rows for this).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, AnyStr, Final, cast

import duckdb
import pyarrow as pa

from fashionrec_assets.catalog import contract
from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.sources.base import RowsFile
from fashionrec_assets.storage.tables import quote

_BATCH: Final = 20_000

MAX_LINE_CHARS: Final = 4_000_000
"""A longer line is refused, and never in memory as a whole: a few kilobytes of gzip can hold gigabytes of one."""

_DELIMITERS: Final = (",", "\t", ";", "|")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")

Record = tuple[int, list[str | None] | str, str | None]
"""(line, fields, None), or (line, reason, the text at fault)."""


@dataclass(frozen=True)
class Staged:
    """What `stage_records` read: all `records`, and how many of them were `refused` as a whole."""

    records: int
    refused: int
    names: Mapping[str, str]
    """Contract columns the file has, and what it calls them."""


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """`path` as bytes, unzipped if its name ends in .gz. Raises ContractError if it is empty, damaged or UTF-16."""
    if not path.is_file():
        raise ContractError(path, "no such file", "Put it there, or point --raw at the folder that has it.")
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as raw:
            buffered = io.BufferedReader(cast(io.RawIOBase, raw))
            head = buffered.peek(4)
            if not head:
                raise ContractError(path, "the file is empty", "Export it again.")
            if head[:2] in _UTF16:
                raise ContractError(path, "expected UTF-8, found UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8.")
            yield buffered
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ContractError(path, f"damaged gzip file ({error})", "Copy or export it again.") from error


def printable(value: str | None) -> str | None:
    """`value` as it can be stored and shown: bad bytes and NULs escaped, cut to MAX_VALUE_CHARS."""
    if value is None:
        return None
    text = value[: contract.MAX_VALUE_CHARS]
    try:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # Half a surrogate pair that JSON spelled out, rather than bytes that could not be decoded.
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("\0", "\\x00")[: contract.MAX_VALUE_CHARS]


def _bounded(file: IO[AnyStr]) -> AnyStr:
    """The next line with its end; of one beyond MAX_LINE_CHARS the beginning, one character longer than that."""
    line = file.readline(MAX_LINE_CHARS + 1)
    rest = line
    while len(rest) > MAX_LINE_CHARS and rest[-1:] not in ("\n", "\r", b"\n"):
        rest = file.readline(MAX_LINE_CHARS + 1)
    return line


class _Lines:
    """Physical lines with a memory of those the current record took, so that a bad record can give some back."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._returned: deque[str] = deque()
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else _bounded(self._text)
        if not line:
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        return line

    def give_back(self, lines: list[str]) -> None:
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


def _csv_records(path: Path, rows: RowsFile) -> Iterator[list[str] | Record]:
    """First the header, then the records. Blank lines are no records."""
    with open_binary(path) as raw:
        lines = _Lines(io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline=""))
        first = next(lines, "").rstrip("\r\n")
        if len(first) > MAX_LINE_CHARS:
            raise ContractError(path, f"the header has more than {MAX_LINE_CHARS} characters", "Export it again.")
        wanted = {name for column in rows.required for name in rows.spellings(column)}

        def known(delimiter: str) -> int:
            return len(wanted.intersection(name.strip(' "').lower() for name in first.split(delimiter)))

        delimiter = max(_DELIMITERS, key=known)
        try:
            header = next(csv.reader([first], delimiter=delimiter), [])
        except csv.Error as error:
            raise ContractError(path, f"the first line is no header ({error})", "Export it again.") from error
        yield header
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            lines.taken.clear()
            start = lines.number + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # An unclosed quote swallows what follows: refuse its own line only, and read on behind it.
                text = lines.taken[0].rstrip("\r\n")
                too_long = len(lines.taken) == 1 and "field limit" in str(error)
                lines.give_back(lines.taken[1:])
                reader = csv.reader(lines, delimiter=delimiter, strict=True)
                yield start, contract.TOO_LONG if too_long else contract.UNBALANCED_QUOTE, text
                continue
            if not row:
                continue
            if any(len(line) > MAX_LINE_CHARS for line in lines.taken):
                yield start, contract.TOO_LONG, lines.taken[0]
                continue
            if len(row) != len(header):
                reason = contract.MISSING_COLUMNS if len(row) < len(header) else contract.TOO_MANY_COLUMNS
                yield start, reason, delimiter.join(row)
                continue
            yield start, cast("list[str | None]", row), None


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


class _Verbatim(str):
    """A JSON number as it was written."""


def _json_records(path: Path, rows: RowsFile) -> Iterator[list[str] | Record]:
    header = list(dict.fromkeys(name for column in rows.columns for name in rows.spellings(column)))
    seen: set[str] = set()
    pending: list[Record] = []

    def parse(number: int, raw_line: bytes) -> Record:
        if len(raw_line) > MAX_LINE_CHARS:
            return number, contract.TOO_LONG, raw_line[: contract.MAX_VALUE_CHARS].decode("utf-8", "surrogateescape")
        text = raw_line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape").strip()
        try:
            record = json.loads(text, parse_int=_Verbatim, parse_float=_Verbatim, parse_constant=_Verbatim)
        except (json.JSONDecodeError, RecursionError):
            return number, contract.NOT_AN_OBJECT, text
        if not isinstance(record, dict):
            return number, contract.NOT_AN_OBJECT, text
        named = {str(key).strip().lower(): value for key, value in cast("dict[str, Any]", record).items()}
        seen.update(named)
        return number, [_json_text(named.get(name)) for name in header], None

    with open_binary(path) as raw:
        physical = iter(lambda: _bounded(raw), b"")
        numbered = ((number, line) for number, line in enumerate(physical, 1) if line.strip())
        for number, line in numbered:
            # Whether an optional name is in use is only known from the records: look at the first thousand.
            pending.append(parse(number, line))
            if len(pending) == 1_000:
                break
        yield [name if name in seen else "" for name in header]
        yield from pending
        for number, line in numbered:
            yield parse(number, line)


def _parquet_records(path: Path, connection: duckdb.DuckDBPyConnection) -> Iterator[list[str] | Record]:
    with open_binary(path):
        pass
    try:
        header = list(connection.sql("SELECT * FROM read_parquet($path)", params={"path": str(path)}).columns)
        texts = ", ".join(f"{quote(name)}::VARCHAR" for name in header)
        reader = connection.execute(
            f"SELECT file_row_number + 1, {texts} FROM read_parquet($path, file_row_number = true)", {"path": str(path)}
        )
        yield header
        while batch := reader.fetchmany(_BATCH):
            for row in batch:
                yield row[0], list(row[1:]), None
    except duckdb.Error as error:
        raise ContractError(path, f"not a readable Parquet file ({error})", "Export it again.") from error


def _records(rows: RowsFile, connection: duckdb.DuckDBPyConnection) -> Iterator[list[str] | Record]:
    suffixes = [suffix for suffix in rows.path.suffixes if suffix != ".gz"]
    kind = suffixes[-1].lower() if suffixes else ""
    if kind == ".parquet":
        # A cursor of its own: the connection is written to while this one is read.
        return _parquet_records(rows.path, connection.cursor())
    if kind in {".jsonl", ".ndjson"}:
        return _json_records(rows.path, rows)
    if kind in {".csv", ".tsv", ".txt"}:
        return _csv_records(rows.path, rows)
    raise ContractError(rows.path, "expected .csv, .jsonl (either with .gz) or .parquet", "Convert the file.")


def _check(text: str, limit: int) -> str | None:
    if "\0" in text:
        return contract.NUL_BYTE
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return contract.NOT_UTF8
    return contract.TOO_LONG if len(text) > limit else None


def stage_records(
    connection: duckdb.DuckDBPyConnection,
    rows: RowsFile,
    *,
    table: str,
    problems: str,
    limits: Mapping[str, int],
    fatal: tuple[str, ...],
) -> Staged:
    """Reads `rows.path` into `table` (line, and each key of `limits` as trimmed text or null) and `problems`.

    A record that cannot be split into columns, or has unusable text in a column of `fatal`, goes to `problems`
    (line, column_name, reason, value, row_kept) instead of `table`; unusable text in another column is emptied and
    noted there. `limits`: contract column -> most characters. Raises ContractError if the file cannot be used.
    """
    columns = list(limits)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} (line BIGINT, {', '.join(f'{quote(name)} VARCHAR' for name in columns)})"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {problems} "
        "(line BIGINT, column_name VARCHAR, reason VARCHAR, value VARCHAR, row_kept BOOLEAN)"
    )
    stream = _records(rows, connection)
    header = cast("list[str]", next(stream))
    places = rows.locate(header)
    read = [(column, places[column], limits[column], column in fatal) for column in columns if column in places]
    name_of = {column: header[place].strip() for column, place in places.items()}

    kept: list[list[Any]] = [[] for _ in range(len(columns) + 1)]
    noted: list[list[Any]] = [[] for _ in range(5)]
    total = refused = 0

    def note(line: int, column: str | None, reason: str, value: str | None, row_kept: bool) -> None:
        for store, cell in zip(noted, (line, column, reason, printable(value), row_kept), strict=True):
            store.append(cell)

    def flush() -> None:
        _append(connection, table, ["line", *columns], kept, [pa.int64()] + [pa.string()] * len(columns))
        _append(
            connection,
            problems,
            ["line", "column_name", "reason", "value", "row_kept"],
            noted,
            [pa.int64(), pa.string(), pa.string(), pa.string(), pa.bool_()],
        )

    positions = {column: index + 1 for index, column in enumerate(columns)}
    for record in stream:
        line, fields, text = cast(Record, record)
        total += 1
        if isinstance(fields, str):
            refused += 1
            note(line, None, fields, text, False)
        else:
            values: list[Any] = [line] + [None] * len(columns)
            issues: list[tuple[str, str, str]] = []
            for column, place, limit, is_fatal in read:
                cell = fields[place]
                if cell is None:
                    continue
                cell = cell.strip()
                if not cell:
                    continue
                problem = _check(cell, limit)
                if problem is None:
                    values[positions[column]] = cell
                elif is_fatal:
                    refused += 1
                    note(line, name_of[column], problem, cell, False)
                    break
                else:
                    issues.append((name_of[column], problem, cell))
            else:
                for name, problem, cell in issues:
                    note(line, name, problem, cell, True)
                for store, cell in zip(kept, values, strict=True):
                    store.append(cell)
        if len(kept[0]) + len(noted[0]) >= _BATCH:
            flush()
    flush()
    if total == 0:
        raise ContractError(rows.path, "no rows below the header", "Export it again.")
    return Staged(total, refused, name_of)


def _append(
    connection: duckdb.DuckDBPyConnection, table: str, names: list[str], stores: list[list[Any]], types: list[Any]
) -> None:
    if not stores[0]:
        return
    arrays = [pa.array(store, type_) for store, type_ in zip(stores, types, strict=True)]
    connection.register("_batch", pa.table(arrays, names=names))
    connection.execute(f"INSERT INTO {table} SELECT * FROM _batch")
    connection.unregister("_batch")
    for store in stores:
        store.clear()
