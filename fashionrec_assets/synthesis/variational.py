"""What all variational autoencoders here share. Imports torch at the top: import this module inside functions.

Belongs here: the reparametrisation, KL divergences, annealing, free bits, active units and the verdict on collapse.
Does not belong here: any one model, training loops.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fashionrec_assets.synthesis.collapse import ACTIVE_VARIANCE

SMALLEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE = -8.0, 4.0
"""Outside of these a variance is as good as none, or larger than any data that was standardised."""


class Gaussian(nn.Module):
    """A network whose output is the mean and the log-variance of a diagonal Gaussian, both (n, out)."""

    def __init__(self, inputs: int, hidden: int, out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.mean = nn.Linear(hidden, out)
        self.log_variance = nn.Linear(hidden, out)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        found = self.body(inputs)
        return self.mean(found), self.log_variance(found).clamp(SMALLEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)


def reparametrise(mean: Tensor, log_variance: Tensor, *, temperature: float = 1.0) -> Tensor:
    """A draw from N(mean, variance * temperature²) through which gradients flow (Kingma & Welling 2014)."""
    return mean + temperature * torch.exp(0.5 * log_variance) * torch.randn_like(mean)


def kl_divergence(
    mean: Tensor, log_variance: Tensor, prior_mean: Tensor | None = None, prior_log_variance: Tensor | None = None
) -> Tensor:
    """KL(q || p) of two diagonal Gaussians in nats, for each row and dimension (n, latent); p is N(0, 1) by default."""
    if prior_mean is None or prior_log_variance is None:
        return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    gap = (mean - prior_mean) ** 2
    ratio = (log_variance.exp() + gap) / prior_log_variance.exp()
    return 0.5 * (prior_log_variance - log_variance + ratio - 1)


def with_free_bits(kl: Tensor, free_bits: float) -> Tensor:
    """The KL term that is charged: of (n, latent) the batch's mean in each dimension, at least `free_bits`, summed.

    Below the bound a dimension has no gradient, so it costs nothing to use it that much (Kingma et al. 2016, C.8).
    """
    return kl.mean(dim=0).clamp(min=free_bits).sum()


def annealed(step: int, steps: int, *, warmup: float, weight: float) -> float:
    """The weight of the KL term at the 0-based `step` of `steps`: from 0 linearly to `weight` over the share `warmup`.

    Bowman et al. 2016: a decoder that is charged for its latents before it can use them learns to do without.
    """
    rising = warmup * steps
    return weight if rising <= 0 else weight * min(1.0, step / rising)


def active_units(means: Tensor) -> int:
    """How many latent dimensions of posterior `means` (n, latent) vary over the data (Burda et al. 2016, 5.2)."""
    return int((means.var(dim=0, correction=0) > ACTIVE_VARIANCE).sum()) if len(means) else 0


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """torch's generator on the processor set to `seed`, and restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
