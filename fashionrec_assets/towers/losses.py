"""The losses the towers can be trained with that look at each pair of a positive and a negative by itself.

Belongs here: losses as functions of tensors. Does not belong here: the softmax over all candidates
(`shared_softmax.py`), networks, negatives, batches, the loop. Imports torch at the top: import this module inside
functions.

Both take `positive` (p,) and `negative` (p, c) logits, and `excluded` bool (p, c): candidates that are the row's own
positive or another item its user took (no false negatives).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812


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
