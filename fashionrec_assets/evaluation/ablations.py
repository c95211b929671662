"""What each technique of the two-tower model adds: reduced models, each with one choice turned.

Belongs here: training and measuring the variants of a grid, taking up where a killed run stopped, and judging. Does
not belong here: the grid (`ablation_grid.py`), layout (`ablation_page.py`).

All models of a grid are trained on the same sample of people, on events before the test window, for the same number of
epochs, and ranked on the test window. Nothing is chosen from these figures, so looking at the test window is no
peeking; and since a sample is trained on, they say which choice is better, not how good the full model is.

The judgement is about the technique in which a variant and the reference differ. It looks at the 95 % interval of the
paired difference in NDCG, with the technique less without: above zero it *pays*, below it *harms*, else one
*cannot tell*.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.ablation_grid import REFERENCE, Variant
from fashionrec_assets.evaluation.bootstrap import Interval, mean_interval, paired_difference
from fashionrec_assets.evaluation.cost import costing
from fashionrec_assets.evaluation.metrics import find_hits, rank, slice_metrics
from fashionrec_assets.evaluation.recommender import Recommender
from fashionrec_assets.settings import TwoTowerSettings, digest
from fashionrec_assets.storage.files import write_text
from fashionrec_assets.towers.training import TrainingError

Judgement = Literal["pays", "harms", "cannot_tell", "reference"]
Figure = Literal["ndcg", "recall", "cold_recall"]
Trainer = Callable[[TwoTowerSettings, int], Recommender]
"""Trains one model with some settings and a seed, and makes it score the test task's people."""

FIGURES: tuple[Figure, ...] = ("ndcg", "recall", "cold_recall")
_VERSION = 1


@dataclass(frozen=True)
class TrainedVariant:
    """One trained model: the figures of every person (n,), training seconds, and bytes the process grew by."""

    values: Mapping[Figure, NDArray[np.float64]]
    seconds: float
    growth: int


@dataclass(frozen=True)
class Ablation:
    """A variant's figures, the mean over its training runs, and its paired differences to the reference.

    `differences`: the variant less the reference; None for the reference itself and where nobody is in the slice.
    `deviation`: standard deviation of NDCG over training runs, None for a single one. `seconds` and `growth` are means.
    """

    variant: Variant
    figures: Mapping[Figure, Interval | None]
    differences: Mapping[Figure, Interval | None]
    judgement: Judgement
    runs: int
    deviation: float | None
    seconds: float
    growth: float


@dataclass(frozen=True)
class AblationReport:
    """The grid, measured. `users` were evaluated, of whom `cold_users` had a cold target; `trained_on` were trained on,
    with `events` events."""

    grid: str
    k: int
    start: int
    end: int
    users: int
    cold_users: int
    trained_on: int
    events: int
    epochs: int
    ablations: tuple[Ablation, ...]
    notes: tuple[str, ...] = ()
    _by_name: dict[str, Ablation] = field(default_factory=dict, repr=False, compare=False)

    @property
    def reference(self) -> Ablation:
        return self.ablations[0]

    def records(self) -> list[dict[str, object]]:
        """The rows of the table `ranking_ablations`."""
        rows: list[dict[str, object]] = []
        for ablation in self.ablations:
            for name in FIGURES:
                figure, difference = ablation.figures[name], ablation.differences[name]
                if figure is None:
                    continue
                rows.append(
                    {
                        "variant": ablation.variant.name,
                        "axis": ablation.variant.axis,
                        "metric": name,
                        "k": self.k,
                        "value": figure.value,
                        "low": figure.low,
                        "high": figure.high,
                        "difference": None if difference is None else difference.value,
                        "difference_low": None if difference is None else difference.low,
                        "difference_high": None if difference is None else difference.high,
                        "judgement": ablation.judgement,
                        "technique": ablation.variant.technique,
                        "users": self.cold_users if name == "cold_recall" else self.users,
                        "runs": ablation.runs,
                        "train_seconds": ablation.seconds,
                        "growth_mb": ablation.growth / 2**20,
                    }
                )
        return rows

    def flat(self) -> dict[str, float]:
        """`ablations.<grid>.<variant>.<figure>@<k>` with `.low` and `.high`, and `.difference` of the same."""
        found: dict[str, float] = {}
        for row in self.records():
            key = f"ablations.{self.grid}.{row['variant']}.{row['metric']}@{row['k']}"
            for name, column in (("", "value"), (".low", "low"), (".high", "high"), (".difference", "difference")):
                value = row[column]
                if isinstance(value, float):
                    found[f"{key}{name}"] = value
        return found


