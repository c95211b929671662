"""The readers of raw files: any bytes are refused with the documented error or accounted for line by line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fashionrec_assets.catalog import contract, records
from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.records import Staged, printable, stage_records
from fashionrec_assets.catalog.sources.base import RowsFile
from fashionrec_assets.catalog.validation import Reading
from fashionrec_assets.crops.boxes import read_boxes
from fashionrec_assets.recommendations.rules import read_rules
from fashionrec_assets_tests.catalog.shop import RawShop, rows
from fashionrec_assets_tests.security.hostile import any_texts, examples, json_values, mutated, texts, values

COLUMNS = ("item_id", "title", "price")
LIMITS = {"item_id": 20, "title": 60, "price": 40}


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as found:
        yield found


def staged(
    connection: duckdb.DuckDBPyConnection, name: str, data: bytes
) -> tuple[Staged, list[tuple[Any, ...]], list[tuple[int, str | None, str, str | None, bool]]]:
    """What `stage_records` makes of a file: the account, the rows by line, and the problems."""
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        file = RowsFile(path, {name: name for name in COLUMNS}, required=("item_id", "title"))
        account = stage_records(
            connection, file, table="staged", problems="problems", limits=LIMITS, fatal=("item_id", "title")
        )
    kept = connection.execute("SELECT line, item_id, title, price FROM staged ORDER BY line").fetchall()
    problems = connection.execute("SELECT * FROM problems ORDER BY line").fetchall()
    return account, kept, problems


def as_csv(header: Sequence[str], lines: Sequence[Sequence[str]], delimiter: str = ",") -> bytes:
    sink = io.StringIO(newline="")
    csv.writer(sink, delimiter=delimiter).writerows([header, *lines])
    return sink.getvalue().encode("utf-8", "surrogatepass")


csv_files = st.builds(
    as_csv,
    st.just(COLUMNS),
    st.lists(st.lists(values, min_size=2, max_size=4), max_size=4),
    st.sampled_from([",", ";", "\t", "|"]),
)
json_lines = st.lists(
    st.one_of(
        st.fixed_dictionaries({}, optional={"item_id": json_values, "Title ": json_values, "price": json_values}),
        json_values,
    ),
    max_size=4,
).map(lambda found: "\n".join(json.dumps(one, ensure_ascii=False) for one in found).encode("utf-8", "surrogatepass"))
hostile_files = st.one_of(
    st.tuples(st.just("a.csv"), mutated(csv_files)),
    st.tuples(st.just("a.jsonl"), mutated(json_lines)),
    st.tuples(st.sampled_from(["a.csv", "a.jsonl", "a.csv.gz", "a.parquet", "a.tsv"]), st.binary(max_size=60)),
    st.tuples(st.just("a.csv.gz"), mutated(csv_files.map(lambda data: gzip.compress(data, mtime=0)))),
)


@given(file=hostile_files)
@example(file=("a.csv", b'item_id,title,price\na,"b\nc,d\n"e,f,g\n'))
@example(file=("a.csv", b'item_id,title,"' + b"x" * 140_000 + b'"\na,b,c\n'))
@example(file=("a.jsonl", b'{"item_id": ' + b"[" * 960 + b"]" * 960 + b', "title": "t"}\n'))
@example(file=("a.jsonl", b'{"item_id": "\\ud800", "title": "t"}\n\n\xff\n'))
def test_every_record_is_kept_or_refused_with_its_line_and_reason(
    connection: duckdb.DuckDBPyConnection, file: tuple[str, bytes]
) -> None:
    name, data = file
    try:
        account, kept, problems = staged(connection, name, data)
    except ContractError as error:
        assert name in str(error) and error.remedy
        return
    refused = [problem for problem in problems if not problem[4]]
    assert account.records == len(kept) + len(refused)
    assert account.refused == len(refused)
    lines = [row[0] for row in kept] + [problem[0] for problem in refused]
    assert len(set(lines)) == len(lines) and min(lines) >= 1
    assert all(problem[2] for problem in problems)
    for _, *cells in kept:
        assert all(cell is None or (cell and cell == cell.strip() and "\0" not in cell) for cell in cells)
        assert all(cell is None or len(cell) <= limit for cell, limit in zip(cells, LIMITS.values(), strict=True))


cells = st.one_of(texts, values).map(lambda text: text.replace("\0", "")[:15])
good_rows = st.lists(st.tuples(cells.map(lambda text: f"i{text}"), cells, cells), min_size=1, max_size=4)


@given(lines=good_rows, kind=st.sampled_from(["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "parquet"]))
def test_what_was_written_is_read_back_whatever_the_format(
    connection: duckdb.DuckDBPyConnection, lines: list[tuple[str, str, str]], kind: str
) -> None:
    if kind == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table([list(column) for column in zip(*lines, strict=True)], names=list(COLUMNS)), sink)
        data = sink.getvalue().to_pybytes()
    elif kind.startswith("jsonl"):
        data = "\n".join(json.dumps(dict(zip(COLUMNS, line, strict=True))) for line in lines).encode()
    else:
        data = as_csv(COLUMNS, lines, "\t" if kind == "tsv" else ",")
    _, kept, problems = staged(connection, f"a.{kind}", gzip.compress(data) if kind.endswith("gz") else data)
    assert problems == []
    assert [row[1:] for row in kept] == [tuple(cell.strip() or None for cell in line) for line in lines]


@given(text=st.one_of(st.none(), any_texts))
def test_what_is_noted_of_a_value_can_be_stored_and_is_short(text: str | None) -> None:
    found = printable(text)
    assert (found is None) == (text is None)
    if found is not None:
        assert len(found) <= contract.MAX_VALUE_CHARS and "\0" not in found
        assert found.encode("utf-8").decode("utf-8") == found == printable(found)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_line_that_would_fill_the_memory_is_refused_and_the_next_one_read(
    connection: duckdb.DuckDBPyConnection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_LINE_CHARS", 1_000)
    if name == "a.csv.gz":
        lines = [b"item_id,title,price", b"a," + b"x" * 5_001 + b",1", b"b,t,2", b"c," + b"y" * 3_002 + b",", b"d,t,3"]
    else:
        row = '{"item_id": "%s", "title": "%s", "price": 1}'
        lines = [(row % pair).encode() for pair in (("a", "x" * 5_001), ("b", "t"), ("c", "y" * 3_002), ("d", "t"))]
    _, kept, problems = staged(connection, name, gzip.compress(b"\n".join(lines) + b"\n"))
    assert [row[1] for row in kept] == ["b", "d"]
    assert [problem[2] for problem in problems] == [contract.TOO_LONG] * 2
    assert [row[0] for row in kept] == ([3, 5] if name == "a.csv.gz" else [2, 4])


def conserved(reading: Reading | None) -> None:
    assert reading is not None and reading.conservation is not None
    refused = [row for row in rows(reading.rejects, "line, reason, row_kept") if not row[2]]
    assert len(refused) == reading.conservation.rejected
    assert len(rows(reading.table)) >= reading.conservation.accepted
    assert all(line >= 1 and reason for line, reason, _ in refused)


catalogs = st.one_of(
    mutated(st.lists(st.tuples(values, values, values), max_size=5).map(lambda some: as_csv(COLUMNS, some))),
    st.lists(st.tuples(values, values, values, values), max_size=5).map(
        lambda some: as_csv(("item_id", "title", "price", "launched_at"), some)
    ),
)
LOG = ("user_id", "item_id", "category", "behaviour", "ts")
events = st.tuples(
    st.one_of(st.sampled_from(["u1", "u2", '"u,3"']), values),
    st.one_of(st.sampled_from(["a", "b", "x"]), values),
    st.just("c"),
    st.sampled_from(["pv", "buy", "PV", "stare", ""]),
    values,
).map(",".join)
logs = mutated(
    st.lists(events, min_size=1, max_size=6).map(
        lambda some: "\n".join(["u1,a,c,pv,1709510400", *some]).encode("utf-8", "surrogatepass")
    )
)
people = st.lists(st.tuples(st.one_of(st.just("u1"), values), values, values), max_size=4).map(
    lambda some: as_csv(("user_id", "age", "city"), some)
)
answers = st.lists(
    st.tuples(
        st.one_of(st.just("u1"), values),
        st.one_of(st.just("a"), values),
        values,
        st.one_of(st.sampled_from(["yes", "0"]), values),
        texts,
    ),
    max_size=4,
).map(lambda some: as_csv(("user_id", "item_id", "timestamp", "helpful", "text"), some))


@examples(0.3)
@given(catalog=catalogs)
def test_any_catalog_is_conserved_or_refused_as_a_whole(catalog: bytes) -> None:
    with TemporaryDirectory() as folder:
        shop = RawShop(Path(folder))
        shop.write("catalog.csv", catalog)
        try:
            conserved(shop.items())
        except ContractError as error:
            assert "catalog.csv" in str(error)


@examples(0.2)
@given(log=logs, users=people, feedback=answers)
@example(log=b"u1,a,c,pv,infinity\nu1,a,c,pv,1709510400", users=b"user_id,age\nu1,1e400\n", feedback=b"")
def test_any_log_users_and_feedback_are_conserved_or_refused_as_a_whole(
    log: bytes, users: bytes, feedback: bytes
) -> None:
    with TemporaryDirectory() as folder:
        shop = RawShop(Path(folder))
        shop.write_catalog(["a", "b"])
        shop.items()
        shop.write("UserBehavior.csv", log)
        try:
            conserved(shop.interactions())
        except ContractError as error:
            assert "UserBehavior.csv" in str(error)
            shop.write("UserBehavior.csv", "u1,a,c,pv,1709510400\n")
            shop.interactions()
        shop.write("users.csv", users)
        try:
            conserved(shop.users())
        except ContractError as error:
            assert "users.csv" in str(error)
            shop.write("users.csv", "user_id\nu1\n")
            shop.users()
        shop.write("feedback.csv", feedback)
        try:
            conserved(shop.feedback())
        except ContractError as error:
            assert "feedback.csv" in str(error)


@examples(0.2)
@given(data=st.binary(max_size=40), place=st.integers(0, 1 << 16))
def test_a_damaged_parquet_log_is_refused_or_conserved(data: bytes, place: int) -> None:
    sink = pa.BufferOutputStream()
    columns = (["u1"] * 3, ["a"] * 3, ["pv"] * 3, [1709510400, 1709510401, 1709510402])
    names = ["user_id", "item_id", "behaviour", "ts"]
    pq.write_table(pa.table(list(columns), names=names), sink, use_dictionary=False)
    good = sink.getvalue().to_pybytes()
    at = place % len(good)
    with TemporaryDirectory() as folder:
        shop = RawShop(Path(folder))
        shop.write_catalog(["a"])
        shop.write("UserBehavior.parquet", good[:at] + data + good[at + len(data) :])
        try:
            conserved(shop.interactions())
        except ContractError as error:
            assert "UserBehavior.parquet" in str(error)


rule_lines = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(["out_of_stock", "exclude", "cap", "price_band"]), texts),
        st.one_of(st.sampled_from(["colour", "price", ""]), texts),
        values,
        values,
        st.one_of(st.just(""), values),
    ),
    max_size=5,
)


@examples(0.5)
@given(data=mutated(rule_lines.map(lambda some: as_csv(("rule", "field", "value", "number", "until"), some))))
def test_every_line_of_the_rules_is_a_rule_or_refused(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "rules.csv")
        path.write_bytes(data)
        try:
            rules, refused = read_rules(path)
        except ContractError as error:
            assert "rules.csv" in str(error)
            return
    lines = [one.line for one in (*rules, *refused)]
    assert len(set(lines)) == len(lines)
    assert all(one.reason for one in refused)
    assert all(one.number is None or one.number == one.number for one in rules)


box_lines = st.lists(st.tuples(texts, texts, values, values, values, values, values, values), max_size=4)


@given(data=mutated(box_lines.map(lambda s: as_csv(("image", "label", "x0", "y0", "x1", "y1", "width", "height"), s))))
def test_every_drawn_box_is_read_or_told(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "boxes.csv")
        path.write_bytes(data)
        try:
            found = read_boxes(path)
        except ValueError as error:
            assert "boxes.csv" in str(error)
            return
    assert all(problem.startswith(f"{path}:") for problem in found.problems)
    assert all(0 <= box.box[0] < box.box[2] and 0 <= box.box[1] < box.box[3] for box in found.boxes)
