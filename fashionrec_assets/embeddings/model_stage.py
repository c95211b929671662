"""Training the CLIP model and its arms from what a shop holds.

Belongs here: which rows, which start, which folder; what both assets need. Does not belong here: the loop
(`clip_training.py`), the models (`trainees.py`), Dagster (`assets.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fashionrec_assets.embeddings.ablation import (
    ARMS_ARTIFACT,
    ARMS_FILE,
    ORIGINAL,
    arms_facts,
    held_out_marks,
    item_mark,
    seen_items,
    write_seen,
)
from fashionrec_assets.embeddings.arms import ARMS, FULL, Arm
from fashionrec_assets.embeddings.checkpoints import Checkpoint
from fashionrec_assets.embeddings.clip_split import FamilySplit
from fashionrec_assets.embeddings.encoders import REFERENCE, Encoders
from fashionrec_assets.embeddings.reading import TEXT_STORE, stored_vectors
from fashionrec_assets.embeddings.training_set import arm_texts, training_pairs
from fashionrec_assets.resources.shop import WHOLE, Shop, StageRun
from fashionrec_assets.settings import ClipSettings, digest
from fashionrec_assets.storage.ledger import ModelPlan, Stage

TEXTS = Stage("text_embeddings", "item", version="2", rows="SELECT item_id, text FROM descriptions", reads=("text",))
CLIP = Stage(
    "clip_model",
    "model",
    version="5",
    upstream=("grounded_crops", "clarified_descriptions", "text_embeddings"),
    settings=("clip", "seed"),
)
TRAINING = "training.json"
"""In a trained model's folder: the code it was trained with, and what it started from."""
_CHECKPOINT = "clip-training-"


def reads_sentences(settings: ClipSettings) -> bool:
    """Whether the model's text tower reads the sentence encoder's vectors."""
    return settings.model is None or (settings.fine_tune and settings.text_tower == "sentences")


def split_in_force(shop: Shop) -> FamilySplit:
    """The split of the model in force, so that no family changes sides; else a new one.

    That is so for new settings, for a catalog more than twice as large, and for a rebuild.
    """
    settings, seed = shop.settings.clip, shop.settings.seed
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT coalesce(family_id, item_id) FROM items JOIN crops USING (item_id) ORDER BY item_id"
        ).fetchall()
    version = shop.version_or_none(CLIP.name)
    if version is not None and not shop.rebuild:
        kept = FamilySplit.load_or_none(shop.artifacts.folder(CLIP.name, version))
        if kept is not None and kept.fits(settings, len(rows), seed=seed):
            return kept
    return FamilySplit.choose([row[0] for row in rows], settings, seed=seed)


def training_rows(shop: Shop, split: FamilySplit) -> dict[str, str]:
    """Items with a crop outside the test part, each with a fingerprint of its crop and description.

    Of a large training part a stable sample of `max_pairs`, by hash; the validation part is never sampled.
    """
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            """
            SELECT crop.key, sha256(crop.output_fp || text), coalesce(family_id, item_id) FROM ledger crop
            JOIN descriptions ON descriptions.item_id = crop.key JOIN items USING (item_id)
            WHERE crop.stage = 'grounded_crops' ORDER BY sha256(crop.key)
            """
        ).fetchall()
    parts = split.parts([row[2] for row in rows]) if rows else []
    by_part: dict[str, list[tuple[str, str]]] = {"train": [], "validation": [], "test": []}
    for (key, mark, _), part in zip(rows, parts, strict=True):
        by_part[str(part)].append((key, mark))
    return dict([*by_part["train"][: shop.settings.clip.max_pairs], *by_part["validation"]])


def train_model(shop: Shop, run: StageRun, planned: ModelPlan, split: FamilySplit) -> str:
    """Train the model in force and write its artifact; returns the version.

    It starts from the model before it where only the catalog changed, else from the beginning: also when an item that
    model saw is held out now, because its family was renamed.
    """
    before = shop.version_or_none(CLIP.name)
    start, seen = None, set[str]()
    if before is not None and not shop.anew and shop.settings.clip.warm_start:
        folder = shop.artifacts.folder(CLIP.name, before)
        if (folder / TRAINING).exists() and _facts(folder)["code_fp"] == planned.plan.code_fp:
            seen = seen_items(folder)
            if FamilySplit.load_or_none(folder) == split and not seen & held_out_marks(shop, split):
                start = folder
    version = digest([planned.plan.todo[WHOLE], planned.plan.code_fp, start and before])[:16]
    with shop.artifacts.write(CLIP.name, version) as folder:
        _train(shop, sorted(planned.rows), split, FULL, folder, version, start, run.progress)
        facts = {"code_fp": planned.plan.code_fp, "start": f"{CLIP.name} {before}" if start else _origin(shop)}
        (folder / TRAINING).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
        write_seen(folder, {item_mark(key) for key in planned.rows} | (seen if start else set()))
    return version


def refer(shop: Shop, planned: ModelPlan, split: FamilySplit) -> str:
    """A model that is used as it is is not copied: the artifact names it, and its version follows its weights."""
    settings = shop.settings.clip
    model_id = Encoders(shop).original.model_id
    version = digest([model_id, planned.plan.code_fp])[:16]
    with shop.artifacts.write(CLIP.name, version) as folder:
        named = {"model": settings.model, "pretrained": settings.pretrained, "model_id": model_id}
        (folder / REFERENCE).write_text(json.dumps(named, indent=2), "utf-8")
        split.save(folder)
    return version


