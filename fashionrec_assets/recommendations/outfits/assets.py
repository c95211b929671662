"""The asset of matching recommendations.

Belongs here: gathering, one call, writing, and what the UI shows. Does not belong here: the model, choosing, facts.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pyarrow as pa

from fashionrec_assets.catalog.reading import cuts, event_log, launched
from fashionrec_assets.crops.album import drawn_once
from fashionrec_assets.recommendations.outfits.reading import MODEL
from fashionrec_assets.recommendations.outfits.tables import COMPLEMENTS, OUTFITS
from fashionrec_assets.recommendations.tables import arrow_schema
from fashionrec_assets.resources.glue import ShopParam, asset_spec, exported, materialized, picture, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop, StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.warehouse import one_row, replace_rows

if TYPE_CHECKING:
    from fashionrec_assets.recommendations.outfits.compatibility import Compatibility
    from fashionrec_assets.recommendations.outfits.learning import Learned
    from fashionrec_assets.recommendations.outfits.looks import Chosen

MODEL_STAGE = Stage(MODEL, "model", version="1")
"""The weights that the lists of `outfits` were made with, an artifact."""
STAGE = Stage(
    "outfits",
    "item",
    version="1",
    rows="SELECT item_id FROM items",
    settings=("outfits", "recommendations.popular_days", "seed"),
)
SHEET = "looks.png"
EXAMPLES = 8
"""Looks in the picture."""
PAIRS = 30


@dg.asset(
    **asset_spec(
        STAGE,
        group="recommendations",
        deps=[
            "items",
            "interactions",
            "users",
            "splits",
            "grounded_crops",
            "text_embeddings",
            "image_embeddings",
            "business_rules",
        ],
        kinds={"duckdb", "python"},
        tables=[OUTFITS, COMPLEMENTS],
    )
)
def outfits(shop: ShopParam) -> dg.MaterializeResult:
    """What goes with each item, and complete looks around it, learned from baskets; with what every choice rests on.

    Counts of pairs reach every item, so all anchors are chosen for anew when the log or the catalog changes; an anchor
    whose rows came out the same wakes nothing downstream.
    """
    from fashionrec_assets.recommendations.outfits.compatibility import Compatibility

    with shop.stage(STAGE) as run:
        plan = run.plan(
            interactions=shop.version("interactions_file"),
            users=shop.version("users_file"),
            **{name: shop.digest(name) for name in ("items", "text_embeddings", "image_embeddings", "business_rules")},
        )
        if plan.todo or plan.orphaned:
            looks, complements = _made(shop, run)
            with run.commit(plan, _outputs(list(plan.todo), looks, complements), orphans=True) as connection:
                replace_rows(connection, OUTFITS, looks)
                replace_rows(connection, COMPLEMENTS, complements)
        model = Compatibility.load(shop.current(MODEL_STAGE.name))
        weights = [{"feature": name, "weight": weight} for name, weight in model.strongest()]
        exports = exported(run, OUTFITS, COMPLEMENTS)
        return materialized(run, **exports, **_shown(shop), what_the_model_listens_to=table_of(weights))


def _made(shop: Shop, run: StageRun) -> tuple[pa.Table, pa.Table]:
    """The rows of `outfits` and of `complements`."""
    from fashionrec_assets.recommendations.outfits.evidence import facts_of_pairs
    from fashionrec_assets.recommendations.outfits.learning import known_items, learn
    from fashionrec_assets.recommendations.outfits.looks import choose
    from fashionrec_assets.recommendations.outfits.reading import shown, wardrobe
    from fashionrec_assets.recommendations.popular import trend_of

    settings, log, end = shop.settings, event_log(shop), cuts(shop).end
    pool = known_items(log, launched(shop), end, end)
    learned = learn(log, wardrobe(shop), settings.outfits, cut=end, pool=pool, seed=settings.seed)
    _keep(shop, run, learned.model)
    allowed = shown(shop, end) & pool
    anchors = np.arange(log.n_items)
    complements, looks = choose(
        learned.model, learned.affinity, anchors, settings.outfits, allowed=allowed, progress=run.progress
    )
    days = settings.recommendations.popular_days
    people = trend_of(log, settings.recommendations)
    facts = [
        facts_of_pairs(learned.model, learned.affinity, chosen.anchors, chosen.items, people, days)
        for chosen in (looks, complements)
    ]
    return _look_rows(learned, looks, facts[0]), _complement_rows(learned, complements, facts[1])


def _keep(shop: Shop, run: StageRun, model: Compatibility) -> None:
    """Write the weights, unless they are those in force."""
    version = model.version()[:16]
    kept = run.plan_whole_of(MODEL_STAGE, version, exists=shop.version_or_none(MODEL_STAGE.name) is not None)
    if kept.todo:
        with shop.artifacts.write(MODEL_STAGE.name, version) as folder:
            model.save(folder)
        with run.commit(kept, {WHOLE: version}):
            pass
        shop.artifacts.prune(MODEL_STAGE.name, [version])


def _look_rows(learned: Learned, looks: Chosen, facts: pa.ListArray) -> pa.Table:
    from fashionrec_assets.recommendations.outfits.slots import SLOTS

    wardrobe = learned.affinity.wardrobe
    columns = {
        "anchor_id": wardrobe.ids[looks.anchors].tolist(),
        "look": looks.places.astype(np.int32),
        "slot": [SLOTS[slot] for slot in wardrobe.slots[looks.items].tolist()],
        "item_id": wardrobe.ids[looks.items].tolist(),
        "score": looks.scores,
        "coherence": np.round(looks.coherence, 4),
        "facts": facts,
    }
    return pa.table(columns, schema=arrow_schema(OUTFITS))


def _complement_rows(learned: Learned, complements: Chosen, facts: pa.ListArray) -> pa.Table:
    ids = learned.affinity.wardrobe.ids
    columns = {
        "anchor_id": ids[complements.anchors].tolist(),
        "rank": complements.places.astype(np.int32),
        "item_id": ids[complements.items].tolist(),
        "score": np.round(complements.scores, 3),
        "facts": facts,
    }
    return pa.table(columns, schema=arrow_schema(COMPLEMENTS))


def _outputs(anchors: list[str], *tables: pa.Table) -> dict[str, str]:
    """A fingerprint of each anchor's rows."""
    rows: dict[str, list[str]] = {anchor: [] for anchor in anchors}
    for table in tables:
        names = [name for name in table.column_names if name != "anchor_id"]
        columns = [table.column(name).to_pylist() for name in names]
        for anchor, *values in zip(table.column("anchor_id").to_pylist(), *columns, strict=True):
            if anchor in rows:
                rows[anchor].append(repr(values))
    return {anchor: digest(found) for anchor, found in rows.items()}


