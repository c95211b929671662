"""Grounding DINO as a grounder: an item's words and its photo to the box those words are about.

Belongs here: finding and loading the model, batching, and choosing one of its boxes. Does not belong here: the words it
is asked for (`prompts.py`), margins (`grounding.cut`).

The model is Grounding DINO (Liu et al. 2023, arXiv 2303.05499) through transformers, used as VL-CLIP (arXiv 2507.17080)
does: the best region over a threshold is the crop. What happens when there is none is not published; here the whole
photo is taken, and the reason recorded.

torch and transformers are imported where they are used: making a grounder, and asking its version, loads no weights.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionrec_assets.crops import prompts
from fashionrec_assets.crops.backdrop import without_backdrop
from fashionrec_assets.crops.grounding import Box, Found, Location, Photo, whole_image
from fashionrec_assets.resources.models import ModelUnavailableError, best_device, folder_digest, quiet_transformers
from fashionrec_assets.settings import CropSettings, digest

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

MODEL_TYPES = ("grounding-dino", "mm-grounding-dino")
"""The configurations whose models and processors this module knows how to ask."""

SLIMMEST = 8.0
"""Longer side by shorter side, of photos and of boxes: beyond it a photo is not searched and a box is a sliver."""
LEAST_INSIDE = 0.5
"""Share of a box that must lie inside the photo."""
OFF_CENTRE = 0.3
"""How much of its score a box in the very corner of the photo loses."""
CANVAS = 32
"""Pixels; a photo is padded to the next multiple of this on each side."""
LEAST_CANVAS = 128
"""Pixels; and to this at the least, for the model normalises over the places of its coarsest features, 64 apart."""

NARROW = "photo too narrow to search"
REFUSED = "the model's processor refuses the photo"
NOTHING = "no box over the threshold"
ABSURD = "no sensible box"


@dataclass(frozen=True)
class Candidate:
    """A box the model proposes, as (x0, y0, x1, y1) in pixels of the photo, its score, and the words it stands for."""

    box: tuple[float, float, float, float]
    score: float
    words: str


@dataclass(frozen=True)
class Source:
    """Where a model comes from: what transformers loads, at which commit (None: a folder), and its id for records."""

    path: str
    commit: str | None
    model_id: str


class GroundingDinoGrounder:
    """Boxes from a Grounding DINO.

    `settings.model` is an id on the Hugging Face hub or a local folder; only an id ever reaches the network. `version`
    names the weights (the commit of a hub model, the content of a folder) and everything else that changes a box.
    ModelUnavailableError, saying what to do, if the model cannot be had.

    A photo's box does not depend on the others in its batch, beyond float noise. Padding masks alone would not give
    that: the model's Swin backbone and group normalisation see padded pixels. Therefore a photo is padded to a size
    that follows from its own size only, and photos of one such size share a batch; prompts may differ within it, for
    the padding of text is masked everywhere.
    """

    name = "grounding_dino"

    def __init__(self, settings: CropSettings) -> None:
        self._settings = settings
        self.source = find_source(settings.model, settings.revision)

    @cached_property
    def version(self) -> str:
        chosen = {
            "algorithm": "1",
            "words": [prompts.SYNONYMS, prompts.ANYTHING],
            "model": self.source.model_id,
            "thresholds": [self._settings.box_threshold, self._settings.text_threshold],
            "precision": self._settings.precision,
        }
        return f"{self.source.model_id}-{digest(chosen)[:12]}"

    @cached_property
    def _detector(self) -> Detector:
        return Detector(self.source, self._settings)

    def find_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Found]:
        return self.find_in_categories(photos, product_types, [None] * len(photos))

    def locate_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Location]:
        return [found.location for found in self.find_batch(photos, product_types)]

    def find_in_categories(
        self, photos: Sequence[Photo], product_types: Sequence[str | None], categories: Sequence[str | None]
    ) -> list[Found]:
        asked = [prompts.prompt_of(*words) for words in zip(product_types, categories, strict=True)]
        located: dict[int, Location] = {}
        for number, answer in self._detector.search(photos, asked):
            photo = photos[number]
            if isinstance(answer, str):
                located[number] = whole_image(photo, answer)
            else:
                located[number] = choose(answer, photo, self._settings.min_area)
        return [
            Found(located[number], without_backdrop(photo, located[number].box)) for number, photo in enumerate(photos)
        ]


def choose(candidates: Sequence[Candidate], photo: Photo, min_area: float) -> Location:
    """The best of the boxes over the threshold, clipped to the photo; else the whole photo, with the reason.

    Left out are boxes that stand for no word, are not finite, lie mostly outside the photo, are slivers, or take less
    than `min_area` of the photo. Of the others the one with the highest score wins, where a score is lowered with the
    distance of the box's centre from the photo's (by `OFF_CENTRE` in a corner): a product photo has its product in the
    middle, and beside it what the model is wearing too. Of equals the larger wins.
    """
    if not candidates:
        return whole_image(photo, NOTHING)
    height, width = photo.shape[:2]
    ranked: list[tuple[float, float, Box, float]] = []
    for candidate in candidates:
        box = _sane(candidate, width, height, min_area)
        if box is not None:
            x0, y0, x1, y1 = box
            across, down = (x0 + x1) / width - 1, (y0 + y1) / height - 1
            distance = math.hypot(across, down) / math.sqrt(2)
            area = (x1 - x0) * (y1 - y0) / (width * height)
            ranked.append((candidate.score * (1 - OFF_CENTRE * distance), area, box, candidate.score))
    if not ranked:
        return whole_image(photo, ABSURD)
    _, _, box, score = max(ranked)
    return Location(box, "grounding_dino", None, round(min(1.0, score), 4))


def _sane(candidate: Candidate, width: int, height: int, min_area: float) -> Box | None:
    """The candidate's box clipped to the photo, whole pixels; None if it cannot be a garment."""
    if not candidate.words or not all(map(math.isfinite, (*candidate.box, candidate.score))):
        return None
    x0, y0, x1, y1 = candidate.box
    across, down = min(x1, width) - max(x0, 0), min(y1, height) - max(y0, 0)
    if across <= 0 or down <= 0 or across * down < LEAST_INSIDE * (x1 - x0) * (y1 - y0):
        return None
    if max(across, down) > SLIMMEST * min(across, down) or across * down < min_area * width * height:
        return None
    box = (round(max(x0, 0)), round(max(y0, 0)), round(min(x1, width)), round(min(y1, height)))
    return box if box[0] < box[2] and box[1] < box[3] else None


