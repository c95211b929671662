"""Vectors of crops and of text in one space, from any CLIP model that open_clip loads, or from our compact one.

Belongs here: finding and loading a model, encoding with it. Does not belong here: training (`clip_training.py`), the
compact model's modules (`compact_clip.py`).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.decoding import Picture, ahead_of, prepared
from fashionrec_assets.embeddings.images import Preparation, fitted
from fashionrec_assets.embeddings.sentences import SentenceEncoder, no_progress
from fashionrec_assets.embeddings.token_encoders import averaged_patches
from fashionrec_assets.embeddings.token_store import TokenStates
from fashionrec_assets.embeddings.words import WordWeights
from fashionrec_assets.resources.models import ModelUnavailableError, best_device, folder_digest, moved
from fashionrec_assets.storage.files import file_digest

if TYPE_CHECKING:
    from PIL.Image import Image

OPEN_CLIP_CONFIG = "open_clip_config.json"
PROJECTED = 4096
"""Texts whose word weights are in memory at the same time."""


@dataclass(frozen=True)
class OpenClip:
    """A model that open_clip loaded: what reads texts and pictures for it, and its architecture as `model_cfg`."""

    model: Any
    tokenize: Callable[[list[str]], Any]
    preprocess: Callable[[Image], Any]
    model_id: str
    config: dict[str, Any]


def load_open_clip(name: str, pretrained: str | None = None) -> OpenClip:
    """The model `name` (open_clip's name, an `hf-hub:` id or a local folder) with weights `pretrained` (a tag or file).

    ModelUnavailableError if it cannot be had, or has no weights; it says what to do.
    """
    import open_clip

    path = Path(name)
    _refuse_pickles(path, pretrained)
    if path.is_dir():
        source, weights = f"local-dir:{path}", None
        model_id = f"{path.name}@{folder_digest(path)[:16]}"
    elif pretrained is not None and Path(pretrained).is_file():
        source, weights = name, pretrained
        model_id = f"{name}@{file_digest(Path(pretrained))[:16]}"
    elif name.startswith((".", "/", "~")):
        raise ModelUnavailableError(f"clip.model names a folder that does not exist: {name}")
    elif not name.startswith("hf-hub:") and pretrained is None:
        raise ModelUnavailableError(
            f"clip.model is {name!r}, but clip.pretrained is not set: without weights its vectors would be random"
        )
    else:
        source, weights = name, pretrained
        model_id = name if pretrained is None else f"{name}:{pretrained}"
    try:
        with _quiet():
            model, _, preprocess = open_clip.create_model_and_transforms(
                source, pretrained=weights, require_pretrained=True, device="cpu", weights_only=True
            )
            tokenizer = open_clip.get_tokenizer(source)
            config = _architecture(source)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelUnavailableError(
            f"open_clip cannot load {name!r}{f' with weights {pretrained!r}' if pretrained else ''} "
            f"({type(error).__name__}): check the name and the network, or give a local folder with "
            f"{OPEN_CLIP_CONFIG} and weights"
        ) from error
    if source.startswith("hf-hub:"):
        # A hub id can be moved to other weights; the fingerprint must follow the weights.
        model_id = f"{name}@{_state_digest(model)[:16]}"
    return OpenClip(
        model, cast(Callable[[list[str]], Any], tokenizer), cast(Callable[["Image"], Any], preprocess), model_id, config
    )


def _refuse_pickles(folder: Path, pretrained: str | None) -> None:
    """ModelUnavailableError if local weights are no safetensors: other files of weights are pickles."""
    if folder.is_dir():
        held = not any(folder.glob("*.safetensors")) and (*folder.glob("*.bin"), *folder.glob("*.pt*"))
    else:
        held = pretrained is not None and Path(pretrained).is_file() and not pretrained.endswith(".safetensors")
    if held:
        raise ModelUnavailableError(
            f"the weights of {folder.name!r} are a pickle, which can run code when it is read: convert them to "
            "safetensors (`safetensors.torch.save_file`)"
        )


def _architecture(source: str) -> dict[str, Any]:
    """open_clip's `model_cfg` of what `source` names."""
    schema, _, rest = source.partition(":")
    if schema == "local-dir":
        path = Path(rest) / OPEN_CLIP_CONFIG
    elif schema == "hf-hub":
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(rest, OPEN_CLIP_CONFIG))
    else:
        import open_clip

        # open_clip itself reads "ViT-B/32" so, but only where it makes the model.
        config = open_clip.get_model_config(source.replace("/", "-"))
        if config is None:
            raise ValueError(f"open_clip has no configuration of {source!r}")
        return cast(dict[str, Any], config)
    return cast(dict[str, Any], json.loads(path.read_text("utf-8"))["model_cfg"])


