"""Training a CLIP model: it learns, repeats itself bit by bit, goes on after a kill, and keeps families apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fashionrec_assets.divergence import TrainingDivergedError
from fashionrec_assets.embeddings import clip_training, compact_clip, trainees
from fashionrec_assets.embeddings.checkpoints import Checkpoint
from fashionrec_assets.embeddings.clip import ClipEncoder
from fashionrec_assets.embeddings.clip_data import Pairs
from fashionrec_assets.embeddings.clip_split import FamilySplit
from fashionrec_assets.embeddings.clip_training import TrainingReport, epochs_for, train
from fashionrec_assets.embeddings.trainees import compact_trainee
from fashionrec_assets.resources.models import ModelUnavailableError
from fashionrec_assets.settings import ClipSettings
from fashionrec_assets_tests.embeddings.tiny import ColourWords, colour_world

SETTINGS = ClipSettings(
    image_height=32,
    image_width=24,
    embed_dim=16,
    epochs=6,
    patience=10,
    least_presented=0,
    batch_size=32,
    learning_rate=4e-3,
)


class Killed(BaseException):
    pass


def world(count: int = 240, seed: int = 1) -> Pairs:
    images, texts = colour_world(count, seed=seed)
    return Pairs(images, texts, [f"family {number // 2}" for number in range(count)], [text[-3:] for text in texts])


def trained_in(
    folder: Path,
    pairs: Pairs,
    settings: ClipSettings = SETTINGS,
    *,
    seed: int = 5,
    state: Path | None = None,
    start: Path | None = None,
    die_after: int | None = None,
) -> TrainingReport:
    split = FamilySplit.choose(pairs.families, settings, seed=seed)
    used = split.parts(pairs.families) == "train"

    def progress(done: int, total: int) -> None:
        if done == die_after:
            raise Killed

    return train(
        compact_trainee(pairs.texts, used, ColourWords(), settings, seed=seed, fingerprint="abc", start=start),
        pairs,
        split,
        settings,
        seed=seed,
        epochs=epochs_for(settings, int(used.sum()), warm=start is not None),
        folder=folder,
        checkpoint=Checkpoint(state, "abc"),
        progress=progress,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingReport]:
    folder = tmp_path_factory.mktemp("clip")
    return folder, trained_in(folder, world())


def accuracy(folder: Path) -> float:
    """Of unseen pictures of twelve kinds, the share whose own sentence is the nearest; chance is 0.08."""
    images, texts = colour_world(120, seed=99)
    encoder = ClipEncoder(folder, sentences=ColourWords(), device="cpu")
    by_image = encoder.encode_images([Image.fromarray(image) for image in images])
    names = sorted(set(texts))
    best = (by_image @ encoder.encode_texts(names).T).argmax(1)
    return float(np.mean([names[place] == text for place, text in zip(best, texts, strict=True)]))


def test_the_loss_falls_and_retrieval_of_unseen_pairs_beats_chance(trained: tuple[Path, TrainingReport]) -> None:
    folder, report = trained
    assert report.validation >= 8
    assert report.pairs + report.validation < 240, "the test part was trained on"
    assert report.curve[-1].loss < 0.7 * report.curve[0].loss
    assert accuracy(folder) > 0.5


def test_the_same_arguments_give_the_same_bytes(trained: tuple[Path, TrainingReport], tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    for folder in (again, other):
        folder.mkdir()
    trained_in(again, world())
    trained_in(other, world(), SETTINGS.model_copy(update={"epochs": 1}), seed=6)
    weights = [(place / compact_clip.WEIGHTS).read_bytes() for place in (trained[0], again, other)]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_the_test_part_does_not_shape_the_weights(trained: tuple[Path, TrainingReport], tmp_path: Path) -> None:
    pairs = world()
    held = FamilySplit.load(trained[0]).parts(pairs.families) == "test"
    assert 20 < held.sum() < 80
    images = pairs.images.copy()
    images[held] = 0
    # Other words of equal number: the vocabulary must not see them either.
    texts = ["a coat" if out else text for text, out in zip(pairs.texts, held.tolist(), strict=True)]
    trained_in(tmp_path, Pairs(images, texts, pairs.families, pairs.kinds))
    assert (tmp_path / compact_clip.WEIGHTS).read_bytes() == (trained[0] / compact_clip.WEIGHTS).read_bytes()


def test_a_killed_training_goes_on_to_the_same_weights(
    trained: tuple[Path, TrainingReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_training, "CHECKPOINT_SECONDS", 0.0)
    state, folder = tmp_path / "state.safetensors", tmp_path / "model"
    folder.mkdir()
    with pytest.raises(Killed):
        trained_in(folder, world(), state=state, die_after=4)
    assert state.is_file()
    seen: list[int] = []
    pairs = world()
    split = FamilySplit.choose(pairs.families, SETTINGS, seed=5)
    used = split.parts(pairs.families) == "train"
    report = train(
        compact_trainee(pairs.texts, used, ColourWords(), SETTINGS, seed=5, fingerprint="abc"),
        pairs,
        split,
        SETTINGS,
        seed=5,
        epochs=6,
        folder=folder,
        checkpoint=Checkpoint(state, "abc"),
        progress=lambda done, total: seen.append(done),
    )
    assert seen == [5, 6], "epochs before the kill were trained again"
    assert report.curve == trained[1].curve
    assert (folder / compact_clip.WEIGHTS).read_bytes() == (trained[0] / compact_clip.WEIGHTS).read_bytes()
    again = trained_in(folder, world(), state=state)
    assert again.curve == trained[1].curve, "a finished training that was not recorded is not repeated"


def test_a_short_training_is_written_down_once_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, tensors, facts: writes.append(len(facts["curve"])))
    settings = SETTINGS.model_copy(update={"epochs": 2, "least_presented": 0})
    assert len(trained_in(tmp_path, world(60), settings, state=tmp_path / "state").curve) == 2
    assert writes == [2]


def test_a_warm_start_takes_fewer_epochs_and_forgets_nothing(
    trained: tuple[Path, TrainingReport], tmp_path: Path
) -> None:
    assert epochs_for(SETTINGS, 200, warm=True) == round(6 * SETTINGS.warm_start)
    assert epochs_for(SETTINGS.model_copy(update={"least_presented": 4000}), 200, warm=False) == 20
    report = trained_in(tmp_path, world(300), start=trained[0])
    assert len(report.curve) < 6
    assert accuracy(tmp_path) >= accuracy(trained[0]) - 0.1
    assert report.curve[0].loss < 0.8 * trained[1].curve[0].loss, "it did not start from the weights it was given"


def test_training_in_bfloat16_learns_and_repeats_itself(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"training_precision": "bfloat16", "epochs": 2})
    reports = []
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        reports.append(trained_in(tmp_path / name, world(), settings))
    assert reports[0].curve[-1].loss < reports[0].curve[0].loss
    first, again = (load_file(tmp_path / name / compact_clip.WEIGHTS) for name in ("first", "again"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(value.dtype != torch.bfloat16 for value in first.values()), "the weights themselves were rounded"


@pytest.mark.parametrize(("asked", "told", "taken"), [("auto", True, "bfloat16"), ("auto", False, "float32")])
def test_training_is_in_the_precision_that_the_device_multiplies(
    monkeypatch: pytest.MonkeyPatch, asked: str, told: bool, taken: str
) -> None:
    monkeypatch.setattr(trainees, "multiplies_bfloat16", lambda device: told)
    settings = SETTINGS.model_copy(update={"training_precision": asked})
    assert trainees.training_precision(settings, torch.device("cpu")) == taken
    exact = SETTINGS.model_copy(update={"training_precision": "float32"})
    assert trainees.training_precision(exact, torch.device("cpu")) == "float32"


@pytest.mark.parametrize(("shape", "stride"), [((6, 4), 2), ((3, 2), 1), ((5, 3), 2), ((1, 1), 1)])
def test_a_product_of_matrices_is_the_convolution_of_a_small_map(shape: tuple[int, int], stride: int) -> None:
    torch.manual_seed(1)
    plain = torch.nn.Conv2d(16, 8, 3, stride, 1, bias=False).bfloat16()
    small = compact_clip.SmallMapConv.like(plain)
    assert small.weight is plain.weight
    pixels = torch.randn(5, 16, *shape).bfloat16().requires_grad_()
    wanted, found = plain(pixels), small(pixels)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, atol=2e-2, rtol=2e-2)
    back = torch.randn_like(wanted)
    for a, b in zip(*(torch.autograd.grad(out, (pixels, plain.weight), back) for out in (wanted, found)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-1, rtol=5e-2)


def test_the_sigmoid_loss_learns_too(tmp_path: Path) -> None:
    report = trained_in(tmp_path, world(), SETTINGS.model_copy(update={"loss": "sigmoid"}))
    assert report.curve[-1].loss < 0.8 * report.curve[0].loss
    assert accuracy(tmp_path) > 0.4


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 60, "patience": 3})
    report = trained_in(tmp_path, world(120), settings)
    assert report.stopped == "patience"
    assert len(report.curve) == report.best_epoch + 3
    assert report.best.mrr == max(record.mrr for record in report.curve if record.mrr is not None)


def test_a_training_that_diverges_is_an_error_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(TrainingDivergedError, match=r"diverged.* in epoch 1, step 2.*lower clip\.learning_rate"):
        trained_in(tmp_path, world(), SETTINGS.model_copy(update={"learning_rate": 1e20}))
    assert not (tmp_path / compact_clip.WEIGHTS).exists()


def test_what_is_saved_is_what_is_loaded(trained: tuple[Path, TrainingReport]) -> None:
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


def test_the_id_follows_the_training_and_the_text_encoder_must_fit(trained: tuple[Path, TrainingReport]) -> None:
    folder, _ = trained
    assert ClipEncoder(folder, device="cpu").model_id == "compact:abc"

    class Other(ColourWords):
        model_id = "other"

    with pytest.raises(ModelUnavailableError, match="reads sentence vectors of colour-words"):
        ClipEncoder(folder, sentences=Other(), device="cpu")
    with pytest.raises(ModelUnavailableError, match="pass its sentence encoder"):
        ClipEncoder(folder, device="cpu").encode_texts(["a hat"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_vectors_are_unit_and_independent_of_their_batch(trained: tuple[Path, TrainingReport], precision: str) -> None:
    folder, _ = trained
    images = [Image.fromarray(image) for image in colour_world(9, seed=3)[0]]
    encoder = ClipEncoder(folder, sentences=ColourWords(), batch_size=4, precision=precision, device="cpu")
    together = encoder.encode_images(images)
    assert together.shape == (9, encoder.dim)
    assert together.dtype == np.float32
    tolerance = 1e-5 if precision == "float32" else 1e-2
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=tolerance)
    alone = np.concatenate([encoder.encode_images([image]) for image in images])
    np.testing.assert_allclose(together, alone, atol=tolerance)
    assert encoder.encode_images([]).shape == (0, encoder.dim)
    texts = ["a red hat", "a blue shoe"]
    np.testing.assert_allclose(
        encoder.encode_texts(texts), encoder.project_sentences(texts, ColourWords().encode(texts)), atol=1e-6
    )


def test_a_damaged_or_foreign_folder_is_refused(trained: tuple[Path, TrainingReport], tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="holds neither"):
        ClipEncoder(tmp_path)
    folder, _ = trained
    config = json.loads((folder / "config.json").read_text())
    config["model_cfg"]["embed_dim"] = 8
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="do not fit"):
        compact_clip.load(tmp_path)


def test_a_catalog_too_small_to_learn_from_says_so(tmp_path: Path) -> None:
    images, _ = colour_world(4, seed=1)
    quick = SETTINGS.model_copy(update={"epochs": 1})
    with pytest.raises(ValueError, match="two different descriptions"):
        trained_in(tmp_path, Pairs(images, ["a hat"] * 4, list("abcd"), [""] * 4), quick)
    texts = ["a hat", "a shoe", "a red hat", "a blue hat"]
    report = trained_in(tmp_path, Pairs(images, texts, list("abcd"), [""] * 4), quick)
    assert report.validation == 0
    assert report.best.mrr is None


@pytest.mark.parametrize("pays", [True, False])
def test_the_image_tower_is_compiled_where_that_pays_for_all_steps(monkeypatch: pytest.MonkeyPatch, pays: bool) -> None:
    asked: list[tuple[str, int]] = []
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr(clip_training, "compiling_pays", lambda *what: asked.append(what) or pays)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(module))
    pairs = world(64)
    trainee = compact_trainee(pairs.texts, np.ones(64, bool), ColourWords(), SETTINGS, seed=5, fingerprint="abc")
    clip_training._Run(trainee, pairs, np.full(64, "train"), SETTINGS.model_copy(update={"batch_size": 4}), 3)
    assert asked == [("cpu", 16 * 3)]
    assert compiled == [trainee.model.visual] * pays
