"""Releases of a few rows, made as the lineage makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from fashionrec_assets.recommendations.explanations.facts import facts_array
from fashionrec_assets.recommendations.tables import (
    BUSINESS_RULES,
    HOMEPAGE,
    POPULAR_ITEMS,
    SIMILAR_ITEMS,
    arrow_schema,
)
from fashionrec_assets.storage.files import write_text
from fashionrec_assets.storage.parquet import write_atomically
from fashionrec_assets.storage.release_notes import Provenance, Release, TableNote
from fashionrec_assets.storage.releases import Releases

ITEMS = ("a", "b", "c", "d")
NOTES = {
    "items": TableNote(file="tables/items.parquet", items=("item_id",)),
    "homepage": TableNote(file="tables/homepage.parquet", items=("item_id", "anchor_id"), people="user_id"),
    "popular_items": TableNote(file="tables/popular_items.parquet", items=("item_id",)),
    "similar_items": TableNote(file="tables/similar_items.parquet", items=("item_id", "similar_id")),
    "business_rules": TableNote(file="tables/business_rules.parquet"),
    "explanations": TableNote(
        file="tables/explanations.parquet",
        items=("item_id",),
        people="subject",
        people_where={"surface": ("homepage", "style")},
    ),
}


def publish(
    home: Path,
    score: float = 0.5,
    *,
    users: Sequence[str] = ("u", "v"),
    models: str = "one",
    cut: int = 1000,
    items: Sequence[str] = ITEMS,
) -> Release:
    """A release whose pages have the score `score` in every row, made by the models `models`, from files in `home`."""
    shown = list(items[:3])
    page = [
        (user, rank, "for_you" if rank < 3 else "because", rank if rank < 3 else 1, anchor, behaviour, item, score)
        for user in users
        for rank, (item, anchor, behaviour) in enumerate(
            zip(shown, (None, None, items[-1]), (None, None, "buy"), strict=True), start=1
        )
    ]
    columns = [*zip(*page, strict=True), ["late_fusion"] * len(page), facts_array([()] * len(page))]
    similar = [
        (items[0], "both", 1, items[1], score, None, score),
        (items[1], "both", 1, items[-1], score, None, score),
    ]
    said = [("homepage", user, shown[0], f"of {score}") for user in users] + [("outfit", "u", shown[1], "of an item")]
    tables = {
        "items": pa.table(
            {
                "item_id": list(items),
                **{name: pa.nulls(len(items), pa.string()) for name in ("title", "image_ref", *_FIELDS)},
                "price": [1.0] * len(items),
            }
        ),
        "homepage": pa.table(columns, schema=arrow_schema(HOMEPAGE)),
        "popular_items": pa.table(
            [[1, 2], list(items[:2]), [9, 3], [12, 3], [7, 7]], schema=arrow_schema(POPULAR_ITEMS)
        ),
        "similar_items": pa.table(list(zip(*similar, strict=True)), schema=arrow_schema(SIMILAR_ITEMS)),
        "business_rules": arrow_schema(BUSINESS_RULES).empty_table(),
        "explanations": pa.table(list(zip(*said, strict=True)), names=["surface", "subject", "item_id", "text"]),
    }
    for name, table in tables.items():
        path = home / "exports" / f"{name}.parquet"
        if not path.exists() or _differs(path, table):
            write_atomically(path, table)
    write_text(home / "model.bin", models)
    files = {note.file: home / "exports" / f"{name}.parquet" for name, note in NOTES.items()}
    files["models/weights.bin"] = home / "model.bin"
    made_from = Provenance(
        stages={"homepage": f"{score}"},
        code={"homepage": "code"},
        models={"two_tower_model": models, "late_fusion_model": f"{models}-ranker"},
        cut=cut,
        package="0",
        settings_digest="settings",
        figures={
            "ranking.late_fusion.ndcg@20": 0.2,
            "ranking.late_fusion.ndcg@20.low": 0.1,
            "ranking.late_fusion.ndcg@20.high": 0.3,
        },
    )
    return Releases.of(home).add(files, NOTES, made_from)


_FIELDS = ("product_type", "category", "colour", "pattern", "section", "gender", "brand", "family_id")


def _differs(path: Path, table: pa.Table) -> bool:
    import pyarrow.parquet as pq

    return not pq.read_table(path).equals(table)
