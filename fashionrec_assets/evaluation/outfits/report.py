"""The figures of basket completion, with intervals.

Belongs here: metrics of ranks, intervals, what the report is made of. Does not belong here: ranks (`task.py`), wording
and layout (`page.py`).

A basket counts once: the figures of its questions are averaged. Intervals are bootstrapped over people, whose baskets
are drawn together; differences are paired. The weights are learned, the features and settings chosen, before the test
days: what single groups of features add is measured on the validation days only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import Cuts, EventLog
from fashionrec_assets.evaluation.bootstrap import Interval, percentile_interval, resampled_means
from fashionrec_assets.evaluation.outfits.methods import MODEL, methods
from fashionrec_assets.evaluation.outfits.task import (
    OUTSIDE,
    SETTINGS,
    CompletionTask,
    Progress,
    Scorer,
    Setting,
    completion_task,
    held_out_ranks,
)
from fashionrec_assets.recommendations.outfits.affinity import (
    ATTRIBUTES,
    COSINES,
    COUNTS,
    FEATURES,
    LIFTS,
    POPULARITY,
    Affinity,
    content_neighbours,
)
from fashionrec_assets.recommendations.outfits.compatibility import Compatibility, scores
from fashionrec_assets.recommendations.outfits.learning import Learned, known_items, learn
from fashionrec_assets.recommendations.outfits.wardrobe import Wardrobe
from fashionrec_assets.settings import OutfitSettings

K = 10
METRICS: tuple[str, ...] = ("recall", "ndcg", "mrr")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "counts of the items": COUNTS[:2],
    "families and neighbours": COUNTS[2:4],
    "visits": COUNTS[4:],
    "attributes had together": LIFTS,
    "photos and texts": COSINES,
    "popularity": POPULARITY,
}
"""What is left out together when it is asked what a group of features adds."""
_LEAST = 5
"""Baskets of a pair of types that is shown."""
PAIRS = 20


@dataclass(frozen=True)
class Figure:
    """A metric of a method in a setting; `behind`: by how much it is below the model's, over the same baskets."""

    value: Interval
    behind: Interval | None


@dataclass(frozen=True)
class Entrant:
    name: str
    title: str
    meaning: str


@dataclass(frozen=True)
class Asked:
    """How much a setting rests on."""

    baskets: int
    people: int
    questions: int


@dataclass(frozen=True)
class TypePair:
    """Two types, in how many baskets they met, and in how many they would by chance."""

    first: str
    second: str
    baskets: int
    expected: float


@dataclass(frozen=True)
class OutfitReport:
    """Everything the page says. `figures` by setting, method and metric; `without`: by group of features left out, the
    loss in NDCG@10 on the validation days; `weights` of the model that was tested."""

    entrants: tuple[Entrant, ...]
    figures: Mapping[tuple[Setting, str, str], Figure]
    asked: Mapping[Setting, Asked]
    without: Mapping[str, Interval]
    validation_baskets: int
    weights: Mapping[str, float]
    pairs: tuple[TypePair, ...]
    behaviours: tuple[str, ...]
    eligible: int
    outside_pool: int
    window_days: int
    pool: int

    def flat(self) -> dict[str, float]:
        """The figures by stable keys."""
        return {
            f"outfits/{setting}/{method}/{metric}@{K}": round(figure.value.value, 6)
            for (setting, method, metric), figure in self.figures.items()
        }

    def records(self) -> list[dict[str, object]]:
        """Rows of the table `outfit_report`."""
        return [
            {
                "method": method,
                "setting": setting,
                "metric": metric,
                "k": K,
                "value": figure.value.value,
                "low": figure.value.low,
                "high": figure.value.high,
                "ahead": None if figure.behind is None else figure.behind.value,
                "ahead_low": None if figure.behind is None else figure.behind.low,
                "ahead_high": None if figure.behind is None else figure.behind.high,
                "baskets": self.asked[setting].baskets,
            }
            for (setting, method, metric), figure in self.figures.items()
        ]


