"""A shop small enough to count in one's head: every fact below is true of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE
from fashionrec_assets.recommendations.explanations.facts import FACTS_ARROW, FACTS_SQL, Fact, facts_array
from fashionrec_assets.recommendations.outfits.affinity import FEATURES
from fashionrec_assets.recommendations.outfits.compatibility import Compatibility
from fashionrec_assets.recommendations.outfits.reading import MODEL
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.schema import TABLES
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.ledger import LEDGER, WHOLE
from fashionrec_assets.storage.tables import Table
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows
from fashionrec_assets.storage.warehouse import insert_rows, replace_rows, upsert_rows

START = datetime(2024, 3, 1, 12)
DAY = timedelta(days=1)
_TYPES = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    FACTS_SQL: FACTS_ARROW,
}
_ANYTHING = {"VARCHAR": "", "BIGINT": 1, "INTEGER": 1, "DOUBLE": 0.0, "BOOLEAN": False}

ITEMS = {
    "item_id": ["a", "b", "c", "d", "e", "f"],
    "title": ["Red &amp; ready dress", "Blue bag", "", "Red coat", "Hat", "Scarf"],
    "product_type": ["dress", "bag", "bag", "coat", "hat", "scarf"],
    "category": ["dresses", "accessories", "accessories", "outerwear", None, None],
    "colour": ["red", "blue", "red", "red", None, None],
    "brand": ["Volt9", None, "Volt9", "Bellamy & Co", None, None],
    "price": [20.0, 10.0, 30.0, 100.0, None, None],
    "launched_at": [None, None, None, START + 2 * DAY, None, None],
}
EVENTS = [
    # user, item, behaviour, day
    ("u1", "a", "pv", 0),
    ("u1", "a", "fav", 1),
    ("u1", "a", "pv", 3),
    ("u1", "b", "buy", 2),
    ("u2", "a", "buy", 2),
    ("u2", "b", "buy", 2),
    ("u2", "d", "pv", 4),
    ("u3", "a", "buy", 3),
    ("u3", "d", "buy", 3),
    ("u3", "b", "pv", 3),
    ("u4", "c", "pv", 4),
    ("u5", "e", "buy", 4),
    ("u5", "f", "buy", 4),
    ("bot", "a", "buy", 3),
    ("bot", "d", "buy", 3),
]
"""The log ends on day 4. u1 turned to a and b; a was turned to by u1, u2 and u3, of whom u2 and u3 turned to d."""

HOMEPAGE: dict[tuple[str, str], tuple[Fact, ...]] = {
    ("u1", "d"): (
        Fact("f1", "history", "fav", "Red & ready dress", "a", START + DAY, 2, 3, 0.9),
        Fact("f2", "price", number=100.0, base=15.0, weight=0.2),
        Fact("f3", "shared", "colour", "red", number=1, base=2, weight=0.1),
        Fact("f4", "popularity", number=2, base=2),
    ),
    ("u1", "c"): (
        Fact("f1", "shared", "colour", "red", number=1, base=2, weight=0.3),
        Fact("f2", "look", "fav", "Red & ready dress", "a", None, 0.96, None, 0.2),
        Fact("f3", "attribute", "brand", "Volt9"),
    ),
    ("u2", "d"): (Fact("f1", "new", at=START + 2 * DAY, number=2, base=2, weight=0.4),),
    ("u4", "d"): (
        Fact("f1", "wording", "pv", "item c", "c", None, 0.8, None, 0.2),
        Fact("f2", "price", number=100.0, base=30.0),
    ),
    ("u4", "b"): (),
}
OUTFITS: dict[tuple[str, str], tuple[Fact, ...]] = {
    ("a", "b"): (
        Fact("f1", "pairing", "baskets", "Red & ready dress", "a", None, 1, 2, 1.2),
        Fact("f2", "kinds", "bag", "dress", None, None, 1, 0.667, 0.2),
    ),
}
STYLE_PICKS: dict[tuple[str, str], tuple[Fact, ...]] = {
    ("u1", "c"): (Fact("f1", "style", "1", "Soft, floral", number=1, base=2, weight=0.1),),
}


def filled(table: Table, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """`columns` with whatever else the table must have: nulls, or any value that is allowed."""
    n = len(next(iter(columns.values())))
    made = {}
    for column in table.columns:
        kind = _TYPES.get(column.type) or pa.list_(pa.string())
        value = None if column.nullable else column.values[0] if column.values else _ANYTHING.get(column.type, [])
        held = columns.get(column.name, [value] * n)
        made[column.name] = held if isinstance(held, pa.Array) else pa.array(list(held), kind)
    return pa.table(made)


def recommended(facts: Mapping[tuple[str, str], tuple[Fact, ...]], subject: str) -> dict[str, Any]:
    """Columns of a product's table."""
    owners = [owner for owner, _ in facts]
    ranks = [owners[:place].count(owner) + 1 for place, owner in enumerate(owners)]
    return {
        subject: owners,
        "rank": ranks,
        "item_id": [item for _, item in facts],
        "facts": facts_array(facts.values()),
    }


