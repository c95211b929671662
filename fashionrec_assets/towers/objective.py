"""What one step of training minimises.

Belongs here: from a batch to a loss. Does not belong here: the loop, the losses themselves, the networks. Imports torch
at the top: import this module inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fashionrec_assets.resources.models import moved
from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers import losses
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.encoding import encode_users
from fashionrec_assets.towers.feedback import Feedback
from fashionrec_assets.towers.heads import HELPFUL
from fashionrec_assets.towers.item_tower import ItemTensors
from fashionrec_assets.towers.negatives import NegativeSampler
from fashionrec_assets.towers.popularity import PopularityHistory
from fashionrec_assets.towers.sequences import Batch
from fashionrec_assets.towers.shared_softmax import shared_softmax
from fashionrec_assets.towers.untrained import FIRST_OF_TASK

PROFILE_DROPOUT = 0.1
"""Share of users whose profile is hidden in a step: the model must also know what to do without one."""


@dataclass(frozen=True)
class StepLoss:
    """`total` is minimised; `ranking` and `tasks` are the plain losses it is made of."""

    total: Tensor
    ranking: Tensor
    tasks: dict[str, Tensor]


def sampler_for(settings: TwoTowerSettings, frequency: NDArray[np.int64]) -> NegativeSampler:
    """The negatives that the loss of `settings` asks for: InfoNCE has the batch's own, gBCE uniform ones."""
    if settings.loss == "infonce":
        return NegativeSampler(frequency, count=0)
    uniform = settings.loss == "gbce"
    return NegativeSampler(
        frequency,
        count=settings.negatives,
        uniform_share=1.0 if uniform else settings.uniform_negatives,
        in_batch=settings.in_batch_negatives and not uniform,
    )


