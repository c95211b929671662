"""The table of the discovery report."""

from __future__ import annotations

from fashionrec_assets.storage.tables import Column, Table

DIALS = ("diversity", "exploration")

DISCOVERY_REPORT = Table(
    name="discovery_report",
    meaning="The trade-off curves of both dials on the test days: a metric at a value of a dial.",
    columns=(
        Column("dial", "VARCHAR", "The dial that is turned.", values=DIALS),
        Column("at", "DOUBLE", "Its value.", minimum=0),
        Column("in_force", "BOOLEAN", "Whether that is the value of the settings."),
        Column("metric", "VARCHAR", "What is measured."),
        Column("k", "INTEGER", "Length of the list.", minimum=1),
        Column("value", "DOUBLE", "Mean over users; of coverage, the share of the pool."),
        Column("low", "DOUBLE", "Lower end of its 95 % bootstrap interval over users; null for none.", nullable=True),
        Column("high", "DOUBLE", "Upper end of that interval.", nullable=True),
        Column("users", "BIGINT", "Users the figure is over.", minimum=1),
    ),
    key=("dial", "at", "metric"),
)

TABLES = (DISCOVERY_REPORT,)
