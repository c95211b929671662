"""Synthetic rows as NCF takes them, and how much of them serves people best.

Belongs here: drawing rows for a model, and the sweep over degree, weight and temperature. Does not belong here: the
generators (`synthesis`), reading and writing of a shop (`assets.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.settings import NcfSettings, SynthesisSettings
from fashionrec_assets.synthesis.augment import Generator, Kind, generator
from fashionrec_assets.synthesis.rows import ItemContent, TrainingRows, training_rows
from fashionrec_assets.towers.ncf.examples import KeptBack, WeightedRows
from fashionrec_assets.towers.ncf.inputs import NcfItems, NcfUsers
from fashionrec_assets.towers.ncf.recommender import pairs_of, recommender_of
from fashionrec_assets.towers.ncf.training import reduce_tokens, train_ncf
from fashionrec_assets.towers.validation import ndcg_by_user

Z_95 = 1.96


@dataclass(frozen=True)
class Source:
    """A generator with the real rows it was made of."""

    generator: Generator
    rows: TrainingRows

    @classmethod
    def of(cls, kind: Kind, log: EventLog, content: ItemContent, settings: SynthesisSettings, *, seed: int) -> Source:
        """`log` and `content` are what training may see."""
        rows = training_rows(log, content.available, seed=seed)
        return cls(generator(kind, log, rows, content, settings, seed=seed), rows)

    def draw(self, degree: float, *, weight: float, temperature: float, seed: int) -> WeightedRows | None:
        """`degree` rows for each real one; None for none."""
        count = round(degree * len(self.rows))
        if not count:
            return None
        made = self.generator.draw(count, temperature=temperature, seed=seed)
        return WeightedRows(made.users, made.items, made.labels, self.rows.times[made.sources], weight)


@dataclass(frozen=True)
class Trial:
    """One setting of the sweep: `ndcg` on the validation days, and the `gain` over no augmentation with its paired
    95 % interval (normal approximation over people), None for no augmentation itself."""

    degree: float
    weight: float
    temperature: float
    ndcg: float
    gain: float | None
    low: float | None
    high: float | None
    seconds: float


@dataclass(frozen=True)
class Sweep:
    """All trials, the one without augmentation first, and the best of the others."""

    trials: tuple[Trial, ...]
    best: Trial

    @property
    def pays(self) -> bool:
        """Whether the best trial's gain is told from chance."""
        return self.best.low is not None and self.best.low > 0

    def chosen(self) -> Mapping[str, float | bool]:
        """What later assets read: how much to augment, and whether to."""
        best = self.best
        return {
            "degree": best.degree,
            "weight": best.weight,
            "temperature": best.temperature,
            "pays": self.pays,
        }


def sweep(
    kept: KeptBack,
    task: RankingTask,
    items: NcfItems,
    users: NcfUsers,
    content: ItemContent,
    settings: NcfSettings,
    synthesis: SynthesisSettings,
    *,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sweep:
    """Trains NCF without augmentation, and with each setting of the grid, and measures NDCG@20 on `task`.

    `kept` is what training may see, `content` what generators may; `task`: people of the days after it, who choose. All
    rows of the grid come from one VAE. Raises ValueError for an empty grid.
    """
    grid = list(itertools.product(settings.sweep_temperatures, settings.sweep_weights, settings.sweep_degrees))
    if not grid:
        raise ValueError("nothing to sweep: give ncf.sweep_degrees, sweep_weights and sweep_temperatures a value each")
    source = Source.of("vae", kept.training, content, synthesis, seed=seed)
    reduced = reduce_tokens(kept.training, items, settings)

    def measure(rows: WeightedRows | None) -> tuple[NDArray[np.float64], float]:
        trained = train_ncf(
            kept,
            items,
            users,
            settings,
            seed=seed,
            synthetic=rows,
            reduced=reduced,
            epochs=min(settings.epochs, settings.sweep_epochs),
        )
        found = recommender_of(
            trained.model, task.history, items, users, synthesis, filling="unknown", states=reduced[1], seed=seed
        )
        return ndcg_by_user(found.score, task.history, pairs_of(task), task.pool)[0], trained.seconds

    without, seconds = measure(None)
    progress(1, len(grid) + 1)
    trials = [Trial(0.0, 0.0, 1.0, _mean(without), None, None, None, seconds)]
    for number, (temperature, weight, degree) in enumerate(grid):
        having, seconds = measure(source.draw(degree, weight=weight, temperature=temperature, seed=seed))
        gain, low, high = paired(having, without)
        trials.append(Trial(degree, weight, temperature, _mean(having), gain, low, high, seconds))
        progress(number + 2, len(grid) + 1)
    return Sweep(tuple(trials), max(trials[1:], key=lambda trial: trial.ndcg))


def paired(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean of `first` less `second` (n,), of the same people, with its 95 % interval by the normal approximation."""
    difference = first - second
    gain = _mean(difference)
    half = Z_95 * float(difference.std(ddof=1)) / sqrt(len(difference)) if len(difference) > 1 else float("inf")
    return gain, gain - half, gain + half


def records(trials: Sequence[Trial]) -> list[dict[str, object]]:
    """The rows that the UI shows."""

    def shown(value: float | None) -> float | None:
        return None if value is None else round(value, 4)

    return [
        {
            "degree": trial.degree,
            "weight": trial.weight,
            "temperature": trial.temperature,
            "validation NDCG@20": shown(trial.ndcg),
            "gain": shown(trial.gain),
            "low": shown(trial.low),
            "high": shown(trial.high),
            "seconds": round(trial.seconds, 1),
        }
        for trial in trials
    ]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
