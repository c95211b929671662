"""The tables of the report on explanations.

Belongs here: declarations. Does not belong here: measurement.
"""

from __future__ import annotations

from fashionrec_assets.storage.tables import Column, Table

EXPLANATION_REPORT = Table(
    name="explanation_report",
    meaning="Every figure of the report on explanations: of a surface, or of all of them.",
    columns=(
        Column("surface", "VARCHAR", "Where the explanations stand; all: everywhere."),
        Column("figure", "VARCHAR", "What is measured."),
        Column("value", "DOUBLE", "The figure."),
        Column("low", "DOUBLE", "Lower end of its 95 % bootstrap interval over readers.", nullable=True),
        Column("high", "DOUBLE", "Upper end of that interval.", nullable=True),
        Column("explanations", "BIGINT", "Explanations it is about.", minimum=0),
    ),
    key=("surface", "figure"),
)

EXPLANATION_HISTORY = Table(
    name="explanation_history",
    meaning="The figures of every run of that report, to see them move.",
    columns=(
        Column("run_at", "TIMESTAMP", "When the report was made, UTC."),
        Column("settings", "VARCHAR", "Fingerprint of the settings it was made under."),
        Column("figure", "VARCHAR", "Surface and figure, joined by a full stop."),
        Column("value", "DOUBLE", "The figure."),
        Column("low", "DOUBLE", "Lower end of its 95 % interval, where it has one.", nullable=True),
        Column("high", "DOUBLE", "Upper end of that interval.", nullable=True),
    ),
    key=("run_at", "figure"),
)

TABLES = (EXPLANATION_REPORT, EXPLANATION_HISTORY)
