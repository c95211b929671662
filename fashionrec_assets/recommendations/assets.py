"""Assets of the recommendations room.

Belongs here: whose rows to compute, one call, one transaction, and what the UI shows. Does not belong here: ranking,
shelves, similarity, facts.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fashionrec_assets.catalog.digests import file_digest
from fashionrec_assets.catalog.reading import cuts, interactions_file
from fashionrec_assets.catalog.sources.base import inside
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, vectors
from fashionrec_assets.recommendations.fingerprints import histories_sql, output_fps
from fashionrec_assets.recommendations.page_inputs import PageInputs
from fashionrec_assets.recommendations.rules import (
    RuleSet,
    concerns,
    item_columns,
    last_day,
    read_rules,
)
from fashionrec_assets.recommendations.similar import Lists, SimilarityInput, refresh
from fashionrec_assets.recommendations.similar import similar_items as build_similar
from fashionrec_assets.recommendations.tables import (
    BUSINESS_RULES,
    HOMEPAGE,
    POPULAR_ITEMS,
    RULE_REJECTS,
    SIMILAR_ITEMS,
    arrow_schema,
)
from fashionrec_assets.recommendations.work import Pages, SimilarLists
from fashionrec_assets.resources.glue import ShopParam, asset_spec, exported, materialized, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop, StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Plan, Stage
from fashionrec_assets.storage.warehouse import Connection, delete_keys, insert_rows, one_row, replace_rows

RULES_STAGE = Stage("business_rules", "table", version="1", settings=("recommendations.rules",))
HOMEPAGE_STAGE = Stage(
    "homepage",
    "user",
    version="6",
    key="user_id",
    reads=("history",),
    settings=(
        "recommendations",
        "explanations.history_items",
        "explanations.facts",
        "ranking.candidates",
        "ranking.new_candidates",
    ),
)
SIMILAR_STAGE = Stage(
    "similar_items",
    "item",
    version="2",
    rows="SELECT * FROM items",
    reads=("family_id",),
    upstream=("text_embeddings", "image_embeddings"),
    settings=("recommendations.similar_size", "recommendations.image_weight", "index"),
)
EXAMPLES = 20
COMMIT_USERS = 2_000
"""Users whose pages are written down in one transaction."""


@dg.asset(
    **asset_spec(
        RULES_STAGE,
        group="recommendations",
        deps=["items", "splits"],
        kinds={"duckdb"},
        tables=[BUSINESS_RULES, RULE_REJECTS],
    )
)
def business_rules(shop: ShopParam) -> dg.MaterializeResult:
    """What the merchant forbids or limits: the lines of the rules file, which of them are in force, and which are no
    rule."""
    path = inside(shop.settings.raw, shop.settings.recommendations.rules)
    with shop.stage(RULES_STAGE) as run:
        end = cuts(shop).end
        read = [file_digest(path), shop.digest("items"), last_day(end).isoformat()] if path.exists() else []
        plan = run.plan_whole(read)
        if plan.todo:
            rules, rejects = read_rules(path)
            with shop.warehouse.reader() as connection:
                columns = item_columns(connection)
            in_force = RuleSet(tuple(rules)).in_force(end).rules
            rows = [
                {**asdict(rule), "in_force": rule in in_force, "items": int(concerns(rule, columns).sum())}
                for rule in rules
            ]
            refused = [{"source_file": path.name, **asdict(one)} for one in rejects]
            # Where in the file a rule stands, and rules of other days, change no page.
            output = digest(sorted(str(rule.content) for rule in in_force))
            with run.commit(plan, {WHOLE: output}) as connection:
                replace_rows(connection, BUSINESS_RULES, pa.Table.from_pylist(rows, arrow_schema(BUSINESS_RULES)))
                replace_rows(connection, RULE_REJECTS, pa.Table.from_pylist(refused, arrow_schema(RULE_REJECTS)))
        with shop.warehouse.reader() as connection:
            shown = connection.sql("SELECT * FROM business_rules ORDER BY line").to_arrow_table().to_pylist()
            broken = connection.sql("SELECT * FROM rule_rejects ORDER BY line").to_arrow_table().to_pylist()
        return materialized(
            run,
            rows=len(shown),
            in_force=sum(row["in_force"] for row in shown),
            rules=table_of(shown[:EXAMPLES]),
            rejects=table_of(broken[:EXAMPLES]),
        )


@dg.asset(
    **asset_spec(
        HOMEPAGE_STAGE,
        group="recommendations",
        deps=[
            "faiss_index",
            "two_tower_model",
            "late_fusion_model",
            "item_vectors",
            "interactions",
            "users",
            "items",
            business_rules,
        ],
        kinds={"duckdb", "faiss"},
        tables=[HOMEPAGE, POPULAR_ITEMS],
    )
)
def homepage(shop: ShopParam) -> dg.MaterializeResult:
    """The items each user is shown, shelf by shelf, each with the facts it rests on; what is popular, for the rest.

    Candidates of all sources, ranked by late fusion, varied by MMR, within the business rules.
    """
    with shop.stage(HOMEPAGE_STAGE) as run:
        plan = run.plan(
            rows=histories_sql(interactions_file(shop)),
            index=shop.version("faiss_index"),
            model=shop.model_id("two_tower_model"),
            items=shop.digest("items"),
            interactions=shop.version("interactions_file"),
            users=shop.version("users_file"),
            ranker=shop.version("late_fusion_model"),
            rules=shop.digest("business_rules"),
        )
        if plan.todo or plan.orphaned:
            _publish_pages(shop, run, plan)
        return materialized(run, **exported(run, HOMEPAGE, POPULAR_ITEMS), **_pages_shown(shop))


@dg.asset(
    **asset_spec(
        SIMILAR_STAGE,
        group="recommendations",
        deps=["text_embeddings", "image_embeddings", "items"],
        kinds={"duckdb", "faiss"},
        tables=[SIMILAR_ITEMS],
    )
)
def similar_items(shop: ShopParam) -> dg.MaterializeResult:
    """For each item the ones that look like it, read like it, or both, one per family of variants."""
    with shop.stage(SIMILAR_STAGE) as run:
        plan = run.plan()
        recomputed = 0
        if plan.todo or plan.orphaned:
            items = _similarity_input(shop)
            settings, index = shop.settings.recommendations, shop.settings.index
            each = partial(_lists, shop)
            if plan.counts.reused:
                with shop.warehouse.reader() as connection:
                    before = connection.sql("SELECT * FROM similar_items").to_arrow_table()
                before = before.cast(arrow_schema(SIMILAR_ITEMS))
                changed = list(plan.todo)
                table, again = refresh(before, items, changed, settings, index=index, each=each, progress=run.progress)
            else:
                table = build_similar(items, settings, index=index, each=each, progress=run.progress)
                again = items.ids
            recomputed = len(again)
            # A row computed again because of a neighbour is not stale itself: its ledger entry stays.
            with run.commit(plan, dict(plan.todo), orphans=True) as connection:
                _replace_lists(connection, table, again.tolist())
        with shop.warehouse.reader() as connection:
            rows = one_row(connection, "SELECT count(*) FROM similar_items")
            by = connection.execute(
                'SELECT "by", count(DISTINCT item_id) AS items, count(*) AS rows, round(avg(score), 3) AS mean_score '
                'FROM similar_items GROUP BY ALL ORDER BY "by"'
            ).fetch_df()
        exports = exported(run, SIMILAR_ITEMS)
        lists = table_of(by.to_dict("records"))
        return materialized(run, rows=rows[0], lists_recomputed=recomputed, lists=lists, **exports)


def _replace_lists(connection: Connection, table: pa.Table, again: list[str]) -> None:
    """Put the lists of the items `again` in the place of theirs; those of all other items of `table` are there."""
    if len(again) == len(pc.unique(table.column("item_id"))):  # pyright: ignore[reportAttributeAccessIssue]
        replace_rows(connection, SIMILAR_ITEMS, table)
        return
    # Of a large shop this table has millions of rows, and a night changes few of them.
    connection.execute("DELETE FROM similar_items WHERE item_id NOT IN (SELECT item_id FROM items)")
    delete_keys(connection, SIMILAR_ITEMS, "item_id", again)
    fresh = pc.is_in(table.column("item_id"), pa.array(again, pa.string()))  # pyright: ignore[reportAttributeAccessIssue]
    insert_rows(connection, SIMILAR_ITEMS, table.filter(fresh))


def _publish_pages(shop: Shop, run: StageRun, plan: Plan) -> None:
    """Compute the pages of the plan's users and write them, some users to a transaction."""
    inputs = PageInputs.of(shop)
    with run.commit(plan, {}, orphans=True) as connection:
        columns = connection.execute("SELECT name FROM pragma_table_info('homepage')").fetchall()
        if [name for (name,) in columns] != list(HOMEPAGE.column_names):
            replace_rows(connection, HOMEPAGE, arrow_schema(HOMEPAGE).empty_table())
        delete_keys(connection, HOMEPAGE, "user_id", plan.orphaned)
        replace_rows(connection, POPULAR_ITEMS, inputs.popular)
    batches = inputs.users(list(plan.todo))
    done, total = 0, sum(map(len, batches))
    users: list[str] = []
    tables: list[pa.Table] = []

    def commit() -> None:
        table = pa.concat_tables(tables)
        with run.commit(plan, dict.fromkeys(users, digest([])) | output_fps(table, "user_id")) as connection:
            delete_keys(connection, HOMEPAGE, "user_id", users)
            insert_rows(connection, HOMEPAGE, table)
        users.clear()
        tables.clear()

    with closing(shop.compute.map(Pages(shop, inputs), batches, lambda rows: rows)) as made:
        try:
            for rows, table in zip(batches, made, strict=True):
                users += inputs.known.log.user_ids[rows].tolist()
                tables.append(table)
                done += len(rows)
                if len(users) >= COMMIT_USERS:
                    commit()
                run.progress(done, total)
        finally:
            if users:
                commit()


