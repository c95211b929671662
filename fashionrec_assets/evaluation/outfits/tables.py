"""The table of how well baskets are completed.

Belongs here: the declaration. Does not belong here: measurement.
"""

from __future__ import annotations

from fashionrec_assets.evaluation.outfits.report import METRICS
from fashionrec_assets.evaluation.outfits.task import SETTINGS
from fashionrec_assets.storage.tables import Column, Table

OUTFIT_REPORT = Table(
    name="outfit_report",
    meaning="Completion of the baskets of the test days: a method, a setting, a metric, with intervals.",
    columns=(
        Column("method", "VARCHAR", "the method's stable name, for example model or co_purchase"),
        Column(
            "setting",
            "VARCHAR",
            "any: every held-out item; other_slot: those worn where none of the given is, among such candidates",
            values=SETTINGS,
        ),
        Column("metric", "VARCHAR", "what is measured", values=METRICS),
        Column("k", "INTEGER", "length of the list; mrr looks at all of it", minimum=1),
        Column("value", "DOUBLE", "mean over baskets", minimum=0),
        Column("low", "DOUBLE", "lower end of the 95 % bootstrap interval over people"),
        Column("high", "DOUBLE", "upper end of that interval"),
        Column("ahead", "DOUBLE", "by how much the model is ahead of it, over the same baskets", nullable=True),
        Column("ahead_low", "DOUBLE", "lower end of the paired 95 % interval of that", nullable=True),
        Column("ahead_high", "DOUBLE", "upper end of that interval", nullable=True),
        Column("baskets", "BIGINT", "baskets the mean is over", minimum=0),
    ),
    key=("method", "setting", "metric"),
)

TABLES = (OUTFIT_REPORT,)