def _shown(shop: Shop) -> dict[str, Any]:
    """Counts, example looks as a picture, and the pairs of types that complements are most often made of."""
    with shop.warehouse.reader() as connection:
        rows, anchors, looks = one_row(
            connection,
            "SELECT count(*), count(DISTINCT anchor_id), count(DISTINCT (anchor_id, look)) FROM outfits",
        )
        listed, completed = one_row(connection, "SELECT count(*), count(DISTINCT anchor_id) FROM complements")
        pairs = connection.execute(
            "SELECT DISTINCT fact.value AS type, fact.what AS goes_with, fact.number AS baskets, "
            "fact.base AS by_chance, round(fact.number / fact.base, 2) AS lift "
            "FROM (SELECT unnest(facts) AS fact FROM complements) WHERE fact.kind = 'kinds' AND fact.base > 0 "
            "AND fact.value < fact.what AND fact.number >= 5 ORDER BY lift DESC, type, goes_with LIMIT ?",
            [PAIRS],
        ).fetch_df()
    wanted = digest([shop.digest(name) for name in (STAGE.name, "grounded_crops")])
    sheet = drawn_once(shop.reports / "outfits", wanted, lambda: _sheet(shop)).get(SHEET)
    return {
        "rows": rows,
        "anchors_with_looks": anchors,
        "looks": looks,
        "complements": listed,
        "anchors_with_complements": completed,
        "strongest_type_pairs": table_of(pairs.to_dict("records")),
        "example_looks": picture(sheet, "an item, left, and what is worn with it") if sheet else None,
    }


def _sheet(shop: Shop) -> dict[str, bytes]:
    """A picture of a few looks: the anchor's crop first, then what is worn with it."""
    from PIL import Image

    from fashionrec_assets.crops.assets import CROP_COLUMNS
    from fashionrec_assets.recommendations.outfits.drawing import looks_sheet

    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT anchor_id, list(item_id ORDER BY slot) FROM outfits WHERE look = 1 AND list_contains("
            "(SELECT list(item_id) FROM crops), anchor_id) GROUP BY 1 ORDER BY sha256(anchor_id) LIMIT ?",
            [EXAMPLES],
        ).fetchall()
        titles = dict(connection.execute("SELECT item_id, title FROM items").fetchall())
    wanted = sorted({one for anchor, items in rows for one in (anchor, *items)})
    if not wanted:
        return {}
    table = shop.store("crops", CROP_COLUMNS).take(wanted)
    jpegs = dict(zip(table.column("item_id").to_pylist(), table.column("jpeg").to_pylist(), strict=True))
    pictures = {one: Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB") for one, data in jpegs.items()}
    shown = [(titles[anchor], [pictures.get(one) for one in (anchor, *items)]) for anchor, items in rows]
    return {SHEET: looks_sheet(shown)}
