"""Tables of the descriptions room."""

from __future__ import annotations

from fashionrec_assets.storage.tables import Column, ForeignKey, Table

DESCRIPTIONS = Table(
    "descriptions",
    "What each item is, in clean words, and where each word comes from",
    (
        Column("item_id", "VARCHAR", "the item"),
        Column("text", "VARCHAR", "the clarified description"),
        Column(
            "attributes",
            'STRUCT("name" VARCHAR, "value" VARCHAR, source VARCHAR, evidence VARCHAR)[]',
            "what the text says, each with its source (title, field or photo) and the words found there",
        ),
        Column("flags", "VARCHAR[]", "what was dropped, contradicted or missing"),
        Column("provider", "VARCHAR", "the provider that wrote it"),
    ),
    ("item_id",),
    (ForeignKey("item_id", "items", "item_id"),),
)

TABLES = (DESCRIPTIONS,)
