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
from fashionrec_assets.divergence import TrainingError, finite
from fashionrec_assets.embeddings.checkpoints import (
    Checkpoint,
    optimiser_tensors,
    prefixed,
    restore_optimiser,
    under,
)
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.feedback import Feedback
from fashionrec_assets.towers.negatives import curriculum, mine
from fashionrec_assets.towers.popularity import PopularityHistory
from fashionrec_assets.towers.sequences import first_encounters, training_batches

if TYPE_CHECKING:
    from torch import Tensor

    from fashionrec_assets.towers.two_tower import TwoTowerModule

__all__ = ["GRADIENT_NORM", "TrainedTwoTower", "TrainingCurve", "TrainingError", "TrainingRun"]

GRADIENT_NORM = 5.0


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
        import torch
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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
        self.optimiser = torch.optim.AdamW(
            model.module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        # Steps are large and noisy, and their running average is the better model: it is what is measured and kept.
        self.average = AveragedModel(model.module, multi_avg_fn=get_ema_multi_avg_fn(settings.weight_average))
        self.averaged = replace(model, module=cast("TwoTowerModule", self.average.module))
        self.curve: list[TrainingCurve] = []
        self.best, self.best_epoch = -math.inf, 0
        self.best_state: dict[str, Tensor] = copy.deepcopy(self.averaged.module.state_dict())

    def one_epoch(self, evaluate: Callable[[TwoTower], float] | None) -> None:
        """Train for an epoch, judge it, and keep its weights if they are the best so far."""
        import torch

        began, epoch, settings = time.perf_counter(), len(self.curve) + 1, self.model.settings
        hard = self._hard_negatives(curriculum(epoch, settings.hard_negatives))
        device = self.model.module.device.type
        self.model.module.train()
        steps: list[tuple[float, dict[str, float]]] = []
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
            with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
                loss = self.objective(batch, hard, self.rng)
            finite(
                float(loss.total.detach()),
                model="two_tower_model",
                epoch=epoch,
                step=len(steps) + 1,
                remedy="lower two_tower.learning_rate or raise two_tower.temperature, and check that item vectors are "
                "finite and not huge",
            )
            self.optimiser.zero_grad(set_to_none=True)
            loss.total.backward()
            torch.nn.utils.clip_grad_norm_(self.model.module.parameters(), GRADIENT_NORM)
            self.optimiser.step()
            self.average.update_parameters(self.model.module)
            steps.append((loss.ranking, loss.tasks))
        ndcg = None if evaluate is None else float(evaluate(self.averaged))
        ranking = sum(value for value, _ in steps) / max(len(steps), 1)
        tasks = {name: sum(t.get(name, 0.0) for _, t in steps) / len(steps) for name in self.objective.tasks}
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
            **prefixed("average.", self.average.state_dict()),
            **prefixed("best.", self.best_state),
            **prefixed("optimiser.", optimiser_tensors(self.optimiser)),
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
        self.average.load_state_dict(under("average.", tensors))
        self.best_state = under("best.", tensors)
        restore_optimiser(self.optimiser, under("optimiser.", tensors))
        torch.set_rng_state(tensors["generator"])
        if self.model.module.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["device_generator"])
        self.rng.bit_generator.state = facts["rng"]
        self.curve = [TrainingCurve(**record) for record in facts["curve"]]
        self.best = -math.inf if facts["best"] is None else facts["best"]
        self.best_epoch = facts["best_epoch"]
