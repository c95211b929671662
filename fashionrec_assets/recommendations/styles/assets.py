"""Assets of style discovery.

Belongs here: whether styles are made anew, whose picks to compute, one transaction, and what the UI shows. Does not
belong here: clusters, names, choice.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pyarrow as pa

from fashionrec_assets.catalog.names import item_name
from fashionrec_assets.catalog.reading import cuts, event_log, interactions_file
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, stored_vectors, vectors
from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.index.vectors import unit_rows
from fashionrec_assets.recommendations.fingerprints import histories_sql, output_fps
from fashionrec_assets.recommendations.rules import RuleSet, item_columns, shown_items
from fashionrec_assets.recommendations.styles.clusters import Content, StyleModel, fit_styles
from fashionrec_assets.recommendations.styles.drawing import style_map
from fashionrec_assets.recommendations.styles.naming import Naming, Part, name_styles
from fashionrec_assets.recommendations.styles.picks import Profiles
from fashionrec_assets.recommendations.styles.reading import family_codes, item_styles, style_content
from fashionrec_assets.recommendations.styles.tables import (
    ITEM_STYLES,
    STYLE_PICKS,
    STYLES,
    USER_STYLES,
    arrow_schema,
)
from fashionrec_assets.resources.glue import ShopParam, asset_spec, exported, materialized, picture, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop
from fashionrec_assets.settings import digest
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.ledger import ModelPlan, Stage
from fashionrec_assets.storage.warehouse import delete_keys, insert_rows, one_row, replace_rows
from fashionrec_assets.towers.reading import SERVED, VECTOR_STORE, user_profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STYLES_STAGE = Stage(
    "styles",
    "model",
    version="1",
    rows="SELECT * FROM items",
    reads=("product_type", "category", "gender", "section", "pattern", "colour", "brand", "family_id"),
    upstream=("text_embeddings", "image_embeddings", "clarified_descriptions"),
    settings=(
        "styles.count",
        "styles.image_weight",
        "styles.text_weight",
        "styles.attribute_weight",
        "styles.name_share",
        "seed",
    ),
)
TABLES_STAGE = Stage("styles.tables", "table", version="1", settings=("styles.examples",))
PICKS_STAGE = Stage(
    "style_discovery",
    "user",
    version="1",
    key="user_id",
    reads=("history",),
    settings=(
        "styles.picks",
        "styles.per_style",
        "styles.candidates",
        "styles.rare_share",
        "styles.exploration",
        "explanations.facts",
    ),
)
NAMES = "names.json"
EXAMPLES = 20


@dg.asset(
    **asset_spec(
        STYLES_STAGE,
        group="recommendations",
        deps=["items", "clarified_descriptions", "text_embeddings", "image_embeddings", "interactions", "users"],
        kinds={"duckdb", "scikitlearn"},
        tables=[STYLES, ITEM_STYLES, USER_STYLES],
    )
)
def styles(shop: ShopParam) -> dg.MaterializeResult:
    """The styles of the catalog, named by what their items share, and the styles each user has turned to.

    New items join the closest style; styles are made anew, with new numbers, once enough of the catalog has changed.
    """
    with shop.stage(STYLES_STAGE) as run:
        with shop.warehouse.reader() as connection:
            rows = dict(connection.execute(STYLES_STAGE.inputs_sql()).fetchall())
        version = shop.version_or_none(STYLES_STAGE.name)
        planned = run.plan_model(rows, tolerance=shop.settings.styles.retrain_share, exists=version is not None)
        if planned.plan.todo:
            _fit(shop, planned)
        elif planned.gone and version is not None:
            with shop.warehouse.writer() as connection:
                ledger.forget_training_rows(connection, planned, version)
        shop.artifacts.prune(STYLES_STAGE.name, [shop.version(STYLES_STAGE.name)])
        inputs = {"styles": shop.version(STYLES_STAGE.name), "items": digest(rows)}
        inputs["interactions"] = shop.version("interactions_file")
        plan = run.plan_whole_of(TABLES_STAGE, inputs)
        if plan.todo:
            described = _describe(shop)
            with run.commit(plan, {WHOLE: digest([t.to_pydict() for t in described[:2]])}) as connection:
                for table, made in zip((STYLES, ITEM_STYLES, USER_STYLES), described, strict=True):
                    replace_rows(connection, table, made)
        exports = exported(run, STYLES, ITEM_STYLES, USER_STYLES, version=digest([inputs, plan.code_fp]))
        share = round(planned.share, 4)
        return materialized(run, changed_share_since_made=share, **exports, **_styles_shown(shop))


@dg.asset(
    **asset_spec(
        PICKS_STAGE,
        group="recommendations",
        deps=[
            styles,
            "faiss_index",
            "two_tower_model",
            "item_vectors",
            "interactions",
            "users",
            "items",
            "business_rules",
        ],
        kinds={"duckdb", "faiss"},
        tables=[STYLE_PICKS],
    )
)
def style_discovery(shop: ShopParam) -> dg.MaterializeResult:
    """For each user a few likely items of styles they have rarely or never turned to, under a bounded dial."""
    with shop.stage(PICKS_STAGE) as run:
        plan = run.plan(
            rows=f"SELECT * FROM ({histories_sql(interactions_file(shop))}) WHERE history IS NOT NULL",
            styles=shop.digest(TABLES_STAGE.name),
            index=shop.version("faiss_index"),
            model=shop.model_id("two_tower_model"),
            items=shop.digest("items"),
            interactions=shop.version("interactions_file"),
            users=shop.version("users_file"),
            rules=shop.digest("business_rules"),
        )
        if plan.todo or plan.orphaned:
            with run.commit(plan, {}, orphans=True) as connection:
                delete_keys(connection, STYLE_PICKS, "user_id", plan.orphaned)
            for users, table in _picks(shop, list(plan.todo), run.progress):
                with run.commit(plan, dict.fromkeys(users, "") | output_fps(table, "user_id")) as connection:
                    delete_keys(connection, STYLE_PICKS, "user_id", users)
                    insert_rows(connection, STYLE_PICKS, table)
        with shop.warehouse.reader() as connection:
            rows, users, novelty = one_row(
                connection, "SELECT count(*), count(DISTINCT user_id), avg(novelty) FROM style_picks"
            )
            examples = connection.execute(
                "SELECT dense_rank() OVER (ORDER BY sha256(user_id), user_id) AS shopper, rank, title, name AS style, "
                "round(score, 4) AS score, round(novelty, 3) AS novelty "
                "FROM style_picks JOIN items USING (item_id) JOIN styles USING (style_id) WHERE rank <= 5 "
                "ORDER BY sha256(user_id), user_id, rank LIMIT ?",
                [EXAMPLES],
            ).fetch_df()
        return materialized(
            run,
            rows=rows,
            users=users,
            mean_novelty=None if novelty is None else round(novelty, 4),
            examples=table_of(examples.to_dict("records")),
            **exported(run, STYLE_PICKS),
        )


def _fit(shop: Shop, planned: ModelPlan) -> None:
    """Make the styles anew, with their names, and record what they were made from."""
    content, settings = style_content(shop), shop.settings.styles
    model = fit_styles(content, settings, shop.settings.seed)
    style, _ = model.assign(model.encoder.vectors(content))
    names = name_styles(content.labels, style, len(model), least=settings.name_share)
    version = digest({"rows": dict(planned.plan.todo), "code": planned.plan.code_fp})[:16]
    with shop.artifacts.write(STYLES_STAGE.name, version) as folder:
        model.save(folder)
        text = json.dumps([asdict(one) for one in names], indent=2, ensure_ascii=False)
        (folder / NAMES).write_text(text, "utf-8")
    with shop.warehouse.writer() as connection:
        ledger.record_model(connection, planned, version)


def _describe(shop: Shop) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Rows of `STYLES`, `ITEM_STYLES` and `USER_STYLES`, by the styles in force."""
    folder, settings = shop.current(STYLES_STAGE.name), shop.settings.styles
    model, content = StyleModel.load(folder), style_content(shop)
    vectors_ = model.encoder.vectors(content)
    style, closeness = model.assign(vectors_)
    kept = {
        number: Naming(one["name"], tuple(Part(**part) for part in one["parts"]), one["truth"])
        for number, one in enumerate(json.loads((folder / NAMES).read_text("utf-8")))
    }
    names = name_styles(content.labels, style, len(model), least=settings.name_share, kept=kept)
    places, centres = model.place(vectors_), model.places
    sizes = np.bincount(style, minlength=len(model))
    examples = _examples(content, style, closeness, len(model), settings.examples)
    described = [
        {
            "style_id": number + 1,
            "name": name.name,
            "size": int(sizes[number]),
            "truth": name.truth,
            "x": float(centres[number, 0]),
            "y": float(centres[number, 1]),
            "attributes": [
                {"name": part.facet, "values": list(part.values), "share": part.share, "lift": part.lift}
                for part in name.parts
            ],
            "examples": examples[number],
        }
        for number, name in enumerate(names)
    ]
    items = pa.table(
        [
            content.ids.tolist(),
            (style + 1).tolist(),
            *(one.tolist() for one in (closeness, places[:, 0], places[:, 1])),
        ],
        schema=arrow_schema(ITEM_STYLES),
    )
    return pa.Table.from_pylist(described, arrow_schema(STYLES)), items, _user_styles(shop, content, style, len(model))