def measure(
    log: EventLog,
    wardrobe: Wardrobe,
    cuts: Cuts,
    on_sale: NDArray[np.int64],
    settings: OutfitSettings,
    *,
    draws: int,
    seed: int,
    progress: Progress,
) -> OutfitReport:
    """The report on the test days of `cuts`. `on_sale` int64 (n,): launch of each item, UTC seconds."""
    near = content_neighbours(wardrobe)

    def moment(start: int, end: int, most: int) -> tuple[Learned, CompletionTask]:
        pool = known_items(log, on_sale, start, end)
        known = known_items(log, on_sale, start, start)
        learned = learn(log, wardrobe, settings, cut=start, pool=known, seed=seed, neighbours=near)
        behaviours = learned.affinity.baskets.behaviours
        task = completion_task(log, wardrobe, behaviours, start=start, end=end, pool=pool, most=most, seed=seed)
        return learned, task

    learned, task = moment(cuts.validation, cuts.test, max(10, settings.evaluated_baskets // 4))
    models = {MODEL: learned.model}
    for group, names in GROUPS.items():
        if any(learned.model.weights[FEATURES.index(name)] for name in names):
            models[group] = learned.without(names, settings)
    scorers = _together(models, learned.affinity)
    ranks = held_out_ranks(task, scorers, progress)["any"]
    without = {
        group: figures_of(task, {MODEL: ranks[MODEL], group: ranks[group]}, draws, seed)[0][group, "ndcg"].behind
        for group in scorers
        if group != MODEL and len(task.questions)
    }
    baskets_before = len(np.unique(task.questions.baskets))

    learned, task = moment(cuts.test, cuts.end, settings.evaluated_baskets)
    entrants = methods(learned.model, learned.affinity, seed)
    found = held_out_ranks(task, {one.name: one.scores for one in entrants}, progress)
    figures: dict[tuple[Setting, str, str], Figure] = {}
    asked: dict[Setting, Asked] = {}
    for setting in SETTINGS:
        of_setting, asked[setting] = figures_of(task, found[setting], draws, seed)
        figures.update({(setting, *key): figure for key, figure in of_setting.items()})
    return OutfitReport(
        tuple(Entrant(one.name, one.title, one.meaning) for one in entrants),
        figures,
        asked,
        {group: one for group, one in without.items() if one is not None},
        baskets_before,
        dict(zip(FEATURES, learned.model.weights.tolist(), strict=True)),
        type_pairs(learned.affinity),
        learned.affinity.baskets.behaviours,
        task.eligible,
        task.outside_pool,
        learned.window_days,
        int(task.pool.sum()),
    )


def _together(models: Mapping[str, Compatibility], affinity: Affinity) -> dict[str, Scorer]:
    """A scorer of each model; the features of the latest questions are shared by all."""
    kept: list[tuple[sparse.csr_array, dict[str, NDArray[np.float32]]]] = []

    def scored(given: sparse.csr_array) -> dict[str, NDArray[np.float32]]:
        if not kept or kept[0][0] is not given:
            kept[:] = [(given, dict(zip(models, scores(list(models.values()), affinity, given), strict=True)))]
        return kept[0][1]

    return {name: lambda given, name=name: scored(given)[name] for name in models}


def figures_of(
    task: CompletionTask, ranks: Mapping[str, NDArray[np.int64]], draws: int, seed: int
) -> tuple[dict[tuple[str, str], Figure], Asked]:
    """Every metric of every method, by (method, metric), the first method being the model; and what they rest on."""
    names = list(ranks)
    there = ranks[names[0]] != OUTSIDE
    baskets, owner = np.unique(task.questions.baskets[there], return_inverse=True)
    users = task.baskets.users[baskets]
    asked = Asked(len(baskets), len(np.unique(users)), int(there.sum()))
    if not len(baskets):
        return {}, asked
    sizes = np.bincount(owner)
    columns = [
        np.bincount(owner, weights=values) / sizes
        for name in names
        for values in per_question(ranks[name][there]).values()
    ]
    values = np.stack(columns, axis=1)
    model = np.tile(np.arange(len(METRICS)), len(names))
    means = resampled_means(values, draws, seed, clusters=users)
    low, high = percentile_interval(means, asked.people)
    behind = values[:, model] - values
    behind_low, behind_high = percentile_interval(means[:, model] - means, asked.people)
    figures: dict[tuple[str, str], Figure] = {}
    for column, (name, metric) in enumerate((name, metric) for name in names for metric in METRICS):
        value = Interval(float(values[:, column].mean()), float(low[column]), float(high[column]))
        difference = Interval(float(behind[:, column].mean()), float(behind_low[column]), float(behind_high[column]))
        figures[name, metric] = Figure(value, None if name == names[0] else difference)
    return figures, asked


def per_question(ranks: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Each of `METRICS` of each question (q,), which has one right answer at rank `ranks`, from 1."""
    near = ranks <= K
    return {
        "recall": near.astype(np.float64),
        "ndcg": np.where(near, 1 / np.log2(1 + np.maximum(ranks, 1)), 0.0),
        "mrr": 1.0 / ranks,
    }


def type_pairs(affinity: Affinity) -> tuple[TypePair, ...]:
    """The pairs of different types that met most often beyond chance, of those that met in `_LEAST` baskets or more."""
    words, had = affinity.wardrobe.values[ATTRIBUTES.index("type")], affinity.type_baskets.astype(np.float64)
    first, second = np.triu_indices(len(words), 1)
    met = affinity.type_pairs[first, second]
    expected = had[first] * had[second] / max(affinity.several, 1)
    kept = np.flatnonzero((met >= _LEAST) & (first > 0) & (expected > 0))
    best = kept[np.argsort(-met[kept] / expected[kept], kind="stable")][:PAIRS]
    return tuple(
        TypePair(words[first[one]], words[second[one]], int(met[one]), float(expected[one])) for one in best.tolist()
    )


def ordered(report: OutfitReport, setting: Setting, metric: str = "recall") -> Sequence[Entrant]:
    """The entrants that were measured in a setting, best first."""
    there = [one for one in report.entrants if (setting, one.name, metric) in report.figures]
    return sorted(there, key=lambda one: -report.figures[setting, one.name, metric].value.value)
