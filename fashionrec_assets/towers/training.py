"""How towers are trained: one loop, early stopping, and the refit that is served.

Belongs here: the loop, its curves, the choice of epochs. Does not belong here: networks, losses, metrics (the caller
gives `evaluate`), storage. torch is imported inside functions.

A model sees only the log it is given. The caller cuts it by time first.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.artifact import TwoTower, build_module, encode_users, two_tower_id
from fashionrec_assets.towers.features import ItemFeatures, category_vocabulary
from fashionrec_assets.towers.sequences import first_encounters, training_batches

if TYPE_CHECKING:
    import torch

    from fashionrec_assets.towers.losses import NegativeSampler
    from fashionrec_assets.towers.sequences import Batch
    from fashionrec_assets.towers.two_tower import ItemTensors, TwoTowerModule

GRADIENT_NORM = 5.0
START_NORM = 2.0
"""Length of a modality's vector before training, on the average."""


class TrainingError(RuntimeError):
    """Training cannot give a usable model: nothing to learn from, or a loss that is not finite."""


@dataclass(frozen=True)
class TrainingCurve:
    """One epoch: 1-based `epoch`, mean training `loss`, `ndcg` on validation (None if not asked), wall `seconds`."""

    epoch: int
    loss: float
    ndcg: float | None
    seconds: float


@dataclass(frozen=True)
class TrainedTwoTower:
    """A model, the epoch whose weights it has, and the curve of every epoch that ran."""

    model: TwoTower
    epochs: int
    curve: list[TrainingCurve]


@dataclass(frozen=True)
class FittedTwoTower:
    """`model` is fitted on everything before the test period; `chosen`, fitted on less, decided for how many epochs."""

    model: TwoTower
    epochs: int
    chosen: TrainedTwoTower
    final: TrainedTwoTower


def _silent(done: int, total: int) -> None:
    return None


def fit_two_tower(
    fit: EventLog,
    train: EventLog,
    features: ItemFeatures,
    settings: TwoTowerSettings,
    *,
    seed: int,
    data_digest: str,
    evaluate: Callable[[TwoTower], float],
    progress: Callable[[int, int], None] = _silent,
) -> FittedTwoTower:
    """Chooses the number of epochs on `fit`, then trains for that many on `train`.

    `fit` is the log before validation, `train` the log before test, both cuts of one log. `evaluate(model)` returns the
    validation NDCG of a model trained on `fit`. `data_digest` names the data of `train` (it goes into `model_id`).
    `progress` counts epochs, of at most twice `settings.epochs`. Raises TrainingError.
    """
    total = 2 * settings.epochs
    chosen = train_two_tower(
        fit,
        features,
        settings,
        seed=seed,
        data_digest=f"{data_digest}/selection",
        evaluate=evaluate,
        progress=lambda done, _: progress(done, total),
    )
    final = train_two_tower(
        train,
        features,
        settings,
        seed=seed,
        data_digest=data_digest,
        epochs=chosen.epochs,
        progress=lambda done, _: progress(len(chosen.curve) + done, len(chosen.curve) + chosen.epochs),
    )
    return FittedTwoTower(final.model, chosen.epochs, chosen, final)


def train_two_tower(
    log: EventLog,
    features: ItemFeatures,
    settings: TwoTowerSettings,
    *,
    seed: int,
    data_digest: str,
    epochs: int | None = None,
    evaluate: Callable[[TwoTower], float] | None = None,
    progress: Callable[[int, int], None] = _silent,
) -> TrainedTwoTower:
    """Trains on every event of `log` (already cut by time), deterministically by `seed`.

    `features` must cover every item of the log. With `evaluate`, training stops after `settings.patience` epochs
    without a better value and the best epoch's weights are kept; without, it runs `epochs` (default
    `settings.epochs`) epochs. Raises TrainingError, and KeyError for an item without features.
    """
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from fashionrec_assets.towers.losses import NegativeSampler

    if len(log) == 0:
        raise TrainingError("no events before the cut: nothing to train on; check the split days against the log")
    limit = settings.epochs if epochs is None else epochs
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]), _deterministic():
        torch.manual_seed(seed)
        catalog = features.take(features.rows(log.item_ids))
        model = _untrained(log, catalog, settings, two_tower_id(settings, seed, data_digest))
        tensors = model.tensors(catalog)
        wanted = first_encounters(log) if settings.new_items_only else np.ones(len(log), bool)
        sampler = NegativeSampler(
            np.bincount(log.items[wanted], minlength=log.n_items),
            count=settings.negatives,
            uniform_share=settings.uniform_negatives,
        )
        optimiser = torch.optim.AdamW(
            model.module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        # Steps are large and noisy, and their running average is the better model: it is what is measured and kept.
        average = AveragedModel(model.module, multi_avg_fn=get_ema_multi_avg_fn(settings.weight_average))
        averaged = replace(model, module=cast("TwoTowerModule", average.module))
        curve: list[TrainingCurve] = []
        best, best_epoch, best_state = -math.inf, 0, copy.deepcopy(averaged.module.state_dict())
        for epoch in range(1, limit + 1):
            began = time.perf_counter()
            model.module.train()
            total, steps = 0.0, 0
            for batch in training_batches(
                log,
                history=settings.history,
                batch_size=settings.batch_size,
                new_only=settings.new_items_only,
                rng=rng,
            ):
                if not (batch.targets >= 0).any():
                    continue
                loss = _loss(model, tensors, batch, sampler, rng)
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise TrainingError(
                        f"the loss became {value} in epoch {epoch}: lower two_tower.learning_rate or raise "
                        f"two_tower.temperature, and check that item vectors are finite and not huge"
                    )
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.module.parameters(), GRADIENT_NORM)
                optimiser.step()
                average.update_parameters(model.module)
                total, steps = total + value, steps + 1
            ndcg = None if evaluate is None else float(evaluate(averaged))
            curve.append(TrainingCurve(epoch, total / max(steps, 1), ndcg, time.perf_counter() - began))
            progress(epoch, limit)
            if ndcg is None:
                best_epoch = epoch
            elif ndcg > best:
                best, best_epoch, best_state = ndcg, epoch, copy.deepcopy(averaged.module.state_dict())
            elif epoch - best_epoch >= settings.patience:
                break
        if evaluate is not None:
            averaged.module.load_state_dict(best_state)
    averaged.module.eval()
    return TrainedTwoTower(averaged, best_epoch, curve)


