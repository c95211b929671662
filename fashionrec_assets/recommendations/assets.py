"""Assets of the recommendations room.

Belongs here: whose rows to compute, one call, one transaction, and what the UI shows. Does not belong here: ranking,
similarity, evidence.
"""

from __future__ import annotations

import html
from collections.abc import Callable

import dagster as dg
import numpy as np
import pyarrow as pa

from fashionrec_assets.catalog.reading import cuts, interactions_file
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, stored_vectors, vectors
from fashionrec_assets.index.vectors_index import ItemIndex
from fashionrec_assets.recommendations.homepage import ItemSpace
from fashionrec_assets.recommendations.homepage import homepage as build_homepage
from fashionrec_assets.recommendations.popular import popular_items
from fashionrec_assets.recommendations.similar import SimilarityInput, refresh
from fashionrec_assets.recommendations.similar import similar_items as build_similar
from fashionrec_assets.recommendations.tables import HOMEPAGE, POPULAR_ITEMS, SIMILAR_ITEMS, arrow_schema
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.tables import literal, rows_digest
from fashionrec_assets.storage.warehouse import delete_keys, insert_rows, one_row, replace_rows
from fashionrec_assets.towers.reading import SERVED, VECTOR_STORE

HOMEPAGE_STAGE = Stage(
    "homepage", "user", version="3", key="user_id", reads=("history",), settings=("recommendations",)
)
SIMILAR_STAGE = Stage(
    "similar_items",
    "item",
    version="1",
    rows="SELECT * FROM items",
    reads=("family_id",),
    upstream=("text_embeddings", "image_embeddings"),
    settings=("recommendations.similar_size", "recommendations.image_weight"),
)
EXAMPLES = 20


@dg.asset(
    **asset_spec(
        HOMEPAGE_STAGE,
        group="recommendations",
        deps=["faiss_index", "two_tower_model", "late_fusion_model", "item_vectors", "interactions", "users", "items"],
        kinds={"duckdb", "faiss"},
        tables=[HOMEPAGE, POPULAR_ITEMS],
    )
)
def homepage(shop: ShopParam) -> dg.MaterializeResult:
    """The items each user is shown, each with the events of their own it rests on; what is popular, for the rest.

    Candidates of all sources, ranked by late fusion.
    """
    with shop.stage(HOMEPAGE_STAGE) as run:
        plan = run.plan(
            rows=_histories(shop),
            index=shop.version("faiss_index"),
            model=shop.model_id("two_tower_model"),
            items=shop.digest("items"),
            interactions=shop.version("interactions_file"),
            users=shop.version("users_file"),
            ranker=shop.version("late_fusion_model"),
        )
        if plan.todo or plan.orphaned:
            pages, popular = _pages(shop, list(plan.todo), run.progress)
            outputs = _output_fps(pages, "user_id", list(plan.todo))
            with run.commit(plan, outputs, orphans=True) as connection:
                delete_keys(connection, HOMEPAGE, "user_id", [*plan.todo, *plan.orphaned])
                insert_rows(connection, HOMEPAGE, pages)
                replace_rows(connection, POPULAR_ITEMS, popular)
        with shop.warehouse.reader() as connection:
            rows, users_shown, popular_rows = one_row(
                connection,
                "SELECT count(*), count(DISTINCT user_id), count(*) FILTER (source = 'popular') FROM homepage",
            )
            examples = connection.execute(
                "SELECT user_id, rank, title, round(score, 5) AS score, reason FROM homepage "
                "JOIN items USING (item_id) WHERE rank <= 5 ORDER BY sha256(user_id), user_id, rank LIMIT ?",
                [EXAMPLES],
            ).fetch_df()
        return materialized(
            run,
            rows=rows,
            users=users_shown,
            rows_from_popularity=popular_rows,
            examples=table_of(examples.to_dict("records")),
        )