class Objective:
    """The loss of one batch; only the items in it and its negatives go through the item tower."""

    def __init__(
        self,
        model: TwoTower,
        tensors: ItemTensors,
        history: PopularityHistory,
        sampler: NegativeSampler,
        profiles: dict[str, NDArray[np.int64]],
        feedback: Feedback | None,
    ) -> None:
        self.model, self.tensors, self.history, self.sampler = model, tensors, history, sampler
        self.profiles, self.feedback = profiles, feedback
        self.known = self._on_device(history.values)
        # The longer the log has run, the less of an item's popularity is unknown.
        self.unknown = 1 / torch.arange(1, len(self.known) + 1, device=self.known.device)[:, None]
        self.tasks = tuple(model.module.heads.of)

    def __call__(self, batch: Batch, hard: NDArray[np.int64], rng: np.random.Generator) -> StepLoss:
        """`hard` int64 (n_users, h): mined negatives of every user, -1 where there is none; h may be 0."""
        settings, module = self.model.settings, self.model.module
        row, token = np.nonzero(batch.targets >= 0)
        targets, mined = batch.targets[row, token], hard[batch.users[row]]
        candidates = self.sampler.draw(targets, rng)
        answers, owners = (np.zeros(0, np.int64),) * 2 if self.feedback is None else self.feedback.of(batch.users)
        told = np.zeros(0, np.int64) if self.feedback is None else self.feedback.item_rows[answers]
        groups = [batch.items.ravel(), targets, candidates.items, mined.ravel(), told]
        involved, places = np.unique(np.maximum(np.concatenate(groups), 0), return_inverse=True)
        in_tokens, in_targets, in_candidates, in_mined, in_told = np.split(
            places, np.cumsum([len(group) for group in groups])[:-1]
        )
        inputs = self._hidden(self.tensors.take(self._on_device(involved)), rng)
        vectors = module.items(inputs)
        tokens = vectors[self._on_device(in_tokens.reshape(batch.items.shape))]
        states, strengths = encode_users(module, batch, tokens, self._profiles(rng))
        users, strength = (found[self._on_device(row), self._on_device(token)] for found in (states, strengths))

        at, of = self._on_device(in_targets), self._on_device(in_candidates)
        period = self._on_device(self.history.periods(batch.target_times[row, token]))
        # A product with zeros and ones: the gradient of looking rows up would be added one by one.
        in_period = torch.nn.functional.one_hot(period, len(self.known)).float()
        bias = module.items.popularity(self.known[:, self._on_device(involved)], inputs.ids == 0)
        bias = bias + self.unknown * module.items.unknown_then(inputs.ids).T
        queries = users / settings.temperature
        popular = strength[:, None] * in_period
        positive = (queries * vectors[at]).sum(dim=1) + (popular * bias[:, at].T).sum(dim=1)
        # One product for all parts of a logit: similarity, popularity and the correction for sampling.
        correction = self._on_device(candidates.log_weight)[:, None] * (settings.loss == "sampled_softmax")
        left = torch.cat([queries, popular, torch.ones_like(strength)[:, None]], dim=1)
        right = torch.cat([vectors[of], bias[:, of].T, correction], dim=1)
        taken = self._on_device(_taken(batch, row, in_tokens, in_targets, in_candidates, len(involved)))
        own = None
        if mined.shape[1]:
            hardest = self._on_device(in_mined.reshape(mined.shape))
            own = torch.einsum("pd,phd->ph", queries, vectors[hardest])
            own = own + torch.einsum("pt,tph->ph", popular, bias[:, hardest])
            own = own.masked_fill(self._on_device(mined < 0), -torch.inf)
        ranking = self._ranking(positive, left, right, taken, self._on_device(row), own)

        parts = {
            task: module.heads.loss(
                task, users, vectors[at], self._on_device(batch.reached[row, token] >= FIRST_OF_TASK[task]).float()
            )
            for task in module.shape.tasks
        }
        if self.feedback is not None and len(told):
            last = states[self._on_device(owners), self._on_device(batch.lengths[owners] - 1)]
            labels = self._on_device(self.feedback.helpful[answers]).float()
            parts[HELPFUL] = module.heads.loss(HELPFUL, last, vectors[self._on_device(in_told)], labels)
        total = ranking
        for name, part in parts.items():
            total = total + module.heads.weighted(name, part, uncertainty=settings.task_weighting == "uncertainty")
        return StepLoss(total, ranking, parts)

    def _ranking(
        self, positive: Tensor, left: Tensor, right: Tensor, taken: Tensor, row: Tensor, own: Tensor | None
    ) -> Tensor:
        """The loss that the settings name; for the sampled softmax `left` @ `right` is corrected already."""
        settings = self.model.settings
        if settings.loss in ("sampled_softmax", "infonce"):
            return shared_softmax(positive, left, right, taken, row, own)
        negative, excluded = left @ right.T, taken[row]
        if own is not None:
            negative, excluded = torch.cat([negative, own], dim=1), torch.cat([excluded, own == -torch.inf], dim=1)
        if settings.loss == "bpr":
            return losses.bpr(positive, negative, excluded)
        offset = self.model.module.offset
        return losses.gbce(
            positive + offset,
            negative + offset,
            excluded,
            sampling_rate=self.sampler.sampling_rate,
            calibration=settings.gbce_calibration,
        )

    def _hidden(self, inputs: ItemTensors, rng: np.random.Generator) -> ItemTensors:
        """ID dropout and modality dropout."""
        settings, n = self.model.settings, len(inputs.ids)
        inputs = inputs.hide_ids(self._on_device(rng.random(n) < settings.id_dropout))
        if not settings.modality_dropout:
            return inputs
        views = [name for name in self.model.module.items.views if name != "id"]
        return inputs.hide_views({v: self._on_device(rng.random(n) < settings.modality_dropout) for v in views})

    def _profiles(self, rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
        if not self.profiles:
            return {}
        hidden = rng.random(len(next(iter(self.profiles.values())))) < PROFILE_DROPOUT
        return {name: np.where(hidden, 0, codes) for name, codes in self.profiles.items()}

    def _on_device(self, values: NDArray[Any]) -> Tensor:
        return moved(torch.from_numpy(values), self.model.module.device)


def _taken(
    batch: Batch,
    row: NDArray[np.int64],
    in_tokens: NDArray[np.int64],
    in_targets: NDArray[np.int64],
    in_candidates: NDArray[np.int64],
    n: int,
) -> NDArray[np.bool_]:
    """bool (b, c): candidates that each sequence holds, as an event or as a target (of `row` (p,)).

    `in_*`: places among the `n` items of the batch.
    """
    column = np.full(n, -1)
    column[in_candidates] = np.arange(len(in_candidates))
    taken = np.zeros((len(batch.items), len(in_candidates) + 1), bool)
    owner = np.repeat(np.arange(len(batch.items)), batch.items.shape[1])
    taken[owner, np.where(batch.items.ravel() >= 0, column[in_tokens], -1)] = True
    taken[row, column[in_targets]] = True
    return taken[:, :-1]