def train_arms(shop: Shop, run: StageRun, version: str) -> None:
    """Train the tuned arms beside the model in force and write their artifact.

    Where the model in force went on from the one before it, so do the arms of that one: all have seen the same number
    of pairs.
    """
    model = shop.version(CLIP.name)
    folder = shop.current(CLIP.name)
    tuned = (folder / TRAINING).exists()
    wanted = [arm for arm in ARMS if arm.tuned and arm != FULL] if tuned and shop.settings.clip.ablations else []
    before = shop.version_or_none(ARMS_ARTIFACT)
    earlier = None if before is None else shop.artifacts.folder(ARMS_ARTIFACT, before)
    went_on = tuned and earlier is not None and _facts(folder)["start"] == f"{CLIP.name} {arms_facts(earlier)['model']}"
    split = FamilySplit.load(folder)
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT key FROM ledger WHERE stage = 'clip_model.rows' ORDER BY 1").fetchall()
    keys = [row[0] for row in rows]
    curves: list[dict[str, Any]] = []
    with shop.artifacts.write(ARMS_ARTIFACT, version) as made:
        for number, arm in enumerate(wanted):
            start = earlier / arm.name if went_on and earlier is not None and (earlier / arm.name).is_dir() else None

            def progress(done: int, total: int, number: int = number) -> None:
                run.progress(number * total + done, len(wanted) * total)

            mark = f"{version}-{arm.name}"
            report = _train(shop, keys, split, arm, made / arm.name, mark, start, progress)
            curves.append({"arm": arm.name, "epochs": len(report["curve"]), "seconds": report["seconds"]})
        if shop.settings.clip.model is None:
            _untrained(shop, keys, made / ORIGINAL, version)
        trained = [*(arm.name for arm in wanted), *([FULL.name] if tuned else [])]
        facts = {"model": model, "trained": trained, "curves": curves}
        (made / ARMS_FILE).write_text(json.dumps(facts, indent=2), "utf-8")


def clear_checkpoints(shop: Shop) -> None:
    """Forget where trainings stood: what they made is recorded."""
    for path in shop.spill.glob(f"{_CHECKPOINT}*"):
        path.unlink()


def _train(
    shop: Shop,
    keys: Sequence[str],
    split: FamilySplit,
    arm: Arm,
    folder: Path,
    fingerprint: str,
    start: Path | None,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    from dataclasses import asdict

    from fashionrec_assets.embeddings.clip import load_open_clip
    from fashionrec_assets.embeddings.clip_training import epochs_for, train
    from fashionrec_assets.embeddings.trainees import compact_trainee, image_size, pretrained_trainee

    settings, seed, encoders = shop.settings.clip, shop.settings.seed, Encoders(shop)
    original = None
    if settings.model is not None:
        own_start = start is not None and settings.text_tower != "sentences"
        original = load_open_clip(str(start)) if own_start else load_open_clip(settings.model, settings.pretrained)
    if reads_sentences(settings) and arm.clarified:
        _remember_stored(shop, keys, encoders)
    size = image_size(settings, original)
    folder.mkdir(parents=True, exist_ok=True)
    with training_pairs(shop, keys, size, grounded=arm.grounded, clarified=arm.clarified) as pairs:
        used = split.parts(pairs.families) == "train"
        if original is None:
            trainee = compact_trainee(
                pairs.texts, used, encoders.sentences, settings, seed=seed, fingerprint=fingerprint, start=start
            )
        else:
            sentences = encoders.sentences if reads_sentences(settings) else None
            trainee = pretrained_trainee(
                original, pairs.texts, used, sentences, settings, seed=seed, fingerprint=fingerprint, start=start
            )
        report = train(
            trainee,
            pairs,
            split,
            settings,
            seed=seed,
            epochs=epochs_for(settings, int(used.sum()), warm=start is not None),
            folder=folder,
            checkpoint=Checkpoint(shop.spill / f"{_CHECKPOINT}{arm.name}.safetensors", fingerprint),
            progress=progress,
        )
    return asdict(report)


def _remember_stored(shop: Shop, keys: Sequence[str], encoders: Encoders) -> None:
    """Have the sentence encoder take the stored vectors of the items' texts.

    A text's vector depends a little on the batch it was encoded in, and so on what this process did before.
    """
    known, vectors = stored_vectors(shop, TEXT_STORE, _encoded(shop, keys, encoders.text_id))
    encoders.sentences.remember(arm_texts(shop, known, clarified=True), vectors)


def _encoded(shop: Shop, keys: Sequence[str], encoder: str) -> list[str]:
    """Those of `keys` whose stored text vector is the present text's, by the encoder in force."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"WITH inputs AS ({TEXTS.inputs_sql()}) SELECT inputs.key FROM inputs JOIN ledger USING (key, input_fp) "
            "WHERE stage = ? AND code_fp = ? AND inputs.key IN (SELECT unnest(?)) ORDER BY 1",
            [TEXTS.name, TEXTS.code_fp(shop.settings, encoder=encoder), list(keys)],
        ).fetchall()
    return [row[0] for row in rows]


def _untrained(shop: Shop, keys: Sequence[str], folder: Path, fingerprint: str) -> None:
    """The compact model with fresh weights: what the arms that are not tuned consist of."""
    from fashionrec_assets.embeddings.trainees import compact_trainee

    encoders = Encoders(shop)
    _remember_stored(shop, keys, encoders)
    trainee = compact_trainee(
        arm_texts(shop, keys, clarified=True),
        np.ones(len(keys), dtype=np.bool_),
        encoders.sentences,
        shop.settings.clip,
        seed=shop.settings.seed,
        fingerprint=f"{fingerprint}-{ORIGINAL}",
    )
    trainee.save(folder)


def _origin(shop: Shop) -> str:
    return shop.settings.clip.model or "scratch"


def _facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / TRAINING).read_text("utf-8"))
