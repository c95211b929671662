"""The retrieval report of a small shop written by hand, read by an encoder that sees colours."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from fashionrec_assets.crops.assets import CROP_COLUMNS
from fashionrec_assets.crops.tables import CROPS
from fashionrec_assets.definitions import open_shop
from fashionrec_assets.descriptions.tables import DESCRIPTIONS
from fashionrec_assets.embeddings.arms import ARMS, FULL
from fashionrec_assets.evaluation import retrieval_inputs
from fashionrec_assets.evaluation.assets import RETRIEVAL_PREVIOUS, retrieval_report
from fashionrec_assets.evaluation.checks import CHECKS, no_technique_harms, retrieval_has_not_regressed
from fashionrec_assets.evaluation.published import publish_figures, published_figures
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.warehouse import upsert_rows

COLOURS = {"red": (220, 20, 30), "blue": (20, 40, 220), "green": (20, 200, 60)}
TYPES = {"dress": (40, 90), "hat": (70, 40)}
ITEMS = 24


class Eye:
    """Sees mean colour and shape; a tuned one knows the words, another one hears noise."""

    def __init__(self, tuned: bool) -> None:
        self.model_id = f"eye {tuned}"
        self.tuned = tuned
        self.dim = 5
        self.pictures = 0

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.pictures += len(images)
        seen = [
            [*(np.asarray(image.convert("RGB")).mean(axis=(0, 1)) / 255), image.width / 100, image.height / 100]
            for image in images
        ]
        return self._unit(np.array(seen) - 0.4)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        rng = np.random.default_rng(len(texts))
        heard = rng.normal(0, 0.01 if self.tuned else 3, (len(texts), 5))
        for row, text in enumerate(texts):
            for word, value in COLOURS.items():
                heard[row, :3] += (word in text) * (np.array(value) / 255 - 0.4)
            for word, (width, height) in TYPES.items():
                heard[row, 3:] += (word in text) * (np.array([width, height]) / 100 - 0.4)
        return self._unit(heard)

    @staticmethod
    def _unit(values: np.ndarray) -> np.ndarray:
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = open_shop(Settings.load(home=tmp_path / "home", raw=tmp_path / "raw", evaluation={"bootstrap": 50}))
    (tmp_path / "raw").mkdir()
    items, crops, texts, jpegs = [], [], [], []
    for number in range(ITEMS):
        item_id = f"i{number:02}"
        colour, kind = list(COLOURS)[number % 3], list(TYPES)[number % 2]
        garment = Image.new("RGB", TYPES[kind], COLOURS[colour])
        photo = Image.new("RGB", (120, 160), (255, 255, 255))
        photo.paste(garment, (10, 10))
        photo.save(tmp_path / "raw" / f"{item_id}.png")
        items.append(
            {
                "item_id": item_id,
                "title": f"<b>new</b> {colour} {kind} {number}",
                "family_id": f"f{number // 2}",
                "colour": colour if number % 5 else None,
                "product_type": kind,
                "price": 10.0,
                "image_ref": f"{item_id}.png",
                "image_status": "ok",
            }
        )
        size = (120, 160) if number == 0 else TYPES[kind]
        crops.append(
            {
                "item_id": item_id,
                **dict(zip(("x0", "y0", "x1", "y1"), (0, 0, *size), strict=True)),
                "photo_width": 120,
                "photo_height": 160,
                "method": "whole_image" if number == 0 else "segmentation",
                "confidence": 0.5,
                "colours": [],
            }
        )
        source = "field" if number % 5 else "photo"
        attribute = {"name": "colour", "value": colour, "source": source, "evidence": ""}
        texts.append(
            {
                "item_id": item_id,
                "text": f"A {colour} {kind}.",
                "attributes": [attribute],
                "flags": [],
                "provider": "test",
            }
        )
        buffer = io.BytesIO()
        garment.save(buffer, "JPEG")
        jpegs.append({"item_id": item_id, "jpeg": buffer.getvalue()})
    columns = {column.name: None for column in shop.warehouse.tables["items"].columns}
    with shop.warehouse.writer() as connection:
        upsert_rows(connection, shop.warehouse.tables["items"], pa.Table.from_pylist([columns | row for row in items]))
        upsert_rows(connection, CROPS, pa.Table.from_pylist([{"reason": None, **row} for row in crops]))
        upsert_rows(connection, DESCRIPTIONS, pa.Table.from_pylist(texts))
    shop.store("crops", CROP_COLUMNS).put(pa.Table.from_pylist(jpegs))
    ids = [row["item_id"] for row in items]
    eyes = {True: Eye(True), False: Eye(False)}
    monkeypatch.setattr(retrieval_inputs, "held_out_items", lambda shop: ids)
    monkeypatch.setattr(retrieval_inputs, "available_arms", lambda shop: ARMS)
    monkeypatch.setattr(retrieval_inputs, "arm_encoder", lambda shop, arm: eyes[arm.tuned])
    monkeypatch.setattr(Shop, "version_or_none", lambda self, name: "1" if name.startswith("clip") else None)
    monkeypatch.setattr(Shop, "eyes", eyes, raising=False)
    return shop


def measure(shop: Shop):
    return retrieval_inputs.measure_retrieval(shop, lambda done, total: None)


def materialize(shop: Shop) -> dg.ExecuteInProcessResult:
    checks = [
        check
        for check in CHECKS
        if any(key.asset_key.to_user_string() == "retrieval_report" for key in check.check_keys)
    ]
    return dg.materialize([retrieval_report, *checks], resources={"shop": shop})


def test_the_held_out_items_are_read_with_slices_and_fields(shop):
    held_out = retrieval_inputs.read_held_out(shop, [f"i{number:02}" for number in range(ITEMS)])
    assert held_out.catalog == ITEMS
    assert held_out.families[:4] == ["f0", "f0", "f1", "f1"]
    assert held_out.slices["large_garment"].tolist() == [True] + [False] * (ITEMS - 1)
    assert held_out.fields["colour"][:3] == ["", "blue", "green"]
    assert held_out.texts[True][1] == "A blue hat."
    assert "<b>new</b>" in held_out.texts[False][0]
    assert "worn" not in held_out.slices


def test_every_arm_reads_its_own_picture_and_text_once(shop):
    report, held_out = measure(shop)
    assert [len(report.arms), report.items, report.families] == [8, ITEMS, ITEMS // 2]
    # Crops and photos once for each of the two models, not once for each of the eight arms.
    assert {eye.pictures for eye in shop.eyes.values()} == {2 * ITEMS}
    figures = report.figures()
    assert figures["retrieval.tuned.text_to_image.hits@10"] > figures["retrieval.original.text_to_image.hits@10"]
    assert figures["retrieval.full.zero_shot.colour.accuracy"] == 1.0
    assert {row.arm for row in report.attributes} == {
        "full",
        "tuned+clarified",
        "grounded",
        "original",
        "commonest_class",
    }
    assert any("20.8% of the clarified texts" in note for note in report.notes)
    assert any("in 4.2% of the photos none was found" in note for note in report.notes)
    strips = retrieval_inputs.example_strips(shop, report, held_out)
    assert len(strips) == len(report.examples)
    assert [sum(shown.right for shown in strip) for strip in strips] == [1] * len(strips)


def test_a_new_price_is_nothing_to_the_report_and_a_new_title_is(shop):
    before = retrieval_inputs.fields_digest(shop)
    with shop.warehouse.writer() as connection:
        connection.execute("UPDATE items SET price = 99 WHERE item_id = 'i03'")
    assert retrieval_inputs.fields_digest(shop) == before
    with shop.warehouse.writer() as connection:
        connection.execute("UPDATE items SET title = 'other' WHERE item_id = 'i03'")
    assert retrieval_inputs.fields_digest(shop) != before


def test_the_asset_writes_page_tables_figures_and_pictures_and_then_rests(shop):
    result = materialize(shop)
    assert result.success
    metadata = result.asset_materializations_for_node("retrieval_report")[0].metadata
    assert metadata["new"].value == 1
    assert "data:image/png" in metadata["worked_examples"].value
    page = (shop.reports / "retrieval.html").read_text("utf-8")
    assert "Worked examples" in page
    assert published_figures(shop.reports)["retrieval.full.text_to_image.hits@5"] > 0
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT count(*) FROM retrieval_report").fetchall()[0][0]
        told = connection.execute("SELECT technique FROM technique_effects WHERE verdict IS NOT NULL").fetchall()
    assert rows == metadata["dagster/row_count"].value > 100
    assert {name for (name,) in told} == {"tuned", "grounded", "clarified"}
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations() if evaluation.blocking)
    again = materialize(shop).asset_materializations_for_node("retrieval_report")[0].metadata
    assert (again["new"].value, again["stale"].value, again["reused"].value) == (0, 0, 1)


def test_a_regression_and_harm_are_warned_of(shop):
    materialize(shop)
    assert retrieval_has_not_regressed(shop).passed
    key = "retrieval.full.text_to_image.hits@5"
    (shop.reports / RETRIEVAL_PREVIOUS).write_text(json.dumps({f"{key}.low": 1.1}), "utf-8")
    result = retrieval_has_not_regressed(shop)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    publish_figures(shop.reports, "retrieval", {})
    assert retrieval_has_not_regressed(shop).passed
    with shop.warehouse.writer() as connection:
        connection.execute("UPDATE technique_effects SET judgement = 'harms' WHERE technique = 'grounded'")
    result = no_technique_harms(shop)
    assert not result.passed
    assert "grounded" in (result.description or "")


@pytest.mark.parametrize("held_out", [[], ["i01", "i02"]])
def test_too_few_items_make_a_page_of_one_sentence(shop, monkeypatch, held_out):
    monkeypatch.setattr(retrieval_inputs, "held_out_items", lambda shop: held_out)
    assert materialize(shop).success
    assert "Nothing was measured" in (shop.reports / "retrieval.html").read_text("utf-8")
    assert not (shop.reports / "retrieval.examples.png").exists()
    assert all(eye.pictures == 0 for eye in shop.eyes.values())


def test_no_model_and_no_arms(shop, monkeypatch):
    monkeypatch.setattr(retrieval_inputs, "available_arms", lambda shop: (FULL,))
    report, _ = measure(shop)
    assert report.arms == (FULL,)
    monkeypatch.setattr(Shop, "version_or_none", lambda self, name: None)
    report, held_out = measure(shop)
    assert report.missing
    assert retrieval_inputs.example_strips(shop, report, held_out) == []
