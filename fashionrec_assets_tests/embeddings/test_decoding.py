"""Pictures come out of the threads in order, in bounded numbers, and as the model's own preprocessing makes them."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

from fashionrec_assets.crops.grounding import encode_jpeg
from fashionrec_assets.embeddings import decoding
from fashionrec_assets.embeddings.clip import ClipEncoder, load_open_clip
from fashionrec_assets.embeddings.decoding import AHEAD, ahead_of, prepared
from fashionrec_assets.embeddings.images import Preparation
from fashionrec_assets_tests.embeddings.tiny import clip_model


def crops(count: int) -> list[Image.Image]:
    draw = np.random.default_rng(3)
    return [Image.fromarray(draw.integers(0, 255, (20 + number, 30, 3), np.uint8)) for number in range(count)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ClipEncoder:
    return ClipEncoder(clip_model(tmp_path_factory.mktemp("clip") / "tiny"), batch_size=4, device="cpu")


def test_batches_keep_the_order_and_cover_every_picture() -> None:
    pictures = crops(21)
    found = list(prepared(pictures, lambda image: image.height, 10))
    assert [place for place, _ in found] == [slice(0, 10), slice(10, 20), slice(20, 21)]
    assert [row for _, rows in found for row in rows] == [20 + number for number in range(21)]
    assert list(prepared([], lambda image: image.height, 10)) == []


def test_only_a_few_batches_are_made_ahead_of_the_model() -> None:
    made: list[int] = []
    batches = prepared(crops(40), lambda image: made.append(image.height), 2)
    next(batches)
    assert len(made) <= 2 * (AHEAD + 1)
    before = {thread.name for thread in threading.enumerate()}
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert any(name.startswith("pictures") for name in before)
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate()), "threads outlive the reader"
    assert len(made) <= 2 * (AHEAD + 1)


def test_nothing_is_prepared_beside_a_model_that_has_every_core(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    batches = prepared(crops(6), lambda image: made.append(image.height), 2, ahead=0)
    for number in range(3):
        next(batches)
        assert sorted(made) == [20 + picture for picture in range(2 * (number + 1))]
    for cores, cpu, ahead in ((2, "cpu", 0), (4, "cpu", AHEAD), (2, "cuda", AHEAD)):
        monkeypatch.setattr(decoding.os, "cpu_count", lambda cores=cores: cores)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        assert ahead_of(torch.device(cpu)) == ahead


def test_bytes_that_are_no_jpeg_are_an_error_of_their_own_batch(encoder: ClipEncoder) -> None:
    whole = [encode_jpeg(crop, 90) for crop in crops(3)]
    drawn = io.BytesIO()
    crops(1)[0].save(drawn, format="PNG")
    batches = prepared([*whole, drawn.getvalue()], lambda image: image.size, 3)
    assert len(next(batches)[1]) == 3
    with pytest.raises(UnidentifiedImageError):
        next(batches)
    with pytest.raises(OSError, match="truncated"):
        encoder.encode_images([whole[0][: len(whole[0]) // 2]])


def test_stored_crops_give_the_vectors_of_the_pictures_in_them(encoder: ClipEncoder) -> None:
    jpegs = [encode_jpeg(crop, 90) for crop in crops(6)]
    opened = [Image.open(io.BytesIO(jpeg)) for jpeg in jpegs]
    assert (encoder.encode_images(jpegs) == encoder.encode_images(opened)).all()
    assert encoder.encode_images([]).shape == (0, encoder.dim)


def test_a_batch_is_prepared_as_open_clip_prepares_each_picture(tmp_path: Path) -> None:
    own = load_open_clip(str(clip_model(tmp_path / "tiny"))).preprocess
    pictures = [*crops(3), Image.new("L", (50, 20), 90)]
    wanted = torch.stack([own(picture.convert("RGB")) for picture in pictures])
    split = Preparation.of_open_clip(own, torch.device("cpu"))
    rows = [split.one(picture.convert("RGB")) for picture in pictures]
    assert {row.dtype for row in rows} == {np.dtype(np.uint8)}, "its steps are those of open_clip, and are split"
    assert torch.equal(split.together(rows), wanted)
    other = Preparation.of_open_clip(lambda picture: own(picture), torch.device("cpu"))
    assert torch.equal(other.together([other.one(picture.convert("RGB")) for picture in pictures]), wanted)
