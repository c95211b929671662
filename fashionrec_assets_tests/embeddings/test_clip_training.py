"""Training the compact CLIP model: it learns, repeats itself bit by bit, and keeps families apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fashionrec_assets.embeddings import compact_clip
from fashionrec_assets.embeddings.clip import ClipEncoder
from fashionrec_assets.embeddings.clip_training import (
    augment,
    contrastive_loss,
    held_out_families,
    retrieval,
    train_clip,
)
from fashionrec_assets.embeddings.images import prepare_images
from fashionrec_assets.embeddings.sentences import ModelUnavailableError
from fashionrec_assets.settings import ClipSettings
from fashionrec_assets_tests.embeddings.tiny import ColourWords, colour_world

SETTINGS = ClipSettings(
    image_height=32,
    image_width=24,
    embed_dim=16,
    epochs=10,
    patience=10,
    least_presented=0,
    batch_size=32,
    learning_rate=3e-3,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("clip")
    images, texts = colour_world(240, seed=1)
    families = [f"family {number // 2}" for number in range(240)]
    report = train_clip(images, texts, families, ColourWords(), SETTINGS, seed=5, folder=folder, fingerprint="abc")
    return folder, report


def test_the_loss_falls_and_held_out_retrieval_beats_chance(trained) -> None:
    _, report = trained
    assert report.pairs + report.held_out == 240
    assert report.held_out >= 8
    assert report.curve[-1].loss < 0.7 * report.curve[0].loss
    images, texts = colour_world(120, seed=99)
    folder, _ = trained
    encoder = ClipEncoder(folder, sentences=ColourWords(), device="cpu")
    by_image = encoder.encode_images([Image.fromarray(image) for image in images])
    names = sorted(set(texts))
    by_text = encoder.encode_texts(names)
    right = np.mean([names[best] == text for best, text in zip((by_image @ by_text.T).argmax(1), texts, strict=True)])
    assert right > 0.5, "twelve kinds: chance is 0.08"


def test_the_same_arguments_give_the_same_bytes(trained, tmp_path: Path) -> None:
    folder, _ = trained
    images, texts = colour_world(240, seed=1)
    families = [f"family {number // 2}" for number in range(240)]
    again, other = tmp_path / "again", tmp_path / "other"
    train_clip(images, texts, families, ColourWords(), SETTINGS, seed=5, folder=again, fingerprint="abc")
    short = SETTINGS.model_copy(update={"epochs": 1})
    train_clip(images, texts, families, ColourWords(), short, seed=6, folder=other, fingerprint="abc")
    weights = [(place / compact_clip.WEIGHTS).read_bytes() for place in (folder, again, other)]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_what_is_saved_is_what_is_loaded(trained) -> None:
    folder, report = trained
    first, config = compact_clip.load(folder)
    second, _ = compact_clip.load(folder)
    pixels = torch.rand(3, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(first.encode_image(pixels), second.encode_image(pixels))
    assert config["fingerprint"] == "abc"
    assert config["preprocess_cfg"]["size"] == [32, 24]
    curve = json.loads((folder / "curve.json").read_text())
    assert len(curve["curve"]) == len(report.curve)
    assert curve["best_epoch"] == report.best_epoch
    assert report.best == report.curve[report.best_epoch - 1]


def test_the_id_follows_the_training_and_the_text_encoder_must_fit(trained) -> None:
    folder, _ = trained
    assert ClipEncoder(folder, device="cpu").model_id == "compact:abc"

    class Other(ColourWords):
        model_id = "other"

    with pytest.raises(ModelUnavailableError, match="reads sentence vectors of colour-words"):
        ClipEncoder(folder, sentences=Other(), device="cpu")
    with pytest.raises(ModelUnavailableError, match="pass its sentence encoder"):
        ClipEncoder(folder, device="cpu").encode_texts(["a hat"])


def test_vectors_are_unit_and_independent_of_their_batch(trained) -> None:
    folder, _ = trained
    images = [Image.fromarray(image) for image in colour_world(9, seed=3)[0]]
    encoder = ClipEncoder(folder, sentences=ColourWords(), batch_size=4, device="cpu")
    together = encoder.encode_images(images)
    assert together.shape == (9, encoder.dim)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([encoder.encode_images([image]) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.encode_images([]).shape == (0, encoder.dim)
    texts = ["a red hat", "a blue shoe"]
    np.testing.assert_allclose(
        encoder.encode_texts(texts), encoder.project_sentences(ColourWords().encode(texts)), atol=1e-6
    )


def test_a_damaged_or_foreign_folder_is_refused(trained, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="holds neither"):
        ClipEncoder(tmp_path)
    folder, _ = trained
    config = json.loads((folder / "config.json").read_text())
    config["model_cfg"]["embed_dim"] = 8
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="do not fit"):
        compact_clip.load(tmp_path)


def test_families_are_never_split_and_keep_their_side() -> None:
    families = [f"f{number % 300}" for number in range(900)]
    held = held_out_families(families, seed=1)
    assert 0.05 < held.mean() < 0.16
    sides: dict[str, set[bool]] = {}
    for family, side in zip(families, held.tolist(), strict=True):
        sides.setdefault(family, set()).add(side)
    assert all(len(side) == 1 for side in sides.values())
    grown = held_out_families([*families, *(f"new{number}" for number in range(50))], seed=1)
    assert (grown[:900] == held).all()
    assert not held_out_families(["a", "b", "c"], seed=1).any()
    assert (held_out_families(families, seed=2) != held).any()


def test_pairs_with_the_same_text_do_not_push_each_other_away() -> None:
    text = torch.eye(3)
    image = text[[1, 0, 2]]
    scale = torch.tensor(20.0)
    as_negatives = contrastive_loss(image, text, scale, torch.tensor([0, 1, 2]))
    as_equals = contrastive_loss(image, text, scale, torch.tensor([0, 0, 1]))
    assert as_equals < 0.6 * as_negatives
    assert contrastive_loss(text, text, scale, torch.tensor([0, 1, 2])) < 1e-4


def test_augmentation_keeps_shape_and_flat_colour() -> None:
    flat = torch.full((6, 3, 16, 12), 0.7)
    seen = augment(flat, torch.Generator().manual_seed(0))
    assert seen.shape == flat.shape
    torch.testing.assert_close(seen, flat)
    ramp = torch.linspace(0, 1, 12).expand(6, 3, 16, 12).contiguous()
    first = augment(ramp, torch.Generator().manual_seed(0))
    assert not torch.equal(first, augment(ramp, torch.Generator().manual_seed(1)))
    assert torch.equal(first, augment(ramp, torch.Generator().manual_seed(0)))


def test_retrieval_counts_equal_texts_as_right() -> None:
    eye = np.eye(20, dtype=np.float32)
    assert retrieval(eye, eye, np.arange(20)) == (1.0, 1.0)
    turned = np.roll(eye, 1, axis=0)
    recall, rank = retrieval(eye, turned, np.arange(20), k=1)
    assert recall == 0
    assert rank < 0.6
    assert retrieval(eye, turned, np.zeros(20, np.int64), k=1) == (1.0, 1.0)


def test_a_catalog_too_small_to_learn_from_says_so(tmp_path: Path) -> None:
    images, _ = colour_world(4, seed=1)
    with pytest.raises(ValueError, match="two different descriptions"):
        train_clip(
            images, ["a hat"] * 4, list("abcd"), ColourWords(), SETTINGS, seed=1, folder=tmp_path, fingerprint=""
        )
    with pytest.raises(ValueError, match="do not pair up"):
        train_clip(images, ["a hat"], list("abcd"), ColourWords(), SETTINGS, seed=1, folder=tmp_path, fingerprint="")
    other = SETTINGS.model_copy(update={"image_height": 64})
    texts = ["a hat", "a shoe", "a red hat", "a blue hat"]
    with pytest.raises(ValueError, match="settings say 64x24"):
        train_clip(images, texts, list("abcd"), ColourWords(), other, seed=1, folder=tmp_path, fingerprint="")
    quick = SETTINGS.model_copy(update={"epochs": 1})
    report = train_clip(images, texts, list("abcd"), ColourWords(), quick, seed=1, folder=tmp_path, fingerprint="")
    assert report.held_out == 0
    assert report.best.mrr is None


def test_images_are_fitted_without_distortion() -> None:
    wide = prepare_images([Image.new("RGB", (40, 10), (200, 0, 0))], 32, 24)
    assert wide.shape == (1, 32, 24, 3)
    rows = np.flatnonzero((wide[0] == (200, 0, 0)).all(axis=2).all(axis=1))
    assert len(rows) == 6
    assert (wide[0, 0] == 255).all()
