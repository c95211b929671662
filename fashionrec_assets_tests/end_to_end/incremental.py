"""What a run did, told exactly: units by asset, and keys by stage."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.resources.shop import Shop

ITEM_STAGES = (
    "items",
    "grounded_crops",
    "clarified_descriptions",
    "image_embeddings",
    "text_embeddings",
    "text_tokens",
    "image_tokens",
    "item_vectors",
    "similar_items",
)
RELEASED = ("withdrawn_items", "release", "served_release")
"""What is served is a release of its own once anything it holds has changed."""
TRAINED = ("two_tower_model", "late_fusion_model", "clip_model", "augmentation_sweep", "vae_model", "ncf_model")
REPORTS = (
    "retrieval_report",
    "ranking_report",
    "ranking_ablations",
    "ncf_ablations",
    "outfit_report",
    "discovery_report",
    "assistant_report",
    "explanation_report",
    "lookbook",
)
UP_TO_THE_REPORTS = " and ".join(f'not key:"{name}"' for name in REPORTS)
"""A selection without the pages: what they say is of no concern, and they take half of a run's time."""


def work(result: RunResult) -> dict[str, int]:
    """Units computed or deleted, by asset, where there were any."""
    assert result.success, result.errors
    done = {name: asset.new + asset.stale + asset.orphaned for name, asset in result.assets.items()}
    return {name: count for name, count in done.items() if count}


Ledger = dict[tuple[str, str], tuple[str, str, str]]


def ledger_of(shop: Shop) -> Ledger:
    """(stage, key) to (input_fp, code_fp, output_fp)."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT stage, key, input_fp, code_fp, output_fp FROM ledger").fetchall()
    return {(stage, key): (given, code, made) for stage, key, given, code, made in rows}


def keys_of(ledger: Ledger, stage: str) -> set[str]:
    """The keys of a stage."""
    return {key for name, key in ledger if name == stage}


def moved(before: Ledger, after: Ledger, stage: str) -> set[str]:
    """The keys of a stage that came, went, or were made from something else."""
    keys = {key for name, key in before.keys() | after.keys() if name == stage}
    return {key for key in keys if before.get((stage, key), ())[:2] != after.get((stage, key), ())[:2]}


def traces(home: Path, name: str) -> list[str]:
    """Every table and Parquet or JSON file under `home` that still has the id.

    Dagster's own history aside, and kept releases: what left the shop is left out where those are read.
    """
    found: list[str] = []
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            rows = connection.execute(
                f'SELECT count(*) FROM "{table}" AS t WHERE contains(CAST(t AS VARCHAR), ?)', [name]
            ).fetchall()
            if rows[0][0] and table != "rejects":
                found.append(table)
    kept = {"dagster", "releases", "served"}
    for path in home.rglob("*.parquet"):
        if kept & set(path.parts):
            continue
        text = pq.read_table(
            path, columns=[part for part in pq.read_schema(path).names if part not in ("vector", "jpeg", "states")]
        )
        if any(name in str(value) for column in text.columns for value in column.to_pylist()):
            found.append(str(path.relative_to(home)))
    for path in home.rglob("*.json"):
        if not kept & set(path.parts) and name in path.read_text("utf-8"):
            found.append(str(path.relative_to(home)))
    return found
