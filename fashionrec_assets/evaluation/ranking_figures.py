"""What a ranking report holds: the figures of every method, and the flat forms that scripts read.

Belongs here: the report's data. Does not belong here: measuring (`ranking_report.py`), sentences
(`ranking_verdicts.py`), layout (`ranking_page.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.baselines.blend import Trial
from fashionrec_assets.evaluation.behaviours import BehaviourFigures
from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.slices import COARSE, SliceName
from fashionrec_assets.evaluation.words import Verdict

Outcome = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Row:
    """One figure. `low` and `high` are the 95 % interval over users, None where there is none to give."""

    method: str
    slice: SliceName
    metric: str
    k: int
    value: float
    low: float | None
    high: float | None
    users: int
    targets: int


@dataclass(frozen=True)
class Method:
    """A method as the report introduces it."""

    name: str
    title: str
    description: str
    is_baseline: bool
    is_oracle: bool
    fit_seconds: float
    score_seconds: float
    fit_growth: int | None = None
    """Bytes the process grew by, at its peak, while the method was fitted; None where that was not measured."""


@dataclass(frozen=True)
class Comparison:
    """`first` less `second` on one metric, over the same users. `apart`: their own intervals do not overlap."""

    first: str
    second: str
    slice: SliceName
    metric: str
    k: int
    difference: Interval
    apart: bool

    @property
    def outcome(self) -> Outcome:
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "undecided"


@dataclass(frozen=True)
class OracleShare:
    """The share of the oracle's figure a method reaches, with the interval of the ratio over users."""

    method: str
    slice: SliceName
    metric: str
    k: int
    share: Interval


@dataclass(frozen=True)
class SeedRow:
    """One figure of one training run of a method."""

    method: str
    seed: int
    slice: SliceName
    metric: str
    k: int
    figure: Interval


@dataclass(frozen=True)
class SeedSummary:
    """Mean and standard deviation (n - 1) of a figure over `runs` training runs of a method."""

    method: str
    slice: SliceName
    metric: str
    k: int
    mean: float
    deviation: float
    runs: int


@dataclass(frozen=True)
class ModalityWeights:
    """How much each view of an item makes up of its vector, on the mean, for groups of items.

    `groups`: what the group is -> (number of items, shares (views,) that sum to 1); empty groups are left out.
    """

    title: str
    views: tuple[str, ...]
    groups: Mapping[str, tuple[int, NDArray[np.float64]]]


@dataclass(frozen=True)
class LearningCurve:
    """How a model's training went: series of equal length over `x`."""

    title: str
    x_label: str
    x: Sequence[float]
    series: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Setting:
    """The protocol's facts, as the report states them."""

    task: str
    start: int
    end: int
    n_users: int
    n_items: int
    history_events: int
    history_users: int
    pool: int
    cold_pool: int
    evaluated_users: int
    evaluated_cold_users: int
    eligible_users: int
    targets: int
    cold_targets: int
    repeated_targets: int
    targets_outside_pool: int
    behaviours: tuple[str, ...]
    bootstrap: int

    @classmethod
    def of(cls, task: RankingTask, bootstrap: int) -> Setting:
        known = task.slice_masks("overall")[0][task.target_rows]
        return cls(
            task=task.name,
            start=task.start,
            end=task.end,
            n_users=task.history.n_users,
            n_items=task.n_items,
            history_events=len(task.history),
            history_users=len(np.unique(task.history.users)),
            pool=int(task.pool.sum()),
            cold_pool=int((task.pool & ~task.warm).sum()),
            evaluated_users=int(task.has_history.sum()),
            evaluated_cold_users=int((~task.has_history).sum()),
            eligible_users=task.eligible_users,
            targets=int(known.sum()),
            cold_targets=int((known & ~task.warm[task.target_items]).sum()),
            repeated_targets=task.repeated_targets,
            targets_outside_pool=task.targets_outside_pool,
            behaviours=task.behaviours,
            bootstrap=bootstrap,
        )


