"""Assets of the embeddings room.

Belongs here: which model is in force, which rows to encode, writing, and what the UI shows. Does not belong here:
models, training, encoding.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg

from fashionrec_assets.catalog.photos import PhotoError, PhotoStore
from fashionrec_assets.crops.work import CROP_COLUMNS
from fashionrec_assets.embeddings.ablation import arms_facts, held_out_items
from fashionrec_assets.embeddings.encoders import REFERENCE, Encoders
from fashionrec_assets.embeddings.model_stage import (
    CLIP,
    TEXTS,
    TRAINING,
    clear_checkpoints,
    reads_sentences,
    refer,
    split_in_force,
    train_arms,
    train_model,
    training_rows,
)
from fashionrec_assets.embeddings.reading import (
    AVATAR_STORE,
    IMAGE_STORE,
    IMAGE_TOKEN_STORE,
    TEXT_STORE,
    TEXT_TOKEN_STORE,
)
from fashionrec_assets.embeddings.token_store import TOKEN_COLUMNS, holdings
from fashionrec_assets.embeddings.work import (
    AvatarVectors,
    CropTokens,
    CropVectors,
    Pictures,
    Texts,
    TextTokens,
    TextVectors,
)
from fashionrec_assets.plots import line_plot
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop
from fashionrec_assets.settings import digest
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS

ARMS = Stage("clip_arms", "model", version="2", upstream=("clip_model",), settings=("clip", "clip.ablations", "seed"))
IMAGES = Stage("image_embeddings", "item", version="2", rows="SELECT item_id FROM crops", upstream=("grounded_crops",))
TEXT_MODEL = Stage("text_model", "model", version="1")
TEXT_TOKENS = Stage(
    "text_tokens",
    "item",
    version="3",
    rows="SELECT item_id, text FROM descriptions",
    reads=("text",),
    settings=("tokens.text_tokens",),
)
IMAGE_TOKENS = Stage(
    "image_tokens",
    "item",
    version="2",
    rows="SELECT item_id FROM crops",
    upstream=("grounded_crops",),
    settings=("tokens.image_side",),
)
AVATARS = Stage(
    "avatar_vectors",
    "user",
    version="2",
    key="user_id",
    rows="SELECT * FROM users WHERE avatar_status = 'ok'",
    reads=("avatar_digest",),
)


@dg.asset(
    **asset_spec(
        CLIP,
        group="embeddings",
        deps=["grounded_crops", "clarified_descriptions", "text_embeddings"],
        kinds={"pytorch", "openclip"},
    )
)
def clip_model(shop: ShopParam) -> dg.MaterializeResult:
    """The CLIP model in force: trained on the catalog's own (crop, description) pairs, or a pretrained one by name."""
    with shop.stage(CLIP) as run:
        settings, encoders = shop.settings.clip, Encoders(shop)
        trained = settings.fine_tune or settings.model is None
        split = split_in_force(shop)
        planned = run.plan_model(
            training_rows(shop, split) if trained else {},
            tolerance=settings.retrain_share,
            exists=shop.version_or_none(CLIP.name) is not None,
            text=encoders.text_id if reads_sentences(settings) else "",
            original=encoders.original_id,
        )
        if planned.plan.todo:
            version = train_model(shop, run, planned, split) if trained else refer(shop, planned, split)
            with shop.warehouse.writer() as connection:
                ledger.record_model(connection, planned, version)
            clear_checkpoints(shop)
            shop.artifacts.prune(CLIP.name, [version])
        elif planned.gone:
            version = shop.version(CLIP.name)
            with shop.warehouse.writer() as connection:
                ledger.forget_training_rows(connection, planned, version)
        return materialized(run, changed_share_since_training=round(planned.share, 4), **_clip_shown(shop))


