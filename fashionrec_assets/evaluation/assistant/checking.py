"""Whether items are what was asked for: judged from the tables of the warehouse, without the assistant's own code.

Belongs here: that judgement. Does not belong here: what a query means (`queries.py`), counting (`study.py`).

A field that is filled decides; where it is empty, what the published description says of the attribute does, and an
item that says nothing is not what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from fashionrec_assets.descriptions.lexicon import COLOUR_FAMILY, meanings, type_of
from fashionrec_assets.evaluation.assistant.queries import COLUMNS, NAMES, Meant
from fashionrec_assets.recommendations.assistant.query import PRICE_BELOW, Constraint
from fashionrec_assets.recommendations.assistant.vocabulary import KINDS_OF
from fashionrec_assets.resources.shop import Shop

CHECKED = NAMES
"""Attributes whose constraints are checked, beside the price."""
_ALSO = {
    "women": {"unisex", "ladieswear"},
    "men": {"unisex", "menswear"},
    "kids": {"baby/children", "girls", "boys", "baby"},
}


@dataclass(frozen=True)
class Facts:
    """For every item its price, and for each attribute what it says, in all the words the lexicon knows for it."""

    prices: Mapping[str, float | None]
    said: Mapping[str, Mapping[str, frozenset[str]]]
    _known: dict[tuple[str, str, bool], frozenset[str]] = field(
        default_factory=dict[tuple[str, str, bool], frozenset[str]]
    )

    @classmethod
    def read(cls, shop: Shop) -> Facts:
        with shop.warehouse.reader() as connection:
            items = connection.execute(f"SELECT item_id, price, {', '.join(COLUMNS)} FROM items").fetchall()
            described = connection.execute(
                "SELECT item_id, one.name, one.value FROM descriptions, unnest(attributes) AS listed(one) "
                "WHERE one.name IN (SELECT unnest(?))",
                [list(NAMES)],
            ).fetchall()
        by_item: dict[tuple[str, str], list[str]] = {}
        for item_id, name, value in described:
            by_item.setdefault((item_id, name), []).append(value)
        said = {
            name: {
                row[0]: frozenset(
                    word
                    for raw in ([row[2 + at]] if (row[2 + at] or "").strip() else by_item.get((row[0], name), []))
                    for word in readings(name, raw)
                )
                for row in items
            }
            for at, name in enumerate(NAMES)
        }
        return cls({row[0]: row[1] for row in items}, said)

    def says(self, item_id: str, name: str, asked: Iterable[str]) -> bool | None:
        """Whether the item says one of `asked`; None if it says nothing."""
        words = self.said[name][item_id]
        if not words:
            return None
        return any(words & accepted(name, one) for one in asked)

    def keeps(self, item_id: str, constraints: Iterable[Constraint]) -> bool:
        """Whether the item satisfies what the assistant says it was asked for, as far as `CHECKED` and prices go."""
        price = self.prices[item_id]
        for one in constraints:
            if one.limit is not None:
                below = one.attribute == PRICE_BELOW
                if price is None or (price > one.limit if below else price < one.limit):
                    return False
            elif one.attribute in CHECKED and self.says(item_id, one.attribute, one.values) is not (not one.excluded):
                return False
        return True

    def right(self, meant: Meant) -> frozenset[str]:
        """The ids of the items that are all of what was meant."""
        found = frozenset(
            item_id
            for item_id, price in self.prices.items()
            if (meant.low is None or (price is not None and price >= meant.low))
            and (meant.high is None or (price is not None and price <= meant.high))
        )
        for name, value in meant.wanted.items():
            found &= self._saying(name, value, True)
        for name, value in meant.excluded.items():
            found &= self._saying(name, value, False)
        return found

    def _saying(self, name: str, value: str, there: bool) -> frozenset[str]:
        """The items that say `value`, or (`there` false) something else."""
        key = (name, value, there)
        if key not in self._known:
            asked = [value]
            self._known[key] = frozenset(one for one in self.prices if self.says(one, name, asked) is there)
        return self._known[key]


def readings(name: str, raw: str) -> set[str]:
    """A value as written and as the lexicon renders it."""
    plain = " ".join(raw.casefold().split())
    # Catalogs write "Baby/Children", people and parsers leave the stroke out.
    found = {plain, " ".join(re.findall(r"[\w']+", plain)), *meanings(raw)}
    kind = type_of(raw) if name == "type" else None
    return found | ({kind} if kind else set())


@lru_cache(maxsize=4096)
def accepted(name: str, asked: str) -> frozenset[str]:
    """What an item may say when `asked` is asked for: a colour family's name takes its shades, a type its kinds."""
    names = readings(name, asked)
    if name == "colour":
        names |= {shade for shade, family in COLOUR_FAMILY.items() if family in names}
    if name == "type":
        names = names.union(*(KINDS_OF.get(one, frozenset()) for one in names))
    if name == "gender":
        names = names.union(*(_ALSO.get(one, set()) for one in names))
    return frozenset(names)
