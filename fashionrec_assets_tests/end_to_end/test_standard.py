"""The `standard` preset on checkpoints loaded by path: Grounding DINO, open_clip and sentence-transformers."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from fashionrec_assets.embeddings.ablation import available_arms, held_out_items
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, stored_vectors
from fashionrec_assets.storage.warehouse import one_row
from fashionrec_assets_tests.crops.tiny_dino import grounding_dino
from fashionrec_assets_tests.embeddings.tiny import clip_model, sentence_model
from fashionrec_assets_tests.end_to_end.place import SMALL, Place

READ_CLIP = " or ".join(f'+key:"{name}"' for name in ("image_embeddings", "image_tokens", "retrieval_report"))
"""What reads the model itself, with all it is made from; the others read vectors."""


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings that replace the preset's hub ids by folders; nothing may reach the network from here on."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model given by path reached for the network")

    settings = {
        "preset": "standard",
        "crops": {"model": str(grounding_dino(tmp_path / "dino")), "box_threshold": 0.01},
        "clip": {"model": str(clip_model(tmp_path / "clip", layers=2)), "epochs": 2, "batch_size": 32},
        "text": {"model": str(sentence_model(tmp_path / "sentences"))},
        "descriptions": {"provider": "deterministic"},
        "two_tower": {**SMALL["two_tower"], "heads": 2, "layers": 1},
    }
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return settings


def test_the_lineage_runs_on_local_checkpoints(fresh: Place, checkpoints: dict[str, Any]) -> None:
    result = fresh.run(**checkpoints)
    assert result.success, result.errors
    shop = fresh.shop(**checkpoints)
    with shop.warehouse.reader() as connection:
        methods = dict(connection.execute("SELECT method, count(*) FROM crops GROUP BY 1").fetchall())
        rows = one_row(connection, "SELECT count(*) FROM homepage")[0]
    assert methods.get("grounding_dino", 0) > 0
    assert rows > 0
    keys, vectors = stored_vectors(shop, IMAGE_STORE)
    assert vectors.shape == (sum(methods.values()), 24)
    assert stored_vectors(shop, TEXT_STORE)[1].shape[1] == 32
    assert (shop.current("clip_model") / "open_clip_config.json").is_file(), "the pretrained model was not tuned"
    held_out = set(held_out_items(shop))
    assert held_out
    assert held_out < set(keys)
    assert len(available_arms(shop)) == 8


def test_a_pretrained_model_can_be_taken_as_it_is(fresh: Place, checkpoints: dict[str, Any]) -> None:
    checkpoints["clip"]["fine_tune"] = False
    result = fresh.run(select=READ_CLIP, **checkpoints)
    assert result.success, result.errors
    shop = fresh.shop(**checkpoints)
    assert (shop.current("clip_model") / "reference.json").is_file()
    assert not any(arm.tuned for arm in available_arms(shop))
    version = shop.version("clip_model")
    assert fresh.run(select=READ_CLIP, **checkpoints).success
    assert shop.version("clip_model") == version
