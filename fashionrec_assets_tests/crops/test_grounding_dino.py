"""A Grounding DINO of the real classes, tiny and with random weights, loaded by path, offline."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.crops import grounding_dino
from fashionrec_assets.crops.grounding import make_grounder
from fashionrec_assets.crops.grounding_dino import Candidate, GroundingDinoGrounder, choose, find_source
from fashionrec_assets.resources.models import ModelUnavailableError
from fashionrec_assets.settings import CropSettings
from fashionrec_assets_tests.crops import tiny_dino
from fashionrec_assets_tests.crops.scenes import cluttered, figure, packshot

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dino.grounding_dino(tmp_path_factory.mktemp("dino") / "tiny")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a grounder given a local path reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def grounder(folder: Path | str, **changes: Any) -> GroundingDinoGrounder:
    wanted = {"provider": "grounding_dino", "model": str(folder), "box_threshold": 0.5, **changes}
    made = make_grounder(CropSettings.model_validate(wanted))
    assert isinstance(made, GroundingDinoGrounder)
    return made


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


PHOTOS = [packshot()[0], noise(100, 80), figure()["shoes"][0], noise(90, 260), cluttered()[0], noise(400, 150)]
KINDS = ["dress", "Hat/beanie", "shoes", None, "T-shirt", "连衣裙"]


def test_low_thresholds_give_boxes_inside_photos_of_mixed_sizes(folder: Path) -> None:
    found = grounder(folder, batch_size=3).find_batch(PHOTOS, KINDS)
    assert {one.location.method for one in found} == {"grounding_dino"}
    for photo, one in zip(PHOTOS, found, strict=True):
        x0, y0, x1, y1 = one.location.box
        assert 0 <= x0 < x1 <= photo.shape[1]
        assert 0 <= y0 < y1 <= photo.shape[0]
        assert 0.5 < one.location.confidence <= 1
        assert (x1 - x0) * (y1 - y0) >= 0.01 * photo.shape[0] * photo.shape[1]
        assert one.mask.shape == photo.shape[:2]
        assert one.mask.any()
        assert one.mask[y0:y1, x0:x1].sum() == one.mask.sum()


def test_a_photos_boxes_do_not_depend_on_the_batch(folder: Path) -> None:
    settings = CropSettings(model=str(folder), box_threshold=0.0, batch_size=4)
    detector = grounding_dino.Detector(find_source(str(folder), None), settings)
    asked = ["dress .", "hat . beanie .", "shoes .", "clothing . bag .", "t-shirt . tee . top . shirt .", "coat ."]
    together = dict(detector.search(PHOTOS, asked))
    backwards = dict(detector.search(PHOTOS[::-1], asked[::-1]))
    for number, (photo, prompt) in enumerate(zip(PHOTOS, asked, strict=True)):
        alone = dict(detector.search([photo], [prompt]))[0]
        for other in (together[number], backwards[len(PHOTOS) - 1 - number]):
            assert isinstance(alone, list) and isinstance(other, list)
            assert len(alone) == len(other) == 20
            by_score = sorted(alone, key=lambda one: one.score), sorted(other, key=lambda one: one.score)
            np.testing.assert_allclose(*([one.score for one in side] for side in by_score), atol=1e-5)
            np.testing.assert_allclose(*([one.box for one in side] for side in by_score), atol=0.02)


def test_the_prompt_matters(folder: Path) -> None:
    model = grounder(folder)
    assert model.locate_batch([PHOTOS[1]], ["dress"]) != model.locate_batch([PHOTOS[1]], ["shoes"])
    unknown = model.find_in_categories([PHOTOS[1]], ["Luna"], ["Shoes"])
    assert unknown[0].location != model.find_batch([PHOTOS[1]], ["Luna"])[0].location


def test_no_box_over_the_threshold_keeps_the_whole_photo_and_says_so(folder: Path) -> None:
    for photo, one in zip(PHOTOS, grounder(folder, box_threshold=0.999).find_batch(PHOTOS, KINDS), strict=True):
        assert one.location.box == (0, 0, photo.shape[1], photo.shape[0])
        assert (one.location.method, one.location.reason) == ("whole_image", grounding_dino.NOTHING)
        assert one.location.confidence == 0
        assert one.mask.any()


def test_boxes_that_stand_for_no_word_are_left_out(folder: Path) -> None:
    (location,) = grounder(folder, text_threshold=0.999).locate_batch([PHOTOS[0]], ["dress"])
    assert location.reason == grounding_dino.ABSURD


@pytest.mark.parametrize("shape", [(1, 9), (900, 2), (3, 3000)])
def test_a_sliver_of_a_photo_is_not_searched(folder: Path, shape: tuple[int, int]) -> None:
    sliver, usual = grounder(folder).locate_batch([noise(*shape), PHOTOS[0]], ["dress", "dress"])
    assert sliver.reason == grounding_dino.NARROW
    assert usual.method == "grounding_dino"


def test_a_photo_the_processor_refuses_keeps_the_others(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = grounder(folder)
    model.locate_batch([PHOTOS[0]], ["dress"])
    detector = model._detector
    accepted = detector._processor.image_processor

    def fussy(images: list[NDArray[np.uint8]], **rest: Any) -> Any:
        if images[0].shape[:2] == PHOTOS[1].shape[:2]:
            raise ValueError("Unable to infer channel dimension format")
        return accepted(images=images, **rest)

    detector._processor.image_processor = fussy
    usual, refused = model.locate_batch(PHOTOS[:2], KINDS[:2])
    assert usual.method == "grounding_dino"
    assert refused.reason == grounding_dino.REFUSED
    assert "kept whole" in caplog.text


def test_a_single_pixel_and_no_photo_at_all_are_no_errors(folder: Path) -> None:
    model = grounder(folder)
    assert model.find_batch([], []) == []
    assert model.locate_batch([noise(1, 1)], ["dress"])[0].box == (0, 0, 1, 1)


def test_a_batch_that_does_not_fit_into_memory_is_halved(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    import torch

    photos, kinds = [PHOTOS[0]] * 3, ["dress", "shoes", "hat"]
    expected = grounder(folder).locate_batch(photos, kinds)
    model = grounder(folder)
    detector = model._detector
    fits = detector._model

    def small(pixel_values: Any, **rest: Any) -> Any:
        if len(pixel_values) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fits(pixel_values=pixel_values, **rest)

    detector._model = small
    assert model.locate_batch(photos, kinds) == expected
    assert "lower crops.batch_size" in caplog.text


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_gives_boxes_too(folder: Path, precision: str) -> None:
    lower = grounder(folder, precision=precision)
    assert all(one.method == "grounding_dino" for one in lower.locate_batch(PHOTOS[:2], KINDS[:2]))
    assert lower.version != grounder(folder).version


def test_a_gpu_finds_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    on_gpu = grounder(folder).locate_batch(PHOTOS, KINDS)
    monkeypatch.setattr(grounding_dino, "best_device", lambda: "cpu")
    on_cpu = grounder(folder).locate_batch(PHOTOS, KINDS)
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert one.method == other.method
        np.testing.assert_allclose(one.box, other.box, atol=2)


# Which model, and what its version says


def test_the_version_follows_content_and_settings_but_not_the_path_or_the_batch(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / folder.name
    shutil.copytree(folder, moved)
    version = grounder(folder).version
    assert version.startswith("tiny@")
    assert grounder(moved, batch_size=1).version == version
    other = tiny_dino.grounding_dino(tmp_path / "other" / "tiny", seed=1)
    versions = [
        grounder(other).version,
        grounder(folder, box_threshold=0.4).version,
        grounder(folder, text_threshold=0.4).version,
    ]
    assert len({version, *versions}) == 4


def test_asking_for_the_version_loads_no_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grounding_dino, "Detector", None)
    assert grounder(folder).version


def test_a_hub_model_is_recorded_by_its_commit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    cache = tmp_path / "models--someone--detector"
    shutil.copytree(folder, cache / "snapshots" / COMMIT)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(COMMIT, "utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = grounder("someone/detector")
    assert model.source.commit == COMMIT
    assert model.version.startswith(f"someone/detector@{COMMIT[:16]}")
    assert model.version == grounder("someone/detector", revision=COMMIT).version
    assert model.locate_batch(PHOTOS, KINDS) == grounder(folder).locate_batch(PHOTOS, KINDS)
    with pytest.raises(ModelUnavailableError, match=r"crops\.revision"):
        grounder("someone/detector", revision="no-such-branch")
    with pytest.raises(ModelUnavailableError, match=r"set crops\.provider to segmentation"):
        grounder("someone/else")


def test_a_missing_folder_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="does not exist"):
        grounder(tmp_path / "nothing")


def test_a_folder_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match=r"check crops\.model"):
        grounder(tmp_path).find_batch(PHOTOS[:1], KINDS[:1])


def test_damaged_and_foreign_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    (cut / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(ModelUnavailableError, match="could not be loaded"):
        grounder(cut).find_batch(PHOTOS[:1], KINDS[:1])
    partial = tmp_path / "partial"
    shutil.copytree(folder, partial)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "decoder" not in name}
    save_file(kept, partial / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailableError, match=r"weights .* are missing"):
        grounder(partial).find_batch(PHOTOS[:1], KINDS[:1])
    foreign = tmp_path / "foreign"
    shutil.copytree(folder, foreign)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (foreign / "config.json").write_text(json.dumps({**config, "model_type": "bert"}), "utf-8")
    with pytest.raises(ModelUnavailableError):
        grounder(foreign).find_batch(PHOTOS[:1], KINDS[:1])


# The choice among boxes


PHOTO = np.zeros((200, 100, 3), np.uint8)


def candidate(box: tuple[float, float, float, float], score: float, words: str = "dress") -> Candidate:
    return Candidate(box, score, words)


def test_the_highest_score_wins_unless_it_lies_far_off_the_middle() -> None:
    middle = candidate((20, 50, 80, 150), 0.60)
    corner = candidate((0, 0, 20, 40), 0.70)
    assert choose([corner, middle], PHOTO, 0.02).box == (20, 50, 80, 150)
    certain = candidate((0, 0, 20, 40), 0.95)
    assert choose([certain, middle], PHOTO, 0.02).box == (0, 0, 20, 40)
    assert choose([certain, middle], PHOTO, 0.02).confidence == 0.95


def test_of_equal_scores_the_larger_box_wins() -> None:
    small, large = candidate((40, 80, 60, 120), 0.5), candidate((10, 20, 90, 180), 0.5)
    assert choose([small, large], PHOTO, 0.02) == choose([large, small], PHOTO, 0.02)
    assert choose([small, large], PHOTO, 0.02).box == (10, 20, 90, 180)


def test_a_box_is_clipped_to_the_photo() -> None:
    assert choose([candidate((-10.4, -5, 60, 120.6), 0.5)], PHOTO, 0.02).box == (0, 0, 60, 121)


@pytest.mark.parametrize(
    "absurd",
    [
        candidate((40, 90, 45, 95), 0.9),
        candidate((10, 10, 90, 14), 0.9),
        candidate((70, 0, 170, 200), 0.9),
        candidate((150, 250, 180, 300), 0.9),
        candidate((60, 50, 20, 150), 0.9),
        candidate((50, 50, 50, 150), 0.9),
        candidate((float("nan"), 50, 80, 150), 0.9),
        candidate((20, 50, float("inf"), 150), 0.9),
        candidate((20, 50, 80, 150), 0.9, words=""),
    ],
    ids=["small", "sliver", "mostly outside", "outside", "reversed", "empty", "nan", "inf", "wordless"],
)
def test_absurd_boxes_are_left_out(absurd: Candidate) -> None:
    usual = candidate((20, 50, 80, 150), 0.4)
    assert choose([absurd, usual], PHOTO, 0.02).box == (20, 50, 80, 150)
    alone = choose([absurd], PHOTO, 0.02)
    assert (alone.method, alone.reason, alone.box) == ("whole_image", grounding_dino.ABSURD, (0, 0, 100, 200))
