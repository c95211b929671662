"""One training under way, epoch by epoch.

Belongs here: the steps of an epoch, what is kept of it, and putting all of that away and back. Does not belong here:
when to stop, and which logs are trained on (`training.py`). torch is imported inside functions.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.divergence import Losses, TrainingError
from fashionrec_assets.embeddings.checkpoints import Checkpoint, prefixed, under
from fashionrec_assets.resources.models import computes_on_gpu, fastest_precision
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.feedback import Feedback
from fashionrec_assets.towers.negatives import curriculum, mine
from fashionrec_assets.towers.popularity import PopularityHistory
from fashionrec_assets.towers.sequences import first_encounters, training_batches

if TYPE_CHECKING:
    from torch import Tensor

    from fashionrec_assets.towers.two_tower import TwoTowerModule

__all__ = ["TrainedTwoTower", "TrainingCurve", "TrainingError", "TrainingRun"]


@dataclass(frozen=True)
class TrainingCurve:
    """One epoch: 1-based `epoch`, mean ranking `loss`, `ndcg` on validation (None if not asked), wall `seconds`.

    `tasks`: mean loss of each head.
    """

    epoch: int
    loss: float
    ndcg: float | None
    seconds: float
    tasks: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class TrainedTwoTower:
    """A model, the epoch whose weights it has, and the curve of every epoch that ran."""

    model: TwoTower
    epochs: int
    curve: list[TrainingCurve]


class TrainingRun:
    """A training under way: everything that a checkpoint has to hold is an attribute."""

    def __init__(
        self,
        model: TwoTower,
        log: EventLog,
        catalog: ItemFeatures,
        history: PopularityHistory,
        profiles: UserProfiles | None,
        feedback: Feedback | None,
        seed: int,
    ) -> None:
        from fashionrec_assets.towers.descent import Descent
        from fashionrec_assets.towers.objective import Objective, sampler_for

        settings = model.settings
        self.model, self.log, self.catalog, self.profiles = model, log, catalog, profiles
        self.rng = np.random.default_rng(seed)
        wanted = first_encounters(log) if settings.new_items_only else np.ones(len(log), bool)
        self.sampler = sampler_for(settings, np.bincount(log.items[wanted], minlength=log.n_items))
        self.objective = Objective(
            model,
            model.tensors(catalog),
            history,
            self.sampler,
            model.profile_codes(profiles, log.n_users),
            feedback,
        )
        # Steps are large and noisy, and their running average is the better model: it is what is measured and kept.
        self.descent = Descent(
            model.module,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            decay=lambda steps: settings.weight_average,
        )
        self.averaged = replace(model, module=cast("TwoTowerModule", self.descent.average))
        self.curve: list[TrainingCurve] = []
        self.best, self.best_epoch = -math.inf, 0
        self.best_state: dict[str, Tensor] = copy.deepcopy(self.averaged.module.state_dict())

    def one_epoch(self, evaluate: Callable[[TwoTower], float] | None) -> None:
        """Train for an epoch, judge it, and keep its weights if they are the best so far."""
        from fashionrec_assets.embeddings.precision import autocast

        began, epoch, settings = time.perf_counter(), len(self.curve) + 1, self.model.settings
        hard = self._hard_negatives(curriculum(epoch, settings.hard_negatives))
        device = self.model.module.device
        precision = fastest_precision(str(device), training=True)
        self.model.module.train()
        losses = Losses(
            model="two_tower_model",
            epoch=epoch,
            remedy="lower two_tower.learning_rate or raise two_tower.temperature, and check that item vectors are "
            "finite and not huge",
            on_gpu=computes_on_gpu(device.type),
        )
        for batch in training_batches(
            self.log,
            history=settings.history,
            batch_size=settings.batch_size,
            new_only=settings.new_items_only,
            rng=self.rng,
            session_gap=self.model.session_gap,
        ):
            if not (batch.targets >= 0).any():
                continue
            with autocast(device, precision):
                loss = self.objective(batch, hard, self.rng)
            losses.add(loss.total, {"ranking": loss.ranking, **loss.tasks})
            self.descent.step(loss.total)
        self.descent.settle()
        ranking, tasks = losses.mean("ranking"), {name: losses.mean(name) for name in self.objective.tasks}
        ndcg = None if evaluate is None else float(evaluate(self.averaged))
        self.curve.append(TrainingCurve(epoch, ranking, ndcg, time.perf_counter() - began, tasks))
        if ndcg is None:
            self.best_epoch = epoch
        elif ndcg > self.best:
            self.best, self.best_epoch = ndcg, epoch
            self.best_state = copy.deepcopy(self.averaged.module.state_dict())

    def _hard_negatives(self, count: int) -> NDArray[np.int64]:
        if count == 0:
            return np.zeros((self.log.n_users, 0), np.int64)
        vectors = self.averaged.item_vectors(self.catalog)
        users = self.averaged.user_vectors(self.log, np.arange(self.log.n_users), vectors, profiles=self.profiles)
        return mine(users, vectors, self.log, self.sampler.pool, count=count)

    def finished(self, *, keep_best: bool) -> TrainedTwoTower:
        """The averaged model, with the best epoch's weights or the last one's, on the processor."""
        if keep_best:
            self.averaged.module.load_state_dict(self.best_state)
        self.averaged.module.to("cpu").eval()
        return TrainedTwoTower(self.averaged, self.best_epoch, self.curve)

    def save(self, checkpoint: Checkpoint) -> None:
        import torch

        tensors = {
            **prefixed("model.", self.model.module.state_dict()),
            **prefixed("best.", self.best_state),
            **prefixed("descent.", self.descent.tensors()),
            "generator": torch.get_rng_state(),
        }
        if self.model.module.device.type == "cuda":
            tensors["device_generator"] = torch.cuda.get_rng_state()
        facts: dict[str, Any] = {
            "curve": [asdict(record) for record in self.curve],
            "best": self.best if math.isfinite(self.best) else None,
            "best_epoch": self.best_epoch,
            "rng": self.rng.bit_generator.state,
        }
        checkpoint.save(tensors, facts)

    def restore(self, checkpoint: Checkpoint) -> None:
        import torch

        found = checkpoint.load()
        if found is None:
            return
        tensors, facts = found
        self.model.module.load_state_dict(under("model.", tensors))
        self.best_state = under("best.", tensors)
        self.descent.restore(under("descent.", tensors))
        torch.set_rng_state(tensors["generator"])
        if self.model.module.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["device_generator"])
        self.rng.bit_generator.state = facts["rng"]
        self.curve = [TrainingCurve(**record) for record in facts["curve"]]
        self.best = -math.inf if facts["best"] is None else facts["best"]
        self.best_epoch = facts["best_epoch"]
