"""The catalog's tables, declared once.

Belongs here: names, types, keys and meanings. Does not belong here: SQL, reading, or any other room's tables.
"""

from __future__ import annotations

from typing import Final

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.storage.tables import Column, ForeignKey, Table

IMAGE_STATUSES: Final = ("ok", "none", "missing", "unreadable", "oversized", "escaping", "unsupported")
"""What was found at the photo of an item or user; `none`: the export names no photo."""

ITEMS: Final = Table(
    name="items",
    meaning="The catalog: one row per article.",
    columns=(
        Column("item_id", "VARCHAR", "the shop's identifier, kept as text (leading zeros matter)"),
        Column("title", "VARCHAR", "the shop's title as given; may be empty, may contain any text, HTML included"),
        Column("description", "VARCHAR", "longer text", nullable=True),
        Column("category", "VARCHAR", "broad category, e.g. tops", nullable=True),
        Column("product_type", "VARCHAR", "kind of garment, e.g. t-shirt", nullable=True),
        Column("family_id", "VARCHAR", "the design this article is a colour variant of", nullable=True),
        Column("brand", "VARCHAR", "brand", nullable=True),
        Column("colour", "VARCHAR", "colour as the shop names it", nullable=True),
        Column("pattern", "VARCHAR", "pattern as the shop names it, e.g. striped", nullable=True),
        Column("section", "VARCHAR", "department of the shop", nullable=True),
        Column("gender", "VARCHAR", "for whom, as the shop names it", nullable=True),
        Column("price", "DOUBLE", "in the shop's currency or unit", nullable=True, minimum=0),
        Column("launched_at", "TIMESTAMP", "UTC time from which the item could be bought; null: always", nullable=True),
        Column("image_ref", "VARCHAR", "photo, relative to the raw folder", nullable=True),
        Column("image_status", "VARCHAR", "what was found at image_ref", values=IMAGE_STATUSES),
        Column("image_digest", "VARCHAR", "SHA-256 of the photo's bytes, where they could be read", nullable=True),
    ),
    key=("item_id",),
)

USERS: Final = Table(
    name="users",
    meaning="Everyone in the behaviour log or the user file.",
    columns=(
        Column("user_id", "VARCHAR", "the shop's identifier, kept as text"),
        Column("events", "BIGINT", "accepted events", minimum=0),
        Column("first_event", "TIMESTAMP", "UTC", nullable=True),
        Column("last_event", "TIMESTAMP", "UTC", nullable=True),
        Column("is_bot", "BOOLEAN", "more events on one UTC day than a person plausibly makes"),
        Column("gender", "VARCHAR", "as the shop names it", nullable=True),
        Column("age", "INTEGER", "years", nullable=True, minimum=0),
        Column("city", "VARCHAR", "as the shop names it", nullable=True),
        Column("avatar_ref", "VARCHAR", "photo of the user, relative to the raw folder", nullable=True),
        Column("avatar_status", "VARCHAR", "what was found at avatar_ref", values=IMAGE_STATUSES),
        Column("avatar_digest", "VARCHAR", "SHA-256 of that photo's bytes, where they could be read", nullable=True),
    ),
    key=("user_id",),
)

INTERACTIONS: Final = Table(
    name="interactions",
    meaning="Accepted events, sorted by user_id, ts, item_id and behaviour (in funnel order).",
    columns=(
        Column("user_id", "VARCHAR", "who"),
        Column("item_id", "VARCHAR", "what"),
        Column("behaviour", "VARCHAR", "the funnel, in order", values=BEHAVIOURS),
        Column("ts", "TIMESTAMP", "UTC; midnight where the source knows only the day"),
    ),
    key=("user_id", "ts", "item_id", "behaviour"),
    foreign_keys=(ForeignKey("user_id", "users", "user_id"), ForeignKey("item_id", "items", "item_id")),
    parquet=True,
)

FEEDBACK: Final = Table(
    name="feedback",
    meaning="What users said about the explanations they were shown.",
    columns=(
        Column("user_id", "VARCHAR", "who answered"),
        Column("item_id", "VARCHAR", "the item the explanation was about"),
        Column("ts", "TIMESTAMP", "when, UTC"),
        Column("helpful", "BOOLEAN", "the answer to: was this explanation helpful?"),
        Column("lead", "VARCHAR", "kind of fact the explanation led with, where the shop noted it", nullable=True),
        Column("tone", "VARCHAR", "tone the explanation was written in, where the shop noted it", nullable=True),
        Column("length", "VARCHAR", "how long it was, in the shop's words, where it noted that", nullable=True),
        Column("text", "VARCHAR", "the explanation as it was shown", nullable=True),
        Column("edited_text", "VARCHAR", "what the user, or an editor, wrote in its place", nullable=True),
    ),
    key=("user_id", "item_id", "ts"),
    foreign_keys=(ForeignKey("user_id", "users", "user_id"), ForeignKey("item_id", "items", "item_id")),
)

SESSIONS: Final = Table(
    name="sessions",
    meaning="Visits: a user's events without a pause longer than the session gap.",
    columns=(
        Column("user_id", "VARCHAR", "who"),
        Column("session_id", "BIGINT", "0 for the user's first session, then counting up", minimum=0),
        Column("started_at", "TIMESTAMP", "first event, UTC"),
        Column("ended_at", "TIMESTAMP", "last event, UTC"),
        Column("events", "BIGINT", "events of the visit", minimum=1),
        Column("items", "BIGINT", "distinct items of the visit", minimum=1),
        Column("buys", "BIGINT", "purchases of the visit", minimum=0),
    ),
    key=("user_id", "session_id"),
    foreign_keys=(ForeignKey("user_id", "users", "user_id"),),
    parquet=True,
)

SPLITS: Final = Table(
    name="splits",
    meaning="The global time split: whole UTC days, fit then validation then test.",
    columns=(
        Column("name", "VARCHAR", "part of the split", values=("fit", "validation", "test")),
        Column("starts_at", "TIMESTAMP", "first instant, UTC"),
        Column("ends_at", "TIMESTAMP", "first instant after the part, UTC"),
        Column("events", "BIGINT", "events of people, bots left out", minimum=0),
        Column("users", "BIGINT", "distinct users with such an event", minimum=0),
        Column("items", "BIGINT", "distinct items with such an event", minimum=0),
        Column("cold_items", "BIGINT", "of those items, the ones without an event before the part", minimum=0),
        Column("cold_users", "BIGINT", "of those users, the ones without an event before the part", minimum=0),
    ),
    key=("name",),
)

REJECTS: Final = Table(
    name="rejects",
    meaning="Everything the contract refused: whole rows, and single fields of rows that were kept without them.",
    columns=(
        Column(
            "table_name",
            "VARCHAR",
            "table the row was meant for",
            values=("items", "interactions", "users", "feedback"),
        ),
        Column("source_file", "VARCHAR", "file in the raw folder"),
        Column("line", "BIGINT", "1-based line where the record starts; in a Parquet file, the row", minimum=1),
        Column("column_name", "VARCHAR", "column at fault, where it is one", nullable=True),
        Column("reason", "VARCHAR", "why"),
        Column("value", "VARCHAR", "the value at fault, cut to 200 characters", nullable=True),
        Column("row_kept", "BOOLEAN", "true: the row was kept and only this field was emptied (or the photo left out)"),
    ),
    key=(),
)

TABLES: Final = (ITEMS, USERS, INTERACTIONS, FEEDBACK, SESSIONS, SPLITS, REJECTS)
