"""The learned ranker: a few small networks over the features of a pair.

Belongs here: the networks, the scores and calibrated chances they give, files. Does not belong here: learning
(`training.py`), features, candidates. torch is imported inside functions.

The served score is the networks' mean.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.ranking.calibration import Calibration, chances
from fashionrec_assets.ranking.features import NAMES
from fashionrec_assets.ranking.standardising import logs_of, standardised
from fashionrec_assets.settings import RankingSettings

if TYPE_CHECKING:
    import torch

FORMAT = "late-fusion-1"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
_CACHED = 8_192
"""Rows whose hidden units stay in the processor's cache: more at a time take twice as long."""


@dataclass(frozen=True)
class Ranker:
    """`networks` over standardised features; `new_bonus` is added to the score of items without events.

    `log_scale`, `mean` and `spread` float32 (f,): how features are standardised.
    """

    networks: tuple[torch.nn.Module, ...]
    log_scale: NDArray[np.float32]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    new_bonus: float
    calibration: Calibration
    settings: RankingSettings
    ndcg: float
    """NDCG@20 on users the networks did not see, within the window of training."""

    def scores(self, values: NDArray[np.float32], *, lift: bool = True) -> NDArray[np.float32]:
        """float32 (p,): higher is better; comparable among the candidates of one user."""
        raw = self.of_inputs(self.inputs(values))
        return raw + self.lift(values) if lift else raw

    def inputs(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (p, features): what the networks read of features, each for itself."""
        return standardised(logs_of(values, self.log_scale), self.mean, self.spread)

    def of_inputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (p,): `scores` without lifts, of what `inputs` gave."""
        raw = np.zeros(len(inputs), np.float32)
        for network in self.networks:
            raw += apply(network, inputs) / len(self.networks)
        return raw

    def lift(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (p,): what is added to the scores of items without events."""
        return np.where(values[:, NAMES.index("warm")] > 0, 0, self.new_bonus).astype(np.float32)

    def probabilities(self, owner: NDArray[np.int64], values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Behaviour -> float32 (p,): the calibrated probability that it follows within the window the ranker was
        trained on, for a user who comes back and takes something new then. `any`: that any of them does."""
        return self.calibrated(owner, self.scores(values, lift=False), values)

    def calibrated(
        self, owner: NDArray[np.int64], scores: NDArray[np.float32], values: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """`probabilities` from `scores` (p,) that are not lifted."""
        return chances(self.calibration, owner, scores, values)

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors` and `config.json` into `folder` (made if absent)."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{at}.{name}": value.contiguous()
            for at, network in enumerate(self.networks)
            for name, value in network.state_dict().items()
        }
        save_file(tensors, folder / WEIGHTS)
        config: dict[str, Any] = {
            "format": FORMAT,
            "features": NAMES,
            "networks": len(self.networks),
            "settings": self.settings.model_dump(mode="json"),
            "log_scale": self.log_scale.tolist(),
            "mean": self.mean.tolist(),
            "spread": self.spread.tolist(),
            "new_bonus": self.new_bonus,
            "calibration": dict(self.calibration),
            "ndcg": self.ndcg,
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        """The ranker that `save` wrote. Raises FileNotFoundError, or ValueError for other features than today's."""
        from safetensors.torch import load_file

        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if config["format"] != FORMAT or tuple(config["features"]) != NAMES:
            raise ValueError(f"{folder} holds a ranker of another version; materialize late_fusion_model again")
        settings = RankingSettings(**config["settings"])
        tensors = load_file(folder / WEIGHTS)
        networks: list[torch.nn.Module] = []
        for at in range(config["networks"]):
            network = network_of(len(NAMES), settings)
            prefix = f"{at}."
            state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            network.load_state_dict(state)
            networks.append(network.eval())
        log_scale, mean, spread = (np.asarray(config[name], np.float32) for name in ("log_scale", "mean", "spread"))
        calibration = {name: (float(a), float(b), float(c)) for name, (a, b, c) in config["calibration"].items()}
        return cls(tuple(networks), log_scale, mean, spread, config["new_bonus"], calibration, settings, config["ndcg"])


def network_of(width: int, settings: RankingSettings) -> torch.nn.Sequential:
    """One network of a ranker over `width` features, before its first step; torch's seed decides its weights."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(width, settings.hidden), nn.SiLU(), nn.Dropout(settings.dropout), nn.Linear(settings.hidden, 1)
    )


def apply(network: torch.nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (p,): one network's scores."""
    import torch

    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(inputs[at : at + _CACHED])).squeeze(1).numpy()
            for at in range(0, len(inputs), _CACHED)
        ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
