"""Running the study: every variant trained with every seed on its own events, measured person by person, resumable.

Belongs here: tasks by window, thinned events, training each model once, figures per person, taking up where a killed
run stopped. Does not belong here: the variants (`grid.py`), intervals and judgements (`report.py`), how a model is
trained (a `Trainer` is given).

All models are trained on a sample of people, on their events before the window, and rank for one sample of people from
their whole history. Nothing is chosen from these figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import Cuts, EventLog, sample_people
from fashionrec_assets.catalog.ranking_task import SLICES as PROTOCOL_SLICES
from fashionrec_assets.catalog.ranking_task import RankingTask, ranking_task
from fashionrec_assets.evaluation.baselines.content_knn import ContentKnn
from fashionrec_assets.evaluation.cost import costing
from fashionrec_assets.evaluation.metrics import find_hits, rank, slice_metrics
from fashionrec_assets.evaluation.ncf.grid import Variant
from fashionrec_assets.evaluation.ncf.preference import (
    CalibrationError,
    Pairs,
    PairScores,
    calibrate,
    preference_pairs,
    squared_errors,
)
from fashionrec_assets.evaluation.recommender import Recommender
from fashionrec_assets.evaluation.slices import Masks, SliceName, fine_slices
from fashionrec_assets.settings import EvaluationSettings, NcfSettings, digest
from fashionrec_assets.storage.files import write_text
from fashionrec_assets.towers.run import TrainingError

Metric = Literal["ndcg", "recall", "precision", "mse", "base_mse"]
"""`base_mse`: the squared error of foretelling the same base rate for every pair, the line that `mse` has to beat."""
Figures = Mapping[tuple[SliceName, Metric], NDArray[np.float64]]
"""One figure for each person of a slice; the same people for every model of a window."""

RANKING: tuple[Metric, ...] = ("ndcg", "recall", "precision")
ERRORS: tuple[Metric, ...] = ("mse", "base_mse")
METRICS: tuple[Metric, ...] = (*RANKING, *ERRORS)
SLICES: tuple[SliceName, ...] = (
    "overall",
    "warm",
    "cold",
    "cold_users",
    "history_1",
    "history_2_5",
    "history_6_20",
    "history_over_20",
)
_VERSION = 1


class LeftOutError(ValueError):
    """A trainer cannot make a variant of this shop's data; the message says why. The report says so too."""


