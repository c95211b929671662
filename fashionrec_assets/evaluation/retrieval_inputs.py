"""What the retrieval report is measured on: the held-out items of a shop, and what each arm makes of them.

Belongs here: reading the shop and encoding, portion by portion. Does not belong here: measuring
(`retrieval_report.py`), layout, Dagster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.ablation import (
    arm_encoder,
    arm_images,
    arm_texts,
    available_arms,
    held_out_items,
    original_is_random,
)
from fashionrec_assets.embeddings.arms import FULL, Arm
from fashionrec_assets.evaluation.retrieval_report import (
    LEAST_ITEMS,
    ArmVectors,
    HeldOut,
    RetrievalReport,
    evaluate_retrieval,
)
from fashionrec_assets.evaluation.sample_truth import scenes
from fashionrec_assets.evaluation.shopper_phrases import field_value, shopper_phrases
from fashionrec_assets.evaluation.worked_examples import Shown
from fashionrec_assets.evaluation.zero_shot import TEMPLATES, ZeroShotTask, zero_shot_tasks
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.ledger import batches
from fashionrec_assets.storage.tables import rows_digest
from fashionrec_assets.storage.warehouse import one_row

FIELDS = tuple(TEMPLATES)
_READ = ("family_id", *FIELDS, "title", "brand", "description")
_HALF = 0.5
_PORTION = 256
_ATTRIBUTE_ARMS = (
    FULL,
    Arm(tuned=True, grounded=False, clarified=True),
    Arm(tuned=False, grounded=True, clarified=False),
    Arm(tuned=False, grounded=False, clarified=False),
)
"""Who reads attributes off photos: with and without training, from the crop and from the whole photo."""

Progress = Callable[[int, int], None]


def fields_digest(shop: Shop) -> str:
    """A digest of the catalog fields that the report reads: a new price is nothing to it."""
    columns = ", ".join(rows_digest("item_id", f"coalesce('=' || {name}, '')") for name in _READ)
    with shop.warehouse.reader() as connection:
        return "|".join(str(value) for value in one_row(connection, f"SELECT {columns} FROM items"))


def read_held_out(shop: Shop, item_ids: Sequence[str]) -> HeldOut:
    """The held-out items, with families, slices, fields and texts."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT item_id, coalesce(family_id, item_id), (x1 - x0) * (y1 - y0) / (photo_width * photo_height), "
            f"{', '.join(FIELDS)} FROM items JOIN crops USING (item_id) "
            "WHERE item_id IN (SELECT unnest(?)) ORDER BY item_id",
            [list(item_ids)],
        ).fetchall()
        catalog = one_row(
            connection, "SELECT count(*) FROM crops JOIN descriptions USING (item_id) JOIN items USING (item_id)"
        )[0]
    ids = [row[0] for row in rows]
    share = np.array([float(row[2]) for row in rows])
    slices: dict[str, NDArray[np.bool_]] = {"small_garment": share < _HALF, "large_garment": share >= _HALF}
    known = scenes(shop.settings)
    if known:
        scene = np.array([known.get(item_id, "") for item_id in ids], dtype=np.str_)
        slices |= {name: scene == name for name in ("packshot", "worn", "cluttered")}
        slices["worn_or_cluttered"] = slices["worn"] | slices["cluttered"]
    return HeldOut(
        item_ids=ids,
        families=[row[1] for row in rows],
        slices=slices,
        fields={name: [field_value(row[3 + at]) for row in rows] for at, name in enumerate(FIELDS)},
        texts={clarified: arm_texts(shop, ids, clarified=clarified) for clarified in (False, True)},
        catalog=int(catalog),
    )


