"""The conditional VAE over (user, item, preference): what is asked of it is a row that could have been.

Belongs here: features of a row, training with its curves, drawing rows from a trained model, its files. Does not
belong here: which real rows are started from and which real item stands for a decoded one (`sampling.py`). torch is
imported inside functions.

After Sohn et al. 2015 ("Learning Structured Output Representation using Deep Conditional Generative Models"): encoder
q(z | user, item, preference), decoder p(item, preference | z, user). An item is its content in principal components of
unit variance, of which the likelihood is a Gaussian's; the preference is a Bernoulli variable; a user is the mean
content of what else they like. The KL term is annealed (Bowman et al. 2016), with free bits (Kingma et al. 2016).
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
from fashionrec_assets.synthesis.reduction import FEWEST_ROWS, Reduction, TooFewRowsError
from fashionrec_assets.synthesis.rows import ItemContent, SyntheticRows, TrainingRows, user_content
from fashionrec_assets.synthesis.sampling import draw_rows, nearest

if TYPE_CHECKING:
    from fashionrec_assets.synthesis.networks import RowVaeModule

ARCHITECTURE = "row-vae-1"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
CANDIDATES = 64
"""Real items nearest to a decoded one that are looked at for one its user does not have."""


@dataclass(frozen=True)
class VaeEpoch:
    """One epoch, means over rows: the squared error of the item (1/2 of it, summed over components), the
    cross-entropy of the preference, KL in nats and its weight at the end, and the active units after it."""

    item: float
    preference: float
    kl: float
    kl_weight: float
    active: int


@dataclass(frozen=True)
class RowFeatures:
    """What the VAE reads of n rows: `user` float32 (n, u), `item` (n, k), `preference` (n,)."""

    user: NDArray[np.float32]
    item: NDArray[np.float32]
    preference: NDArray[np.float32]

    def take(self, rows: NDArray[np.integer]) -> RowFeatures:
        return RowFeatures(self.user[rows], self.item[rows], self.preference[rows])


@dataclass(frozen=True)
class RowVae:
    """A trained conditional VAE. `model_id` names settings, seed and data; `posterior` says whether it collapsed."""

    module: RowVaeModule
    reduction: Reduction
    model_id: str
    curve: tuple[VaeEpoch, ...]
    posterior: Posterior

    def features(self, rows: TrainingRows, content: ItemContent) -> RowFeatures:
        """What the model reads of `rows`."""
        return row_features(rows, content, self.reduction.apply(content))

    def generate(
        self, features: RowFeatures, *, temperature: float, seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """An item's components float32 (n, k) and the preference (n,) in [0, 1] for each of n source rows.

        z is drawn around the posterior's mean of the source, with its standard deviation times `temperature`.
        """
        import torch

        from fashionrec_assets.synthesis.variational import reparametrise, seeded

        with torch.inference_mode(), seeded(seed):
            user, item, preference = _tensors(features)
            z = reparametrise(*self.module.encode(user, item, preference), temperature=temperature)
            made, logit = self.module.decode(z, user)
            return made.numpy(), torch.sigmoid(logit).numpy()

    def save(self, directory: Path) -> None:
        """Writes `model.safetensors` and `config.json` into `directory` (made if absent)."""
        import torch
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        state = {f"module.{name}": value.contiguous() for name, value in self.module.state_dict().items()}
        reduction = {f"reduction.{name}": torch.from_numpy(value) for name, value in vars(self.reduction).items()}
        save_file({**state, **reduction}, directory / WEIGHTS)
        config = {
            "architecture": ARCHITECTURE,
            "model_id": self.model_id,
            "shape": self.module.shape,
            "curve": [asdict(epoch) for epoch in self.curve],
            "posterior": asdict(self.posterior),
        }
        (directory / CONFIG).write_text(json.dumps(config, indent=2), "utf-8")

    @classmethod
    def load(cls, directory: Path) -> RowVae:
        """What `save` wrote. Raises FileNotFoundError, or ValueError for another architecture."""
        from safetensors.torch import load_file

        from fashionrec_assets.synthesis.networks import RowVaeModule

        config: dict[str, Any] = json.loads((directory / CONFIG).read_text("utf-8"))
        if config["architecture"] != ARCHITECTURE:
            raise ValueError(
                f"{directory} holds a {config['architecture']}, this version reads {ARCHITECTURE}; train it again"
            )
        state = load_file(directory / WEIGHTS)
        module = RowVaeModule(**config["shape"])
        named = {name.removeprefix("module."): value for name, value in state.items() if name.startswith("module.")}
        module.load_state_dict(named)
        return cls(
            module.eval(),
            Reduction(state["reduction.mean"].numpy(), state["reduction.axes"].numpy()),
            config["model_id"],
            tuple(VaeEpoch(**epoch) for epoch in config["curve"]),
            Posterior(**config["posterior"]),
        )


@dataclass(frozen=True)
class VaeGenerator:
    """Rows drawn from a trained VAE: `version` is the model's id."""

    model: RowVae
    rows: TrainingRows
    content: ItemContent
    name: str = "vae"

    @property
    def version(self) -> str:
        return self.model.model_id

    def draw(self, count: int, *, temperature: float = 1.0, seed: int) -> SyntheticRows:
        """At most `count` rows (see `draw_rows`): of a source's user, with the real item nearest to the decoded one.

        Items without events are as good as others: that is how they get rows. The label is the decoded preference.
        """
        features = self.model.features(self.rows, self.content)
        components = self.model.reduction.apply(self.content)
        pool = np.flatnonzero(self.content.usable)

        def propose(
            sources: NDArray[np.int64], rng: np.random.Generator
        ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            made, preference = self.model.generate(
                features.take(sources), temperature=temperature, seed=int(rng.integers(2**31))
            )
            return pool[nearest(components[pool], made, CANDIDATES)], preference

        eligible = self.content.present[self.rows.items]
        return draw_rows(count, self.rows, self.content, eligible, propose, seed=seed)


def _silent(done: int, total: int) -> None:
    return None


def row_features(rows: TrainingRows, content: ItemContent, components: NDArray[np.float32]) -> RowFeatures:
    """What a VAE reads of `rows`, with the items' `components` (n_items, k).

    A user is the mean of the components of what else they like, whether there is any, and the logarithm of how many.
    """
    mean, count = user_content(rows, components, content.present)
    about = np.stack([count > 0, np.log1p(count)], axis=1).astype(np.float32)
    return RowFeatures(np.concatenate([mean, about], axis=1), components[rows.items], rows.labels)


def train_row_vae(
    rows: TrainingRows,
    content: ItemContent,
    settings: SynthesisSettings,
    *,
    seed: int,
    model_id: str,
    progress: Callable[[int, int], None] = _silent,
) -> RowVae:
    """Learns from `rows` whose item has content, at most `settings.most_rows` of them, a seeded sample.

    Deterministic by `seed`. `progress` counts epochs. Raises TooFewRowsError.
    """
    import torch

    from fashionrec_assets.synthesis.networks import RowVaeModule
    from fashionrec_assets.synthesis.variational import active_units, annealed, seeded, with_free_bits

    reduction = Reduction.fit(content, settings.content_dim)
    features = row_features(rows, content, reduction.apply(content))
    chosen = np.flatnonzero(content.present[rows.items])
    if len(chosen) < FEWEST_ROWS:
        raise TooFewRowsError(f"{len(chosen)} training rows have an item with content")
    if len(chosen) > settings.most_rows:
        rng = np.random.default_rng([seed, 4])
        chosen = np.sort(rng.choice(chosen, settings.most_rows, replace=False))
    user, item, preference = _tensors(features.take(chosen))
    per_epoch = -(-len(chosen) // settings.batch_size)
    epochs = max(settings.epochs, -(-settings.least_steps // per_epoch))
    curve: list[VaeEpoch] = []
    with seeded(seed):
        module = RowVaeModule(item.shape[1], user.shape[1], settings.latent, settings.hidden)
        optimiser = torch.optim.Adam(module.parameters(), lr=settings.learning_rate, fused=True)
        for epoch in range(epochs):
            sums, beta = np.zeros(3), 0.0
            for number, batch in enumerate(torch.randperm(len(chosen)).split(settings.batch_size)):
                beta = annealed(
                    epoch * per_epoch + number,
                    epochs * per_epoch,
                    warmup=settings.kl_warmup,
                    weight=settings.kl_weight,
                )
                error, bernoulli, kl, _ = module.terms(user[batch], item[batch], preference[batch])
                loss = error.mean() + bernoulli.mean() + beta * with_free_bits(kl, settings.free_bits)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                terms = (error.sum(), bernoulli.sum(), kl.sum())
                sums += [float(term.detach()) for term in terms]
            finite(float(sums.sum()), model="vae_model", epoch=epoch + 1, step=per_epoch, remedy=REMEDY)
            with torch.inference_mode():
                active = active_units(module.encode(user, item, preference)[0])
            error, bernoulli, nats = (sums / len(chosen)).tolist()
            curve.append(VaeEpoch(error, bernoulli, nats, beta, active))
            progress(epoch + 1, epochs)
        module.eval()
        with torch.inference_mode():
            _, _, kl, means = module.terms(user, item, preference)
            nats = float(kl.sum(dim=1).mean())
    posterior = Posterior(active_units(means), settings.latent, nats, settings.free_bits)
    return RowVae(module, reduction, model_id, tuple(curve), posterior)


def _tensors(features: RowFeatures) -> tuple[Any, Any, Any]:
    import torch

    user, item, preference = (
        torch.from_numpy(np.ascontiguousarray(given)) for given in (features.user, features.item, features.preference)
    )
    return user, item, preference
