"""Fine-tuning an open_clip model: what is trained, how fast, and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fashionrec_assets.embeddings.checkpoints import Checkpoint
from fashionrec_assets.embeddings.clip import ClipEncoder, load_open_clip
from fashionrec_assets.embeddings.clip_data import Pairs
from fashionrec_assets.embeddings.clip_split import FamilySplit
from fashionrec_assets.embeddings.clip_training import train
from fashionrec_assets.embeddings.trainees import Trainee, image_size, pretrained_trainee
from fashionrec_assets.settings import ClipSettings
from fashionrec_assets_tests.embeddings.tiny import ColourWords, clip_model, colour_world

BASE: dict[str, Any] = {"epochs": 6, "least_presented": 0, "batch_size": 32, "tune_learning_rate": 3e-3}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_model(tmp_path_factory.mktemp("open_clip") / "tiny", layers=3)


def world(count: int = 160) -> Pairs:
    images, texts = colour_world(count, seed=1, height=32, width=32)
    return Pairs(images, texts, [str(number) for number in range(count)], [text[-3:] for text in texts])


def made(original: Path, pairs: Pairs, **settings: Any) -> tuple[Trainee, ClipSettings]:
    chosen = ClipSettings(model=str(original), **{**BASE, **settings})
    trainee = pretrained_trainee(
        load_open_clip(str(original)),
        pairs.texts,
        np.ones(len(pairs), dtype=np.bool_),
        ColourWords(),
        chosen,
        seed=1,
        fingerprint="abc",
    )
    return trainee, chosen


def tuned(original: Path, folder: Path, **settings: Any) -> list[float]:
    """Train in `folder`; the loss by epoch."""
    pairs = world()
    trainee, chosen = made(original, pairs, **settings)
    folder.mkdir(exist_ok=True)
    split = FamilySplit.choose(pairs.families, chosen, seed=1)
    report = train(
        trainee, pairs, split, chosen, seed=1, epochs=chosen.epochs, folder=folder, checkpoint=Checkpoint(None, "")
    )
    return [record.loss for record in report.curve]


def changed(before: Path, after: Path) -> set[str]:
    """Names of the weights that differ between two open_clip folders."""
    first, second = (load_open_clip(str(folder)).model.state_dict() for folder in (before, after))
    assert first.keys() == second.keys(), "the architecture changed"
    return {name for name, value in first.items() if not torch.equal(value, second[name])}


def trainable(trainee: Trainee) -> set[str]:
    chosen = {id(parameter) for group in trainee.groups for parameter in group["params"]}
    return {name for name, parameter in trainee.model.named_parameters() if id(parameter) in chosen}


def test_the_pictures_have_the_size_the_model_reads(original: Path) -> None:
    assert image_size(ClipSettings(), load_open_clip(str(original))) == (32, 32)
    assert image_size(ClipSettings(), None) == (96, 64)


def test_both_towers_learn_and_what_is_saved_loads_as_open_clip(original: Path, tmp_path: Path) -> None:
    losses = tuned(original, tmp_path / "out")
    assert losses[-1] < 0.85 * losses[0]
    names = changed(original, tmp_path / "out")
    assert any(name.startswith("visual.") for name in names)
    assert any(name.startswith("transformer.") for name in names)
    encoder = ClipEncoder(tmp_path / "out", device="cpu")
    assert encoder.encode_texts(["a red hat"]).shape == (1, 24)
    tall = Image.new("RGB", (10, 60), (200, 0, 0))
    wide = Image.new("RGB", (60, 10), (200, 0, 0))
    seen = encoder.encode_images([tall, wide])
    assert not np.allclose(seen[0], seen[1]), "the picture was cropped to its middle, not fitted in"


def test_the_rate_falls_from_block_to_block_and_vectors_do_not_decay(original: Path) -> None:
    trainee, settings = made(original, world(), layer_decay=0.5)
    rate: dict[int, tuple[float, float]] = {
        id(parameter): (group["base_lr"], group["weight_decay"])
        for group in trainee.groups
        for parameter in group["params"]
    }
    of = {name: rate[id(parameter)] for name, parameter in trainee.model.named_parameters()}
    top, full = "visual.transformer.resblocks.2.mlp.c_fc.weight", settings.tune_learning_rate
    assert of["visual.proj"][0] == full
    assert of[top][0] == pytest.approx(full / 2)
    assert of["visual.transformer.resblocks.0.mlp.c_fc.weight"][0] == pytest.approx(full / 8)
    assert of["visual.conv1.weight"][0] == pytest.approx(full / 16)
    assert of["transformer.resblocks.0.mlp.c_fc.weight"][0] == pytest.approx(full / 8)
    assert of["token_embedding.weight"][0] == of["positional_embedding"][0] == pytest.approx(full / 16)
    assert of[top][1] > 0
    assert of["visual.transformer.resblocks.2.mlp.c_fc.bias"][1] == 0
    assert of["logit_scale"] == (full, 0)


def test_lower_blocks_can_be_frozen(original: Path, tmp_path: Path) -> None:
    tuned(original, tmp_path / "out", trainable_blocks=1, epochs=1)
    names = changed(original, tmp_path / "out")
    assert "visual.transformer.resblocks.2.mlp.c_fc.weight" in names
    assert "visual.proj" in names
    assert not any("resblocks.0." in name or "resblocks.1." in name or "embedding" in name for name in names)


def test_the_text_tower_can_be_frozen(original: Path, tmp_path: Path) -> None:
    tuned(original, tmp_path / "out", text_tower="frozen", epochs=1)
    names = changed(original, tmp_path / "out")
    assert names
    assert all(name.startswith(("visual.", "logit_scale")) for name in names)


def test_adapters_are_small_and_merged_when_saved(original: Path, tmp_path: Path) -> None:
    whole, _ = made(original, world())
    adapted, _ = made(original, world(), lora_rank=2)
    sizes = [sum(p.numel() for group in one.groups for p in group["params"]) for one in (whole, adapted)]
    assert sizes[1] < 0.2 * sizes[0]
    assert any("lora_A" in name for name in trainable(adapted))
    losses = tuned(original, tmp_path / "out", lora_rank=2, layer_decay=1.0)
    assert losses[-1] < losses[0]
    names = changed(original, tmp_path / "out")
    assert "visual.transformer.resblocks.0.mlp.c_fc.weight" in names
    assert "visual.transformer.resblocks.0.attn.in_proj_weight" in names
    assert "visual.conv1.weight" not in names
    assert "token_embedding.weight" not in names


def test_the_sentence_encoder_can_take_the_text_towers_place(original: Path, tmp_path: Path) -> None:
    losses = tuned(original, tmp_path / "out", text_tower="sentences", learning_rate=3e-3)
    assert losses[-1] < 0.9 * losses[0]
    encoder = ClipEncoder(tmp_path / "out", sentences=ColourWords(), device="cpu")
    assert encoder.encode_texts(["a red hat"]).shape == (1, 24)
    with pytest.raises(ValueError, match="no sentence encoder"):
        pretrained_trainee(
            load_open_clip(str(original)),
            ["a"],
            np.ones(1, np.bool_),
            None,
            ClipSettings(model=str(original), text_tower="sentences"),
            seed=1,
            fingerprint="",
        )


@pytest.mark.parametrize("changes", [{"lora_rank": 2}, {"text_tower": "sentences"}])
def test_new_weights_follow_from_the_seed(original: Path, changes: dict[str, Any]) -> None:
    states = []
    for disturbance in (0, 7):
        torch.rand(disturbance)
        states.append(made(original, world(), **changes)[0].model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_activation_goes_with_the_image_tower(original: Path) -> None:
    loaded = load_open_clip(str(original))
    loaded.config["quick_gelu"] = True
    settings = ClipSettings(model=str(original), text_tower="sentences", **BASE)
    pairs = world()
    used = np.ones(len(pairs), dtype=np.bool_)
    model = pretrained_trainee(loaded, pairs.texts, used, ColourWords(), settings, seed=1, fingerprint="").model
    assert any(type(module).__name__ == "QuickGELU" for module in model.visual.modules())


def test_the_sigmoid_loss_adds_its_bias_to_a_model_without_one(original: Path, tmp_path: Path) -> None:
    losses = tuned(original, tmp_path / "out", loss="sigmoid")
    assert losses[-1] < losses[0]
    assert load_open_clip(str(tmp_path / "out")).model.logit_bias is not None
