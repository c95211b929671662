"""Assets of the embeddings room.

Belongs here: which model is in force, which rows to encode, writing, and what the UI shows. Does not belong here:
models, training, encoding.
"""

from __future__ import annotations

import hashlib
import io
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from fashionrec_assets.crops.assets import CROP_COLUMNS
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE
from fashionrec_assets.plots import line_plot
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture
from fashionrec_assets.resources.shop import WHOLE, Made, Shop, StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.buckets import VECTOR_COLUMNS, vector_rows
from fashionrec_assets.storage.ledger import ModelPlan, Stage

if TYPE_CHECKING:
    from fashionrec_assets.embeddings.clip import ClipEncoder
    from fashionrec_assets.embeddings.sentences import SentenceEncoder

CLIP = Stage(
    "clip_model", "model", version="1", upstream=("grounded_crops", "clarified_descriptions"), settings=("clip", "seed")
)
IMAGES = Stage("image_embeddings", "item", version="1", rows="SELECT item_id FROM crops", upstream=("grounded_crops",))
TEXTS = Stage("text_embeddings", "item", version="1", rows="SELECT item_id, text FROM descriptions", reads=("text",))
TEXT_MODEL = Stage("text_model", "model", version="1")

REFERENCE = "reference.json"


@dg.asset(
    **asset_spec(
        CLIP, group="embeddings", deps=["grounded_crops", "clarified_descriptions"], kinds={"pytorch", "openclip"}
    )
)
def clip_model(shop: ShopParam) -> dg.MaterializeResult:
    """The CLIP model in force: trained on the catalog's own (crop, description) pairs, or a pretrained one by name."""
    with shop.stage(CLIP) as run:
        settings = shop.settings.clip
        planned = run.plan_model(
            {} if settings.model else _training_pairs(shop, settings.max_pairs),
            tolerance=settings.retrain_share,
            exists=shop.version_or_none(CLIP.name) is not None,
            text="" if settings.model else Encoders(shop).text_id,
        )
        if planned.plan.todo:
            version = _reference(shop, planned) if settings.model else _train(shop, run, planned)
            with shop.warehouse.writer() as connection:
                ledger.record_model(connection, planned, version)
            shop.artifacts.prune(CLIP.name, [version])
        elif planned.gone:
            version = shop.version(CLIP.name)
            with shop.warehouse.writer() as connection:
                ledger.forget_training_rows(connection, planned, version)
        return materialized(run, changed_share_since_training=round(planned.share, 4), **_clip_shown(shop))


@dg.asset(
    **asset_spec(IMAGES, group="embeddings", deps=["grounded_crops", "clip_model"], kinds={"openclip", "parquet"})
)
def image_embeddings(shop: ShopParam) -> dg.MaterializeResult:
    """One unit vector per crop from the CLIP image tower."""
    from PIL import Image

    with shop.stage(IMAGES) as run:
        crops, encoders = shop.store("crops", CROP_COLUMNS), Encoders(shop)
        store = shop.store(IMAGE_STORE, VECTOR_COLUMNS)
        plan = run.plan(present=store.keys(), clip=shop.model_id(CLIP.name))

        def compute(keys: list[str]) -> Made:
            table = crops.take(keys)
            images = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in table.column("jpeg").to_pylist()]
            return _made(table.column("item_id").to_pylist(), encoders.clip.encode_images(images))

        run.by_bucket(plan, store, compute)
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

        def compute(keys: list[str]) -> Made:
            with shop.warehouse.reader() as connection:
                rows = connection.execute(
                    "SELECT item_id, text FROM descriptions WHERE item_id IN (SELECT unnest(?)) ORDER BY 1", [keys]
                ).fetchall()
            return _made([row[0] for row in rows], encoders.sentences.encode([row[1] for row in rows]))

        run.by_bucket(plan, store, compute)
        return materialized(run, rows=len(store.keys()), encoder=encoders.text_id)