class ClipEncoder:
    """Images and texts to unit vectors.

    `model` is a folder that training wrote, a folder with `open_clip_config.json` and weights, an open_clip model
    name (with `pretrained`: a tag, or a weights file), or `hf-hub:` and an id; only a name or an id ever reaches the
    network. A compact model needs `sentences`, the encoder it was trained against, to encode texts. `precision` is that
    of the matrix products; vectors are float32 in any case.

    `model_id` names the weights, for fingerprints. A row's vector does not depend on the other rows beyond float
    noise (about 1e-6): normalisation layers are frozen, only the order of additions follows the batch's shape.
    ModelUnavailableError if the model cannot be had; it says what to do.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        pretrained: str | None = None,
        sentences: SentenceEncoder | None = None,
        batch_size: int = 64,
        precision: str = "float32",
        device: str | None = None,
    ) -> None:
        import torch

        self._device = torch.device(device or best_device())
        self._batch_size, self._precision = batch_size, precision
        self._words: WordWeights | None = None
        self._sentences = sentences
        self._tokenize: Callable[[list[str]], Any] | None = None
        self._preparation: Preparation
        folder = Path(model)
        if folder.is_dir() and not (folder / OPEN_CLIP_CONFIG).is_file():
            self._load_compact(folder)
        else:
            self._load_open_clip(str(model), pretrained)
        self._model = self._model.to(self._device)
        self._model.eval()

    def _load_compact(self, folder: Path) -> None:
        from fashionrec_assets.embeddings import compact_clip

        if not compact_clip.is_compact(folder):
            raise ModelUnavailableError(
                f"{folder} holds neither a model of this project nor an {OPEN_CLIP_CONFIG}: set clip.model to another "
                "folder, or leave it out to train on this catalog"
            )
        self._model, config = compact_clip.load(folder)
        wanted = config["model_cfg"]["text_cfg"]["locked_model"]
        if self._sentences is not None and self._sentences.model_id != wanted:
            raise ModelUnavailableError(
                f"the CLIP model in {folder} reads sentence vectors of {wanted}, but the sentence encoder in force is "
                f"{self._sentences.model_id}: restore text.model, or train the CLIP model again"
            )
        height, width = config["preprocess_cfg"]["size"]
        self._preparation = Preparation.of_bytes(
            lambda image: fitted(image, height, width), config["preprocess_cfg"], self._device
        )
        self._words = WordWeights(config["model_cfg"]["text_cfg"]["words"])
        self._dim = int(config["model_cfg"]["embed_dim"])
        self.model_id = f"compact:{config['fingerprint']}"

    def _load_open_clip(self, name: str, pretrained: str | None) -> None:
        loaded = load_open_clip(name, pretrained)
        self._model, self._tokenize, self.model_id = loaded.model, loaded.tokenize, loaded.model_id
        self._preparation = Preparation.of_open_clip(loaded.preprocess, self._device)
        self._dim = int(self._text_dim())

    def _text_dim(self) -> int:
        import torch

        assert self._tokenize is not None
        with torch.inference_mode():
            return int(self._model.encode_text(self._tokenize(["a"])).shape[1])

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    @contextmanager
    def _computing(self) -> Iterator[None]:
        import torch

        from fashionrec_assets.embeddings.precision import autocast

        with torch.inference_mode(), autocast(self._device, self._precision):
            yield

    def _batches(self, pictures: Sequence[Picture]) -> Iterator[tuple[slice, Any]]:
        """What the image tower reads of `pictures`, in batches, each with its place; made ready in threads."""
        ahead = ahead_of(self._device)
        for place, rows in prepared(pictures, self._preparation.one, self._batch_size, ahead):
            yield place, self._preparation.together(rows)

    def encode_images(
        self, images: Sequence[Picture], *, progress: Callable[[int, int], None] = no_progress
    ) -> NDArray[np.float32]:
        """Unit vectors of crops (images, or the JPEG bytes that the crop stage stored), (n, dim), in order."""
        result = np.zeros((len(images), self._dim), dtype=np.float32)
        with self._computing():
            for place, batch in self._batches(images):
                result[place] = self._model.encode_image(batch, normalize=True).float().cpu().numpy()
                progress(place.stop, len(images))
        return result

    def encode_patches(self, images: Sequence[Picture], side: int) -> TokenStates:
        """States of the patches of crops, in order, before they become one vector: of a ViT those after its last block
        and norm, without CLS; of a convolutional tower its last feature map. A grid of more than `side` rows or columns
        is averaged down to `side`.

        ModelUnavailableError if the image tower gives no such states.
        """
        visual = self._model.visual
        # Where open_clip pools by attention before its last norm, that norm has the width of the pool.
        normalised = getattr(visual, "attn_pool", None) is None
        parts: list[TokenStates] = []
        with self._computing():
            for _, batch in self._batches(images):
                try:
                    found = visual.forward_intermediates(
                        batch, indices=1, normalize_intermediates=normalised, intermediates_only=True
                    )
                except (AttributeError, NotImplementedError, TypeError) as error:
                    raise ModelUnavailableError(
                        f"the image tower of {self.model_id} gives no states of patches ({error}): set "
                        "tokens.image_model to a ViT"
                    ) from error
                parts.append(averaged_patches(found["image_intermediates"][-1], side))
        return TokenStates.joined(parts)

    def encode_texts(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] = no_progress
    ) -> NDArray[np.float32]:
        """Unit vectors of texts, (n, dim), in order, in the space of the images.

        ModelUnavailableError if this is a compact model and no sentence encoder was given.
        """
        if self._tokenize is None:
            if self._sentences is None:
                raise ModelUnavailableError("a compact CLIP model reads sentence vectors: pass its sentence encoder")
            return self.project_sentences(texts, self._sentences.encode(texts, progress=progress))
        result = np.zeros((len(texts), self._dim), dtype=np.float32)
        with self._computing():
            for start in range(0, len(texts), self._batch_size):
                tokens = moved(self._tokenize(list(texts[start : start + self._batch_size])), self._device)
                vectors = self._model.encode_text(tokens, normalize=True)
                result[start : start + len(tokens)] = vectors.float().cpu().numpy()
                progress(min(start + self._batch_size, len(texts)), len(texts))
        return result

    def project_sentences(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Texts and their sentence vectors (n, d) to vectors (n, dim); ValueError if the model is not a compact one."""
        import torch

        if self._words is None:
            raise ValueError("only a compact model reads sentence vectors")
        result = np.zeros((len(texts), self._dim), dtype=np.float32)
        with self._computing():
            for start in range(0, len(texts), PROJECTED):
                part = slice(start, start + PROJECTED)
                rows = np.concatenate([np.asarray(vectors[part], dtype=np.float32), self._words(texts[part])], axis=1)
                found = self._model.encode_text(moved(torch.from_numpy(rows), self._device), normalize=True)
                result[part] = found.float().cpu().numpy()
        return result


def _state_digest(model: Any) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip announces every step to the root logger; what matters is raised."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
