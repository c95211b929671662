"""Assets of the descriptions room.

Belongs here: reading the ledger's plan, calling the provider, writing, and what the UI shows. Does not belong here:
how a description is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

import dagster as dg

from fashionrec_assets.crops.work import CROP_COLUMNS
from fashionrec_assets.descriptions.by_model import LanguageModelProvider
from fashionrec_assets.descriptions.claims import DescriptionProvider, ItemText
from fashionrec_assets.descriptions.desk import TEXTS, Desk, description_rows, item_texts
from fashionrec_assets.descriptions.providers import make_provider
from fashionrec_assets.descriptions.tables import DESCRIPTIONS, LLM_BATCHES, LLM_DESCRIPTIONS
from fashionrec_assets.descriptions.work import Describe
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import Shop, StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Plan, Stage, batches
from fashionrec_assets.storage.warehouse import delete_keys, one_row, upsert_rows

STAGE = Stage(
    "clarified_descriptions",
    "item",
    version="2",
    # The photo counts only where no field names the colour: elsewhere a new photo must not wake this stage.
    rows="""
        SELECT items.*, CASE WHEN coalesce(trim(items.colour), '') = '' THEN crops.colours END AS measured_colours,
               NULL::VARCHAR AS photo
        FROM items LEFT JOIN crops USING (item_id)
    """,
    reads=(*TEXTS, "measured_colours", "photo"),
    # Whatever else changes a text is part of the provider's version.
    settings=("descriptions.max_chars",),
)
WITH_PHOTO = """
    SELECT items.*, crops.colours AS measured_colours, crop.output_fp AS photo
    FROM items LEFT JOIN crops USING (item_id)
    LEFT JOIN ledger crop ON crop.stage = 'grounded_crops' AND crop.key = items.item_id
"""
"""The same rows for a provider that looks at the photo itself: there a new crop is a new input."""
BATCH = 2_000
EXAMPLES = 25


@dg.asset(
    **asset_spec(
        STAGE,
        group="descriptions",
        deps=["items", "grounded_crops"],
        kinds={"python", "duckdb", "openai"},
        tables=[DESCRIPTIONS, LLM_DESCRIPTIONS, LLM_BATCHES],
    )
)
def clarified_descriptions(shop: ShopParam) -> dg.MaterializeResult:
    """What each item is, in clean words: the title cleaned and completed, every word with its source."""
    with shop.stage(STAGE) as run:
        provider = make_provider(shop.settings.descriptions)
        by_model = isinstance(provider, LanguageModelProvider)
        relation = WITH_PHOTO if by_model and provider.reads_photo else STAGE.rows
        plan = run.plan(rows=relation, provider=f"{provider.name}-{provider.version}")
        if plan.orphaned:
            with run.commit(plan, {}, orphans=True) as connection:
                delete_keys(connection, DESCRIPTIONS, "item_id", plan.orphaned)
                delete_keys(connection, LLM_DESCRIPTIONS, "item_id", plan.orphaned)
        if by_model:
            provider.describe_all(Desk(run, plan, relation, lambda keys: _crops(shop, keys)), run)
        else:
            _by_rules(run, plan, provider)
        figures = {"provider": f"{provider.name} {provider.version}"} | (provider.figures() if by_model else {})
        return materialized(run, **figures, **_shown(shop))


def _by_rules(run: StageRun, plan: Plan, provider: DescriptionProvider) -> None:
    done, shop = 0, run.shop
    portions = list(batches(list(plan.todo), BATCH))
    items: deque[list[ItemText]] = deque()

    def read(keys: list[str]) -> list[ItemText]:
        items.append(item_texts(shop.warehouse, STAGE.rows, keys))
        return items[-1]

    with closing(shop.compute.map(Describe(shop), portions, read)) as computed:
        for keys, written in zip(portions, computed, strict=True):
            ids = [item.item_id for item in items.popleft()]
            outputs = {item_id: digest(asdict(made)) for item_id, made in zip(ids, written, strict=True)}
            with run.commit(plan, outputs) as connection:
                rows = description_rows(ids, written, [provider.name] * len(ids))
                upsert_rows(connection, DESCRIPTIONS, rows)
                delete_keys(connection, LLM_DESCRIPTIONS, "item_id", keys)
            done += len(keys)
            run.progress(done, len(plan.todo))


def _crops(shop: Shop, keys: Sequence[str]) -> Mapping[str, bytes]:
    rows = shop.store("crops", CROP_COLUMNS).take(keys)
    return dict(zip(rows.column("item_id").to_pylist(), rows.column("jpeg").to_pylist(), strict=True))


def _shown(shop: Shop) -> dict[str, Any]:
    """Counts, examples, and how the language model's items stand."""
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
        by_outcome = connection.execute(
            "SELECT status, coalesce(reason, '-') AS reason, count(*) AS items FROM llm_descriptions "
            "GROUP BY ALL ORDER BY 3 DESC, 1, 2"
        ).fetch_df()
        by_rounds = connection.execute(
            "SELECT rounds, count(*) FILTER (approved) AS approved, count(*) FILTER (NOT approved) AS not_approved "
            "FROM llm_descriptions WHERE status <> 'waiting' GROUP BY rounds ORDER BY rounds"
        ).fetch_df()
        pending = one_row(connection, "SELECT count(*), sum(items) FROM llm_batches")
    return {
        "rows": total,
        "flagged": flagged,
        "with_a_word_from_the_photo": by_photo,
        "language_model_outcomes": table_of(by_outcome.to_dict("records")),
        "language_model_rounds": table_of(by_rounds.to_dict("records")),
        "batches_pending": pending[0] or None,
        "examples": table_of(examples.to_dict("records")),
    }