def built(home: Path, **explanations: Any) -> Shop:
    """The shop, with everything that explanations are made of and checked against."""
    settings = Settings.load(home=home, storage={"buckets": 2, "threads": 1}, explanations=explanations)
    shop, tables = Shop(settings, TABLES), {table.name: table for table in TABLES}
    users = sorted({event[0] for event in EVENTS})
    rows = {
        "items": filled(tables["items"], ITEMS),
        "users": filled(tables["users"], {"user_id": users, "is_bot": [user == "bot" for user in users]}),
        "styles": filled(
            tables["styles"],
            {"style_id": [1, 2], "name": ["Soft, floral", "Street"], "attributes": _nothing(tables["styles"], 2)},
        ),
        "item_styles": filled(tables["item_styles"], {"item_id": ITEMS["item_id"], "style_id": [1, 2, 1, 2, 2, 2]}),
        "homepage": filled(tables["homepage"], recommended(HOMEPAGE, "user_id")),
        "complements": filled(tables["complements"], recommended(OUTFITS, "anchor_id")),
        "style_picks": filled(tables["style_picks"], recommended(STYLE_PICKS, "user_id")),
    }
    with shop.warehouse.writer() as connection:
        for name, content in rows.items():
            insert_rows(connection, tables[name], content)
    columns = list(zip(*EVENTS, strict=True))
    events = pa.table(
        {
            "user_id": pa.array(columns[0]),
            "item_id": pa.array(columns[1]),
            "behaviour": pa.array(columns[2]),
            "ts": pa.array([START + day * DAY for day in columns[3]], pa.timestamp("us")),
        }
    )
    with shop.artifacts.write("interactions_file", "v1") as folder:
        pq.write_table(events, folder / "interactions.parquet")
    with shop.artifacts.write(MODEL, "v1") as folder:
        Compatibility(np.zeros(len(FEATURES)), 0, ("buy",)).save(folder)
    entry = {
        "stage": ["interactions_file", MODEL],
        "key": [WHOLE, WHOLE],
        "input_fp": ["", ""],
        "code_fp": ["", ""],
        "output_fp": ["v1", "v1"],
    }
    with shop.warehouse.writer() as connection:
        upsert_rows(connection, LEDGER, pa.table(entry))
    near = np.array([[1, 0], [0, 1], [0.96, 0.28], [0, 1]], np.float32)
    shop.store(IMAGE_STORE, VECTOR_COLUMNS).put(vector_rows(["a", "b", "c", "d"], near))
    words = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 1]], np.float32)
    shop.store(TEXT_STORE, VECTOR_COLUMNS).put(vector_rows(["a", "b", "c", "d"], words))
    return shop


def _nothing(table: Table, rows: int) -> pa.Array:
    from fashionrec_assets.recommendations.styles.tables import arrow_schema

    return pa.array([[]] * rows, arrow_schema(table).field("attributes").type)


def put(shop: Shop, table: str, facts: Mapping[tuple[str, str], tuple[Fact, ...]], subject: str = "user_id") -> None:
    """Make `facts` the whole content of a product's table."""
    declared = {one.name: one for one in TABLES}[table]
    with shop.warehouse.writer() as connection:
        replace_rows(connection, declared, filled(declared, recommended(facts, subject)))