def find_source(model: str, revision: str | None) -> Source:
    """Which weights `model` names now, without loading them.

    Of a hub model the commit is looked up (in the local cache when there is no network), unless `revision` is one.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return Source(str(folder), None, f"{folder.resolve().name}@{folder_digest(folder)[:16]}")
    if model.startswith((".", "/", "~")):
        raise ModelUnavailableError(f"crops.model names a folder that does not exist: {model}")
    if revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision):
        return Source(model, revision, f"{model}@{revision[:16]}")
    from huggingface_hub import hf_hub_download

    try:
        # The cache keeps a file under the commit it is of, and is asked alone when there is no network.
        with quiet_transformers():
            config = Path(hf_hub_download(model, "config.json", revision=revision))
    except (OSError, ValueError) as error:
        raise _unavailable(model, revision, error) from error
    commit = config.parent.name
    return Source(model, commit, f"{model}@{commit[:16]}")


def _unavailable(model: str, revision: str | None, error: Exception) -> ModelUnavailableError:
    at = f" at revision {revision!r}" if revision else ""
    return ModelUnavailableError(
        f"the grounding model {model!r}{at} could not be loaded ({type(error).__name__}): check crops.model, "
        "crops.revision and the network, set crops.model to a local folder, or set crops.provider to segmentation, "
        "which needs no model"
    )


@dataclass(frozen=True)
class _Waiting:
    """A photo ready for the model: its place in the input, pixels (3, height, width), (height, width), and prompt."""

    number: int
    pixels: torch.Tensor
    size: tuple[int, int]
    prompt: str


class Detector:
    """The loaded model and its processor."""

    def __init__(self, source: Source, settings: CropSettings) -> None:
        from safetensors import SafetensorError
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        self._settings = settings
        self._device = best_device()
        try:
            with quiet_transformers():
                self._processor: Any = AutoProcessor.from_pretrained(source.path, revision=source.commit)
                model, report = AutoModelForZeroShotObjectDetection.from_pretrained(
                    source.path, revision=source.commit, use_safetensors=True, output_loading_info=True
                )
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise _unavailable(source.path, source.commit, error) from error
        if model.config.model_type not in MODEL_TYPES:
            raise ModelUnavailableError(
                f"crops.model {source.path!r} is a {model.config.model_type} model, but the provider grounding_dino "
                f"needs one of {', '.join(MODEL_TYPES)}"
            )
        _all_there(source, report["missing_keys"], len(model.state_dict()))
        self._model: Any = model.to(self._device).eval()
        self._queries = int(getattr(model.config, "num_queries", 0))
        self._longest_text = int(getattr(model.config, "max_text_len", 256))

    def search(self, photos: Sequence[Photo], asked: Sequence[str]) -> Iterator[tuple[int, list[Candidate] | str]]:
        """(place in the input, boxes over the threshold, or why there was no search), in any order."""
        waiting: dict[tuple[int, int], list[_Waiting]] = {}
        for number, (photo, prompt) in enumerate(zip(photos, asked, strict=True)):
            ready = self._prepare(photo)
            if isinstance(ready, str):
                yield number, ready
                continue
            canvas = (_up(ready.shape[1]), _up(ready.shape[2]))
            # Fewer places than queries is an error inside the model; its finest features are 8 pixels apart.
            if canvas[0] * canvas[1] < 64 * self._queries:
                yield number, NARROW
                continue
            batch = waiting.setdefault(canvas, [])
            batch.append(_Waiting(number, ready, (photo.shape[0], photo.shape[1]), prompt))
            if len(batch) == self._settings.batch_size:
                yield from self._in_memory(waiting.pop(canvas), canvas)
        for canvas, batch in waiting.items():
            yield from self._in_memory(batch, canvas)

    def _prepare(self, photo: Photo) -> torch.Tensor | str:
        """`photo` scaled and normalised by the model's own processor, or why it cannot be."""
        height, width = photo.shape[:2]
        if max(height, width) > SLIMMEST * min(height, width):
            return NARROW
        try:
            # A copy, because torch takes no array that is read-only, as Pillow's are.
            made = self._processor.image_processor(
                images=[photo.copy()], input_data_format="channels_last", return_tensors="pt"
            )
        except (RuntimeError, ValueError) as error:
            _log.warning("a photo of %dx%d pixels is kept whole: %s", width, height, error)
            return REFUSED
        return made["pixel_values"][0]

    def _in_memory(self, batch: Sequence[_Waiting], canvas: tuple[int, int]) -> Iterator[tuple[int, list[Candidate]]]:
        """`_detect` of the batch, or of its halves where the GPU's memory does not hold it: the boxes are the same."""
        import torch

        try:
            found = self._detect(batch, canvas)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            half = len(batch) // 2
            _log.warning("%d photos at once do not fit into memory: lower crops.batch_size", len(batch))
            yield from self._in_memory(batch[:half], canvas)
            yield from self._in_memory(batch[half:], canvas)
            return
        yield from found

    def _detect(self, batch: Sequence[_Waiting], canvas: tuple[int, int]) -> list[tuple[int, list[Candidate]]]:
        import torch

        pixels = torch.zeros((len(batch), 3, *canvas))
        mask = torch.zeros((len(batch), *canvas), dtype=torch.int64)
        for row, one in enumerate(batch):
            _, height, width = one.pixels.shape
            pixels[row, :, :height, :width] = one.pixels
            mask[row, :height, :width] = 1
        text = self._processor.tokenizer(
            [one.prompt for one in batch],
            padding=True,
            truncation=True,
            max_length=self._longest_text,
            return_tensors="pt",
            return_token_type_ids=True,
        )
        inputs = {"pixel_values": pixels, "pixel_mask": mask, **text}
        precision = self._settings.precision
        lower = torch.autocast(self._device, dtype=getattr(torch, precision), enabled=precision != "float32")
        with torch.inference_mode(), lower:
            found = self._model(**{name: value.to(self._device) for name, value in inputs.items()})
        found.logits, found.pred_boxes = found.logits.float(), found.pred_boxes.float()
        answers = self._processor.post_process_grounded_object_detection(
            found,
            inputs["input_ids"],
            threshold=self._settings.box_threshold,
            text_threshold=self._settings.text_threshold,
            target_sizes=[one.size for one in batch],
        )
        boxes: list[tuple[int, list[Candidate]]] = []
        for one, answer in zip(batch, answers, strict=True):
            # Not strict: where there is no box, the processor still gives one empty label.
            rows = zip(answer["boxes"].tolist(), answer["scores"].tolist(), answer["text_labels"], strict=False)
            boxes.append((one.number, [Candidate(tuple(box), score, _words(label)) for box, score, label in rows]))
        return boxes


def _words(label: str) -> str:
    """The words of a decoded label, without the special tokens and full stops between them."""
    return " ".join(re.findall(r"[a-z-]+", re.sub(r"\[[A-Z]+\]", " ", label)))


def _up(pixels: int) -> int:
    return max(LEAST_CANVAS, -(-pixels // CANVAS) * CANVAS)


def _all_there(source: Source, missing: Sequence[str], tensors: int) -> None:
    """Refuse weights of another architecture, which transformers would fill up with random ones."""
    if len(missing) > 0.1 * tensors:
        raise ModelUnavailableError(
            f"{len(missing)} of {tensors} weights of crops.model {source.path!r} are missing: the checkpoint is "
            "damaged or of another architecture"
        )
    if missing:
        _log.warning("%d of %d weights of %s are missing and start random", len(missing), tensors, source.path)