@dg.asset(**asset_spec(ARMS, group="embeddings", deps=["clip_model", "items"], kinds={"pytorch", "openclip"}))
def clip_arms(shop: ShopParam) -> dg.MaterializeResult:
    """The CLIP model again without grounding, without clarified text and without both, for the retrieval report."""
    with shop.stage(ARMS) as run:
        model = shop.version(CLIP.name)
        plan = run.plan_whole({"clip_model": model}, exists=shop.version_or_none(ARMS.name) is not None)
        if plan.todo:
            version = digest([model, plan.code_fp])[:16]
            train_arms(shop, run, version)
            with run.commit(plan, {WHOLE: version}):
                pass
            clear_checkpoints(shop)
            shop.artifacts.prune(ARMS.name, [version])
        shown = arms_facts(shop.current(ARMS.name))
        return materialized(run, trained=", ".join(shown["trained"]) or "none", arms=table_of(shown["curves"]))


@dg.asset(
    **asset_spec(IMAGES, group="embeddings", deps=["grounded_crops", "clip_model"], kinds={"openclip", "parquet"})
)
def image_embeddings(shop: ShopParam) -> dg.MaterializeResult:
    """One unit vector per crop from the CLIP image tower."""
    with shop.stage(IMAGES) as run:
        store = shop.store(IMAGE_STORE, VECTOR_COLUMNS)
        plan = run.plan(present=store.keys(), clip=shop.model_id(CLIP.name))
        run.by_bucket(plan, store, CropVectors(shop), lambda keys: _crops(shop, keys))
        return materialized(run, rows=len(store.keys()))


@dg.asset(**asset_spec(TEXTS, group="embeddings", deps=["clarified_descriptions"], kinds={"huggingface", "parquet"}))
def text_embeddings(shop: ShopParam) -> dg.MaterializeResult:
    """One unit vector per description from the sentence encoder."""
    with shop.stage(TEXTS) as run:
        encoders = Encoders(shop)
        store = shop.store(TEXT_STORE, VECTOR_COLUMNS)
        plan = run.plan(present=store.keys(), encoder=encoders.text_id)
        model = run.plan_whole_of(TEXT_MODEL, encoders.text_id)
        with run.commit(model, dict.fromkeys(model.todo, digest(encoders.text_id)[:16])):
            pass
        run.by_bucket(plan, store, TextVectors(shop), lambda keys: _described(shop, keys))
        return materialized(run, rows=len(store.keys()), encoder=encoders.text_id)


@dg.asset(
    **asset_spec(TEXT_TOKENS, group="embeddings", deps=["clarified_descriptions"], kinds={"huggingface", "parquet"})
)
def text_tokens(shop: ShopParam) -> dg.MaterializeResult:
    """The states of the tokens of each description after the last layer of the sentence encoder's transformer."""
    with shop.stage(TEXT_TOKENS) as run:
        encoders, store = Encoders(shop), shop.store(TEXT_TOKEN_STORE, TOKEN_COLUMNS)
        plan = run.plan(present=store.keys(), encoder=encoders.text_tokens_id)
        run.by_bucket(plan, store, TextTokens(shop), lambda keys: _described(shop, keys))
        return materialized(run, model=encoders.text_tokens_id, **_tokens_shown(store))


@dg.asset(
    **asset_spec(IMAGE_TOKENS, group="embeddings", deps=["grounded_crops", "clip_model"], kinds={"openclip", "parquet"})
)
def image_tokens(shop: ShopParam) -> dg.MaterializeResult:
    """The states of the patches of each crop after the last block of the CLIP image tower."""
    with shop.stage(IMAGE_TOKENS) as run:
        encoders, store = Encoders(shop), shop.store(IMAGE_TOKEN_STORE, TOKEN_COLUMNS)
        plan = run.plan(present=store.keys(), encoder=encoders.patches_id)
        run.by_bucket(plan, store, CropTokens(shop), lambda keys: _crops(shop, keys))
        return materialized(run, model=encoders.patches_id, **_tokens_shown(store))


