"""The tables of what was measured.

Belongs here: declarations. Does not belong here: measurement.
"""

from __future__ import annotations

from fashionrec_assets.storage.tables import Column, Table

RANKING_REPORT = Table(
    name="ranking_report",
    meaning="Every figure of the ranking report: a method, a slice of users and targets, a metric at a cut-off.",
    columns=(
        Column("method", "VARCHAR", "The method's stable name, for example two_tower or item_knn."),
        Column(
            "slice",
            "VARCHAR",
            "Whom and what the figure is about.",
            values=("overall", "warm", "cold", "cold_users", "buy"),
        ),
        Column(
            "metric",
            "VARCHAR",
            "What is measured.",
            values=("recall", "ndcg", "precision", "mrr", "coverage", "novelty"),
        ),
        Column("k", "INTEGER", "Length of the list.", minimum=1),
        Column("value", "DOUBLE", "Mean over users; for coverage a share of the pool; for novelty bits."),
        Column("low", "DOUBLE", "Lower end of the 95 % bootstrap interval over users.", nullable=True),
        Column("high", "DOUBLE", "Upper end of that interval.", nullable=True),
        Column("users", "BIGINT", "Users the mean is over.", minimum=0),
        Column("targets", "BIGINT", "Their targets in the slice, together.", minimum=0),
        Column("fit_seconds", "DOUBLE", "Wall-clock seconds it took to fit the method.", minimum=0),
        Column("score_seconds", "DOUBLE", "Wall-clock seconds it took to rank all users.", minimum=0),
        Column("baseline", "BOOLEAN", "Whether the method is one of the simple ones a model is held against."),
    ),
    key=("method", "slice", "metric", "k"),
)

TABLES = (RANKING_REPORT,)
