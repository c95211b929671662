"""What the towers are trained with: four losses behind one signature.

Belongs here: losses as functions of tensors. Does not belong here: networks, negatives, batches, the loop.
Imports torch at the top: import this module inside functions.

All take `positive` (p,) and `negative` (p, c) logits; `log_weight` (c,) or (p, c): how many items a candidate stands
for; `excluded` bool (p, c): candidates that are the row's own positive or another item its user took (no false
negatives).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def sampled_softmax(positive: Tensor, negative: Tensor, log_weight: Tensor, excluded: Tensor) -> Tensor:
    """Mean cross-entropy of the positives against weighted negatives.

    The positive is not sampled, so it gets no correction (Khrylchenko et al. 2025); the estimate then approaches the
    full softmax as candidates grow.
    """
    return infonce(positive, negative + log_weight, excluded)


def infonce(positive: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Cross-entropy of the positives against the negatives as they are (van den Oord et al. 2018): no correction."""
    return F.softplus(torch.logsumexp(negative.masked_fill(excluded, -torch.inf), dim=1) - positive).mean()


def bpr(positive: Tensor, negative: Tensor, excluded: Tensor) -> Tensor:
    """Mean log-loss of the positive beating each negative (Rendle et al. 2009)."""
    losses = F.softplus(negative - positive[:, None]).masked_fill(excluded, 0.0)
    return (losses.sum(dim=1) / (~excluded).sum(dim=1).clamp(min=1)).mean()


def gbce(positive: Tensor, negative: Tensor, excluded: Tensor, *, sampling_rate: float, calibration: float) -> Tensor:
    """Generalised binary cross-entropy of gSASRec (Petrov & Macdonald, RecSys 2023, section 5).

    The positive's probability is raised to beta = a (t (1 - 1/a) + 1/a), a being the share of the items that are
    sampled as negatives (`sampling_rate` in (0, 1]) and t the `calibration`: t = 0 is plain BCE with its overconfidence
    in sampled settings, t = 1 undoes it in full.
    """
    a, t = sampling_rate, calibration
    beta = a * (t * (1 - 1 / a) + 1 / a)
    ours = beta * F.softplus(-positive)
    others = F.softplus(negative).masked_fill(excluded, 0.0).sum(dim=1)
    return ((ours + others) / (1 + (~excluded).sum(dim=1))).mean()
