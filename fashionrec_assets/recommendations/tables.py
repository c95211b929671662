"""The tables of what shoppers are shown.

Belongs here: declarations, and their Arrow schemas. Does not belong here: how a row comes about.
"""

from __future__ import annotations

import pyarrow as pa

from fashionrec_assets.storage.tables import Column, ForeignKey, Table

SOURCES = ("late_fusion", "two_tower", "popular")

HOMEPAGE = Table(
    name="homepage",
    meaning="The items each user is shown, best first, each with the user's own events it rests on.",
    columns=(
        Column("user_id", "VARCHAR", "whose page"),
        Column("rank", "INTEGER", "place on the page, from 1 without gaps", minimum=1),
        Column("item_id", "VARCHAR", "the item shown"),
        Column(
            "score",
            "DOUBLE",
            "late_fusion: calibrated probability that the user, coming back, turns to the item; two_tower: inner "
            "product of the user's and the item's vector; popular: shoppers who turned to the item",
        ),
        Column("source", "VARCHAR", "what put the item here", values=SOURCES),
        Column("reason", "VARCHAR", "one sentence that says no more than the evidence does"),
        Column(
            "evidence_items",
            "VARCHAR[]",
            "items of the user's history closest to this one in the two-tower space, closest first; may be empty",
        ),
        Column("evidence_behaviours", "VARCHAR[]", "for each: the furthest the user went (pv, fav, cart, buy)"),
        Column("evidence_times", "TIMESTAMP[]", "for each: when the user last did that, UTC"),
        Column("evidence_similarities", "DOUBLE[]", "for each: cosine of its vector and this item's"),
    ),
    key=("user_id", "rank"),
    foreign_keys=(ForeignKey("user_id", "users", "user_id"), ForeignKey("item_id", "items", "item_id")),
)

SIMILAR_ITEMS = Table(
    name="similar_items",
    meaning="For each item the items that look and read most like it, one per family of variants, its own left out.",
    columns=(
        Column("item_id", "VARCHAR", "the item looked at"),
        Column("rank", "INTEGER", "place in its list, from 1 without gaps", minimum=1),
        Column("similar_id", "VARCHAR", "the similar item: the most similar variant of its family"),
        Column("score", "DOUBLE", "weighted mean of both similarities; the text similarity where a photo is missing"),
        Column("image_similarity", "DOUBLE", "cosine of the image vectors; null if a photo is missing", nullable=True),
        Column("text_similarity", "DOUBLE", "cosine of the text vectors"),
    ),
    key=("item_id", "rank"),
    foreign_keys=(ForeignKey("item_id", "items", "item_id"), ForeignKey("similar_id", "items", "item_id")),
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

TABLES = (HOMEPAGE, SIMILAR_ITEMS, POPULAR_ITEMS)

_ARROW: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "TIMESTAMP": pa.timestamp("us"),
}


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table of this room."""

    def arrow_type(name: str) -> pa.DataType:
        return pa.list_(_ARROW[name.removesuffix("[]")]) if name.endswith("[]") else _ARROW[name]

    return pa.schema([pa.field(c.name, arrow_type(c.type), nullable=c.nullable) for c in table.columns])
