"""The contrastive losses, and the retrieval figures that choose an epoch.

Belongs here: functions of a batch's vectors. Does not belong here: models, the training loop, the report's figures
(`evaluation`).

Both losses are open_clip's, with one change: a text may have several right images in a batch, which then are not its
negatives (as in UniCL, Yang et al. 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, right: Tensor) -> Tensor:
    """Symmetric InfoNCE (Radford et al. 2021) over unit vectors (n, d).

    `right` bool (n, n) says which images (columns) answer which texts (rows). The right images share a text's target
    evenly; an image's target is its own text alone, for a word that fits many must not take its place, but other texts
    that it answers are not held against it.
    """
    import torch
    from open_clip import ClipLoss

    if int(right.sum()) == len(right):
        return ClipLoss()(image, text, scale)
    by_image, by_text = ClipLoss().get_logits(image, text, scale)
    own = torch.eye(len(right), dtype=torch.bool, device=right.device)
    cross_entropy = torch.nn.functional.cross_entropy
    image_to_text = cross_entropy(
        by_image.masked_fill(right.T & ~own, -torch.inf), torch.arange(len(right)).to(own.device)
    )
    text_to_image = cross_entropy(by_text, right / right.sum(dim=1, keepdim=True))
    return (image_to_text + text_to_image) / 2


def sigmoid_loss(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, right: Tensor) -> Tensor:
    """SigLIP's pairwise loss (Zhai et al. 2023) over unit vectors (n, d); `right` as in `contrastive_loss`."""
    import torch
    from open_clip.loss import SigLipLoss

    logits = SigLipLoss().get_logits(image, text, scale, bias)
    sign = torch.where(right.T, 1.0, -1.0).to(logits.dtype)
    return -torch.nn.functional.logsigmoid(sign * logits).sum() / len(image)


def retrieval(queries: NDArray[np.float32], gallery: NDArray[np.float32], k: int = 10) -> tuple[float, float]:
    """Recall@k and mean reciprocal rank of unit `queries` (n, d) against `gallery` (n, d); row i answers query i.

    Only the own row is right. Equal scores share the middle of their ranks, so a constant encoder gains nothing.
    """
    found = ranks(queries, gallery)
    return float((found <= k).mean()), float((1.0 / found).mean())


def ranks(queries: NDArray[np.float32], gallery: NDArray[np.float32], chunk: int = 1024) -> NDArray[np.float64]:
    """The rank (n,) from 1 of row i of `gallery` (n, d) for query i (n, d); memory grows with `chunk` * n."""
    found = np.empty(len(queries))
    for start in range(0, len(queries), chunk):
        scores = queries[start : start + chunk] @ gallery.T
        own = scores[np.arange(len(scores)), np.arange(start, start + len(scores))][:, None]
        found[start : start + chunk] = 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
    return found