class Encoders:
    """The encoders in force, loaded when first used: a run with nothing to encode loads none."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    @cached_property
    def text_id(self) -> str:
        """The sentence encoder's id; the packaged one's is known without loading it."""
        from fashionrec_assets.embeddings.sentences import packaged_model_id

        return packaged_model_id() if self._shop.settings.text.model is None else self.sentences.model_id

    @cached_property
    def sentences(self) -> SentenceEncoder:
        from fashionrec_assets.embeddings.sentences import SentenceEncoder

        settings = self._shop.settings.text
        return SentenceEncoder(settings.model, batch_size=settings.encode_batch)

    @cached_property
    def clip(self) -> ClipEncoder:
        from fashionrec_assets.embeddings.clip import ClipEncoder

        folder, batch = self._shop.current(CLIP.name), self._shop.settings.clip.encode_batch
        reference = folder / REFERENCE
        if reference.exists():
            named = json.loads(reference.read_text("utf-8"))
            return ClipEncoder(named["model"], pretrained=named["pretrained"], batch_size=batch)
        return ClipEncoder(folder, batch_size=batch)


def _made(keys: list[str], vectors: Any) -> Made:
    outputs = {key: hashlib.sha256(vector.tobytes()).hexdigest() for key, vector in zip(keys, vectors, strict=True)}
    return Made(vector_rows(keys, vectors), outputs)


def _training_pairs(shop: Shop, most: int) -> dict[str, str]:
    """Items with a crop, each with a fingerprint of its crop and description; a stable sample of at most `most`."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            """
            SELECT crop.key, sha256(crop.output_fp || text) FROM ledger crop
            JOIN descriptions ON descriptions.item_id = crop.key
            WHERE crop.stage = 'grounded_crops' ORDER BY sha256(crop.key) LIMIT ?
            """,
            [most],
        ).fetchall()
    return dict(rows)


def _train(shop: Shop, run: StageRun, planned: ModelPlan) -> str:
    from PIL import Image

    from fashionrec_assets.embeddings.clip_training import train_clip
    from fashionrec_assets.embeddings.images import prepare_images

    settings = shop.settings.clip
    crops = shop.store("crops", CROP_COLUMNS).take(list(planned.rows))
    keys = crops.column("item_id").to_pylist()
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT item_id, text, coalesce(family_id, item_id) FROM items JOIN descriptions USING (item_id) "
            "WHERE item_id IN (SELECT unnest(?)) ORDER BY 1",
            [keys],
        ).fetchall()

    images = prepare_images(
        [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in crops.column("jpeg").to_pylist()],
        settings.image_height,
        settings.image_width,
    )
    version = digest([planned.plan.todo[WHOLE], planned.plan.code_fp])[:16]
    with shop.artifacts.write(CLIP.name, version) as folder:
        train_clip(
            images,
            [row[1] for row in rows],
            [row[2] for row in rows],
            Encoders(shop).sentences,
            settings,
            seed=shop.settings.seed,
            folder=folder,
            fingerprint=version,
            progress=run.progress,
        )
    return version


def _reference(shop: Shop, planned: ModelPlan) -> str:
    """A pretrained model is not copied: the artifact names it, and its version follows its weights."""
    from fashionrec_assets.embeddings.clip import ClipEncoder

    settings = shop.settings.clip
    assert settings.model is not None
    model_id = ClipEncoder(settings.model, pretrained=settings.pretrained).model_id
    version = digest([model_id, planned.plan.code_fp])[:16]
    with shop.artifacts.write(CLIP.name, version) as folder:
        named = {"model": settings.model, "pretrained": settings.pretrained, "model_id": model_id}
        (folder / REFERENCE).write_text(json.dumps(named, indent=2), "utf-8")
    return version


def _clip_shown(shop: Shop) -> dict[str, Any]:
    folder: Path = shop.current(CLIP.name)
    if (folder / REFERENCE).exists():
        return {"model": json.loads((folder / REFERENCE).read_text("utf-8"))["model_id"]}
    report = json.loads((folder / "curve.json").read_text("utf-8"))
    curve = report["curve"]
    best = curve[report["best_epoch"] - 1]
    plot = line_plot(
        {
            "InfoNCE loss": {
                "training": [epoch["loss"] for epoch in curve],
                "held-out families": [epoch["held_out_loss"] for epoch in curve],
            },
            "text to image, held-out families": {
                "Recall@10": [epoch["recall_at_10"] for epoch in curve],
                "MRR": [epoch["mrr"] for epoch in curve],
            },
        },
        mark=report["best_epoch"],
    )
    return {
        "model": f"compact CLIP, {report['pairs']} pairs, {report['held_out']} held out",
        "epochs": len(curve),
        "held_out_recall_at_10": best["recall_at_10"],
        "held_out_mrr": best["mrr"],
        "training_seconds": round(report["seconds"], 1),
        "learning_curve": picture(plot, "training loss and held-out retrieval by epoch"),
    }
