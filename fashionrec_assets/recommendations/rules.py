"""Business rules as data: what a merchant forbids or limits, read from a file and applied to any list of items.

Belongs here: parsing and judging the file's lines, and what the rules in force mean for items. Does not belong here:
choosing items under limits (`diversity.py`), the asset that publishes the rules (`assets.py`).

The file (`recommendations.rules` in the raw folder, CSV with a header, may be absent) has the columns `rule`, `field`,
`value`, `number`, `shelf`, `from` and `until`, all but the first optional:

- `out_of_stock`: the item whose `item_id` is `value` may not be shown anywhere.
- `exclude`: items whose `field` is `value` may not be shown (on `shelf`, where one is named).
- `cap`: at most `number` items of a shelf have the same value of `field`; with `value`, only that value is limited.
- `price_band`: only items whose price is at least `value` and at most `number` (either may be empty) may be shown; an
  item without a price is in no band.

A rule holds on the UTC days `from` to `until`, both included, empty being open. The day that counts is the last one of
the log, so that the same files always give the same pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog import contract
from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.records import stage_records
from fashionrec_assets.catalog.sources.base import RowsFile
from fashionrec_assets.recommendations.diversity import Cap
from fashionrec_assets.recommendations.shelves import SHELVES
from fashionrec_assets.storage.tables import quote
from fashionrec_assets.storage.warehouse import Connection, one_row

RULES: Final = ("out_of_stock", "exclude", "cap", "price_band")
FIELDS: Final = (
    "item_id",
    "category",
    "product_type",
    "family_id",
    "brand",
    "colour",
    "pattern",
    "section",
    "gender",
)
"""The columns of `items` that a rule may be about, beside `price`."""

_COLUMNS: Final[tuple[str, ...]] = ("rule", "field", "value", "number", "shelf", "from", "until")

UNKNOWN_RULE: Final = "unknown rule"
UNKNOWN_FIELD: Final = "a field this rule cannot be about"
UNKNOWN_SHELF: Final = "unknown shelf"
NO_SHELF: Final = "holds everywhere, so it takes no shelf"
VALUE_MISSING: Final = "value missing"
NUMBER_MISSING: Final = "number missing"
NO_NUMBER: Final = "takes no number"
NOT_A_NUMBER: Final = "not a number"
NOT_A_COUNT: Final = "not a whole number from 1 on"
NO_BAND: Final = "the band ends before it starts, or has no end at all"
NOT_A_DAY: Final = "not a day (YYYY-MM-DD)"
ENDS_EARLY: Final = "ends before it starts"
TWICE: Final = "the same rule stands on an earlier line"


@dataclass(frozen=True)
class Rule:
    """One line of the file that could be read. `shelf` is '' where it holds everywhere."""

    line: int
    rule: str
    field: str
    value: str | None
    number: float | None
    shelf: str
    starts: date | None
    ends: date | None

    def holds_on(self, day: date) -> bool:
        return (self.starts is None or self.starts <= day) and (self.ends is None or day <= self.ends)

    @property
    def content(self) -> tuple[object, ...]:
        """What the rule says, wherever in the file it stands and whenever it holds."""
        return self.rule, self.field, self.value, self.number, self.shelf


@dataclass(frozen=True)
class Reject:
    """A line that is no rule, and why; `value` is what is at fault."""

    line: int
    reason: str
    value: str | None


@dataclass(frozen=True)
class RuleSet:
    """Rules together; `in_force` picks those of a moment."""

    rules: tuple[Rule, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> RuleSet:
        """From rows of the table `business_rules`."""
        names = Rule.__dataclass_fields__
        return cls(tuple(Rule(**{name: row[name] for name in names}) for row in rows))

    @classmethod
    def read(cls, connection: Connection) -> RuleSet:
        """The rules as published in the table `business_rules`."""
        names = ", ".join(map(quote, Rule.__dataclass_fields__))
        rows = connection.execute(f"SELECT {names} FROM business_rules ORDER BY line").fetchall()
        return cls(tuple(Rule(*row) for row in rows))

    def in_force(self, as_of: int) -> RuleSet:
        """The rules that hold on the last UTC day before `as_of` (UTC seconds: the end of the log)."""
        day = last_day(as_of)
        return RuleSet(tuple(rule for rule in self.rules if rule.holds_on(day)))


def last_day(as_of: int) -> date:
    """The last UTC day before `as_of` (UTC seconds)."""
    return datetime.fromtimestamp(as_of - 1, UTC).date()


def read_rules(path: Path) -> tuple[list[Rule], list[Reject]]:
    """The rules of the file at `path`, by line, and the lines that are none. A file that is absent has none.

    Raises ContractError if the file as a whole cannot be read, such as one without the column `rule`.
    """
    if not path.exists():
        return [], []
    rows = RowsFile(path, {name: name for name in _COLUMNS}, required=("rule",))
    limits: dict[str, int] = dict.fromkeys(_COLUMNS, contract.MAX_VALUE_CHARS)
    with duckdb.connect() as connection:
        try:
            stage_records(connection, rows, table="lines", problems="refused", limits=limits, fatal=_COLUMNS)
        except ContractError as error:
            # No rule at all is not a broken file.
            if error.expected not in ("the file is empty", "no rows below the header"):
                raise
            return [], []
        refused = connection.execute("SELECT line, reason, value FROM refused").fetchall()
        names = ", ".join(map(quote, _COLUMNS))
        lines = connection.execute(f"SELECT line, {names} FROM lines ORDER BY line").fetchall()
    rejects = [Reject(*row) for row in refused]
    rules: list[Rule] = []
    known: set[tuple[object, ...]] = set()
    for number, *cells in lines:
        found = _rule(number, {name: cell or "" for name, cell in zip(_COLUMNS, cells, strict=True)})
        if isinstance(found, Rule) and (found.content, found.starts, found.ends) in known:
            found = Reject(number, TWICE, found.value)
        if isinstance(found, Rule):
            known.add((found.content, found.starts, found.ends))
            rules.append(found)
        else:
            rejects.append(found)
    return rules, sorted(rejects, key=lambda one: one.line)


def _rule(line: int, cells: Mapping[str, str]) -> Rule | Reject:
    rule, value, shelf = cells["rule"].lower(), cells["value"], cells["shelf"].lower()
    field = cells["field"].lower() or {"out_of_stock": "item_id", "price_band": "price"}.get(rule, "")
    about = {"out_of_stock": ("item_id",), "price_band": ("price",)}.get(rule, FIELDS)
    number, lower = _number(cells["number"]), _number(value)
    (starts, starts_is_day), (ends, ends_is_day) = _day(cells["from"]), _day(cells["until"])
    problems = (
        (rule not in RULES, UNKNOWN_RULE, cells["rule"]),
        (field not in about, UNKNOWN_FIELD, cells["field"]),
        (bool(shelf) and shelf not in SHELVES, UNKNOWN_SHELF, cells["shelf"]),
        (bool(shelf) and rule == "out_of_stock", NO_SHELF, cells["shelf"]),
        (rule in ("out_of_stock", "exclude") and not value, VALUE_MISSING, value),
        (rule in ("out_of_stock", "exclude") and bool(cells["number"]), NO_NUMBER, cells["number"]),
        (rule == "cap" and not cells["number"], NUMBER_MISSING, cells["number"]),
        (number is not None and not np.isfinite(number), NOT_A_NUMBER, cells["number"]),
        (rule == "cap" and not (number is not None and number >= 1 and number % 1 == 0), NOT_A_COUNT, cells["number"]),
        (rule == "price_band" and lower is not None and not np.isfinite(lower), NOT_A_NUMBER, value),
        (rule == "price_band" and not _is_band(lower, number), NO_BAND, f"{value}–{cells['number']}"),
        (not starts_is_day, NOT_A_DAY, cells["from"]),
        (not ends_is_day, NOT_A_DAY, cells["until"]),
        (starts is not None and ends is not None and ends < starts, ENDS_EARLY, cells["until"]),
    )
    for broken, reason, fault in problems:
        if broken:
            return Reject(line, reason, fault or None)
    return Rule(line, rule, field, value or None, number, shelf, starts, ends)


def _number(text: str) -> float | None:
    """None for no text, NaN for what is no number."""
    try:
        return float(text) if text else None
    except ValueError:
        return float("nan")


def _is_band(lower: float | None, upper: float | None) -> bool:
    if lower is None and upper is None:
        return False
    return lower is None or upper is None or lower <= upper


def _day(text: str) -> tuple[date | None, bool]:
    """The day in `text`, None for no text, and whether the text is well-formed."""
    try:
        return (date.fromisoformat(text) if text else None), True
    except ValueError:
        return None, False


def item_columns(connection: Connection) -> dict[str, list[Any]]:
    """The columns of `items` that rules are about, in order of the item id."""
    rows = connection.execute(f"SELECT {', '.join(FIELDS)}, price FROM items ORDER BY item_id").fetchall()
    return {name: [row[at] for row in rows] for at, name in enumerate((*FIELDS, "price"))}


def concerns(rule: Rule, items: Mapping[str, Sequence[Any]]) -> NDArray[np.bool_]:
    """bool (n,): the items that the rule forbids or limits. `items`: as `item_columns` gives them."""
    values = items[rule.field]
    if rule.rule == "price_band":
        prices = np.array([np.nan if value is None else value for value in values], np.float64)
        lower = -np.inf if rule.value is None else float(rule.value)
        upper = np.inf if rule.number is None else rule.number
        return ~((prices >= lower) & (prices <= upper))
    if rule.value is None:
        return np.array([bool(value) for value in values], bool)
    return np.array([value == rule.value for value in values], bool)


def shown_items(
    rules: RuleSet, items: Mapping[str, Sequence[Any]], as_of: int, shelf: str | None = None
) -> NDArray[np.bool_]:
    """bool (n_items,): which items may be shown at all, or on `shelf`, by the rules in force at `as_of`.

    `items`: columns by name, as `item_columns` gives them. `as_of`: UTC seconds, the end of the log.
    """
    shown = np.ones(len(items["item_id"]), bool)
    for rule in rules.in_force(as_of).rules:
        if rule.rule != "cap" and rule.shelf in ("", shelf):
            shown &= ~concerns(rule, items)
    return shown


def caps_on(rules: RuleSet, items: Mapping[str, Sequence[Any]], as_of: int, shelf: str) -> tuple[Cap, ...]:
    """The limits on a list called `shelf`, by the rules in force at `as_of`. Arguments are those of `shown_items`."""
    caps = []
    for rule in rules.in_force(as_of).rules:
        if rule.rule == "cap" and rule.shelf in ("", shelf):
            names = np.array([value or "" for value in items[rule.field]], np.str_)
            codes = 1 + np.unique(names, return_inverse=True)[1].astype(np.int64)
            caps.append(Cap(np.where(concerns(rule, items), codes, 0), int(rule.number or 0)))
    return tuple(caps)


def breaches(connection: Connection, rule: Rule) -> int:
    """How often the published homepage breaks a rule: rows shown against it, or lists with more than its limit."""
    shelf = "(? = '' OR homepage.shelf = ?)"
    told = [rule.shelf, rule.shelf]
    source = f"FROM homepage JOIN items USING (item_id) WHERE {shelf}"
    column = quote(rule.field) if rule.field != "item_id" else "homepage.item_id"
    if rule.rule == "cap":
        of_value = "" if rule.value is None else f" AND {column} = ?"
        sql = (
            f"SELECT count(*) FROM (SELECT 1 {source} AND {column} <> ''{of_value} "
            f"GROUP BY user_id, shelf, {column} HAVING count(*) > ?)"
        )
        bound = [*told, *([] if rule.value is None else [rule.value]), rule.number]
    elif rule.rule == "price_band":
        sql = f"SELECT count(*) {source} AND (price IS NULL OR price < ? OR price > ?)"
        lower = -np.inf if rule.value is None else float(rule.value)
        bound = [*told, lower, np.inf if rule.number is None else rule.number]
    else:
        sql, bound = f"SELECT count(*) {source} AND {column} = ?", [*told, rule.value]
    return int(one_row(connection, sql, bound)[0])
