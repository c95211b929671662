"""The ranking report: every method on one task, with intervals, comparisons and verdicts in words.

Belongs here: measuring entrants. Does not belong here: fitting methods, what the figures are kept in
(`ranking_figures.py`), what they say (`ranking_verdicts.py`), HTML and plots (`render.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import RankingTask, Slice
from fashionrec_assets.evaluation.baselines.blend import Trial
from fashionrec_assets.evaluation.behaviours import BehaviourScores, behaviour_figures
from fashionrec_assets.evaluation.bootstrap import mean_intervals
from fashionrec_assets.evaluation.metrics import (
    Hits,
    ListViews,
    SliceMetrics,
    coverage,
    diversity,
    find_hits,
    novelty,
    rank,
    slice_metrics,
)
from fashionrec_assets.evaluation.ranking_figures import (
    Comparison,
    LearningCurve,
    Method,
    ModalityWeights,
    OracleShare,
    RankingReport,
    Row,
    SeedRow,
    Setting,
)
from fashionrec_assets.evaluation.ranking_resamples import COMPARED, compare, oracle_shares, slice_rows, spread_rows
from fashionrec_assets.evaluation.ranking_verdicts import verdicts
from fashionrec_assets.evaluation.recommender import Entrant, Recommender, SeedRun
from fashionrec_assets.evaluation.slices import Masks, SliceName, fine_slices
from fashionrec_assets.evaluation.words import Tone, Verdict, number, signed
from fashionrec_assets.settings import EvaluationSettings

__all__ = [
    "HEADLINES",
    "LearningCurve",
    "ModalityWeights",
    "RankingReport",
    "Tone",
    "Verdict",
    "evaluate",
    "number",
    "signed",
]

HEADLINES: tuple[str, ...] = ("late_fusion", "two_tower")
"""The models a report is about: the first that stands in it is the headline."""

_CURVE: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
_SEED_FIGURES: tuple[tuple[SliceName, str], ...] = (("overall", "ndcg"), ("overall", "recall"), ("cold", "recall"))
_SEED_SLICES: tuple[Slice, ...] = ("overall", "cold")


def _no_progress(done: int, total: int) -> None:
    return None


@dataclass
class _Measured:
    """What ranking brought in: figures per user of each slice, and what the lists are like as lists."""

    methods: list[Method] = field(default_factory=list)
    figures: dict[SliceName, dict[str, SliceMetrics]] = field(default_factory=dict)
    spread: dict[tuple[str, int], tuple[float, dict[str, NDArray[np.float64]]]] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)


def evaluate(
    task: RankingTask,
    entrants: Sequence[Entrant],
    settings: EvaluationSettings,
    *,
    models: Sequence[str] = HEADLINES,
    reference: str = "blend",
    oracle: Recommender | None = None,
    seed: int = 0,
    notes: Iterable[str] = (),
    blend_trials: Sequence[Trial] = (),
    learning_curves: Sequence[LearningCurve] = (),
    extra_seeds: Sequence[SeedRun] = (),
    behaviour_scores: Sequence[BehaviourScores] = (),
    modality_weights: ModalityWeights | None = None,
    views: ListViews | None = None,
    progress: Callable[[int, int], None] = _no_progress,
) -> RankingReport:
    """Ranks the task's pool with every entrant, measures, compares `models` with all others, and words the verdicts.

    `models` and `reference` name entrants; models that are not among them are passed over, and without any the report
    is one of baselines alone. `oracle` is ranked too, but competes with nobody. `extra_seeds` are further training
    runs of entrants, whose own seed is taken to be `seed`. `behaviour_scores` are held-out probabilities. `views`
    says how alike items are, for the diversity of lists. Raises ValueError for two entrants of one name and where
    there is nothing to evaluate, BadScoresError for scores that cannot be ranked.
    """
    everybody = list(entrants)
    if oracle is not None:
        text = "Ranks by the truth the shop was simulated from: chance in the simulation bounds even this."
        everybody.append(Entrant(oracle, 0.0, "Oracle", text, is_baseline=False))
    names = [entrant.name for entrant in everybody]
    if len(set(names)) != len(names):
        raise ValueError(f"two methods share a name: {', '.join(sorted(names))}")
    if not len(task.users):
        raise ValueError(
            f"the {task.name} window has no user with a new target: make it longer (setting splits.{task.name}_days) "
            "or count more behaviours (setting evaluation.target_behaviours)"
        )
    models = [name for name in models if name in names]
    ks = tuple(sorted(set(settings.k)))
    # A list as long as the pool contains every target, and its recall says nothing.
    curve_ks = tuple(sorted({k for k in _CURVE if k <= max(max(ks), int(task.pool.sum()) // 4)} | set(ks)))
    steps = len(everybody) + len(extra_seeds)
    fine: dict[SliceName, Masks] = {**fine_slices(task)}

    measured = _Measured()
    for position, entrant in enumerate(everybody):
        lists = _add(measured, task, entrant, entrant.recommender is oracle, ks, curve_ks, fine)
        known = lists[task.has_history]
        for k in ks:
            qualities = {"novelty": novelty(task, known, k)}
            if views is not None:
                qualities |= diversity(views, known, k)
            measured.spread[entrant.name, k] = (coverage(task, known, k), qualities)
        progress(position + 1, steps)

    rows: list[Row] = []
    comparisons: list[Comparison] = []
    shares: list[OracleShare] = []
    for name, figures in measured.figures.items():
        if not len(figures[names[0]].rows):
            continue
        found = slice_rows(name, figures, settings.bootstrap, seed)
        rows += found.rows
        if name == "overall":
            rows += spread_rows(names, ks, measured.spread, found.size, settings.bootstrap, seed)
        if name not in fine:
            comparisons += compare(name, found, models, names, max(ks))
            if oracle is not None:
                for metric in COMPARED:
                    shares += oracle_shares(name, metric, max(ks), names, oracle.name, found)

    seeds = _seed_rows(task, measured, extra_seeds, settings, seed, lambda done: progress(len(everybody) + done, steps))
    report = RankingReport(
        setting=Setting.of(task, settings.bootstrap),
        methods=tuple(measured.methods),
        rows=tuple(rows),
        comparisons=tuple(comparisons),
        shares=tuple(shares),
        verdicts=(),
        ks=ks,
        models=tuple(models),
        curve_ks=curve_ks,
        recall_curves=measured.curves,
        blend_trials=tuple(blend_trials),
        learning_curves=tuple(learning_curves),
        notes=tuple(notes),
        seeds=tuple(seeds),
        behaviours=behaviour_figures(behaviour_scores),
        modality_weights=modality_weights,
    )
    said = verdicts(
        measured.methods,
        rows,
        comparisons,
        shares,
        models=models,
        reference=reference,
        k=max(ks),
        seeds=report.seed_summaries(),
    )
    return replace(report, verdicts=tuple(said))


def _add(
    measured: _Measured,
    task: RankingTask,
    entrant: Entrant,
    is_oracle: bool,
    ks: tuple[int, ...],
    curve_ks: tuple[int, ...],
    fine: Mapping[SliceName, Masks],
) -> NDArray[np.int32]:
    """Ranks with one entrant and takes its figures down. Returns its lists."""
    started = time.perf_counter()
    lists = rank(task, entrant.recommender, max(curve_ks))
    seconds = time.perf_counter() - started
    hits = find_hits(task, lists)
    for name in task.slices():
        wanted = curve_ks if name == "overall" else ks
        found = slice_metrics(task, hits, name, wanted)
        if name == "overall" and len(found.rows):
            measured.curves[entrant.name] = [float(found.values["recall", k].mean()) for k in curve_ks]
        kept = {(metric, k): values for (metric, k), values in found.values.items() if k in ks}
        measured.figures.setdefault(name, {})[entrant.name] = replace(found, values=kept)
    for name, masks in fine.items():
        measured.figures.setdefault(name, {})[entrant.name] = _headline(task, hits, masks, max(ks))
    measured.methods.append(
        Method(
            name=entrant.name,
            title=entrant.title or entrant.name,
            description=entrant.description,
            is_baseline=entrant.is_baseline,
            is_oracle=is_oracle,
            fit_seconds=entrant.fit_seconds,
            score_seconds=seconds,
            fit_growth=entrant.fit_growth,
        )
    )
    return lists


def _headline(task: RankingTask, hits: Hits, masks: Masks, k: int) -> SliceMetrics:
    found = slice_metrics(task, hits, masks, [k])
    return replace(found, values={(metric, k): found.values[metric, k] for metric in COMPARED})


def _seed_rows(
    task: RankingTask,
    measured: _Measured,
    runs: Sequence[SeedRun],
    settings: EvaluationSettings,
    seed: int,
    progress: Callable[[int], None],
) -> list[SeedRow]:
    """Figures of every training run: those of the entrants that have more than one, and the further ones."""
    k = max(settings.k)
    found: list[tuple[str, int, SliceName, str]] = []
    columns: list[NDArray[np.float64]] = []

    def take(method: str, of: int, figures: Mapping[SliceName, SliceMetrics]) -> None:
        for name, metric in _SEED_FIGURES:
            values = figures[name].values[metric, k]
            if len(values):
                found.append((method, of, name, metric))
                columns.append(values)

    for method in dict.fromkeys(run.method for run in runs):
        own = {name: figures[method] for name, figures in measured.figures.items() if method in figures}
        if own:
            take(method, seed, own)
    for position, run in enumerate(runs):
        hits = find_hits(task, rank(task, run.recommender, k))
        own: dict[SliceName, SliceMetrics] = {name: slice_metrics(task, hits, name, [k]) for name in _SEED_SLICES}
        take(run.method, run.seed, own)
        progress(position + 1)
    intervals = mean_intervals(columns, settings.bootstrap, seed)
    rows = [SeedRow(*figure, k, interval) for figure, interval in zip(found, intervals, strict=True)]
    return sorted(rows, key=lambda row: row.method)
