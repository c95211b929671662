"""Tables of the descriptions room."""

from __future__ import annotations

from fashionrec_assets.descriptions.evaluator import Rejection
from fashionrec_assets.resources.llm import Failure
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
        Column(
            "flags", "VARCHAR[]", "what was dropped, contradicted or missing; why a language model's text is not used"
        ),
        Column("provider", "VARCHAR", "the provider that wrote it"),
    ),
    ("item_id",),
    (ForeignKey("item_id", "items", "item_id"),),
)

LLM_BATCHES = Table(
    "llm_batches",
    "Batches of questions that a language model's server is still working on",
    (
        Column("fingerprint", "VARCHAR", "digest of the questions; the server keeps it as the batch's tag"),
        Column("batch_id", "VARCHAR", "the server's id; null until it is known to have been started", nullable=True),
        Column("items", "INTEGER", "items asked about", minimum=1),
        Column("most_cost", "DOUBLE", "the most it can cost, in the currency of the prices", nullable=True),
        Column("prepared_at", "DOUBLE", "Unix time at which it was written down, before it was sent"),
    ),
    ("fingerprint",),
)

LLM_DESCRIPTIONS = Table(
    "llm_descriptions",
    "What became of each item at the language model, and what that took",
    (
        Column("item_id", "VARCHAR", "the item"),
        Column(
            "status",
            "VARCHAR",
            "written: its text is used; rejected: its answers cannot be used; waiting: the next run goes on",
            values=("written", "rejected", "waiting"),
        ),
        Column(
            "reason",
            "VARCHAR",
            "why its text is not used",
            nullable=True,
            values=(*(one.value for one in Rejection), *(one.value for one in Failure)),
        ),
        Column("approved", "BOOLEAN", "whether the evaluator approved the text"),
        Column("rounds", "INTEGER", "rounds of the loop so far", minimum=1),
        Column("calls", "INTEGER", "answered calls so far", minimum=0),
        Column("tokens_in", "BIGINT", "tokens read by the model for them", minimum=0),
        Column("tokens_out", "BIGINT", "tokens written by it", minimum=0),
        Column("fingerprint", "VARCHAR", "digest of the input and code that the conversation belongs to"),
        Column("talk", "VARCHAR", "where the conversation stands, as JSON", nullable=True),
        Column("batch", "VARCHAR", "the batch that its next question is in", nullable=True),
        Column("line", "INTEGER", "its place in that batch", nullable=True, minimum=0),
    ),
    ("item_id",),
    (ForeignKey("item_id", "items", "item_id"), ForeignKey("batch", "llm_batches", "fingerprint")),
)

TABLES = (DESCRIPTIONS, LLM_BATCHES, LLM_DESCRIPTIONS)
