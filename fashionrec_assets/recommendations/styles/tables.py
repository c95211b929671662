"""The tables of style discovery.

Belongs here: declarations, and their Arrow schemas. Does not belong here: how a row comes about.
"""

from __future__ import annotations

import pyarrow as pa

from fashionrec_assets.recommendations import tables
from fashionrec_assets.recommendations.explanations.facts import FACTS_SQL
from fashionrec_assets.storage.tables import Column, ForeignKey, Table

ATTRIBUTES_SQL = 'STRUCT("name" VARCHAR, "values" VARCHAR[], share DOUBLE, lift DOUBLE)[]'
ATTRIBUTES_ARROW = pa.list_(
    pa.struct(
        [
            pa.field("name", pa.string()),
            pa.field("values", pa.list_(pa.string())),
            pa.field("share", pa.float64()),
            pa.field("lift", pa.float64()),
        ]
    )
)

STYLES = Table(
    name="styles",
    meaning="The styles of the catalog: clusters of items that look, read and are described alike, named by what they "
    "share.",
    columns=(
        Column("style_id", "INTEGER", "number of the style, from 1; kept until the styles are made anew", minimum=1),
        Column("name", "VARCHAR", "plain words that are true of most of its items; unique"),
        Column("size", "BIGINT", "items of the style", minimum=0),
        Column("truth", "DOUBLE", "share of its items for which every attribute of the name holds", minimum=0),
        Column("x", "DOUBLE", "place of its centre on the map, first coordinate"),
        Column("y", "DOUBLE", "second coordinate"),
        Column(
            "attributes",
            ATTRIBUTES_SQL,
            "what names it: an attribute, the values of which one must hold, the share of the style's items for which "
            "it does, and how many times the catalog's share that is",
        ),
        Column("examples", "VARCHAR[]", "items closest to its centre, closest first, one per family of variants"),
    ),
    key=("style_id",),
)

ITEM_STYLES = Table(
    name="item_styles",
    meaning="The style of each item of the catalog.",
    columns=(
        Column("item_id", "VARCHAR", "the item"),
        Column("style_id", "INTEGER", "the style whose centre is closest"),
        Column("closeness", "DOUBLE", "cosine of the item's and the centre's vectors"),
        Column("x", "DOUBLE", "place on the map, first coordinate"),
        Column("y", "DOUBLE", "second coordinate"),
    ),
    key=("item_id",),
    foreign_keys=(ForeignKey("item_id", "items", "item_id"), ForeignKey("style_id", "styles", "style_id")),
)

USER_STYLES = Table(
    name="user_styles",
    meaning="The styles that each user has turned to; users without events have no rows.",
    columns=(
        Column("user_id", "VARCHAR", "the user"),
        Column("style_id", "INTEGER", "the style"),
        Column("share", "DOUBLE", "share of the user's different items that are of the style, unweighted", minimum=0),
        Column("items", "BIGINT", "different items of the style that the user has turned to", minimum=1),
    ),
    key=("user_id", "style_id"),
    foreign_keys=(ForeignKey("user_id", "users", "user_id"), ForeignKey("style_id", "styles", "style_id")),
)

STYLE_PICKS = Table(
    name="style_picks",
    meaning="For each user with a history a few items of styles they have rarely or never turned to.",
    columns=(
        Column("user_id", "VARCHAR", "the user"),
        Column("rank", "INTEGER", "place in the list, from 1 without gaps", minimum=1),
        Column("item_id", "VARCHAR", "the item"),
        Column("style_id", "INTEGER", "its style"),
        Column(
            "score",
            "DOUBLE",
            "chance of the item, by the two-tower model, as a multiple of that of the most likely candidate of the "
            "unexplored styles; at most 1",
            minimum=0,
        ),
        Column(
            "novelty",
            "DOUBLE",
            "mean distance of its style from the styles of the user's items, from 0 to 1",
            minimum=0,
        ),
        Column("facts", FACTS_SQL, "what the pick rests on"),
    ),
    key=("user_id", "rank"),
    foreign_keys=(
        ForeignKey("user_id", "users", "user_id"),
        ForeignKey("item_id", "items", "item_id"),
        ForeignKey("style_id", "styles", "style_id"),
    ),
)

TABLES = (STYLES, ITEM_STYLES, USER_STYLES, STYLE_PICKS)


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table of this module."""
    return tables.arrow_schema(table, {ATTRIBUTES_SQL: ATTRIBUTES_ARROW})