def _pages_shown(shop: Shop) -> dict[str, Any]:
    """The metadata of the homepage."""
    with shop.warehouse.reader() as connection:
        rows, users, popular = one_row(
            connection,
            "SELECT count(*), count(DISTINCT user_id), count(*) FILTER (source = 'popular') FROM homepage",
        )
        shelves = connection.execute(
            "SELECT shelf, count(DISTINCT user_id) AS pages, count(*) AS rows, count(DISTINCT item_id) AS items "
            "FROM homepage GROUP BY shelf ORDER BY min(rank), shelf"
        ).fetch_df()
        examples = connection.execute(
            "SELECT dense_rank() OVER (ORDER BY sha256(user_id), user_id) AS page, rank, shelf, items.title, "
            "anchor.title AS anchor, round(score, 5) AS score FROM homepage "
            "JOIN items USING (item_id) LEFT JOIN items anchor ON anchor.item_id = anchor_id "
            "WHERE shelf_rank <= 2 ORDER BY sha256(user_id), user_id, rank LIMIT ?",
            [EXAMPLES],
        ).fetch_df()
    return {
        "rows": rows,
        "users": users,
        "rows_from_popularity": popular,
        "shelves": table_of(shelves.to_dict("records")),
        "examples": table_of(examples.to_dict("records")),
    }


def _lists(shop: Shop, lists: Lists, blocks: Sequence[NDArray[np.int64]]) -> Generator[pa.Table]:
    return shop.compute.map(SimilarLists(shop, lists), blocks, lambda rows: rows)


def _similarity_input(shop: Shop) -> SimilarityInput:
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT item_id, family_id FROM items ORDER BY item_id").fetchall()
    ids = [row[0] for row in rows]
    image, text = vectors(shop, IMAGE_STORE, ids), vectors(shop, TEXT_STORE, ids)
    return SimilarityInput.of(np.asarray(ids), image.values, image.present, text.values, [row[1] for row in rows])
