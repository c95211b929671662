"""The catalog as the assistant checks it: for every item what it says of itself, and its price.

Belongs here: reading that from the warehouse, and which items satisfy a constraint. Does not belong here: what a phrase
means (`vocabulary.py`), ranking (`retrieval.py`).

What an item says is the shop's own field; where that is empty, what the description found in title, text or photo.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.names import item_name
from fashionrec_assets.catalog.reading import cuts
from fashionrec_assets.recommendations.assistant.query import PRICE_BELOW, Constraint, Query
from fashionrec_assets.recommendations.assistant.vocabulary import HARD, SILENT, SOFT, Vocabulary, accepts, value_of
from fashionrec_assets.recommendations.rules import RuleSet, item_columns, shown_items
from fashionrec_assets.resources.shop import Shop

FIELDS: Mapping[str, str] = {
    "type": "product_type",
    "colour": "colour",
    "pattern": "pattern",
    "gender": "gender",
    "brand": "brand",
    "section": "section",
}
"""Attributes that have a field of their own in `items`."""


@dataclass(frozen=True)
class Said:
    """Who says what: `rows` int64 (p,) of items and `codes` int64 (p,), places in `values`. Sorted by row."""

    values: tuple[str, ...]
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[int], values: Sequence[str]) -> Said:
        vocabulary = tuple(sorted(set(values)))
        place = {value: code for code, value in enumerate(vocabulary)}
        pairs = sorted({(row, place[value]) for row, value in zip(rows, values, strict=True)})
        columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return cls(vocabulary, columns[:, 0], columns[:, 1])

    def of_item(self, row: int) -> tuple[str, ...]:
        """What one item says."""
        start, stop = np.searchsorted(self.rows, [row, row + 1])
        return tuple(self.values[code] for code in self.codes[start:stop])


@dataclass(frozen=True)
class CatalogFrame:
    """All items (n,), sorted by id. `prices` float64, NaN where unknown. `said`: attribute -> who says what."""

    item_ids: NDArray[np.str_]
    titles: tuple[str, ...]
    names: tuple[str, ...]
    prices: NDArray[np.float64]
    said: Mapping[str, Said]

    def __len__(self) -> int:
        return len(self.item_ids)

    @classmethod
    def of(
        cls,
        item_ids: Sequence[str],
        titles: Sequence[str],
        prices: Sequence[float | None],
        fields: Mapping[str, Sequence[str | None]],
        described: Iterable[tuple[str, str, str]],
    ) -> CatalogFrame:
        """From columns in the order of `item_ids` (sorted): `fields` by attribute, and what descriptions say as
        (item id, attribute, value)."""
        place = {item_id: row for row, item_id in enumerate(item_ids)}
        rows: dict[str, list[int]] = {name: [] for name in (*HARD, *SOFT)}
        values: dict[str, list[str]] = {name: [] for name in (*HARD, *SOFT)}
        for name, column in fields.items():
            for row, raw in enumerate(column):
                if raw and value_of(name, raw):
                    rows[name].append(row)
                    values[name].append(value_of(name, raw))
        by_field = {name: frozenset(found) for name, found in rows.items()}
        for item_id, name, raw in described:
            row = place.get(item_id)
            if row is not None and name in rows and row not in by_field[name] and value_of(name, raw):
                rows[name].append(row)
                values[name].append(value_of(name, raw))
        said = {name: Said.of(rows[name], values[name]) for name in rows}
        plain = tuple(html.unescape(title or "") for title in titles)
        ids = np.asarray(item_ids, dtype=np.str_)
        known = np.array([np.nan if price is None else price for price in prices], dtype=np.float64)
        names = tuple(item_name(title, item_id) for title, item_id in zip(titles, item_ids, strict=True))
        return cls(ids, plain, names, known, said)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The phrases of this shop."""
        return Vocabulary.of({name: self.said[name].values for name in HARD})

    def satisfying(self, constraint: Constraint) -> NDArray[np.bool_]:
        """bool (n,): which items satisfy it. Silence satisfies nothing, but for exclusions of `SILENT` attributes."""
        if constraint.limit is not None:
            # A price that is unknown compares false.
            below = constraint.attribute == PRICE_BELOW
            return self.prices <= constraint.limit if below else self.prices >= constraint.limit
        said = self.said[constraint.attribute]
        saying = np.zeros(len(self), dtype=np.bool_)
        codes = [code for code, value in enumerate(said.values) if _meant(constraint, value)]
        saying[said.rows[np.isin(said.codes, codes)]] = True
        if not constraint.excluded:
            return saying
        spoken = np.ones(len(self), dtype=np.bool_)
        if constraint.attribute not in SILENT:
            spoken[:] = False
            spoken[said.rows] = True
        return spoken & ~saying

    def fitting(self, query: Query, allowed: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """bool (n,): which of the `allowed` items satisfy every constraint of `query`."""
        fits = np.ones(len(self), dtype=np.bool_) if allowed is None else allowed.copy()
        for constraint in query.constraints:
            fits &= self.satisfying(constraint)
        return fits

    def values(self, attribute: str, row: int) -> tuple[str, ...]:
        """What one item says of an attribute."""
        return self.said[attribute].of_item(row)

    def rows(self, item_ids: Iterable[str]) -> NDArray[np.int64]:
        """Rows of those of `item_ids` that are in the catalog."""
        return np.flatnonzero(np.isin(self.item_ids, list(item_ids)))


def _meant(constraint: Constraint, value: str) -> bool:
    # Who wants nothing for men may still want what is unisex.
    if constraint.excluded and constraint.attribute == "gender":
        return value in constraint.values
    return any(accepts(constraint.attribute, asked, value) for asked in constraint.values)


def read_catalog(shop: Shop) -> CatalogFrame:
    """The catalog of a shop. Raises LookupError if it has no items yet."""
    columns = ", ".join(FIELDS.values())
    with shop.warehouse.reader() as connection:
        rows = connection.execute(f"SELECT item_id, title, price, {columns} FROM items ORDER BY item_id").fetchall()
        described = connection.execute(
            "SELECT item_id, said.name, said.value FROM (SELECT item_id, unnest(attributes) AS said FROM descriptions) "
            "WHERE said.name IN (SELECT unnest(?)) ORDER BY ALL",
            [[*HARD, *SOFT]],
        ).fetchall()
    if not rows:
        raise LookupError(f"There are no items in {shop.home} yet: run `fashionrec run` first.")
    return CatalogFrame.of(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        {name: [row[3 + at] for row in rows] for at, name in enumerate(FIELDS)},
        described,
    )


def shown_now(shop: Shop, catalog: CatalogFrame) -> NDArray[np.bool_]:
    """bool (n,): which items may be shown at all, by the business rules published for the shop; all where none are."""
    with shop.warehouse.reader() as connection:
        published = connection.execute(
            "SELECT 1 FROM information_schema.tables WHERE table_name = 'business_rules'"
        ).fetchall()
        if not published:
            return np.ones(len(catalog), dtype=np.bool_)
        rules, columns = RuleSet.read(connection), item_columns(connection)
    return shown_items(rules, columns, cuts(shop).end) if rules.rules else np.ones(len(catalog), dtype=np.bool_)
