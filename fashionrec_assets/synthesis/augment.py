"""The generators of synthetic rows, by name: what those who train on them ask for.

Belongs here: the interface and the choice. Does not belong here: any generator (`conditional_vae.py`, `controls.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, Protocol

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.settings import SynthesisSettings, digest
from fashionrec_assets.synthesis.conditional_vae import VaeGenerator, train_row_vae
from fashionrec_assets.synthesis.controls import AttributeGenerator, NeighbourGenerator, RandomGenerator
from fashionrec_assets.synthesis.rows import ItemContent, SyntheticRows, TrainingRows, training_rows

__all__ = ["KINDS", "Generator", "ItemContent", "Kind", "SyntheticRows", "TrainingRows", "generator", "training_rows"]

Kind = Literal["vae", "neighbours", "attributes", "random"]
KINDS: tuple[Kind, ...] = ("vae", "neighbours", "attributes", "random")

MODEL_SETTINGS = ("content_dim", "latent", "hidden", "epochs", "batch_size", "learning_rate", "kl_weight")
MODEL_SETTINGS += ("kl_warmup", "free_bits", "least_steps", "most_rows")
"""The settings that make another VAE; the others say how it is used."""


class Generator(Protocol):
    """Makes synthetic rows. `version` changes with the settings, the seed and the data it was made of."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def draw(self, count: int, *, temperature: float, seed: int) -> SyntheticRows:
        """At most `count` distinct pairs that no training row has, deterministic by `seed`."""
        ...


def _silent(done: int, total: int) -> None:
    return None


def generator(
    kind: Kind,
    log: EventLog,
    rows: TrainingRows,
    content: ItemContent,
    settings: SynthesisSettings,
    *,
    seed: int,
    progress: Callable[[int, int], None] = _silent,
) -> Generator:
    """The generator `kind`; a VAE is trained here, on `rows`, which must be those of `log` (already cut by time).

    `content` is that of `log.item_ids`. `progress` counts epochs. Raises ValueError if they do not fit each other, and
    `conditional_vae.TooFewRowsError`.
    """
    if len(content.available) != log.n_items:
        raise ValueError(f"content has {len(content.available)} rows, the log has {log.n_items} items")
    version = generator_version(kind, rows, content, settings, seed=seed)
    match kind:
        case "vae":
            model = train_row_vae(rows, content, settings, seed=seed, model_id=version, progress=progress)
            return VaeGenerator(model, rows, content)
        case "neighbours":
            return NeighbourGenerator(rows, content, version)
        case "attributes":
            return AttributeGenerator(rows, content, version)
        case "random":
            return RandomGenerator(rows, content, version)


def generator_version(
    kind: Kind, rows: TrainingRows, content: ItemContent, settings: SynthesisSettings, *, seed: int
) -> str:
    """16 hex digits that name what a generator was made of."""
    data = hashlib.sha256()
    for array in (rows.users, rows.items, rows.labels, rows.times, content.values, content.present, content.available):
        data.update(array.tobytes())
    for texts in (content.types, content.colours):
        data.update("\0".join(texts.tolist()).encode())
    chosen = settings.model_dump(mode="json", include=set(MODEL_SETTINGS)) if kind == "vae" else {}
    return digest({"kind": kind, "seed": seed, "settings": chosen, "data": data.hexdigest()})[:16]
