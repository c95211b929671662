"""The table of synthetic rows.

Belongs here: its declaration, and its Arrow form. Does not belong here: how a row comes about.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.storage.tables import Column, ForeignKey, Table
from fashionrec_assets.synthesis.rows import SyntheticRows, TrainingRows

VAE_SYNTHETIC_SAMPLES = Table(
    name="vae_synthetic_samples",
    meaning="Rows that the VAE made of real ones before the test days: pairs that nobody has, with a pseudo-label.",
    columns=(
        Column("sample", "BIGINT", "number of the row, from 0 without gaps", minimum=0),
        Column("user_id", "VARCHAR", "the user of the source"),
        Column("item_id", "VARCHAR", "the real item nearest to the decoded one; it may have no event"),
        Column("label", "DOUBLE", "decoded preference: how likely the user likes the item, in [0, 1]", minimum=0),
        Column("source_user_id", "VARCHAR", "user of the real row it was made of"),
        Column("source_item_id", "VARCHAR", "item of that row"),
        Column(
            "source_ts", "TIMESTAMP", "UTC time of that pair's first event; of its positive, for a sampled negative"
        ),
        Column("source_label", "DOUBLE", "1: a pair of the log; 0: a sampled pair that the user does not have"),
        Column("temperature", "DOUBLE", "factor on the posterior's standard deviation", minimum=0),
        Column("generator", "VARCHAR", "what made it"),
        Column("generator_version", "VARCHAR", "names its settings, seed and data"),
    ),
    key=("sample",),
    foreign_keys=(
        ForeignKey("user_id", "users", "user_id"),
        ForeignKey("item_id", "items", "item_id"),
        ForeignKey("source_user_id", "users", "user_id"),
        ForeignKey("source_item_id", "items", "item_id"),
    ),
)

TABLES = (VAE_SYNTHETIC_SAMPLES,)


def samples_table(
    made: SyntheticRows, rows: TrainingRows, log: EventLog, *, temperature: float, generator: str, version: str
) -> pa.Table:
    """`made` of `rows` as rows of `VAE_SYNTHETIC_SAMPLES`, numbered as they come."""
    sources = made.sources
    moments = [datetime.fromtimestamp(int(at), UTC).replace(tzinfo=None) for at in rows.times[sources]]
    return pa.table(
        {
            "sample": pa.array(np.arange(len(made)), pa.int64()),
            "user_id": pa.array(log.user_ids[made.users].tolist(), pa.string()),
            "item_id": pa.array(log.item_ids[made.items].tolist(), pa.string()),
            "label": pa.array(made.labels.astype(np.float64), pa.float64()),
            "source_user_id": pa.array(log.user_ids[rows.users[sources]].tolist(), pa.string()),
            "source_item_id": pa.array(log.item_ids[rows.items[sources]].tolist(), pa.string()),
            "source_ts": pa.array(moments, pa.timestamp("us")),
            "source_label": pa.array(rows.labels[sources].astype(np.float64), pa.float64()),
            "temperature": pa.array(np.full(len(made), temperature), pa.float64()),
            "generator": pa.array([generator] * len(made), pa.string()),
            "generator_version": pa.array([version] * len(made), pa.string()),
        }
    )