def _examples(content: Content, style: np.ndarray, closeness: np.ndarray, k: int, size: int) -> list[list[str]]:
    """For each style the items closest to its centre, one per family."""
    families = family_codes(content.families)
    order = np.lexsort((np.arange(len(style)), -closeness, style))
    _, first = np.unique(np.stack([style[order], families[order]]), axis=1, return_index=True)
    order = order[np.sort(first)]
    return [content.ids[order[style[order] == number][:size]].tolist() for number in range(k)]


def _user_styles(shop: Shop, content: Content, style: np.ndarray, k: int) -> pa.Table:
    log = event_log(shop)
    of = np.full(log.n_items, -1, np.int64)
    of[np.searchsorted(log.item_ids, content.ids)] = style
    users = np.unique(log.users).astype(np.int64)
    profiles = Profiles.of(log, of, k, users)
    owner, number = np.nonzero(profiles.counts)
    columns = [
        pa.array(log.user_ids[users[owner]].tolist(), pa.string()),
        pa.array(number + 1, pa.int32()),
        pa.array(profiles.shares[owner, number], pa.float64()),
        pa.array(profiles.counts[owner, number], pa.int64()),
    ]
    return pa.table(columns, schema=arrow_schema(USER_STYLES))


def _styles_shown(shop: Shop) -> dict[str, Any]:
    """The metadata of the styles: their table, their map, and what chose their number."""
    model = StyleModel.load(shop.current(STYLES_STAGE.name))
    with shop.warehouse.reader() as connection:
        found = connection.execute(
            "SELECT style_id, name, size, round(truth, 3) AS truth, array_to_string(examples[1:3], ', ') AS examples "
            "FROM styles ORDER BY style_id"
        ).fetch_df()
        points = connection.execute("SELECT x, y, style_id FROM item_styles ORDER BY item_id").fetchall()
        centres = connection.execute("SELECT x, y FROM styles ORDER BY style_id").fetchall()
        users = one_row(connection, "SELECT count(DISTINCT user_id) FROM user_styles")[0]
    places = np.asarray([row[:2] for row in points], np.float64)
    style = np.asarray([row[2] - 1 for row in points], np.int64)
    drawn = style_map(places, style, np.asarray(centres, np.float64), found["name"].tolist())
    return {
        "rows": len(found),
        "users": users,
        "silhouette": round(model.chosen.silhouette, 4),
        "stability": None if model.chosen.stability is None else round(model.chosen.stability, 4),
        "map": picture(drawn, "the styles on a map"),
        "styles": table_of(found.to_dict("records")),
        "numbers_tried": table_of([{"styles": t.count, "silhouette": round(t.silhouette, 4)} for t in model.trials]),
    }


