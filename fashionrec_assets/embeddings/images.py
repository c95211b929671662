"""Crops as arrays of one size for an image tower, and as what it reads.

Belongs here: fitting a crop into a fixed frame, splitting a model's preprocessing into what is done to one picture and
what to a batch. Does not belong here: cutting a crop out of a photo (`crops`), when pictures are prepared
(`decoding.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.clip_data import Normaliser
from fashionrec_assets.resources.models import moved

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

FILL = 255
"""Grey level of the padding: product photos are mostly shot on white."""


def prepare_images(images: Sequence[Image], height: int, width: int) -> NDArray[np.uint8]:
    """RGB crops as (n, height, width, 3): scaled to fit without distortion, centred on white.

    The same as open_clip's preprocessing with `resize_mode` "longest" and `fill_color` 255, but on bytes.
    """
    result = np.empty((len(images), height, width, 3), dtype=np.uint8)
    for number, image in enumerate(images):
        result[number] = fitted(image, height, width)
    return result


def as_rgb(image: Image) -> Image:
    """`image` in RGB: itself if it is, for `convert` would copy it."""
    return image if image.mode == "RGB" else image.convert("RGB")


def fitted(image: Image, height: int, width: int) -> NDArray[np.uint8]:
    """One crop as `prepare_images` makes it, (height, width, 3)."""
    from PIL.Image import Resampling

    result = np.full((height, width, 3), FILL, dtype=np.uint8)
    scale = min(height / image.height, width / image.width)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    small = as_rgb(image).resize(size, Resampling.BICUBIC)
    result[top : top + size[1], left : left + size[0]] = np.asarray(small)
    return result


@dataclass(frozen=True)
class Preparation:
    """What a model wants done to pictures: `one` to each, on its own, and `together` to the rows of a batch.

    `together` gives what the image tower reads, (n, 3, height, width), on its device.
    """

    one: Callable[[Image], Any]
    together: Callable[[Sequence[Any]], Tensor]

    @classmethod
    def of_bytes(
        cls, one: Callable[[Image], NDArray[np.uint8]], preprocess: dict[str, Any], device: Any
    ) -> Preparation:
        """`one` gives bytes (height, width, 3), which become floats by the `mean` and `std` of `preprocess`.

        Their channels lie last in memory, as convolutions like it best.
        """
        import torch

        normalise = Normaliser(preprocess, device)
        return cls(one, lambda rows: normalise(moved(torch.from_numpy(np.stack(rows)), device)))

    @classmethod
    def of_open_clip(cls, preprocess: Callable[[Image], Any], device: Any) -> Preparation:
        """`preprocess` as open_clip gives it for a model.

        Where it ends, as open_clip's own do, by turning bytes into floats and normalising them, that is done to the
        batch: the same operations on the same numbers, and on a GPU a quarter of the bytes to move.
        """
        import torch
        from torchvision.transforms import Normalize, ToTensor

        steps = list(getattr(preprocess, "transforms", []))
        if len(steps) > 2 and isinstance(steps[-2], ToTensor) and isinstance(steps[-1], Normalize):
            normalise = {"mean": steps[-1].mean, "std": steps[-1].std}
            prepared = cls.of_bytes(lambda image: _bytes_of(image, steps[:-2]), normalise, device)
            return cls(prepared.one, lambda rows: prepared.together(rows).contiguous())
        return cls(preprocess, lambda rows: moved(torch.stack(list(rows)), device))


def _bytes_of(image: Image, steps: Sequence[Callable[[Image], Image]]) -> NDArray[np.uint8]:
    for step in steps:
        image = step(image)
    return np.asarray(image)
