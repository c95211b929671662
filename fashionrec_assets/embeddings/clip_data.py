"""What a CLIP model is trained on: pairs of pictures and texts, as arrays, in batches.

Belongs here: the pairs, the order in which they are shown, augmentation, bytes to floats. Does not belong here: where
the pairs come from (the asset), the loop (`clip_training.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Generator, Tensor

BLOCK = 8
"""Batches that are drawn together: within a block, pairs of one kind are moved into one batch."""


@dataclass(frozen=True)
class Pairs:
    """Row i of each: `images` bytes (n, height, width, 3) from `prepare_images`, perhaps a memory map; `texts`;
    `families` the design a row is a variant of; `kinds` its type of product, "" where unknown.

    ValueError if they are not of one length.
    """

    images: NDArray[np.uint8]
    texts: Sequence[str]
    families: Sequence[str]
    kinds: Sequence[str]

    def __post_init__(self) -> None:
        lengths = [len(self.images), len(self.texts), len(self.families), len(self.kinds)]
        if len(set(lengths)) != 1:
            raise ValueError("{} images, {} texts, {} families and {} kinds do not pair up".format(*lengths))

    def __len__(self) -> int:
        return len(self.texts)


def numbered(values: Sequence[str]) -> NDArray[np.int64]:
    """A number for each of `values`, (n,), equal where they are equal."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)


def shuffled_batches(
    rows: NDArray[np.int64], kinds: NDArray[np.int64], size: int, hard: float, generator: Generator
) -> list[NDArray[np.int64]]:
    """One epoch of `rows` in batches of `size`, in random order; what does not fill a batch is left for another epoch.

    `hard` is the share of each batch that is one run of rows sorted by kind: same type, other attributes. Negatives
    mined this way cost no search, and a batch stays a sample of the catalog, so the loss keeps its temperature.
    """
    import torch

    order = rows[torch.randperm(len(rows), generator=generator).numpy()]
    count = max(1, len(order) // size)
    order = order[: count * size]
    if not hard:
        return np.array_split(order, count)
    result: list[NDArray[np.int64]] = []
    for start in range(0, count, BLOCK):
        block = order[start * size : (start + BLOCK) * size]
        batches = max(1, len(block) // size)
        similar = block[: round(hard * len(block))]
        similar = similar[np.argsort(kinds[similar], kind="stable")]
        others = np.array_split(block[len(similar) :], batches)
        runs = np.array_split(similar, batches)
        places = torch.randperm(batches, generator=generator).tolist()
        result += [np.concatenate([runs[place], others[place]]) for place in places]
    return result


class Normaliser:
    """Bytes (n, h, w, 3) to what an image tower reads (n, 3, h, w), by a configuration's mean and deviation."""

    def __init__(self, preprocess: dict[str, Any], device: Any) -> None:
        import torch

        self._mean = torch.tensor(preprocess["mean"], device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(preprocess["std"], device=device).view(1, 3, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels.permute(0, 3, 1, 2).float().div_(255.0).sub_(self._mean).div_(self._std)


def augment(pixels: Tensor, generator: Generator) -> Tensor:
    """Each image flipped at random and seen through a random window of 75 to 100 % of each side.

    Colour is left alone: it is what descriptions talk about most.
    """
    import torch

    count = len(pixels)
    draw = torch.rand(count, 5, generator=generator).to(pixels.device)
    flip = torch.where(draw[:, 0] < 0.5, -1.0, 1.0)
    scale = 0.75 + 0.25 * draw[:, 1:3]
    shift = (2 * draw[:, 3:5] - 1) * (1 - scale)
    affine = torch.zeros(count, 2, 3, device=pixels.device)
    affine[:, 0, 0], affine[:, 1, 1] = flip * scale[:, 0], scale[:, 1]
    affine[:, :, 2] = shift
    grid = torch.nn.functional.affine_grid(affine, list(pixels.shape), align_corners=False)
    return torch.nn.functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
