"""A VAE that generates the collaborative embedding of an item nobody has touched from its content.

Belongs here: its training and what it generates, and the plain alternative, the mean embedding of the nearest items.
Does not belong here: where embeddings come from and what they are put into (towers). torch is imported inside
functions.

Encoder q(z | e, c), learned prior p(z | c), decoder p(e | z, c), as in CVAR (Zhao et al. 2022, "Improving Item
Cold-start Recommendation via Model-agnostic Conditional Variational Autoencoder") and GoRec (Bai et al. 2023). An item
without events has no e: its z comes from the prior. So that the decoder knows such z, half of the loss is the
reconstruction from the prior's mean (the hybrid objective of Sohn et al. 2015, section 4.2).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.divergence import finite
from fashionrec_assets.settings import SynthesisSettings
from fashionrec_assets.synthesis.collapse import REMEDY, Posterior

if TYPE_CHECKING:
    from fashionrec_assets.synthesis.networks import EmbeddingVaeModule

ARCHITECTURE = "embedding-vae-1"
WEIGHTS, CONFIG = "embedding_vae.safetensors", "embedding_vae.json"
HELD_OUT = 0.1
"""Share of the items with events that choose the epoch."""

PATIENCE = 5
"""Epochs without a better reconstruction of those before training stops."""

HYBRID = 0.5
"""Weight of the reconstruction from the prior's mean; the rest is that from the posterior."""

WEIGHT_DECAY = 1e-2


@dataclass(frozen=True)
class EmbeddingCurve:
    """One epoch: the loss of training, the KL term in nats an item, its weight, active units, and the mean squared
    error on held-out items from content alone, in units of the embeddings' variance (1 is what their mean gives)."""

    loss: float
    kl: float
    kl_weight: float
    active: int
    held_out: float


@dataclass(frozen=True)
class EmbeddingVae:
    """A trained generator of embeddings float32 (m, d) from content (m, c).

    `held_out`: the error of the epoch that was kept, as in the curve; `epoch` 0 means that no epoch was better than
    the mean embedding, which is then what it generates. `posterior` is that of the kept epoch.
    """

    module: EmbeddingVaeModule
    curve: tuple[EmbeddingCurve, ...]
    epoch: int
    held_out: float
    posterior: Posterior

    def generate(self, content: NDArray[np.float32], *, temperature: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
        """float32 (m, d): the embeddings of items with `content` (m, c), from the prior's mean.

        With `temperature`, z is drawn from the prior with its standard deviation times that, by `seed`. Raises
        ValueError for content of another width.
        """
        import torch

        from fashionrec_assets.synthesis.variational import seeded

        if content.ndim != 2 or content.shape[1] != self.module.content:
            raise ValueError(f"content must be (m, {self.module.content}), got {content.shape}")
        with torch.inference_mode(), seeded(seed):
            given = torch.from_numpy(np.ascontiguousarray(content, dtype=np.float32))
            return self.module.generate(given, temperature).numpy()

    def save(self, directory: Path) -> None:
        """Writes `embedding_vae.safetensors` and `embedding_vae.json` into `directory` (made if absent)."""
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.module.state_dict().items()}, directory / WEIGHTS)
        config = {
            "architecture": ARCHITECTURE,
            "shape": self.module.shape,
            "curve": [asdict(epoch) for epoch in self.curve],
            "epoch": self.epoch,
            "held_out": self.held_out,
            "posterior": asdict(self.posterior),
        }
        (directory / CONFIG).write_text(json.dumps(config, indent=2), "utf-8")

    @classmethod
    def load(cls, directory: Path) -> EmbeddingVae:
        """What `save` wrote. Raises FileNotFoundError, or ValueError for another architecture."""
        from safetensors.torch import load_file

        from fashionrec_assets.synthesis.networks import EmbeddingVaeModule

        config: dict[str, Any] = json.loads((directory / CONFIG).read_text("utf-8"))
        if config["architecture"] != ARCHITECTURE:
            raise ValueError(f"{directory} holds a {config['architecture']}, this version reads {ARCHITECTURE}")
        module = EmbeddingVaeModule(**config["shape"])
        module.load_state_dict(load_file(directory / WEIGHTS))
        return cls(
            module.eval(),
            tuple(EmbeddingCurve(**epoch) for epoch in config["curve"]),
            config["epoch"],
            config["held_out"],
            Posterior(**config["posterior"]),
        )


def _silent(done: int, total: int) -> None:
    return None


