"""Text is bound in SQL, or goes through `literal` and `quote`: what they make of any text, and that nothing else is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given

import fashionrec_assets
from fashionrec_assets.storage.tables import Column, Table, contract_rules, literal, quote
from fashionrec_assets.storage.warehouse import insert_rows, upsert_rows
from fashionrec_assets_tests.security.hostile import texts

PACKAGE = Path(str(fashionrec_assets.__file__)).parent


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as found:
        yield found


@given(text=texts)
def test_a_literal_is_the_text_and_a_quoted_name_the_name(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert connection.execute(f"SELECT {literal(text)}").fetchall() == [(text,)]
    # DuckDB has no empty name, nor one with a NUL byte.
    name = text.replace("\0", "") or "x"
    found = connection.execute(f"SELECT 1 AS {quote(name)}")
    assert [column[0] for column in found.description or ()] == [name]
    assert found.fetchall() == [(1,)]


@given(text=texts)
def test_hostile_keys_and_values_are_rows_like_any_other(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    table = Table(
        "t'; DROP TABLE x; --",
        "a table",
        (Column('k"ey', "VARCHAR", "the key"), Column("v", "VARCHAR", "a value", values=(text,))),
        ('k"ey',),
    )
    connection.execute(f"DROP TABLE IF EXISTS {quote(table.name)}")
    connection.execute(table.ddl())
    rows = pa.table({'k"ey': [text], "v": [text]})
    insert_rows(connection, table, rows)
    upsert_rows(connection, table, rows)
    assert connection.execute(f"SELECT * FROM {quote(table.name)}").fetchall() == [(text, text)]
    for sql in contract_rules(table, quote(table.name)).values():
        assert connection.execute(sql).fetchall() == [(0,)]


MAKES_SQL = {"quote", "literal", "rows_digest", "query", "ddl", "recommended"}
"""Functions of the project whose result may stand in SQL: they quote, or put the project's own words together."""

NUMBERS = {"int", "len", "float"}

REVIEWED: dict[str, set[str]] = {
    "catalog/assets.py": {"_days(path)", "table", "table.key[0]"},
    "catalog/queries.py": {"select"},
    "catalog/records.py": {"problems", "table"},
    "catalog/traces.py": {"relation", "holds"},
    "catalog/validation.py": {"expression"},
    "descriptions/desk.py": {"relation"},
    "lookbook/reading.py": {"_text('homepage')", "_text('outfit')", "_text('style')"},
    "recommendations/serving.py": {"_explained(connection)"},
    "storage/ledger.py": {"key", "hashed", "rows or self.rows", "joins"},
    "storage/served.py": {"where"},
    "storage/tables.py": {"column.minimum", "relation"},
    "storage/warehouse.py": {"select", "source"},
}
"""Arguments and results of functions that were looked at one by one: names of the project's tables, relations that a
caller quoted, expressions that a source declares."""


