"""What the encoding stages do to a batch, in the stage's process or in a worker of a cluster.

Belongs here: pictures and texts in, rows of vectors and of token states out. Does not belong here: reading and writing
(`assets.py`), which model is in force (`encoders.py`), encoding itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.photos import PhotoError, decode_photo
from fashionrec_assets.crops.work import PHOTOS_AT_ONCE
from fashionrec_assets.embeddings.encoders import Encoders
from fashionrec_assets.embeddings.token_store import TokenStates, token_rows
from fashionrec_assets.resources.compute import Batch, Made, Work
from fashionrec_assets.storage.vectors import vector_rows

if TYPE_CHECKING:
    from PIL.Image import Image


CROPS_AT_ONCE = 256
"""Stored crops in memory at a time: a multiple of what a model reads at once."""
TEXTS_AT_ONCE = 1_024
"""Texts that are sorted by length before they are cut into what a model reads at once."""


@dataclass(frozen=True)
class Pictures:
    """Pictures as they lie on disk, and whose they are."""

    keys: list[str]
    files: list[bytes]


@dataclass(frozen=True)
class Texts:
    """Texts, and whose they are."""

    keys: list[str]
    texts: list[str]


class _Encoding(Work[Batch, Made]):
    """Work of a neural network."""

    @property
    def on_gpu(self) -> bool:
        """See `Work.on_gpu`."""
        return True


class CropVectors(_Encoding[Pictures]):
    """Vectors of crops by the image tower of the CLIP model in force."""

    models = ("clip_model",)
    at_once = CROPS_AT_ONCE

    def start(self) -> Callable[[Pictures], Made]:
        """See `Work.start`."""
        encoder = Encoders(self.shop).clip
        return lambda batch: vectors_made(batch.keys, encoder.encode_images(batch.files))


class CropTokens(_Encoding[Pictures]):
    """States of the patches of crops."""

    models = ("clip_model",)
    at_once = CROPS_AT_ONCE

    def start(self) -> Callable[[Pictures], Made]:
        """See `Work.start`."""
        encoders = Encoders(self.shop)
        return lambda batch: _tokens_made(batch.keys, encoders.encode_patches(batch.files))


class AvatarVectors(_Encoding[Pictures]):
    """Vectors of people's photos of themselves; those that cannot be decoded any more have none."""

    models = ("clip_model",)
    at_once = PHOTOS_AT_ONCE

    def start(self) -> Callable[[Pictures], Made]:
        """See `Work.start`."""
        encoder, most = Encoders(self.shop).clip, self.shop.settings.catalog.max_image_pixels

        def make(batch: Pictures) -> Made:
            keys: list[str] = []
            images: list[Image] = []
            for key, file in zip(batch.keys, batch.files, strict=True):
                with suppress(PhotoError):
                    images.append(decode_photo(file, max_pixels=most))
                    keys.append(key)
            return vectors_made(keys, encoder.encode_images(images))

        return make


class TextVectors(_Encoding[Texts]):
    """Vectors of descriptions by the sentence encoder."""

    at_once = TEXTS_AT_ONCE

    def start(self) -> Callable[[Texts], Made]:
        """See `Work.start`."""
        encoder = Encoders(self.shop).sentences
        return lambda batch: vectors_made(batch.keys, encoder.encode(batch.texts))


class TextTokens(_Encoding[Texts]):
    """States of the tokens of descriptions."""

    at_once = TEXTS_AT_ONCE

    def start(self) -> Callable[[Texts], Made]:
        """See `Work.start`."""
        encoder = Encoders(self.shop).text_tokens
        return lambda batch: _tokens_made(batch.keys, encoder.encode(batch.texts))


def vectors_made(keys: Sequence[str], vectors: NDArray[np.float32]) -> Made:
    """Rows of a store of vectors, (n, dim), each with the digest of its bytes."""
    outputs = {key: hashlib.sha256(vector.tobytes()).hexdigest() for key, vector in zip(keys, vectors, strict=True)}
    return Made(vector_rows(keys, vectors), outputs)


def _tokens_made(keys: Sequence[str], found: TokenStates) -> Made:
    outputs = {
        key: hashlib.sha256(repr(states.shape).encode() + states.tobytes()).hexdigest()
        for key, states in zip(keys, found.rows(), strict=True)
    }
    return Made(token_rows(keys, found), outputs)