class Trained(Protocol):
    """A trained model, and the people that calibrate it."""

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of training, with what was made for it, such as synthetic rows."""
        ...

    @property
    def kept_back(self) -> RankingTask:
        """People of the last days before the cut whose last days were kept out of training."""
        ...

    def recommender(self, cold_items: str | None = None) -> Recommender:
        """Raw scores (users, n_items) for the people of the task, from their whole history; `cold_items` as in
        `NcfSettings`, None: as trained."""
        ...

    def kept_back_recommender(self, cold_items: str | None = None) -> Recommender:
        """The same for the people kept back, as of where their own window starts."""
        ...


class Trainer(Protocol):
    """Trains one variant on `log`, the sampled and thinned events before the window, to score the `task`'s people.

    Raises TrainingError where training diverges and LeftOutError where the shop's data do not allow the variant.
    """

    def __call__(self, variant: Variant, log: EventLog, task: RankingTask, seed: int) -> Trained: ...


@dataclass(frozen=True)
class Window:
    """What is foretold, and the sample of events before it that models are trained on, none thinned yet.

    `launched_at`: as of `ranking_task`.
    """

    task: RankingTask
    sample: EventLog
    launched_at: NDArray[np.int64] | None = None

    def kept(self, share: float, seed: int) -> EventLog:
        """The sample with `share` of its events, drawn by `seed`; a smaller share is part of a larger one."""
        if share >= 1:
            return self.sample
        drawn = np.random.default_rng([seed, 5]).random(len(self.sample))
        return self.sample.select(drawn < share)


@dataclass(frozen=True)
class Measured:
    """One variant with one seed."""

    figures: Figures
    seconds: float


@dataclass(frozen=True)
class Runs:
    """By variant one run per seed; why a variant has none; which variants are one model (equal fingerprints); and what
    else a reader must know."""

    measured: Mapping[str, Sequence[Measured]]
    left_out: Mapping[str, str]
    models: Mapping[str, str]
    notes: tuple[str, ...] = ()


def work_folder(home: Path) -> Path:
    """Where the figures of finished models wait for the report."""
    return home / "work" / "ncf_ablations"


def windows_of(
    log: EventLog,
    cuts: Cuts,
    numbers: Iterable[int],
    settings: EvaluationSettings,
    *,
    launched_at: NDArray[np.int64] | None,
    seed: int,
) -> dict[int, Window]:
    """Window 0 is the test window, n the one that ends n test lengths before it does. A window before which nothing
    happened, or in which nobody with a history has a new item, is not there."""
    length = cuts.end - cuts.test
    found: dict[int, Window] = {}
    for number in sorted(set(numbers)):
        start = cuts.test - number * length
        cold = settings.ncf_users if settings.max_cold_users is None else settings.max_cold_users
        task = ranking_task(
            log.between(None, start + length),
            name="test" if number == 0 else f"test-{number}",
            start=start,
            end=start + length,
            target_behaviours=settings.target_behaviours,
            launched_at=launched_at,
            max_users=settings.ncf_users,
            max_cold_users=min(settings.ncf_users, cold),
            seed=seed,
        )
        if len(task.history) and task.has_history.any():
            sample = sample_people(task.history, settings.ablation_users, settings.ablation_events, seed)
            found[number] = Window(task, sample, launched_at)
    return found


def study_slices(task: RankingTask) -> dict[SliceName, Masks]:
    """The slices of `SLICES` that somebody of the task is in."""
    protocol: dict[SliceName, Masks] = {
        **{name: task.slice_masks(name) for name in PROTOCOL_SLICES},
        **fine_slices(task),
    }
    owners = task.target_rows
    return {name: protocol[name] for name in SLICES if name in protocol and _somebody(protocol[name], owners)}


def _somebody(masks: Masks, owners: NDArray[np.int64]) -> bool:
    people, targets = masks
    return bool((people[owners] & targets).any())


def measure(
    task: RankingTask,
    pairs: Pairs,
    recommender: Recommender,
    k: int,
    *,
    kept_back: RankingTask,
    kept_back_recommender: Callable[[], Recommender],
    seed: int,
) -> Figures:
    """The figures of every person in every slice. Without pairs to calibrate on there are no squared errors."""
    reader = PairScores(recommender, task, pairs)
    hits = find_hits(task, rank(task, reader, k))
    slices = study_slices(task)
    found: dict[tuple[SliceName, Metric], NDArray[np.float64]] = {}
    for name, masks in slices.items():
        values = slice_metrics(task, hits, masks, [k]).values
        found.update({(name, metric): values[metric, k] for metric in RANKING})
    try:
        calibration = calibrate(kept_back, kept_back_recommender(), before=task.start, seed=seed)
    except CalibrationError:
        return found
    foretold = calibration.probabilities(reader.values)
    warm = task.warm[pairs.items]
    for name, (people, _) in slices.items():
        chosen = warm if name == "warm" else ~warm if name == "cold" else np.ones(len(pairs), bool)
        found[name, "mse"] = squared_errors(pairs, foretold, people, chosen)
        found[name, "base_mse"] = squared_errors(pairs, calibration.base_rate, people, chosen)
    return found


def run_study(
    grid: Sequence[Variant],
    base: NcfSettings,
    windows: Mapping[int, Window],
    train: Trainer,
    *,
    content: NDArray[np.float32] | None,
    seeds: Sequence[int],
    k: int,
    work: Path,
    recipe: Mapping[str, object],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Runs:
    """Trains and measures every variant with every seed; variants that are one model are trained once.

    `content` (n_items, d) is what content-kNN reads. Every finished run is written into the folder `work` under a
    fingerprint of `recipe` (whatever else the figures depend on), the variant's own recipe and the seed; a run that is
    found there is not trained again. A variant that diverges or cannot be made is left out, with the reason.
    """
    groups: dict[str, list[Variant]] = {}
    for variant in grid:
        groups.setdefault(variant.training(base), []).append(variant)
    asked = {number: preference_pairs(window.task, seeds[0]) for number, window in windows.items()}
    found: dict[str, list[Measured]] = {}
    left_out: dict[str, str] = {}
    done, total = 0, len(groups) * len(seeds)
    for group in groups.values():
        first = group[0]
        window = windows.get(first.window)
        for seed in seeds:
            if window is None:
                left_out.update({one.name: "nobody with a history has a new item in that window" for one in group})
                break
            try:
                runs = _one_model(group, base, window, asked[first.window], train, content, seed, k, work, recipe)
            except (TrainingError, LeftOutError) as error:
                left_out.update({one.name: str(error) for one in group})
                break
            for name, run in runs.items():
                found.setdefault(name, []).append(run)
            done += 1
            progress(done, total)
    whole = {name: runs for name, runs in found.items() if name not in left_out}
    silent = [one.title for one in grid if one.name in whole and not _calibrated(whole[one.name])]
    said = f"Without a mean squared error, since nobody was kept back to calibrate on: {', '.join(silent)}."
    return Runs(whole, left_out, {one.name: one.recipe(base) for one in grid}, (said,) if silent else ())


def _calibrated(runs: Sequence[Measured]) -> bool:
    return all(("overall", "mse") in run.figures for run in runs)


def _one_model(
    group: Sequence[Variant],
    base: NcfSettings,
    window: Window,
    pairs: Pairs,
    train: Trainer,
    content: NDArray[np.float32] | None,
    seed: int,
    k: int,
    work: Path,
    recipe: Mapping[str, object],
) -> dict[str, Measured]:
    """The runs of variants that share one training, which is done only if one of them is not in `work` yet."""
    task = window.task
    paths = {
        one.name: work
        / f"{digest([_VERSION, dict(recipe), task.start, task.end, one.recipe(base), seed, k])[:24]}.json"
        for one in group
    }
    trained: Trained | None = None
    runs: dict[str, Measured] = {}
    for one in group:
        run = _read(paths[one.name])
        if run is None:
            if trained is None:
                log = window.kept(one.keep, seed)
                trained = _baseline(window, content) if one.baseline else train(one, log, task, seed)
            run = _measured(one, base, trained, task, pairs, k, seed)
            _write(paths[one.name], run)
        runs[one.name] = run
    return runs


def _measured(
    one: Variant, base: NcfSettings, trained: Trained, task: RankingTask, pairs: Pairs, k: int, seed: int
) -> Measured:
    filling = one.settings(base).cold_items
    figures = measure(
        task,
        pairs,
        trained.recommender(filling),
        k,
        kept_back=trained.kept_back,
        kept_back_recommender=lambda: trained.kept_back_recommender(filling),
        seed=seed,
    )
    return Measured(figures, trained.seconds)


@dataclass(frozen=True)
class _Baseline:
    """Content-kNN in the shape of a trained model; it is calibrated on the window before the one it is measured on."""

    task: RankingTask
    kept_back: RankingTask
    content: NDArray[np.float32]
    fitted: ContentKnn
    seconds: float

    def recommender(self, cold_items: str | None = None) -> Recommender:
        return self.fitted

    def kept_back_recommender(self, cold_items: str | None = None) -> Recommender:
        return ContentKnn.fit(self.kept_back.history, self.content)


def _baseline(window: Window, content: NDArray[np.float32] | None) -> _Baseline:
    if content is None:
        raise LeftOutError("the shop's items have neither text nor image vectors")
    task = window.task
    earlier = ranking_task(
        task.history,
        name="kept back",
        start=task.start - (task.end - task.start),
        end=task.start,
        target_behaviours=task.behaviours,
        launched_at=window.launched_at,
        max_users=len(task.users),
        max_cold_users=0,
    )
    fitted = costing(lambda: ContentKnn.fit(task.history, content))
    return _Baseline(task, earlier, content, fitted.result, fitted.seconds)


def _write(path: Path, run: Measured) -> None:
    figures = {f"{name}.{metric}": values.tolist() for (name, metric), values in run.figures.items()}
    write_text(path, json.dumps({"figures": figures, "seconds": run.seconds}))


def _read(path: Path) -> Measured | None:
    if not path.exists():
        return None
    found = json.loads(path.read_text("utf-8"))
    figures: dict[tuple[SliceName, Metric], NDArray[np.float64]] = {
        (name, metric): np.asarray(found["figures"][key], np.float64)
        for name in SLICES
        for metric in METRICS
        if (key := f"{name}.{metric}") in found["figures"]
    }
    return Measured(figures, found["seconds"])
