"""One declaration per table: columns, types, keys and meaning.

Belongs here: the classes a room declares its tables with, and everything that follows from a declaration without
reading data (DDL, merge statements, the Markdown reference). Does not belong here: connections (`warehouse.py`).
"""

from __future__ import annotations

from dataclasses import dataclass


def quote(name: str) -> str:
    """`name` as a DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string literal, for where DuckDB takes no bound parameter."""
    return "'" + text.replace("'", "''") + "'"


def rows_digest(*columns: str) -> str:
    """An aggregate expression: count and order-free content of a group's `columns` (SQL expressions, never null)."""
    joined = " || '|' || ".join(columns)
    return f"count(*) || ':' || bit_xor(md5_number_lower({joined}))"


@dataclass(frozen=True)
class Column:
    """A column: DuckDB `type`, what a value means (with its unit), and whether it must be there."""

    name: str
    type: str
    meaning: str
    nullable: bool = False
    values: tuple[str, ...] = ()
    minimum: float | None = None
    """Inclusive lower bound, where one is known."""


@dataclass(frozen=True)
class ForeignKey:
    column: str
    table: str
    target: str


@dataclass(frozen=True)
class Table:
    """A table of the warehouse, or (`parquet=True`) one Parquet artifact with the same guarantees."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    parquet: bool = False

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError if the table has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name}")

    def ddl(self) -> str:
        """`CREATE TABLE IF NOT EXISTS`, with the key enforced by DuckDB."""
        lines = [
            f"{quote(column.name)} {column.type}{'' if column.nullable else ' NOT NULL'}" for column in self.columns
        ]
        if self.key:
            lines.append(f"PRIMARY KEY ({', '.join(map(quote, self.key))})")
        return f"CREATE TABLE IF NOT EXISTS {quote(self.name)} (\n  " + ",\n  ".join(lines) + "\n)"


def contract_rules(table: Table, relation: str) -> dict[str, str]:
    """For each rule of a table's declaration, SQL that counts the rows of `relation` that break it."""
    rules: dict[str, str] = {}
    if table.key:
        keys = ", ".join(map(quote, table.key))
        rules[f"key ({', '.join(table.key)}) is unique"] = (
            f"SELECT count(*) - (SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {relation})) FROM {relation}"
        )
    for column in table.columns:
        name = quote(column.name)
        if not column.nullable:
            rules[f"{column.name} is there"] = f"SELECT count(*) FROM {relation} WHERE {name} IS NULL"
        if column.values:
            allowed = ", ".join(map(literal, column.values))
            rules[f"{column.name} is one of {', '.join(column.values)}"] = (
                f"SELECT count(*) FROM {relation} WHERE {name} IS NOT NULL AND {name} NOT IN ({allowed})"
            )
        if column.minimum is not None:
            rules[f"{column.name} >= {column.minimum:g}"] = (
                f"SELECT count(*) FROM {relation} WHERE {name} < {column.minimum}"
            )
    for foreign in table.foreign_keys:
        rules[f"{foreign.column} exists in {foreign.table}"] = (
            f"SELECT count(*) FROM {relation} base WHERE base.{quote(foreign.column)} IS NOT NULL AND NOT EXISTS "
            f"(SELECT 1 FROM {quote(foreign.table)} other WHERE other.{quote(foreign.target)} = "
            f"base.{quote(foreign.column)})"
        )
    return rules
