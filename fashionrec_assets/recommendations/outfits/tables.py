"""The tables of matching recommendations.

Belongs here: declarations. Does not belong here: how a row comes about.
"""

from __future__ import annotations

from fashionrec_assets.recommendations.explanations.facts import FACTS_SQL
from fashionrec_assets.recommendations.outfits.slots import BASES, FURTHER
from fashionrec_assets.storage.tables import Column, ForeignKey, Table

LOOK_SLOTS: tuple[str, ...] = (*(name for base in BASES for name in base), *FURTHER)

COMPLEMENTS = Table(
    name="complements",
    meaning="For each item what goes with it, of other slots and for the same people, best first, one per family.",
    columns=(
        Column("anchor_id", "VARCHAR", "the item that is to be completed"),
        Column("rank", "INTEGER", "place in its list, from 1 without gaps", minimum=1),
        Column("item_id", "VARCHAR", "what goes with it"),
        Column("score", "DOUBLE", "how well, by the outfit model; natural log units, comparable for one anchor"),
        Column("facts", FACTS_SQL, "what it rests on"),
    ),
    key=("anchor_id", "rank"),
    foreign_keys=(ForeignKey("anchor_id", "items", "item_id"), ForeignKey("item_id", "items", "item_id")),
)

OUTFITS = Table(
    name="outfits",
    meaning="Complete looks around an item: what is worn with it, each slot once; the item itself is not repeated.",
    columns=(
        Column("anchor_id", "VARCHAR", "the item that the look is around"),
        Column("look", "INTEGER", "number of the look, from 1, best first", minimum=1),
        Column("slot", "VARCHAR", "where on the body it goes", values=LOOK_SLOTS),
        Column("item_id", "VARCHAR", "what is worn there"),
        Column("score", "DOUBLE", "of the look: mean over its pairs of compatibility and coherence"),
        Column("coherence", "DOUBLE", "mean cosine of the item's photo and text with those of the rest of the look"),
        Column("facts", FACTS_SQL, "what the item rests on, beside the anchor"),
    ),
    key=("anchor_id", "look", "slot"),
    foreign_keys=(ForeignKey("anchor_id", "items", "item_id"), ForeignKey("item_id", "items", "item_id")),
)

TABLES = (OUTFITS, COMPLEMENTS)