def train_embedding_vae(
    embeddings: NDArray[np.float32],
    content: NDArray[np.float32],
    weights: NDArray[np.float32],
    settings: SynthesisSettings,
    *,
    seed: int,
    progress: Callable[[int, int], None] = _silent,
) -> EmbeddingVae:
    """Learns from w items with events: `embeddings` (w, d), `content` (w, c) and `weights` (w,), their events.

    An item counts as the square root of its events: the embedding of a much seen item is known better, but the items
    it is asked about later are like the little seen ones. A tenth of the items chooses the epoch. Deterministic by
    `seed`. `progress` counts epochs. Raises ValueError for arrays that do not fit each other, or without items.
    """
    import torch

    from fashionrec_assets.synthesis.networks import EmbeddingVaeModule
    from fashionrec_assets.synthesis.variational import active_units, annealed, seeded

    if not len(embeddings) or len({len(embeddings), len(content), len(weights)}) != 1:
        raise ValueError(
            "an embedding VAE needs as many rows of content and weights as embeddings, and some; got "
            f"{len(embeddings)}, {len(content)}, {len(weights)}"
        )
    e, c = (torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32)) for given in (embeddings, content))
    worth = torch.from_numpy(np.sqrt(np.maximum(weights, 0)).astype(np.float32))
    worth = worth / worth.mean() if float(worth.sum()) > 0 else torch.ones_like(worth)
    shuffled = np.random.default_rng([seed, 2]).permutation(len(e))
    # With very few items there is none to spare: the choice of the epoch then rests on those learned from.
    kept_back = round(len(e) * HELD_OUT)
    judged = torch.from_numpy(shuffled[:kept_back] if kept_back else shuffled)
    learned = torch.from_numpy(shuffled[kept_back:])
    with seeded(seed):
        module = EmbeddingVaeModule(e.shape[1], c.shape[1], settings.latent, settings.hidden)
        module.standardise(e[learned], c[learned])
        optimiser = torch.optim.AdamW(
            module.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
        )
        per_epoch = -(-len(learned) // settings.batch_size)
        epochs = max(settings.epochs, -(-settings.least_steps // per_epoch))
        curve: list[EmbeddingCurve] = []
        best, best_epoch = module.error(e[judged], c[judged], worth[judged]), 0
        state = {name: value.clone() for name, value in module.state_dict().items()}
        # Small catalogs have very short epochs: a bad one says little.
        patience = max(PATIENCE, epochs // 4)
        while len(curve) < epochs and len(curve) - best_epoch < patience:
            module.train()
            total = nats = beta = 0.0
            order = learned[torch.randperm(len(learned))]
            for number, rows in enumerate(order.split(settings.batch_size)):
                beta = annealed(
                    len(curve) * per_epoch + number,
                    epochs * per_epoch,
                    warmup=settings.kl_warmup,
                    weight=settings.kl_weight,
                )
                loss, kl = module.loss(e[rows], c[rows], worth[rows], beta, settings.free_bits, HYBRID)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total, nats = total + float(loss.detach()) * len(rows), nats + float(kl.detach()) * len(rows)
            finite(
                total,
                model="the VAE of item vectors",
                epoch=len(curve) + 1,
                step=per_epoch,
                remedy=REMEDY,
            )
            module.eval()
            error = module.error(e[judged], c[judged], worth[judged])
            with torch.inference_mode():
                active = active_units(module.latent_gap(e[learned], c[learned]))
            curve.append(EmbeddingCurve(total / len(learned), nats / len(learned), beta, active, error))
            if error < best:
                best, best_epoch = error, len(curve)
                state = {name: value.clone() for name, value in module.state_dict().items()}
            progress(len(curve), epochs)
        module.load_state_dict(state)
        module.eval()
        with torch.inference_mode():
            posterior = Posterior(
                active_units(module.latent_gap(e[learned], c[learned])),
                settings.latent,
                float(module.kl(e[learned], c[learned]).sum(dim=1).mean()),
                settings.free_bits,
            )
    progress(epochs, epochs)
    return EmbeddingVae(module, tuple(curve), best_epoch, best, posterior)


def neighbour_embeddings(
    embeddings: NDArray[np.float32],
    content: NDArray[np.float32],
    wanted: NDArray[np.float32],
    k: int,
    *,
    block: int = 1024,
) -> NDArray[np.float32]:
    """float32 (m, d): the mean of the `embeddings` (w, d) of the `k` items whose `content` (w, c) is nearest by cosine.

    `wanted` (m, c) is the content of the items asked about. Raises ValueError without items to average.
    """
    if not len(embeddings):
        raise ValueError("there is no item with an embedding to average")
    table = unit(content)
    k = min(k, len(embeddings))
    found = np.empty((len(wanted), embeddings.shape[1]), np.float32)
    for start in range(0, len(wanted), block):
        cosines = unit(wanted[start : start + block]) @ table.T
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        found[start : start + block] = embeddings[nearest].mean(axis=1)
    return found


def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay."""
    return (values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)).astype(np.float32)