@dg.asset(**asset_spec(AVATARS, group="embeddings", deps=["users", "clip_model"], kinds={"openclip", "parquet"}))
def avatar_vectors(shop: ShopParam) -> dg.MaterializeResult:
    """One unit vector per user with a usable avatar, from the CLIP image tower; nothing where users have none."""
    with shop.stage(AVATARS) as run:
        store = shop.store(AVATAR_STORE, VECTOR_COLUMNS)
        plan = run.plan(present=store.keys(), clip=shop.model_id(CLIP.name))
        unreadable = run.by_bucket(plan, store, AvatarVectors(shop), lambda keys: _avatars(shop, keys))
        return materialized(run, rows=len(store.keys()), unreadable_since_validation=len(unreadable) or None)


def _crops(shop: Shop, keys: list[str]) -> Pictures:
    """The stored crops of `keys`."""
    table = shop.store("crops", CROP_COLUMNS).take(keys)
    return Pictures(table.column("item_id").to_pylist(), table.column("jpeg").to_pylist())


def _described(shop: Shop, keys: list[str]) -> Texts:
    """Those of `keys` that have a description, sorted, and their descriptions."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT item_id, text FROM descriptions WHERE item_id IN (SELECT unnest(?)) ORDER BY 1", [keys]
        ).fetchall()
    return Texts([row[0] for row in rows], [row[1] for row in rows])


def _avatars(shop: Shop, keys: list[str]) -> Pictures:
    """Those of `keys` whose avatars can still be read, and their avatars."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT user_id, avatar_ref FROM ({AVATARS.rows}) WHERE user_id IN (SELECT unnest(?)) ORDER BY user_id",
            [keys],
        ).fetchall()
    photos, found = PhotoStore(shop.settings.raw, shop.settings.catalog), Pictures([], [])
    for user_id, ref in rows:
        with suppress(PhotoError):
            found.files.append(photos.read(ref))
            found.keys.append(user_id)
    return found


def _tokens_shown(store: BucketStore) -> dict[str, Any]:
    held = holdings(store)
    if held is None:
        return {"rows": 0}
    return {
        "rows": held.rows,
        "dimension": held.dim,
        "tokens_mean": round(held.mean_tokens, 2),
        "tokens_p95": round(held.p95_tokens, 1),
        "share_shortened": round(held.share_shortened, 4),
        "bytes_on_disk": held.bytes,
    }


def _clip_shown(shop: Shop) -> dict[str, Any]:
    folder: Path = shop.current(CLIP.name)
    held_out = len(held_out_items(shop))
    if (folder / REFERENCE).exists():
        named = json.loads((folder / REFERENCE).read_text("utf-8"))
        return {"model": named["model_id"], "held_out_for_the_report": held_out}
    report = json.loads((folder / "curve.json").read_text("utf-8"))
    curve = report["curve"]
    best = curve[report["best_epoch"] - 1]
    plot = line_plot(
        {
            "contrastive loss": {
                "training": [epoch["loss"] for epoch in curve],
                "validation families": [epoch["validation_loss"] for epoch in curve],
            },
            "text to image, validation families": {
                "Recall@10": [epoch["recall_at_10"] for epoch in curve],
                "MRR": [epoch["mrr"] for epoch in curve],
            },
        },
        mark=report["best_epoch"],
        kept=shop.home / "cache" / "clip_model.png",
    )
    return {
        "model": shop.settings.clip.model or "compact CLIP",
        "training_pairs": report["pairs"],
        "validation_pairs": report["validation"],
        "held_out_for_the_report": held_out,
        "started_from": json.loads((folder / TRAINING).read_text("utf-8"))["start"],
        "epochs": len(curve),
        "validation_recall_at_10": best["recall_at_10"],
        "validation_mrr": best["mrr"],
        "training_seconds": round(report["seconds"], 1),
        "learning_curve": picture(plot, "training loss and retrieval of validation pairs by epoch"),
    }
