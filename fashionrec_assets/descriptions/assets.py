"""Assets of the descriptions room.

Belongs here: reading the ledger's plan, calling the provider, writing, and what the UI shows. Does not belong here:
how a description is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import dagster as dg
import pyarrow as pa

from fashionrec_assets.descriptions.claims import Description, ItemText
from fashionrec_assets.descriptions.providers import make_provider
from fashionrec_assets.descriptions.tables import DESCRIPTIONS
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Stage, batches
from fashionrec_assets.storage.warehouse import delete_keys, one_row, upsert_rows

FIELDS = ("title", "description", "category", "product_type", "brand", "colour", "pattern", "section", "gender")

STAGE = Stage(
    "clarified_descriptions",
    "item",
    version="1",
    # The photo counts only where no field names the colour: elsewhere a new photo must not wake this stage.
    rows="""
        SELECT items.*, CASE WHEN coalesce(trim(items.colour), '') = '' THEN crops.colours END AS measured_colours
        FROM items LEFT JOIN crops USING (item_id)
    """,
    reads=(*FIELDS, "measured_colours"),
    settings=("descriptions",),
)
BATCH = 2_000
EXAMPLES = 25


@dg.asset(
    **asset_spec(
        STAGE, group="descriptions", deps=["items", "grounded_crops"], kinds={"python", "duckdb"}, tables=[DESCRIPTIONS]
    )
)
def clarified_descriptions(shop: ShopParam) -> dg.MaterializeResult:
    """What each item is, in clean words: the title cleaned and completed, every word with its source."""
    with shop.stage(STAGE) as run:
        provider = make_provider(shop.settings.descriptions)
        plan = run.plan(provider=f"{provider.name}-{provider.version}")
        if plan.orphaned:
            with run.commit(plan, {}, orphans=True) as connection:
                delete_keys(connection, DESCRIPTIONS, "item_id", plan.orphaned)
        done = 0
        for keys in batches(list(plan.todo), BATCH):
            items = _item_texts(shop, keys)
            written = provider.describe_batch(items)
            rows = _rows(items, written, provider.name)
            outputs = {item.item_id: digest(asdict(made)) for item, made in zip(items, written, strict=True)}
            with run.commit(plan, outputs) as connection:
                upsert_rows(connection, DESCRIPTIONS, rows)
            done += len(keys)
            run.progress(done, len(plan.todo))
        with shop.warehouse.reader() as connection:
            total, flagged, by_photo = one_row(
                connection,
                "SELECT count(*), count(*) FILTER (len(flags) > 0), "
                "count(*) FILTER (len(list_filter(attributes, lambda a: a.source = 'photo')) > 0) FROM descriptions",
            )
            examples = connection.execute(
                "SELECT item_id, title, text AS description, array_to_string(flags, '; ') AS flags "
                "FROM descriptions JOIN items USING (item_id) ORDER BY sha256(item_id) LIMIT ?",
                [EXAMPLES],
            ).fetch_df()
        return materialized(
            run,
            rows=total,
            flagged=flagged,
            with_a_word_from_the_photo=by_photo,
            provider=f"{provider.name} {provider.version}",
            examples=table_of(examples.to_dict("records")),
        )


def _item_texts(shop: Shop, keys: Sequence[str]) -> list[ItemText]:
    columns = ("item_id", *FIELDS, "measured_colours")
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(columns)} FROM ({STAGE.rows}) WHERE item_id IN (SELECT unnest(?)) ORDER BY item_id",
            [list(keys)],
        ).fetchall()
    return [
        ItemText(
            **dict(zip(columns[:-1], row[:-1], strict=True)),
            measured_colours=tuple((colour["name"], colour["share"]) for colour in row[-1] or ()),
        )
        for row in rows
    ]


def _rows(items: Sequence[ItemText], written: Sequence[Description], provider: str) -> pa.Table:
    attribute = pa.struct([(name, pa.string()) for name in ("name", "value", "source", "evidence")])
    return pa.table(
        {
            "item_id": pa.array([item.item_id for item in items], pa.string()),
            "text": pa.array([made.text for made in written], pa.string()),
            "attributes": pa.array([[asdict(one) for one in made.attributes] for made in written], pa.list_(attribute)),
            "flags": pa.array([list(made.flags) for made in written], pa.list_(pa.string())),
            "provider": pa.array([provider] * len(items), pa.string()),
        }
    )