@dg.asset(
    **asset_spec(
        SIMILAR_STAGE,
        group="recommendations",
        deps=["text_embeddings", "image_embeddings", "items"],
        kinds={"duckdb"},
        tables=[SIMILAR_ITEMS],
    )
)
def similar_items(shop: ShopParam) -> dg.MaterializeResult:
    """For each item the ones that look and read most like it, one per family of variants."""
    with shop.stage(SIMILAR_STAGE) as run:
        plan = run.plan()
        recomputed = 0
        if plan.todo or plan.orphaned:
            items = _similarity_input(shop)
            settings = shop.settings.recommendations
            if plan.counts.reused:
                with shop.warehouse.reader() as connection:
                    before = connection.sql("SELECT * FROM similar_items").to_arrow_table()
                before = before.cast(arrow_schema(SIMILAR_ITEMS))
                table, again = refresh(before, items, list(plan.todo), settings, progress=run.progress)
            else:
                table, again = build_similar(items, settings, progress=run.progress), items.ids
            recomputed = len(again)
            # A row computed again because of a neighbour is not stale itself: its ledger entry stays.
            with run.commit(plan, dict(plan.todo), orphans=True) as connection:
                replace_rows(connection, SIMILAR_ITEMS, table)
        with shop.warehouse.reader() as connection:
            rows = one_row(connection, "SELECT count(*) FROM similar_items")
        return materialized(run, rows=rows[0], lists_recomputed=recomputed)


def _pages(shop: Shop, user_ids: list[str], progress: Callable[[int, int], None]) -> tuple[pa.Table, pa.Table]:
    """The pages of `user_ids`, and what is popular."""
    from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
    from fashionrec_assets.ranking.ranker import Ranker
    from fashionrec_assets.ranking.reading import RankingInputs
    from fashionrec_assets.towers.artifact import TwoTower

    settings = shop.settings
    inputs = RankingInputs.of(shop)
    log = inputs.log
    index = ItemIndex.load(shop.current("faiss_index"))
    model = TwoTower.load(shop.current("two_tower_model") / SERVED)
    known = inputs.knowledge(cuts(shop).end, model, index)
    fusion = LateFusionRecommender(Ranker.load(shop.current("late_fusion_model") / SERVED), known, settings.ranking)
    chosen = np.flatnonzero(np.isin(log.user_ids, user_ids))
    _, item_vectors = stored_vectors(shop, VECTOR_STORE)
    users = np.zeros((log.n_users, model.dim), dtype=np.float32)
    users[chosen] = model.user_vectors(log, chosen, item_vectors, as_of=known.as_of, profiles=inputs.profiles)
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT title FROM items ORDER BY item_id").fetchall()
    # Reasons are plain text: entities in a title are decoded here, and escaped again by whatever shows them.
    titles = [html.unescape(row[0]) for row in rows]
    popular = popular_items(log, settings.recommendations)
    pages = build_homepage(
        ItemSpace(index, item_vectors, titles),
        users,
        log,
        popular,
        settings.recommendations,
        rank=fusion.rank,
        only=chosen,
        evidence_events=settings.two_tower.history,
        progress=progress,
    )
    return pages, popular


def _histories(shop: Shop) -> str:
    """SQL: every user who is no bot, with a fingerprint of their events."""
    return f"""
        SELECT users.user_id, log.history FROM users LEFT JOIN (
            SELECT user_id, {rows_digest("item_id", "behaviour", "epoch_us(ts)")} AS history
            FROM read_parquet({literal(str(interactions_file(shop)))}) GROUP BY user_id
        ) log USING (user_id) WHERE NOT users.is_bot
    """


def _similarity_input(shop: Shop) -> SimilarityInput:
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT item_id, family_id FROM items ORDER BY item_id").fetchall()
    ids = [row[0] for row in rows]
    image, text = vectors(shop, IMAGE_STORE, ids), vectors(shop, TEXT_STORE, ids)
    return SimilarityInput.of(np.asarray(ids), image.values, image.present, text.values, [row[1] for row in rows])


def _output_fps(table: pa.Table, key: str, keys: list[str]) -> dict[str, str]:
    """A fingerprint of each key's rows."""
    grouped: dict[str, list[object]] = {wanted: [] for wanted in keys}
    names = [name for name in table.column_names if name != key]
    for owner, *values in zip(*(table.column(name).to_pylist() for name in (key, *names)), strict=True):
        grouped[owner].append([str(value) for value in values])
    return {owner: digest(rows) for owner, rows in grouped.items()}
