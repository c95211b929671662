"""The networks of both VAEs. Imports torch at the top: import this module inside functions.

Belongs here: layers and losses of a batch. Does not belong here: training loops, files, sampling of rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fashionrec_assets.synthesis.variational import Gaussian, kl_divergence, reparametrise, with_free_bits


class RowVaeModule(nn.Module):
    """q(z | user, item, preference) and p(item, preference | z, user), with the prior N(0, 1).

    Items are `content` principal components of unit variance; a user is `user` numbers.
    """

    def __init__(self, content: int, user: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.shape = {"content": content, "user": user, "latent": latent, "hidden": hidden}
        self.encoder = Gaussian(user + content + 1, hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent + user, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.item = nn.Linear(hidden, content)
        self.preference = nn.Linear(hidden, 1)

    def encode(self, user: Tensor, item: Tensor, preference: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, both (n, latent)."""
        return self.encoder(torch.cat([user, item, preference[:, None]], dim=1))

    def decode(self, z: Tensor, user: Tensor) -> tuple[Tensor, Tensor]:
        """The item's components (n, content) and the logit of the preference (n,)."""
        found = self.decoder(torch.cat([z, user], dim=1))
        return self.item(found), self.preference(found)[:, 0]

    def terms(
        self, user: Tensor, item: Tensor, preference: Tensor, *, drawn: bool = True
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each row: the item's squared error and the preference's cross-entropy (n,), KL and mean (n, latent).

        The item's term is the negative log-likelihood of a Gaussian of variance 1, less its constant. Without `drawn`
        z is the posterior's mean.
        """
        mean, log_variance = self.encode(user, item, preference)
        z = reparametrise(mean, log_variance) if drawn else mean
        made, logit = self.decode(z, user)
        error = 0.5 * ((made - item) ** 2).sum(dim=1)
        bernoulli = functional.binary_cross_entropy_with_logits(logit, preference, reduction="none")
        return error, bernoulli, kl_divergence(mean, log_variance), mean


class EmbeddingVaeModule(nn.Module):
    """q(z | e, c), p(z | c) and p(e | z, c), on embeddings and content standardised by what `standardise` was given."""

    embedding_mean: Tensor
    embedding_scale: Tensor
    content_mean: Tensor
    content_scale: Tensor

    def __init__(self, embedding: int, content: int, latent: int, hidden: int) -> None:
        super().__init__()
        self.shape = {"embedding": embedding, "content": content, "latent": latent, "hidden": hidden}
        self.content = content
        self.encoder = Gaussian(embedding + content, hidden, latent)
        self.prior = Gaussian(content, hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent + content, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.out = nn.Linear(hidden, embedding)
        self.straight = nn.Linear(content, embedding)
        # The mean embedding is what training starts from: content that says nothing leaves it there.
        for layer in (self.out, self.straight):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for name, width, value in (
            ("embedding_mean", embedding, 0.0),
            ("embedding_scale", embedding, 1.0),
            ("content_mean", content, 0.0),
            ("content_scale", content, 1.0),
        ):
            self.register_buffer(name, torch.full((width,), value))

    def standardise(self, embeddings: Tensor, content: Tensor) -> None:
        """Take means and scales of the columns; a column that does not vary is left at scale 1.

        Embeddings have one scale for all columns: an error counts as much in each of them.
        """
        self.embedding_mean.copy_(embeddings.mean(dim=0))
        spread = (embeddings - self.embedding_mean).square().mean().sqrt()
        self.embedding_scale.fill_(float(spread) if float(spread) > 1e-8 else 1.0)
        self.content_mean.copy_(content.mean(dim=0))
        scale = (content - self.content_mean).square().mean(dim=0).sqrt()
        self.content_scale.copy_(torch.where(scale > 1e-8, scale, torch.ones_like(scale)))

    def _inputs(self, content: Tensor) -> Tensor:
        return (content - self.content_mean) / self.content_scale

    def _targets(self, embeddings: Tensor) -> Tensor:
        return (embeddings - self.embedding_mean) / self.embedding_scale

    def _decode(self, z: Tensor, inputs: Tensor) -> Tensor:
        return self.out(self.decoder(torch.cat([z, inputs], dim=1))) + self.straight(inputs)

    def loss(
        self, embeddings: Tensor, content: Tensor, worth: Tensor, kl_weight: float, free_bits: float, hybrid: float
    ) -> tuple[Tensor, Tensor]:
        """The loss of a batch, in which rows count as much as `worth` (n,), and the KL term in nats a row."""
        e, c = self._targets(embeddings), self._inputs(content)
        mean, log_variance = self.encoder(torch.cat([e, c], dim=1))
        prior_mean, prior_log_variance = self.prior(c)
        kl = kl_divergence(mean, log_variance, prior_mean, prior_log_variance)
        told = 0.5 * ((self._decode(reparametrise(mean, log_variance), c) - e) ** 2).sum(dim=1)
        guessed = 0.5 * ((self._decode(prior_mean, c) - e) ** 2).sum(dim=1)
        charged = with_free_bits(worth[:, None] * kl, free_bits)
        evidence = (worth * told).mean() + kl_weight * charged
        return (1 - hybrid) * evidence + hybrid * (worth * guessed).mean(), kl.sum(dim=1).mean()

    def kl(self, embeddings: Tensor, content: Tensor) -> Tensor:
        """KL of posterior and prior in nats, (n, latent)."""
        e, c = self._targets(embeddings), self._inputs(content)
        return kl_divergence(*self.encoder(torch.cat([e, c], dim=1)), *self.prior(c))

    def latent_gap(self, embeddings: Tensor, content: Tensor) -> Tensor:
        """The posterior's mean less the prior's, in the prior's standard deviations (n, latent).

        What varies in it is what the latents say beyond the content.
        """
        e, c = self._targets(embeddings), self._inputs(content)
        mean, _ = self.encoder(torch.cat([e, c], dim=1))
        prior_mean, prior_log_variance = self.prior(c)
        return (mean - prior_mean) / torch.exp(0.5 * prior_log_variance)

    def error(self, embeddings: Tensor, content: Tensor, worth: Tensor) -> float:
        """The weighted mean squared error from content alone, in units of the embeddings' variance."""
        with torch.inference_mode():
            c = self._inputs(content)
            gap = ((self._decode(self.prior(c)[0], c) - self._targets(embeddings)) ** 2).mean(dim=1)
            return float((worth * gap).sum() / worth.sum().clamp(min=1e-12))

    def generate(self, content: Tensor, temperature: float) -> Tensor:
        """Embeddings (n, d) with z at the prior's mean, or drawn around it."""
        c = self._inputs(content)
        mean, log_variance = self.prior(c)
        z = reparametrise(mean, log_variance, temperature=temperature) if temperature else mean
        return self._decode(z, c) * self.embedding_scale + self.embedding_mean
