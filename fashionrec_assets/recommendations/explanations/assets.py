"""The asset of the explanations.

Belongs here: whose texts to write, one call a batch, one transaction a batch, and what the UI shows. Does not belong
here: wording, judging, finding facts.
"""

from __future__ import annotations

import hashlib
from typing import Any

import dagster as dg
import pyarrow as pa

from fashionrec_assets.recommendations.explanations.by_llm import LanguageModelWriter
from fashionrec_assets.recommendations.explanations.facts import Kind
from fashionrec_assets.recommendations.explanations.reading import SEPARATOR, evidence_of, subjects
from fashionrec_assets.recommendations.explanations.tables import EXPLANATIONS, explanation_rows
from fashionrec_assets.recommendations.explanations.writing import explain
from fashionrec_assets.recommendations.feedback.strategies import lead_orders
from fashionrec_assets.resources.glue import ShopParam, asset_spec, exported, materialized, table_of
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.ledger import Stage, batches
from fashionrec_assets.storage.warehouse import Connection, insert_rows, one_row

STAGE = Stage(
    "explanations",
    "subject",
    version="1",
    key="subject_key",
    reads=("facts", "lead_order"),
    settings=(
        "explanations.look_alike",
        "explanations.wording_alike",
        "explanations.tone",
        "explanations.length",
        "explanations.language",
        "explanations.provider",
        "seed",
    ),
)
BATCH = {"rules": 2_000, "openai": 50}
"""Subjects whose evidence is in memory at a time, and whose texts are written in one transaction."""
EXAMPLES = 25


@dg.asset(
    **asset_spec(
        STAGE,
        group="recommendations",
        deps=["homepage", "outfits", "style_discovery", "explanation_strategies", "items"],
        kinds={"python", "duckdb", "openai"},
        tables=[EXPLANATIONS],
    )
)
def explanations(shop: ShopParam) -> dg.MaterializeResult:
    """Why each recommendation is made: sentences that state only what its facts say, every claim verified."""
    with shop.stage(STAGE) as run:
        settings = shop.settings.explanations
        model = LanguageModelWriter(settings) if settings.provider == "openai" else None
        orders = _orders(shop)
        plan = run.plan(rows=subjects(orders), model=model.version if model else "rules")
        if plan.orphaned:
            with run.commit(plan, {}, orphans=True) as connection:
                _delete(connection, plan.orphaned)
        done, todo = 0, list(plan.todo)
        for keys in batches(todo, BATCH[settings.provider]):
            evidence = evidence_of(shop, keys)
            wanted = [None if one.surface == "outfit" else orders.get(one.subject) for one in evidence]
            made = explain(evidence, settings, seed=shop.settings.seed, orders=wanted, model=model)
            rows = explanation_rows(evidence, made)
            with run.commit(plan, _output_fps(rows, keys)) as connection:
                _delete(connection, keys)
                insert_rows(connection, EXPLANATIONS, rows)
            done += len(keys)
            run.progress(done, len(todo))
        return materialized(run, **exported(run, EXPLANATIONS), **_shown(shop), **(model.figures() if model else {}))


def _orders(shop: Shop) -> dict[str, tuple[Kind, ...]]:
    """What the texts to each user had best lead with; empty while answers have not shown that it matters."""
    with shop.warehouse.reader() as connection:
        people = connection.execute("SELECT user_id FROM users WHERE NOT is_bot ORDER BY user_id").fetchall()
    return lead_orders(shop, [row[0] for row in people])


def _delete(connection: Connection, keys: Any) -> None:
    connection.execute(
        f"DELETE FROM explanations WHERE surface || '{SEPARATOR}' || subject IN (SELECT unnest(?))", [list(keys)]
    )


def _output_fps(rows: pa.Table, keys: list[str]) -> dict[str, str]:
    """A fingerprint of each key's texts."""
    hashes = {key: hashlib.sha256() for key in keys}
    columns = [rows.column(name).to_pylist() for name in ("surface", "subject", "item_id", "text", "writer")]
    for surface, subject, *told in zip(*columns, strict=True):
        hashes[f"{surface}{SEPARATOR}{subject}"].update("\x1f".join((*told, "\x1e")).encode("utf-8", "replace"))
    return {key: one.hexdigest() for key, one in hashes.items()}


def _shown(shop: Shop) -> dict[str, Any]:
    """Counts, examples, and how many claims were refused."""
    with shop.warehouse.reader() as connection:
        total, empty, claims, rejected = one_row(
            connection,
            "SELECT count(*), count(*) FILTER (len(claims) = 0), coalesce(sum(len(claims)), 0), "
            "coalesce(sum(rejected), 0) FROM explanations",
        )
        by_lead = connection.execute(
            "SELECT surface, coalesce(lead, '-') AS lead, writer, count(*) AS explanations FROM explanations "
            "GROUP BY ALL ORDER BY 1, 4 DESC, 2, 3"
        ).fetchdf()
        examples = connection.execute(
            "SELECT surface, title, text, lead, writer FROM explanations JOIN items USING (item_id) "
            "ORDER BY sha256(surface || subject || item_id), surface, subject, item_id LIMIT ?",
            [EXAMPLES],
        ).fetchdf()
    written = claims + rejected
    return {
        "rows": total,
        "without_a_claim": empty,
        "claims": claims,
        "claims_rejected": rejected,
        "statement_precision_before_the_verifier": round(claims / written, 4) if written else None,
        "by_lead_and_writer": table_of(by_lead.to_dict("records")),
        "examples": table_of(examples.to_dict("records")),
    }