def run_ablations(
    task: RankingTask,
    grid: Sequence[Variant],
    reference: TwoTowerSettings,
    train: Trainer,
    *,
    seeds: Sequence[int],
    k: int,
    work: Path,
    recipe: Mapping[str, object],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, list[TrainedVariant]], list[str]]:
    """Trains and measures each variant with each seed. Returns the runs by variant, and notes on what failed.

    Every finished run is written into the folder `work` under a fingerprint of `recipe` (whatever else the figures
    depend on), the variant's settings and the seed; a run that is found there is not trained again. A variant whose
    training diverges is left out with a note. Raises TrainingError if the reference itself does.
    """
    found: dict[str, list[TrainedVariant]] = {}
    notes: list[str] = []
    total, done = len(grid) * len(seeds), 0
    for variant in grid:
        settings = variant.settings(reference)
        for seed in seeds:
            knobs = settings.model_dump(mode="json")
            path = work / f"{digest([_VERSION, dict(recipe), knobs, seed, k])[:24]}.json"
            run = _read(path)
            if run is None:
                try:
                    run = _measure(task, lambda s=settings, n=seed: train(s, n), k)
                except TrainingError as error:
                    if variant.name == REFERENCE:
                        raise
                    notes.append(f"{variant.title} is left out: {error}")
                    break
                _write(path, run)
            found.setdefault(variant.name, []).append(run)
            done += 1
            progress(done, total)
    return found, notes


def _measure(task: RankingTask, train: Callable[[], Recommender], k: int) -> TrainedVariant:
    trained = costing(train)
    hits = find_hits(task, rank(task, trained.result, k))
    overall, cold = slice_metrics(task, hits, "overall", [k]), slice_metrics(task, hits, "cold", [k])
    values: dict[Figure, NDArray[np.float64]] = {
        "ndcg": overall.values["ndcg", k],
        "recall": overall.values["recall", k],
        "cold_recall": cold.values["recall", k],
    }
    return TrainedVariant(values, trained.seconds, trained.growth)


def _write(path: Path, run: TrainedVariant) -> None:
    values = {name: figures.tolist() for name, figures in run.values.items()}
    write_text(path, json.dumps({"values": values, "seconds": run.seconds, "growth": run.growth}))


def _read(path: Path) -> TrainedVariant | None:
    if not path.exists():
        return None
    found = json.loads(path.read_text("utf-8"))
    values: dict[Figure, NDArray[np.float64]] = {
        name: np.asarray(found["values"][name], np.float64) for name in FIGURES
    }
    return TrainedVariant(values, found["seconds"], found["growth"])


def judged(
    grid: Iterable[Variant], runs: Mapping[str, Sequence[TrainedVariant]], *, draws: int, seed: int
) -> tuple[Ablation, ...]:
    """Figures, paired differences to the reference and judgement of every variant that has runs."""
    means = {name: _over_runs(found) for name, found in runs.items()}
    ablations: list[Ablation] = []
    for variant in grid:
        if variant.name not in runs:
            continue
        own, base = means[variant.name], means[REFERENCE]
        figures: dict[Figure, Interval | None] = {}
        differences: dict[Figure, Interval | None] = {}
        for name in FIGURES:
            some = len(own[name]) > 0
            figures[name] = mean_interval(own[name], draws=draws, seed=seed) if some else None
            apart = variant.name != REFERENCE and some
            differences[name] = paired_difference(own[name], base[name], draws=draws, seed=seed) if apart else None
        found = runs[variant.name]
        ndcg = [float(run.values["ndcg"].mean()) for run in found]
        ablations.append(
            Ablation(
                variant=variant,
                figures=figures,
                differences=differences,
                judgement=judge(variant, differences["ndcg"]),
                runs=len(found),
                deviation=float(np.std(ndcg, ddof=1)) if len(ndcg) > 1 else None,
                seconds=float(np.mean([run.seconds for run in found])),
                growth=float(np.mean([run.growth for run in found])),
            )
        )
    return tuple(ablations)


def _over_runs(runs: Sequence[TrainedVariant]) -> dict[Figure, NDArray[np.float64]]:
    """Each person's figures, the mean over training runs."""
    return {name: np.mean([run.values[name] for run in runs], axis=0) for name in FIGURES}


def effect_of(variant: Variant, difference: Interval) -> Interval:
    """What the technique adds: with it less without it."""
    if variant.adds:
        return difference
    return Interval(-difference.value, -difference.high, -difference.low)


def judge(variant: Variant, difference: Interval | None) -> Judgement:
    """The rule of this module's docstring."""
    if difference is None:
        return "reference"
    effect = effect_of(variant, difference)
    if effect.low > 0:
        return "pays"
    return "harms" if effect.high < 0 else "cannot_tell"
