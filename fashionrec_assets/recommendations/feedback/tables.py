"""The table of what answers to explanations teach.

Belongs here: the declaration, and its rows. Does not belong here: learning (`strategies.py`).
"""

from __future__ import annotations

import pyarrow as pa

from fashionrec_assets.recommendations.feedback.answers import SEGMENTS
from fashionrec_assets.recommendations.feedback.strategies import DIMENSIONS, Strategies
from fashionrec_assets.storage.tables import Column, Table

EVERYONE = "everyone"

EXPLANATION_STRATEGIES = Table(
    name="explanation_strategies",
    meaning="The share of helpful answers to expect of explanations, by what they lead with, their tone and length.",
    columns=(
        Column("dimension", "VARCHAR", "what was chosen", values=DIMENSIONS),
        Column("segment", "VARCHAR", "who reads: users by activity", values=(EVERYONE, *SEGMENTS)),
        Column("option", "VARCHAR", "how it was chosen: a kind of fact, a tone, a length"),
        Column("expected", "DOUBLE", "share of helpful answers to expect", minimum=0),
        Column("answers", "BIGINT", "answers of everyone to explanations with that choice", minimum=0),
        Column("established", "BOOLEAN", "whether options of this dimension are known to differ"),
    ),
    key=("dimension", "segment", "option"),
)

TABLES = (EXPLANATION_STRATEGIES,)


def strategy_rows(found: Strategies) -> pa.Table:
    """`EXPLANATION_STRATEGIES` rows of what was learned."""
    rows = [
        (dimension, segment, option, expected, shown, one.established)
        for dimension, one in found.of.items()
        for segment, shares in {EVERYONE: one.everyone, **one.segments}.items()
        for option, expected, shown in zip(one.options, shares, one.shown, strict=True)
    ]
    names = EXPLANATION_STRATEGIES.column_names
    types = (pa.string(), pa.string(), pa.string(), pa.float64(), pa.int64(), pa.bool_())
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return pa.table({name: pa.array(list(one), type_) for name, type_, one in zip(names, types, columns, strict=True)})