def _picks(
    shop: Shop, user_ids: list[str], progress: Callable[[int, int], None]
) -> Iterator[tuple[list[str], pa.Table]]:
    """Users, some at a time, and their picks."""
    from fashionrec_assets.recommendations.styles.discovery import StyleSpace, style_picks
    from fashionrec_assets.recommendations.styles.pick_facts import SHARED, PickCatalog, PickFacts
    from fashionrec_assets.towers.artifact import TwoTower

    if not user_ids:
        return
    log, end = event_log(shop), cuts(shop).end
    log = log.between(None, end)
    model = TwoTower.load(shop.current("two_tower_model") / SERVED)
    index, (ids, item_vectors) = ItemIndex.load(shop.current("faiss_index")), stored_vectors(shop, VECTOR_STORE)
    with shop.warehouse.reader() as connection:
        rules, columns = RuleSet.read(connection), item_columns(connection)
        titles = connection.execute("SELECT title FROM items ORDER BY item_id").fetchall()
    found, distances = item_styles(shop), StyleModel.load(shop.current(STYLES_STAGE.name)).distances()
    space = StyleSpace(
        index,
        item_vectors,
        found.style,
        family_codes(np.asarray([family or "" for family in columns["family_id"]], np.str_)),
        distances,
        shown_items(rules, columns, end),
        model.settings.temperature,
    )
    text, image = vectors(shop, TEXT_STORE, ids), vectors(shop, IMAGE_STORE, ids)
    names = [item_name(row[0], key) for row, key in zip(titles, ids, strict=True)]
    catalog = PickCatalog(
        np.asarray(names, object),
        {name: np.asarray([value or "" for value in columns[name]], object) for name in SHARED},
        unit_rows(image.values),
        image.present,
        unit_rows(text.values),
        found.style,
        np.asarray(found.names, object),
    )
    chosen = np.flatnonzero(np.isin(log.user_ids, user_ids) & (np.diff(log.offsets()) > 0))
    user_vectors = model.user_vectors(
        log, chosen, item_vectors, as_of=end, profiles=user_profiles(shop, log.user_ids.tolist())
    )
    facts = PickFacts(log, catalog, shop.settings.explanations.facts)
    yield np.setdiff1d(user_ids, log.user_ids[chosen]).tolist(), arrow_schema(STYLE_PICKS).empty_table()
    for users, table in style_picks(space, log, chosen, user_vectors, facts, shop.settings.styles, progress):
        yield log.user_ids[users].tolist(), table
