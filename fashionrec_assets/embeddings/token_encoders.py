"""States of single tokens: of a text's word pieces from a BERT, of a picture's patches from a ViT.

Belongs here: finding and loading transformers that are read token by token, and applying them. Does not belong here:
one vector for a whole text or picture (`sentences.py`, `clip.py`), the patches of a CLIP tower (`clip.py`), storage.

Devlin et al. 2019, "BERT" (section 3) and Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words" (section 3.1) define
the states that are kept: those after the last layer, of every token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.decoding import Picture, ahead_of, prepared
from fashionrec_assets.embeddings.sentences import SentenceEncoder, weights_digest
from fashionrec_assets.embeddings.token_store import TokenStates, averaged_texts
from fashionrec_assets.resources.models import (
    ModelUnavailableError,
    best_device,
    folder_digest,
    moved,
    quiet_transformers,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

UNUSED = "pooler"
"""Weights of this name sum up a whole text or picture; checkpoints may lack them, and no token's state reads them."""


def folder_id(model: str) -> str | None:
    """The id of a model in a local folder, by its content; None if `model` is no folder."""
    folder = Path(model)
    return f"{folder.name}@{folder_digest(folder)[:16]}" if folder.is_dir() else None


class TextTokenEncoder:
    """Texts to the states of their tokens after the last layer, special tokens included.

    `model` is a sentence encoder, whose own transformer is read; a local folder; or a name on the Hugging Face hub,
    which alone reaches the network. A text is cut to its first `most` tokens, or to as many as the model can read.
    `model_id` names the weights. A row's states do not depend on the other rows beyond float noise: padding is masked.
    ModelUnavailableError if the model cannot be had or gives no token states; it says what to do.
    """

    def __init__(
        self, model: SentenceEncoder | str, *, most: int, batch_size: int = 64, device: str | None = None
    ) -> None:
        # What a sentence encoder remembers of its own passes need not be computed again.
        self._sentences = model if isinstance(model, SentenceEncoder) and model.tokens == most else None
        if isinstance(model, SentenceEncoder):
            self._model, self._tokenizer = model.transformer
            self.model_id, limit = model.model_id, model.most_tokens
        else:
            from transformers import AutoModel, AutoTokenizer

            setting = "tokens.text_model"
            self._model = _loaded(AutoModel.from_pretrained, model, setting, weights=True).to(device or best_device())
            self._tokenizer = _loaded(AutoTokenizer.from_pretrained, model, setting)
            if self._tokenizer.pad_token is None:
                raise ModelUnavailableError(f"{setting}: the tokenizer of {model!r} cannot pad; name a BERT-like model")
            self.model_id = folder_id(model) or f"{model}@{weights_digest(self._model)[:16]}"
            limit = getattr(self._model.config, "max_position_embeddings", None)
        limits = (limit, self._tokenizer.model_max_length)
        self._read = min((limit for limit in limits if limit is not None), default=most)
        self._most, self._batch_size = most, batch_size

    def encode(self, texts: Sequence[str]) -> TokenStates:
        """The token states of `texts`, in order; an empty text has its special tokens."""
        if not texts:
            return TokenStates.joined([])
        with quiet_transformers():
            # The tokenizer warns of every text that is longer than the model reads: cutting it is the point here.
            whole = self._tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        before = np.array([len(ids) for ids in whole], dtype=np.int32)
        found = self._states(texts, before) if self._sentences is None else self._sentences.states(texts)
        counts = np.array([len(states) for states in found], dtype=np.int32)
        return TokenStates(np.concatenate(found), counts, before)

    def _states(self, texts: Sequence[str], lengths: NDArray[np.int32]) -> list[NDArray[np.float16]]:
        """The states of each text, of which `lengths` (n,) gives the tokens."""
        import torch

        device = next(self._model.parameters()).device
        found: dict[int, NDArray[np.float16]] = {}
        # Texts of like length share a batch: nothing is computed for padding.
        order = np.argsort(lengths, kind="stable")
        with torch.inference_mode():
            for start in range(0, len(order), self._batch_size):
                rows = order[start : start + self._batch_size]
                batch = self._tokenizer(
                    [texts[row] for row in rows],
                    truncation=True,
                    max_length=self._read,
                    padding=True,
                    return_tensors="pt",
                ).to(device)
                states = self._model(**batch).last_hidden_state.float()
                real = batch["attention_mask"].bool()
                found.update(zip(rows.tolist(), averaged_texts(states, real, self._most), strict=True))
        return [found[row] for row in range(len(texts))]