def measure_retrieval(shop: Shop, progress: Progress) -> tuple[RetrievalReport, HeldOut]:
    """The report on the shop's held-out items, and these items."""
    settings = shop.settings.retrieval
    item_ids = held_out_items(shop) if shop.version_or_none("clip_model") else []
    arms = available_arms(shop) if item_ids else ()
    held_out = read_held_out(shop, item_ids)
    # With too few items there is nothing to encode: the report will say so.
    enough = len(held_out.item_ids) >= LEAST_ITEMS
    phrases = shopper_phrases(held_out.fields, held_out.item_ids, settings.phrases)
    tasks = zero_shot_tasks(held_out.fields, least=settings.class_minimum, most=settings.most_classes)
    vectors = _encode(shop, arms, held_out, phrases.texts, tasks, progress) if enough else []
    report = evaluate_retrieval(
        held_out,
        vectors,
        phrases,
        tasks,
        worth=settings.smallest_gain,
        draws=shop.settings.evaluation.bootstrap,
        seed=shop.settings.seed,
        original_is_random=original_is_random(shop),
        examples=settings.examples,
        notes=_notes(shop, held_out) if enough else (),
    )
    return report, held_out


def example_strips(shop: Shop, report: RetrievalReport, held_out: HeldOut) -> list[list[Shown]]:
    """The images of each worked example: the first five, and the right one behind them if it is not among them."""
    served = report.served
    if served is None or not report.examples:
        return []
    rows = sorted({row for example in report.examples for row in (*example.best, example.row)})
    ids = [held_out.item_ids[row] for row in rows]
    images = dict(zip(rows, arm_images(shop, ids, grounded=served.grounded), strict=True))
    strips: list[list[Shown]] = []
    for example in report.examples:
        strip = [Shown(images[row], place, row == example.row) for place, row in enumerate(example.best, start=1)]
        if not example.found:
            strip.append(Shown(images[example.row], example.rank, True))
        strips.append(strip)
    return strips


def _encode(
    shop: Shop,
    arms: Sequence[Arm],
    held_out: HeldOut,
    phrases: Sequence[str],
    tasks: Sequence[ZeroShotTask],
    progress: Progress,
) -> list[ArmVectors]:
    """Every arm's vectors, one model in memory at a time. Arms that share a model and pictures share these vectors."""
    images: dict[tuple[str, bool], NDArray[np.float32]] = {}
    made: list[ArmVectors] = []
    for done, arm in enumerate(arms, start=1):
        encoder = arm_encoder(shop, arm)
        seen = (encoder.model_id, arm.grounded)
        if seen not in images:
            portions = batches(held_out.item_ids, _PORTION)
            images[seen] = np.concatenate(
                [encoder.encode_images(arm_images(shop, ids, grounded=arm.grounded)) for ids in portions]
            )
        read = tasks if arm in _ATTRIBUTE_ARMS else ()
        made.append(
            ArmVectors(
                arm,
                images[seen],
                encoder.encode_texts(held_out.texts[arm.clarified]),
                encoder.encode_texts(phrases) if phrases else np.zeros((0, encoder.dim), dtype=np.float32),
                {task.field: task.class_vectors(encoder.encode_texts(task.prompts)) for task in read},
            )
        )
        progress(done, len(arms))
    return made


def _notes(shop: Shop, held_out: HeldOut) -> list[str]:
    """Facts about what the arms read that explain their figures."""
    with shop.warehouse.reader() as connection:
        whole, box, from_photo = one_row(
            connection,
            "SELECT count(*) FILTER (method = 'whole_image'), "
            "median((x1 - x0) * (y1 - y0) / (photo_width * photo_height)), "
            "count(*) FILTER (len(list_filter(attributes, lambda a: a.source = 'photo')) > 0) "
            "FROM crops JOIN descriptions USING (item_id) WHERE item_id IN (SELECT unnest(?))",
            [list(held_out.item_ids)],
        )
    n = len(held_out.item_ids)
    words = {clarified: median(len(text.split()) for text in texts) for clarified, texts in held_out.texts.items()}
    notes = [
        f"The garment's box fills {box:.0%} of the photo in the median; in {whole / n:.1%} of the photos none was "
        "found, and the crop is the whole photo.",
        f"A raw text, all fields of the catalog joined, has {words[False]:.0f} words in the median, a clarified one "
        f"{words[True]:.0f}.",
    ]
    if from_photo:
        notes.append(
            f"{from_photo / n:.1%} of the clarified texts name something that was measured in the item's own photo, "
            "such as its colour where no field names one. For them, part of the answer is in the question: the "
            "phrases, which come from raw fields alone, are the fair comparison."
        )
    return notes
