"""The softmax loss of many rows against candidates they share, without ever holding all their logits.

Belongs here: that loss with its gradient. Does not belong here: other losses, where candidates come from. Imports torch
at the top: import this module inside functions.

A batch has thousands of targets and thousands of candidates. Their logits are made block by block, and a block's part
of the gradient is taken while it is there, as a loss that is one number allows (Hsu et al. 2024, "Liger Kernel",
section 3.2): memory does not grow with the batch, and no step is done twice, or to a copy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

BLOCK = {"cpu": 2**21, "cuda": 2**26}
"""Logits at a time: 8 and 256 MiB of them."""

_LOWEST = -1e30
_SMALLEST = 1e-30


class _SharedSoftmax(torch.autograd.Function):
    """See `shared_softmax`."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(  # type: ignore[override]
        ctx: Any, positive: Tensor, left: Tensor, right: Tensor, own: Tensor, taken: Tensor, row: Tensor
    ) -> Tensor:
        rows, candidates = len(left), len(right)
        of_left, of_right, of_own = torch.empty_like(left), torch.zeros_like(right), torch.empty_like(own)
        of_positive, losses = torch.empty_like(positive), torch.empty_like(positive)
        size = max(1, BLOCK.get(left.device.type, BLOCK["cuda"]) // max(candidates, 1))
        for start in range(0, rows, size):
            part = slice(start, start + size)
            some = left[part]
            logits = some @ right.T
            logits.masked_fill_(taken[row[part]], -torch.inf)
            top = logits.amax(dim=1) if candidates else positive.new_full((len(some),), _LOWEST)
            if own.shape[1]:
                top = torch.maximum(top, own[part].amax(dim=1))
            top.clamp_(min=_LOWEST)
            odds, own_odds = logits.sub_(top[:, None]).exp_(), torch.exp(own[part] - top[:, None])
            total = odds.sum(dim=1) + own_odds.sum(dim=1)
            margin = top + torch.log(total) - positive[part]
            losses[part] = F.softplus(margin)
            push = torch.sigmoid(margin) / rows
            of_positive[part] = -push
            scale = (push / total.clamp(min=_SMALLEST))[:, None]
            of_own[part] = own_odds * scale
            of_left[part] = (odds @ right) * scale
            of_right.addmm_(odds.T, some * scale)
        ctx.save_for_backward(of_positive, of_left, of_right, of_own)
        return losses.mean()

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        return (*(part * outputs[0] for part in ctx.saved_tensors), None, None)


def shared_softmax(
    positive: Tensor, left: Tensor, right: Tensor, taken: Tensor, row: Tensor, own: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of `positive` (p,) logits against `left` (p, d) @ `right` (c, d) of all candidates.

    `taken` bool (b, c): candidates that do not count for the targets of a sequence, and `row` (p,): whose a target is.
    `own` (p, h): further logits of a target's own negatives, minus infinity where one does not count. A target without
    any negative costs nothing.

    With the logarithm of how many items a candidate stands for among what the product adds up, this is the sampled
    softmax; the positive is not sampled and gets no correction (Khrylchenko et al. 2025), so that the estimate
    approaches the full softmax as candidates grow. Without it, it is InfoNCE (van den Oord et al. 2018).
    """
    if own is None:
        own = positive.new_zeros((len(positive), 0))
    loss: Tensor = _SharedSoftmax.apply(positive, left, right, own, taken, row)  # pyright: ignore[reportAssignmentType]
    return loss