@dataclass(frozen=True)
class RankingReport:
    """What was measured and what it says."""

    setting: Setting
    methods: tuple[Method, ...]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    shares: tuple[OracleShare, ...]
    verdicts: tuple[Verdict, ...]
    ks: tuple[int, ...]
    models: tuple[str, ...]
    curve_ks: tuple[int, ...]
    recall_curves: dict[str, list[float]]
    blend_trials: tuple[Trial, ...] = ()
    learning_curves: tuple[LearningCurve, ...] = ()
    notes: tuple[str, ...] = ()
    seeds: tuple[SeedRow, ...] = ()
    behaviours: tuple[BehaviourFigures, ...] = ()
    modality_weights: ModalityWeights | None = None
    _index: dict[tuple[str, str, str, int], Row] = field(default_factory=dict, repr=False, compare=False)

    @property
    def model(self) -> str | None:
        """The headline: the first of `models`, None in a report of baselines alone."""
        return self.models[0] if self.models else None

    @property
    def headline_k(self) -> int:
        return max(self.ks)

    @property
    def slices(self) -> tuple[SliceName, ...]:
        """The slices of the protocol that somebody is in, in order."""
        return tuple(name for name in self.all_slices if name in COARSE)

    @property
    def all_slices(self) -> tuple[SliceName, ...]:
        """The fine slices too."""
        return tuple(dict.fromkeys(row.slice for row in self.rows))

    def seed_summaries(self) -> tuple[SeedSummary, ...]:
        """Over the training runs of each method that has more than one."""
        values: dict[tuple[str, SliceName, str, int], list[float]] = {}
        for row in self.seeds:
            values.setdefault((row.method, row.slice, row.metric, row.k), []).append(row.figure.value)
        return tuple(
            SeedSummary(*key, float(np.mean(found)), float(np.std(found, ddof=1)), len(found))
            for key, found in values.items()
            if len(found) > 1
        )

    def row(self, method: str, slice_name: str, metric: str, k: int) -> Row | None:
        """One figure, or None where the slice is empty."""
        if not self._index:
            self._index.update({(row.method, row.slice, row.metric, row.k): row for row in self.rows})
        return self._index.get((method, slice_name, metric, k))

    def figures(self) -> dict[str, float]:
        """Flat figures under stable keys.

        `ranking.<method>.recall@20` with `.low` and `.high`; other slices as `ranking.<method>.cold.recall@20`;
        `ranking.<method>.fit_seconds`; `ranking.<method>.oracle_share.ndcg@20`;
        `ranking.<model>.minus.<baseline>.ndcg@20`; `ranking.users`, `ranking.targets`, `ranking.pool`;
        `ranking.<method>.seeds.ndcg@20.mean` and `.deviation`, with `.runs`;
        `ranking.<model>.behaviour.<behaviour>.auc`, `.log_loss` and `.calibration_error`.
        """
        flat: dict[str, float] = {
            "ranking.users": float(self.setting.evaluated_users),
            "ranking.cold_users": float(self.setting.evaluated_cold_users),
            "ranking.targets": float(self.setting.targets),
            "ranking.pool": float(self.setting.pool),
        }

        def put(key: str, value: float, low: float | None, high: float | None) -> None:
            flat[key] = value
            if low is not None and high is not None:
                flat[f"{key}.low"] = low
                flat[f"{key}.high"] = high

        for row in self.rows:
            part = "" if row.slice == "overall" else f"{row.slice}."
            put(f"ranking.{row.method}.{part}{row.metric}@{row.k}", row.value, row.low, row.high)
        for method in self.methods:
            flat[f"ranking.{method.name}.fit_seconds"] = method.fit_seconds
        for share in self.shares:
            part = "" if share.slice == "overall" else f"{share.slice}."
            key = f"ranking.{share.method}.{part}oracle_share.{share.metric}@{share.k}"
            put(key, share.share.value, share.share.low, share.share.high)
        for comparison in self.comparisons:
            part = "" if comparison.slice == "overall" else f"{comparison.slice}."
            key = f"ranking.{comparison.first}.{part}minus.{comparison.second}.{comparison.metric}@{comparison.k}"
            put(key, comparison.difference.value, comparison.difference.low, comparison.difference.high)
        for summary in self.seed_summaries():
            part = "" if summary.slice == "overall" else f"{summary.slice}."
            key = f"ranking.{summary.method}.seeds.{part}{summary.metric}@{summary.k}"
            flat[f"{key}.mean"], flat[f"{key}.deviation"] = summary.mean, summary.deviation
            flat[f"{key}.runs"] = float(summary.runs)
        for model in self.behaviours:
            key = f"ranking.{model.name}.behaviour.{model.behaviour}"
            flat[f"{key}.auc"], flat[f"{key}.log_loss"] = model.auc, model.log_loss
            flat[f"{key}.calibration_error"] = model.calibration_error
        return flat

    def records(self) -> list[dict[str, object]]:
        """The rows of the table `ranking_report`."""
        methods = {method.name: method for method in self.methods}
        return [
            {
                "method": row.method,
                "slice": row.slice,
                "metric": row.metric,
                "k": row.k,
                "value": row.value,
                "low": row.low,
                "high": row.high,
                "users": row.users,
                "targets": row.targets,
                "fit_seconds": methods[row.method].fit_seconds,
                "score_seconds": methods[row.method].score_seconds,
                "fit_growth_mb": None
                if methods[row.method].fit_growth is None
                else (methods[row.method].fit_growth or 0) / 2**20,
                "baseline": methods[row.method].is_baseline,
            }
            for row in self.rows
        ]
