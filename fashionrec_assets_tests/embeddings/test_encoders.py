"""Encoders load real checkpoints by path, offline, and refuse what they cannot vouch for."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fashionrec_assets.embeddings import sentences
from fashionrec_assets.embeddings.clip import ClipEncoder
from fashionrec_assets.embeddings.sentences import SentenceEncoder, packaged_model
from fashionrec_assets.resources.models import ModelUnavailableError
from fashionrec_assets_tests.embeddings.tiny import clip_model, sentence_model


@pytest.fixture(scope="module")
def sentence_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sentence_model(tmp_path_factory.mktemp("sentences"))


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_model(tmp_path_factory.mktemp("open_clip") / "tiny")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an encoder given a local path reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_a_local_sentence_model_encodes_unit_vectors_in_order(sentence_folder: Path) -> None:
    encoder = SentenceEncoder(str(sentence_folder), batch_size=2)
    texts = ["a red dress", "a hat", "a blue coat for women with the hat", "", "a hat"]
    calls: list[tuple[int, int]] = []
    vectors = encoder.encode(texts, progress=lambda done, total: calls.append((done, total)))
    assert vectors.shape == (5, encoder.dim)
    assert vectors.dtype == np.float32
    assert calls == [(2, 4), (4, 4)]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors[1] == vectors[4]).all()
    other = SentenceEncoder(str(sentence_folder), batch_size=1)
    np.testing.assert_allclose(vectors, other.encode(texts), atol=1e-5)
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_texts_of_as_many_tokens_share_a_batch(sentence_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SentenceEncoder(str(sentence_folder), batch_size=2)
    _, tokenizer = encoder.transformer
    texts = ["red " * 4, "a-b-c-d-e", "dress" * 8, "red dress"]
    counts = {
        text: len(tokenizer(text, truncation=True, max_length=encoder.most_tokens)["input_ids"]) for text in texts
    }
    by_tokens = sorted(counts.values(), reverse=True)
    assert [counts[text] for text in sorted(texts, key=len, reverse=True)] != by_tokens, "characters tell as much"
    batches: list[list[str]] = []
    inner = encoder._model.encode
    monkeypatch.setattr(encoder._model, "encode", lambda some, **more: batches.append(some) or inner(some, **more))
    vectors = encoder.encode(texts)
    assert [len(batch) for batch in batches] == [2, 2]
    assert [counts[text] for batch in batches for text in batch] == by_tokens
    alone = SentenceEncoder(str(sentence_folder), batch_size=1).encode(texts)
    assert np.abs(vectors - alone).max() < 1e-5


def test_a_text_is_encoded_once_and_stored_vectors_are_taken(
    sentence_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = SentenceEncoder(str(sentence_folder))
    first = encoder.encode(["a hat", "a coat"])
    calls: list[tuple[int, int]] = []
    again = encoder.encode(["a coat", "a red dress", "a hat"], progress=lambda *done: calls.append(done))
    assert calls == [(1, 1)]
    assert (again[[2, 0]] == first).all()
    stored = np.eye(2, encoder.dim, dtype=np.float32)
    encoder.remember(["a shoe", "a hat"], stored)
    assert (encoder.encode(["a hat", "a shoe"]) == stored[::-1]).all()
    monkeypatch.setattr(sentences, "MOST_REMEMBERED", 2)
    assert encoder.encode(["a", "b", "c", "d"]).shape == (4, encoder.dim)
    encoder.encode(["d", "a"], progress=lambda *done: calls.append(done))
    assert calls[-1] == (1, 1), "the oldest were to be forgotten, the newest kept"


def test_a_sentence_models_id_follows_its_weights(sentence_folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / sentence_folder.name
    shutil.copytree(sentence_folder, moved)
    other = sentence_model(tmp_path / "other", seed=1)
    ids = [SentenceEncoder(str(folder)).model_id for folder in (sentence_folder, moved, other)]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_a_missing_folder_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="does not exist"):
        SentenceEncoder(str(tmp_path / "nothing"))
    with pytest.raises(ModelUnavailableError, match="without a sentence-transformers model"):
        SentenceEncoder(str(tmp_path))
    with pytest.raises(ModelUnavailableError, match="does not exist"):
        ClipEncoder(str(tmp_path / "nothing"))


def test_the_packaged_model_is_the_published_one() -> None:
    folder = packaged_model()
    assert (folder / "tokenizer.json").is_file()


def test_another_precision_is_another_encoder_with_nearly_the_same_vectors(sentence_folder: Path) -> None:
    whole = SentenceEncoder(str(sentence_folder))
    short = SentenceEncoder(str(sentence_folder), precision="bfloat16")
    texts = ["a red dress", "a blue coat, with a hat"]
    found = short.encode(texts)
    assert short.model_id == f"{whole.model_id}/bfloat16"
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found != whole.encode(texts)).any(), "it was computed in single precision"
    assert ((found * whole.encode(texts)).sum(axis=1) > 0.999).all()


def test_other_weights_in_the_package_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"something else")
    file = SimpleNamespace(name="model.safetensors", locate=lambda: weights)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: SimpleNamespace(files=[file]))
    with pytest.raises(ModelUnavailableError, match="refusing the weights"):
        packaged_model()
    with pytest.raises(ModelUnavailableError, match="refusing the weights"):
        SentenceEncoder()
    weights.unlink()
    with pytest.raises(ModelUnavailableError, match="reinstall"):
        packaged_model()


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(ModelUnavailableError, match=f"pip install {sentences.PACKAGE}"):
        packaged_model()


def test_an_open_clip_folder_is_loaded_by_path(clip_folder: Path, tmp_path: Path) -> None:
    encoder = ClipEncoder(str(clip_folder), batch_size=2, device="cpu")
    images = [Image.new("RGB", (30 + 10 * number, 50), (60 * number, 20, 90)) for number in range(4)]
    vectors = encoder.encode_images(images)
    assert vectors.shape == (4, encoder.dim)
    assert encoder.dim == 24
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[2:3], encoder.encode_images(images[2:3]), atol=1e-5)
    texts = encoder.encode_texts(["a red dress", "连衣裙 " * 200, ""])
    assert texts.shape == (3, 24)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="only a compact model"):
        encoder.project_sentences(["a"], np.zeros((1, 24), np.float32))
    copy = tmp_path / clip_folder.name
    shutil.copytree(clip_folder, copy)
    assert ClipEncoder(copy, device="cpu").model_id == encoder.model_id
    other = clip_model(tmp_path / "other" / clip_folder.name, seed=1)
    assert ClipEncoder(other, device="cpu").model_id != encoder.model_id


def test_a_name_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="vectors would be random"):
        ClipEncoder("ViT-B-32")
    with pytest.raises(ModelUnavailableError, match="cannot load 'no-such-model'"):
        ClipEncoder("no-such-model", pretrained="openai")
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(ModelUnavailableError, match="cannot load"):
        ClipEncoder(tmp_path)