def statements(tree: ast.AST) -> Iterator[tuple[ast.JoinedStr, ast.AST]]:
    """The f-strings that go to a connection or begin like SQL, each with the function it stands in (or the module)."""
    verbs = ("SELECT ", "INSERT ", "DELETE ", "UPDATE ", "CREATE ", "COPY ", "MERGE ", "DROP ", "WITH ", "ALTER ")
    sent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in ("execute", "sql", "one_row", "executemany"):
            sent.update(id(inner) for argument in node.args[:2] for inner in ast.walk(argument))

    def within(scope: ast.AST, node: ast.AST) -> Iterator[tuple[ast.JoinedStr, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            inner = child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else scope
            if isinstance(child, ast.JoinedStr):
                head = child.values[0].value if child.values and isinstance(child.values[0], ast.Constant) else ""
                if id(child) in sent or (isinstance(head, str) and head.lstrip().startswith(verbs)):
                    yield child, scope
            yield from within(inner, child)

    yield from within(tree, tree)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class Judge:
    """Whether an expression is made of constants, numbers and what the project's own functions quote, and nothing else.

    A name is what the function it stands in assigns to it; what comes in as an argument is not known here.
    """

    def __init__(self, scope: ast.AST) -> None:
        self._given: dict[str, list[ast.expr]] = {}
        self._asked: set[str] = set()
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._learn(target, node.value)
            elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value is not None:
                self._learn(node.target, node.value)
            elif isinstance(node, ast.For | ast.comprehension):
                self._learn(node.target, node.iter)

    def _learn(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, other in zip(target.elts, value.elts, strict=True):
                self._learn(one, other)
        else:
            for one in target.elts if isinstance(target, ast.Tuple) else [target]:
                self._given.setdefault(_name(one), []).append(value)

    def safe(self, value: ast.expr) -> bool:
        match value:
            case ast.Constant():
                return True
            case ast.Name(id=name) | ast.Attribute(attr=name) if name.lstrip("_").isupper():
                return True
            case ast.Attribute(value=ast.Name(id=name)) if name.isupper():
                return True
            case ast.Name(id=name) if name in self._asked:
                return True
            case ast.Name(id=name):
                self._asked.add(name)
                known = self._given.get(name, [])
                found = bool(known) and all(self.safe(one) for one in known)
                if not found:
                    self._asked.discard(name)
                return found
            case ast.JoinedStr(values=parts):
                return all(self.safe(part.value) for part in parts if isinstance(part, ast.FormattedValue))
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.safe(left) and self.safe(right)
            case ast.IfExp(body=body, orelse=other):
                return self.safe(body) and self.safe(other)
            case ast.BoolOp(values=parts):
                return all(map(self.safe, parts))
            case ast.Subscript(value=inner):
                return self.safe(inner)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return all(self.safe(part.value if isinstance(part, ast.Starred) else part) for part in parts)
            case ast.Dict(values=parts):
                return all(map(self.safe, parts))
            case ast.GeneratorExp(elt=inner) | ast.ListComp(elt=inner) | ast.DictComp(value=inner):
                return self.safe(inner)
            case ast.Call(func=ast.Name(id="map"), args=[ast.Name(id=name), *_]):
                return name in MAKES_SQL
            case ast.Call(func=ast.Attribute(value=inner, attr="join" | "replace" | "items" | "values"), args=given):
                return self.safe(inner) and all(map(self.safe, given))
            case ast.Call(func=ast.Name(id="str"), args=[inner]):
                return self.safe(inner)
            case ast.Call(func=called):
                return _name(called) in MAKES_SQL | NUMBERS or _name(called).endswith("_sql")
        return False


def unsafe(tree: ast.AST) -> Iterator[ast.expr]:
    """What a module puts into SQL that is not known to be safe."""
    judges: dict[int, Judge] = {}
    for statement, scope in statements(tree):
        judge = judges.get(id(scope)) or judges.setdefault(id(scope), Judge(scope))
        yield from (
            part.value
            for part in statement.values
            if isinstance(part, ast.FormattedValue) and not judge.safe(part.value)
        )


def test_nothing_but_quoted_names_literals_and_constants_is_put_into_sql() -> None:
    found: dict[str, set[str]] = {}
    seen = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        if not any(word in text for word in ("execute(", ".sql(", "one_row(", "SELECT ")):
            continue
        tree = ast.parse(text)
        seen += sum(1 for _ in statements(tree))
        if names := {ast.unparse(value) for value in unsafe(tree)}:
            found[path.relative_to(PACKAGE).as_posix()] = names
    assert seen > 80
    strange = {module: names - REVIEWED.get(module, set()) for module, names in found.items()}
    assert {module: names for module, names in strange.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("def f(c, title):\n    c.execute(f\"SELECT * FROM items WHERE title = '{title}'\")", ["title"]),
        ("def f(c, t):\n    sql = f'DELETE FROM items WHERE x = {t}'\n    c.execute(sql)", ["t"]),
        (
            "def f(c, a, b):\n    c.execute(f'SELECT {quote(a)} FROM {NAME} WHERE x IN ({S.join(map(literal, b))})')",
            [],
        ),
        ("def f(c, a):\n    n = quote(a)\n    n = a\n    c.execute(f'SELECT {n}')", ["n"]),
        ("def f(c, a):\n    n = ', '.join(f'{quote(x)} AS y' for x in a)\n    c.execute(f'SELECT {n}')", []),
    ],
)
def test_the_scan_sees_what_it_is_for(source: str, left: list[str]) -> None:
    assert [ast.unparse(value) for value in unsafe(ast.parse(source))] == left
