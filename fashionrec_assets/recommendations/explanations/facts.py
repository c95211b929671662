"""What a recommendation rests on: facts that a text about it may state, and nothing else.

Belongs here: the form of a fact and of a piece of evidence, the same for every product, and their Arrow and DuckDB
types. Does not belong here: finding facts (`homepage_facts.py` and the rooms of the other products), wording them.

Every field of a fact can be looked up again in the warehouse, except `weight`, which is the model's. What the fields
hold, by kind:

- `history`: the user did `what` (a behaviour, the furthest on that item) with `item`, called `value`, last at `at`
  (UTC). `number` people turned to both that item and the one recommended, of `base` people who turned to that item.
- `shared`: the attribute `what` of the item is `value`, as it is on `number` of the `base` different items that the
  user has turned to.
- `attribute`: the attribute `what` of the item is `value`.
- `look`, `wording`: the photos (descriptions) of `item`, called `value`, and of the recommended item have the cosine
  `number`. `what` is the user's furthest behaviour on `item`, or "anchor" where `item` is what the list is about.
- `price`: the item costs `number`; the median price of the items that the user has turned to is `base` (null: none).
- `popularity`: `number` people turned to the item in the last `base` days of the log.
- `new`: the item is on sale since `at`, `number` days before the end of the log; `base` people have turned to it.
- `pairing`: `number` people (`what` = "people") or baskets ("baskets") had both the item and `item`, called `value`, of
  `base` that had `item`. What a basket is, and having something in it, is said in `outfits/baskets.py`.
- `kinds`: items of the types `what` and `value` were had together in `number` baskets; `base` would be expected if
  types met by chance.
- `style`: the item belongs to the style `value` (its name; `what` is its id), as do `number` of the `base` different
  items that the user has turned to.
- `asked`: the query asked for `value` as `what` (an attribute, or `price_below`, `price_above` with the limit in
  `number`); `base` is the item's price where a price was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Kind = Literal[
    "history",
    "shared",
    "attribute",
    "look",
    "wording",
    "price",
    "popularity",
    "new",
    "pairing",
    "kinds",
    "style",
    "asked",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Surface = Literal["homepage", "outfit", "style", "assistant"]


@dataclass(frozen=True)
class Fact:
    """One fact; see the module's docstring for what the fields of each kind hold.

    `id` is unique within its evidence ("f1", "f2", …, in the order of weight). `weight`: by how much the score of the
    ranking model, in natural log units, falls when what the fact tells of is taken away; 0 where the model does not
    read it, or nobody asked.
    """

    id: str
    kind: Kind
    what: str = ""
    value: str = ""
    item: str | None = None
    at: datetime | None = None
    number: float | None = None
    base: float | None = None
    weight: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """What is known of one recommendation: of `item_id`, called `name`, to `subject` (a user id; for outfits and
    similar items the anchor's item id)."""

    surface: Surface
    subject: str
    item_id: str
    name: str
    facts: tuple[Fact, ...]

    def fact(self, fact_id: str) -> Fact | None:
        """The fact called `fact_id`, None if there is none."""
        return next((one for one in self.facts if one.id == fact_id), None)


FACT_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Fact))

FACTS_SQL = (
    'STRUCT(id VARCHAR, kind VARCHAR, what VARCHAR, "value" VARCHAR, item VARCHAR, "at" TIMESTAMP, '
    "number DOUBLE, base DOUBLE, weight DOUBLE)[]"
)
"""The DuckDB type of a column of facts."""

FACTS_ARROW = pa.list_(
    pa.struct(
        [
            pa.field("id", pa.string()),
            pa.field("kind", pa.string()),
            pa.field("what", pa.string()),
            pa.field("value", pa.string()),
            pa.field("item", pa.string()),
            pa.field("at", pa.timestamp("us")),
            pa.field("number", pa.float64()),
            pa.field("base", pa.float64()),
            pa.field("weight", pa.float64()),
        ]
    )
)
"""Its Arrow type."""


ALIKE = 0.6
"""Cosine below which a photo or a description is not called near."""


def fact_lists(rows: int, row: NDArray[np.int64], columns: Mapping[str, NDArray]) -> pa.Array:
    """A column of `FACTS_ARROW`: a list for each of `rows`, of facts that are given as arrays (f,).

    `row` (f,): which list each fact is in, ascending. `columns`: the fields of `Fact` without `id`, which is given in
    the order of the facts; texts as objects (None: null), the others float64 (NaN: null), `at` in UTC seconds.
    """
    offsets = np.searchsorted(row, np.arange(rows + 1))
    place = np.arange(len(row)) - offsets[row]
    ids = np.asarray([f"f{number + 1}" for number in range(int(place.max(initial=-1)) + 1)], object)
    arrays = [pa.array(ids[place], pa.string())]
    for name in FACT_FIELDS[1:]:
        values = columns[name]
        if values.dtype == object:
            arrays.append(pa.array(values, pa.string()))
            continue
        missing, known = np.isnan(values), np.nan_to_num(values)
        if name == "at":
            arrays.append(pa.array(known.astype(np.int64) * 1_000_000, pa.timestamp("us"), mask=missing))
        else:
            arrays.append(pa.array(known, pa.float64(), mask=missing))
    facts = pa.StructArray.from_arrays(arrays, fields=list(FACTS_ARROW.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), facts).cast(FACTS_ARROW)


def facts_array(facts: Iterable[Sequence[Fact]]) -> pa.Array:
    """A column of `FACTS_ARROW`, a list for each of `facts`."""
    rows = [[dict(zip(FACT_FIELDS, astuple(one), strict=True)) for one in each] for each in facts]
    return pa.array(rows, FACTS_ARROW)


def facts_of(cell: Sequence[dict[str, object]] | None) -> tuple[Fact, ...]:
    """The facts in one cell of such a column, as DuckDB and Arrow give it to Python."""
    return tuple(Fact(**one) for one in cell or ())  # pyright: ignore[reportArgumentType]
