"""Whether the latents of a VAE say anything: figures, and the verdict in words.

Belongs here: what can be said of a posterior from figures. Does not belong here: networks (`variational.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if its posterior mean varies by more over the data (Burda et al. 2016)."""

REMEDY = "lower synthesis.learning_rate, and check that vectors are finite and not huge"
"""What helps against a loss that is not finite."""

LEAST_NATS = 0.5
"""Nats a row beyond the free bits below which the latents are taken to say nothing of the row."""


@dataclass(frozen=True)
class Posterior:
    """Figures of a trained posterior: `active` of `latent` dimensions, `kl` in nats a row, `free_bits` a dimension."""

    active: int
    latent: int
    kl: float
    free_bits: float

    @property
    def collapsed(self) -> bool:
        """Whether a row's latents are as good as the prior's: nothing varies, or no more than what costs nothing."""
        return self.active == 0 or self.kl <= self.free_bits * self.latent + LEAST_NATS

    @property
    def words(self) -> str:
        """The verdict, with what to do about it."""
        figures = f"{self.active} of {self.latent} latent dimensions are active, KL {self.kl:.2f} nats a row"
        if not self.collapsed:
            return f"not collapsed: {figures}"
        return (
            f"collapsed: {figures}, of which {self.free_bits * self.latent:.2f} cost nothing: the decoder does without "
            "its latents, and what it generates is the mean of what its condition allows. Lower kl_weight, raise "
            "kl_warmup or free_bits, or train for more epochs."
        )