@contextmanager
def _deterministic() -> Generator[None]:
    """Adding up gradients of repeated rows in a fixed order: with several threads torch otherwise adds as they come."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _untrained(log: EventLog, catalog: ItemFeatures, settings: TwoTowerSettings, model_id: str) -> TwoTower:
    import torch

    age = (log.times.max() - log.times) / 86_400
    counts = np.bincount(log.items, weights=0.5 ** (age / settings.popularity_half_life_days), minlength=log.n_items)
    warm = np.bincount(log.items, minlength=log.n_items) > 0
    popularity = np.log(counts[warm] + 1)
    known = catalog.take(np.flatnonzero(warm))
    modalities = {name: m.values.shape[1] for name, m in catalog.modalities.items() if m.present[warm].any()}
    categories = {name: category_vocabulary(values) for name, values in known.categories.items()}
    categories = {name: values for name, values in categories.items() if len(values)}
    module = build_module(settings, int(warm.sum()), modalities, categories)
    for name in modalities:
        seen = known.modalities[name].values[known.modalities[name].present]
        module.items.get_buffer(f"mean_{name}").copy_(torch.from_numpy(seen.mean(axis=0)))
        module.items.get_buffer(f"scale_{name}").fill_(max(float(seen.std(axis=0).mean()), 1e-6))
        _start_from_principal_axes(module, name, seen)
    centred = (popularity - popularity.mean()).astype(np.float32)
    return TwoTower(module, settings, model_id, known.item_ids, centred, categories)


def _start_from_principal_axes(module: TwoTowerModule, name: str, seen: NDArray[np.float32]) -> None:
    """Makes the projection of a modality a turned PCA of it: similar content begins with similar vectors.

    Turned at random, because the leading axes of two modalities have nothing to do with each other.
    """
    import torch

    weight = cast("torch.nn.Linear", module.items.project[name]).weight
    centred = (seen - seen.mean(axis=0)).astype(np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    kept = axes[:, ::-1][:, : weight.shape[0]]
    scale = START_NORM * np.sqrt(len(seen)) / max(float(np.linalg.norm(centred @ kept)), 1e-9)
    kept = kept * scale * float(module.items.get_buffer(f"scale_{name}"))
    turn = torch.nn.init.orthogonal_(torch.empty(weight.shape[0], kept.shape[1]))
    with torch.no_grad():
        weight.copy_(turn @ torch.from_numpy(kept.T.copy()).float())


def _loss(
    model: TwoTower, tensors: ItemTensors, batch: Batch, sampler: NegativeSampler, rng: np.random.Generator
) -> torch.Tensor:
    """Sampled softmax of one batch; only the items in it and its negatives go through the item tower."""
    import torch

    from fashionrec_assets.towers.losses import sampled_softmax

    settings, module = model.settings, model.module
    row, token = np.nonzero(batch.targets >= 0)
    targets = batch.targets[row, token]
    candidates = sampler.draw(targets, rng)
    involved, places = np.unique(
        np.concatenate([np.maximum(batch.items, 0).ravel(), targets, candidates.items]), return_inverse=True
    )
    in_tokens, in_targets, in_candidates = np.split(places, np.cumsum([batch.items.size, len(targets)]))
    inputs = tensors.take(torch.from_numpy(involved))
    vectors, bias = module.items(inputs.hide_ids(torch.from_numpy(rng.random(len(involved)) < settings.id_dropout)))

    users = encode_users(module, batch, vectors[torch.from_numpy(in_tokens.reshape(batch.items.shape))])
    users = users[torch.from_numpy(row), torch.from_numpy(token)] / settings.temperature
    at, of = torch.from_numpy(in_targets), torch.from_numpy(in_candidates)
    positive = (users * vectors[at]).sum(dim=1) + bias[at]
    negative = users @ vectors[of].T + bias[of]

    column = np.full(len(involved), -1)
    column[in_candidates] = np.arange(len(in_candidates))
    taken = np.zeros((len(batch.items), len(in_candidates) + 1), bool)
    owner = np.repeat(np.arange(len(batch.items)), batch.items.shape[1])
    taken[owner, np.where(batch.items.ravel() >= 0, column[in_tokens], -1)] = True
    taken[row, column[in_targets]] = True
    excluded = torch.from_numpy(taken[row, :-1])
    return sampled_softmax(positive, negative, torch.from_numpy(candidates.log_weight), excluded)
