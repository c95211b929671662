"""The contrastive losses, and the retrieval figures that choose an epoch.

Belongs here: functions of a batch's vectors. Does not belong here: models, the training loop, the report's figures
(`evaluation`).

Both losses are open_clip's, with one change: pairs of one batch that carry the same text are not each other's negatives
but share the target (as in UniCL, Yang et al. 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, text_ids: Tensor) -> Tensor:
    """Symmetric InfoNCE (Radford et al. 2021) over unit vectors (n, d); rows of equal `text_ids` share the target."""
    import torch
    from open_clip import ClipLoss

    same = (text_ids[:, None] == text_ids[None, :]).float()
    if bool((same.sum(dim=1) == 1).all()):
        return ClipLoss()(image, text, scale)
    by_image, by_text = ClipLoss().get_logits(image, text, scale)
    target = same / same.sum(dim=1, keepdim=True)
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(by_image, target) + cross_entropy(by_text, target)) / 2


def sigmoid_loss(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, text_ids: Tensor) -> Tensor:
    """SigLIP's pairwise loss (Zhai et al. 2023) over unit vectors (n, d); rows of equal `text_ids` are positives."""
    import torch
    from open_clip.loss import SigLipLoss

    logits = SigLipLoss().get_logits(image, text, scale, bias)
    sign = torch.where(text_ids[:, None] == text_ids[None, :], 1.0, -1.0).to(logits.dtype)
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
