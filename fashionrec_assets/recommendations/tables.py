"""The tables of what shoppers are shown.

Belongs here: declarations, and their Arrow schemas. Does not belong here: how a row comes about.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.recommendations.explanations.facts import FACTS_ARROW, FACTS_SQL
from fashionrec_assets.recommendations.rules import RULES
from fashionrec_assets.recommendations.shelves import SHELVES
from fashionrec_assets.storage.tables import Column, ForeignKey, Table

SOURCES = ("late_fusion", "popular")
BY = ("both", "image", "text")

HOMEPAGE = Table(
    name="homepage",
    meaning="The items each user is shown, shelf by shelf, each with the facts it rests on.",
    columns=(
        Column("user_id", "VARCHAR", "whose page"),
        Column("rank", "INTEGER", "place on the whole page, shelves one after another, from 1 without gaps", minimum=1),
        Column("shelf", "VARCHAR", "the shelf it stands on", values=SHELVES),
        Column("shelf_rank", "INTEGER", "place on the shelf, from 1 without gaps", minimum=1),
        Column("anchor_id", "VARCHAR", "the user's item that a `because` shelf rests on", nullable=True),
        Column("anchor_behaviour", "VARCHAR", "the furthest the user went with it", nullable=True, values=BEHAVIOURS),
        Column("item_id", "VARCHAR", "the item shown, once on a page"),
        Column(
            "score",
            "DOUBLE",
            "late_fusion: calibrated probability that the user, coming back, turns to the item; popular: shoppers who "
            "turned to the item",
        ),
        Column("source", "VARCHAR", "what put the item here", values=SOURCES),
        Column("facts", FACTS_SQL, "what a text about the recommendation may state; may be empty"),
    ),
    key=("user_id", "rank"),
    foreign_keys=(
        ForeignKey("user_id", "users", "user_id"),
        ForeignKey("item_id", "items", "item_id"),
        ForeignKey("anchor_id", "items", "item_id"),
    ),
)

SIMILAR_ITEMS = Table(
    name="similar_items",
    meaning="For each item the most similar ones by photo, by text and by both, one per family of variants, its own "
    "left out.",
    columns=(
        Column("item_id", "VARCHAR", "the item looked at"),
        Column("by", "VARCHAR", "what is compared; an item without a photo has no list by image", values=BY),
        Column("rank", "INTEGER", "place in its list, from 1 without gaps", minimum=1),
        Column("similar_id", "VARCHAR", "the similar item: the most similar variant of its family"),
        Column(
            "score",
            "DOUBLE",
            "the similarity the list follows; of both: their weighted mean, or that of the text where a photo is "
            "missing",
        ),
        Column("image_similarity", "DOUBLE", "cosine of the image vectors; null if a photo is missing", nullable=True),
        Column("text_similarity", "DOUBLE", "cosine of the text vectors"),
    ),
    key=("item_id", "by", "rank"),
    foreign_keys=(ForeignKey("item_id", "items", "item_id"), ForeignKey("similar_id", "items", "item_id")),
)

BUSINESS_RULES = Table(
    name="business_rules",
    meaning="What the merchant forbids or limits: every line of the rules file that could be read.",
    columns=(
        Column("line", "INTEGER", "line of the file", minimum=1),
        Column("rule", "VARCHAR", "kind of rule", values=RULES),
        Column("field", "VARCHAR", "column of `items` it is about"),
        Column("value", "VARCHAR", "the value of that column; of a price band the lowest price", nullable=True),
        Column("number", "DOUBLE", "of a cap the most items; of a price band the highest price", nullable=True),
        Column("shelf", "VARCHAR", "where it holds; empty: everywhere"),
        Column("starts", "DATE", "first UTC day on which it holds; null: always has", nullable=True),
        Column("ends", "DATE", "last UTC day on which it holds; null: for good", nullable=True),
        Column("in_force", "BOOLEAN", "whether it holds on the last day of the log"),
        Column("items", "BIGINT", "items of the catalog that it forbids or limits", minimum=0),
    ),
    key=("line",),
)

RULE_REJECTS = Table(
    name="rule_rejects",
    meaning="Lines of the rules file that are no rule.",
    columns=(
        Column("source_file", "VARCHAR", "file in the raw folder"),
        Column("line", "BIGINT", "1-based line where the record starts", minimum=1),
        Column("reason", "VARCHAR", "why"),
        Column("value", "VARCHAR", "the value at fault, cut to 200 characters", nullable=True),
    ),
    key=(),
)

POPULAR_ITEMS = Table(
    name="popular_items",
    meaning="What most shoppers turned to lately: the page of users about whom nothing is known.",
    columns=(
        Column("rank", "INTEGER", "place, from 1 without gaps", minimum=1),
        Column("item_id", "VARCHAR", "the item"),
        Column(
            "users", "BIGINT", "different users with an event on it in the window; the order follows this", minimum=1
        ),
        Column("events", "BIGINT", "events on it in the window", minimum=1),
        Column("window_days", "INTEGER", "length of the window in days, up to the last event", minimum=1),
    ),
    key=("rank",),
    foreign_keys=(ForeignKey("item_id", "items", "item_id"),),
)

TABLES = (HOMEPAGE, SIMILAR_ITEMS, POPULAR_ITEMS, BUSINESS_RULES, RULE_REJECTS)

_ARROW: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "TIMESTAMP": pa.timestamp("us"),
    "DATE": pa.date32(),
    "BOOLEAN": pa.bool_(),
    FACTS_SQL: FACTS_ARROW,
}


def arrow_schema(table: Table, further: Mapping[str, pa.DataType] | None = None) -> pa.Schema:
    """The Arrow schema of a table of this room; `further`: DuckDB types that only that table has, with their Arrow
    types."""
    types = _ARROW | dict(further or {})

    def arrow_type(name: str) -> pa.DataType:
        # A column of facts is a list as well, but of a declared type.
        return types[name] if name in types else pa.list_(types[name.removesuffix("[]")])

    return pa.schema([pa.field(c.name, arrow_type(c.type), nullable=c.nullable) for c in table.columns])
