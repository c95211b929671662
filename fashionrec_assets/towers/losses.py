"""What the towers are trained with: sampled softmax, its negatives and its corrections.

Belongs here: losses and samplers as functions of tensors and arrays. Does not belong here: networks, batches, the loop.
Imports torch at the top: import this module inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class Candidates:
    """Distinct items (c,) that stand for the whole catalog, and `log_weight` (c,): how many items each stands for."""

    items: NDArray[np.int64]
    log_weight: NDArray[np.float32]


class NegativeSampler:
    """Negatives shared by a batch: `count` draws from a mix of uniform and popularity, and the batch's own targets.

    An item drawn c times when E draws were expected gets the weight c / E, which makes the weighted sum over the draws
    an unbiased estimate of the sum over all items: the log-frequency correction of Bengio & Senécal (2008) and Yi et
    al. (2019), with E summed over both sources of draws. With `count` >= the number of items that can be negatives,
    the candidates are all of them with weight one, and the loss is the full softmax.
    """

    def __init__(
        self, frequency: NDArray[np.int64], *, count: int, uniform_share: float = 0.5, in_batch: bool = True
    ) -> None:
        """`frequency` int64 (n,): how often each item is a target. Items with 0 are never negatives: they are new or
        not yet launched, and teaching the model that nobody wants them would bury every new item."""
        self.pool = np.flatnonzero(frequency)
        self.count, self.in_batch = count, in_batch
        self.full = count >= len(self.pool)
        share = frequency / max(int(frequency.sum()), 1)
        self.target_probability = share
        self.probability = (1 - uniform_share) * share
        self.probability[self.pool] += uniform_share / max(len(self.pool), 1)
        self.cumulative = np.cumsum(self.probability[self.pool])

    def draw(self, targets: NDArray[np.int64], rng: np.random.Generator) -> Candidates:
        """Candidates for a batch with `targets` (p,)."""
        if self.full:
            return Candidates(self.pool, np.zeros(len(self.pool), np.float32))
        picks = np.searchsorted(self.cumulative, rng.random(self.count) * self.cumulative[-1], side="right")
        drawn = self.pool[np.minimum(picks, len(self.pool) - 1)]
        if self.in_batch:
            drawn = np.concatenate([drawn, targets])
        items, times_drawn = np.unique(drawn, return_counts=True)
        expected = self.count * self.probability[items]
        if self.in_batch:
            expected = expected + len(targets) * self.target_probability[items]
        return Candidates(items, np.log(times_drawn / expected).astype(np.float32))


def sampled_softmax(positive: Tensor, negative: Tensor, log_weight: Tensor, excluded: Tensor) -> Tensor:
    """Mean cross-entropy of the positives against weighted negatives.

    `positive` (p,) and `negative` (p, c) are logits; `log_weight` (c,); `excluded` bool (p, c): candidates that are the
    row's own positive or another item its user took (no false negatives). The positive is not sampled, so it gets no
    correction (Khrylchenko et al. 2025); the estimate then approaches the full softmax as candidates grow.
    """
    others = torch.logsumexp((negative + log_weight).masked_fill(excluded, -torch.inf), dim=1)
    return F.softplus(others - positive).mean()