class PatchEncoder:
    """Pictures to the states of their patches after the last layer of a ViT that transformers loads.

    `model` is a local folder or a name on the Hugging Face hub, which alone reaches the network. The first
    tokens, which stand for no patch (CLS, registers), are left out. A grid of more than `side` rows or columns is
    averaged down to `side`. `model_id` names the weights. ModelUnavailableError if the model cannot be had or gives no
    patch states.
    """

    def __init__(self, model: str, *, side: int, batch_size: int = 64, device: str | None = None) -> None:
        from PIL import Image
        from transformers import AutoImageProcessor, AutoModel

        setting = "tokens.image_model"
        self._side, self._batch_size = side, batch_size
        self._model = _loaded(AutoModel.from_pretrained, model, setting, weights=True).to(device or best_device())
        self._processor = _loaded(AutoImageProcessor.from_pretrained, model, setting)
        self.model_id = folder_id(model) or f"{model}@{weights_digest(self._model)[:16]}"
        try:
            self.encode([Image.new("RGB", (32, 32))])
        except (AttributeError, TypeError, ValueError, RuntimeError) as error:
            raise ModelUnavailableError(
                f"{setting}: {model!r} gives no states of patches ({type(error).__name__}: {error}); name a ViT"
            ) from error

    def encode(self, images: Sequence[Picture]) -> TokenStates:
        """The patch states of `images` (images, or the JPEG bytes that the crop stage stored), in order."""
        import torch

        parts: list[TokenStates] = []
        with torch.inference_mode():
            for _, rows in prepared(images, self._pixels, self._batch_size, ahead_of(self._model.device)):
                parts.append(averaged_patches(self._grid(moved(torch.cat(rows), self._model.device)), self._side))
        return TokenStates.joined(parts)

    def _pixels(self, image: Image) -> Tensor:
        return self._processor(images=[image], return_tensors="pt")["pixel_values"]

    def _grid(self, pixels: Tensor) -> Tensor:
        """(n, d, rows, columns) of the patches."""
        states = self._model(pixel_values=pixels).last_hidden_state
        patch = self._model.config.patch_size
        height, width = (patch, patch) if isinstance(patch, int) else patch
        rows, columns = pixels.shape[-2] // height, pixels.shape[-1] // width
        others = states.shape[1] - rows * columns
        if states.ndim != 3 or others < 0:
            raise ValueError(f"{rows} x {columns} patches, but states of shape {tuple(states.shape)}")
        return states[:, others:].transpose(1, 2).unflatten(2, (rows, columns))


def averaged_patches(grid: Tensor, side: int) -> TokenStates:
    """States of a `grid` of patches (n, d, rows, columns), row by row, averaged down to `side` rows and columns."""
    from torch.nn.functional import adaptive_avg_pool2d

    rows, columns = grid.shape[-2:]
    fewer = adaptive_avg_pool2d(grid.float(), (min(rows, side), min(columns, side)))
    return TokenStates.of_grids(fewer.flatten(2).transpose(1, 2).cpu().numpy(), rows * columns)


def _loaded(load: Callable[..., Any], model: str, setting: str, *, weights: bool = False) -> Any:
    """What `load` (a `from_pretrained`) makes of `model`; with `weights`, in evaluation mode and complete."""
    local = Path(model).is_dir()
    if not local and model.startswith((".", "/", "~")):
        raise ModelUnavailableError(f"{setting} names a folder that does not exist: {model}")
    more = {"output_loading_info": True, "use_safetensors": True} if weights else {}
    try:
        with quiet_transformers():
            found = load(model, local_files_only=local, **more)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelUnavailableError(
            f"{setting}: transformers cannot load {model!r} ({type(error).__name__}): check the name and the network, "
            "or give a local folder with its configuration, weights and tokenizer or image processor"
        ) from error
    if not weights:
        return found
    network, report = found
    lacking = sorted(name for name in report["missing_keys"] if UNUSED not in name)
    if lacking:
        raise ModelUnavailableError(
            f"{setting}: {model!r} lacks {len(lacking)} weights of its own architecture (first: {lacking[0]}), which "
            "would be random; give a complete checkpoint"
        )
    # Checkpoints in half precision are computed with in single, as processors do that best.
    return network.float().eval()
