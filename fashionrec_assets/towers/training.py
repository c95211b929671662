"""How towers are trained: one loop, early stopping, going on after a kill, and the three models that come of it.

Belongs here: the loop, its curves, the choice of epochs. Does not belong here: networks, losses (`objective.py`),
first parameters (`untrained.py`), metrics (the caller gives `evaluate`), storage. torch is imported inside functions.

A model sees only the log it is given. The caller cuts it by time first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.embeddings.checkpoints import Checkpoint
from fashionrec_assets.resources.models import best_device, fast_products
from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.artifact import TwoTower, two_tower_id
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.feedback import Feedback
from fashionrec_assets.towers.popularity import PopularityHistory
from fashionrec_assets.towers.reading import EVALUATION, SELECTION, SERVED
from fashionrec_assets.towers.run import TrainedTwoTower, TrainingCurve, TrainingError, TrainingRun
from fashionrec_assets.towers.sequences import SESSION_GAP
from fashionrec_assets.towers.untrained import untrained, warmed_up

__all__ = [
    "FittedTwoTower",
    "TrainedTwoTower",
    "TrainingCurve",
    "TrainingError",
    "epochs_for",
    "fit_two_tower",
    "train_two_tower",
]


@dataclass(frozen=True)
class FittedTwoTower:
    """`selection` decided for how many `epochs` the others are trained; `served` is None where it was not asked for."""

    selection: TrainedTwoTower
    evaluation: TrainedTwoTower
    served: TrainedTwoTower | None
    epochs: int


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
    full: EventLog | None = None,
    profiles: UserProfiles | None = None,
    feedback: Mapping[str, Feedback] | None = None,
    session_gap: int = SESSION_GAP,
    starts: Mapping[str, TwoTower] | None = None,
    checkpoints: Path | None = None,
    progress: Callable[[int, int], None] = _silent,
) -> FittedTwoTower:
    """Chooses the number of epochs on `fit`, then trains for that many on `train`, and on `full` if it is given.

    `fit` is the log before validation, `train` before test, `full` up to now, all cuts of one log. `evaluate(model)`
    returns the validation NDCG of a model trained on `fit`. `feedback` (by the names of the artifact's folders, as
    `starts`) must be of the days of the log that goes with it. `data_digest` names the data (it goes into `model_id`).
    `starts`: earlier models by the names of the artifact's folders; each is gone on from, for a share of the epochs.
    `checkpoints`: folder in which a killed run finds where it was; the caller clears it. `progress` counts epochs.
    Raises TrainingError.
    """
    logs = {SELECTION: fit, EVALUATION: train, **({} if full is None else {SERVED: full})}
    limit, before = epochs_for(settings, warm=bool(starts)), 0
    made: dict[str, TrainedTwoTower] = {}
    for name, log in logs.items():
        epochs = made[SELECTION].epochs if made else limit
        remaining = len(logs) - len(made)
        total = before + epochs * remaining
        made[name] = train_two_tower(
            log,
            features,
            settings,
            seed=seed,
            data_digest=f"{data_digest}/{name}",
            epochs=epochs,
            evaluate=None if made else evaluate,
            profiles=profiles,
            feedback=(feedback or {}).get(name),
            session_gap=session_gap,
            start=(starts or {}).get(name),
            checkpoint=None if checkpoints is None else checkpoints / f"{name}.safetensors",
            progress=lambda done, _, before=before, total=total: progress(before + done, total),
        )
        before += len(made[name].curve)
    progress(before, before)
    return FittedTwoTower(made[SELECTION], made[EVALUATION], made.get(SERVED), made[SELECTION].epochs)


def epochs_for(settings: TwoTowerSettings, *, warm: bool) -> int:
    """The most epochs of a training from the beginning, or of one that goes on from an earlier model."""
    return max(1, round(settings.epochs * settings.warm_start)) if warm else settings.epochs


def train_two_tower(
    log: EventLog,
    features: ItemFeatures,
    settings: TwoTowerSettings,
    *,
    seed: int,
    data_digest: str,
    epochs: int | None = None,
    evaluate: Callable[[TwoTower], float] | None = None,
    profiles: UserProfiles | None = None,
    feedback: Feedback | None = None,
    session_gap: int = SESSION_GAP,
    start: TwoTower | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int, int], None] = _silent,
) -> TrainedTwoTower:
    """Trains on every event of `log` (already cut by time), on a processor deterministically by `seed`.

    `features` must cover every item of the log, `profiles` and `feedback` speak of its rows. With `evaluate`, training
    stops after `settings.patience` epochs without a better value and the best epoch's weights are kept; without, it
    runs `epochs` (default `settings.epochs`) epochs. A training that was killed goes on from the file `checkpoint` to
    the same weights. Raises TrainingError, and KeyError for an item without features.
    """
    import torch

    if len(log) == 0:
        raise TrainingError("no events before the cut: nothing to train on; check the split days against the log")
    limit = settings.epochs if epochs is None else epochs
    device = best_device()
    forked = torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else [])
    with forked, deterministic(), fast_products(device):
        torch.manual_seed(seed)
        catalog = features.take(features.rows(log.item_ids))
        history = PopularityHistory.of(log, settings.popularity_half_lives)
        model = untrained(
            log,
            catalog,
            history,
            settings,
            two_tower_id(settings, seed, data_digest),
            profiles=profiles,
            helpful=bool(feedback),
            session_gap=session_gap,
        )
        model = model if start is None else warmed_up(model, start)
        model.module.to(device)
        run = TrainingRun(model, log, catalog, history, profiles, feedback or None, seed)
        state = Checkpoint(checkpoint, f"{model.model_id}/{limit}/{'' if start is None else start.model_id}")
        run.restore(state)
        while len(run.curve) < limit and not (evaluate and len(run.curve) - run.best_epoch >= settings.patience):
            run.one_epoch(evaluate)
            run.save(state)
            progress(len(run.curve), limit)
        return run.finished(keep_best=evaluate is not None)


@contextmanager
def deterministic() -> Generator[None]:
    """Adding up gradients of repeated rows in a fixed order: with several threads torch otherwise adds as they come.

    Only on a processor: a GPU has no such order for some of the sums.
    """
    import torch
    from torch.utils import deterministic

    memory: Any = deterministic  # a module that torch replaces by an object with this attribute
    before, filled = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(best_device() == "cpu")
    # Every new tensor would be filled before it is written: a twentieth of the time, and nothing here reads it before.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        memory.fill_uninitialized_memory = filled
