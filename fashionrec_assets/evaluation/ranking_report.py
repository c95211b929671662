"""The ranking report: every method on one task, with intervals, comparisons and verdicts in words.

Belongs here: measuring entrants, deciding what the figures say, and the flat forms scripts read (`figures`,
`records`). Does not belong here: fitting methods, HTML and plots (`render.py`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.evaluation.baselines.blend import Trial
from fashionrec_assets.evaluation.bootstrap import Interval, percentile_interval, resampled_means
from fashionrec_assets.evaluation.metrics import (
    PER_USER_METRICS,
    SliceMetrics,
    coverage,
    find_hits,
    novelty,
    rank,
    slice_metrics,
)
from fashionrec_assets.evaluation.protocol import RankingTask, Slice
from fashionrec_assets.evaluation.recommender import Entrant, Recommender
from fashionrec_assets.settings import EvaluationSettings

Outcome = Literal["better", "worse", "undecided"]
Tone = Literal["good", "bad", "undecided", "note"]

_CURVE: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Row:
    """One figure. `low` and `high` are the 95 % interval over users, None where there is none to give."""

    method: str
    slice: Slice
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


@dataclass(frozen=True)
class Comparison:
    """`first` less `second` on one metric, over the same users. `apart`: their own intervals do not overlap."""

    first: str
    second: str
    slice: Slice
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
    slice: Slice
    metric: str
    k: int
    share: Interval


@dataclass(frozen=True)
class Verdict:
    """A sentence a reader can act on."""

    tone: Tone
    text: str


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
    model: str | None
    curve_ks: tuple[int, ...]
    recall_curves: dict[str, list[float]]
    blend_trials: tuple[Trial, ...] = ()
    learning_curves: tuple[LearningCurve, ...] = ()
    notes: tuple[str, ...] = ()
    _index: dict[tuple[str, str, str, int], Row] = field(default_factory=dict, repr=False, compare=False)

    @property
    def headline_k(self) -> int:
        return max(self.ks)

    @property
    def slices(self) -> tuple[Slice, ...]:
        """The slices somebody is in, in order."""
        return tuple(dict.fromkeys(row.slice for row in self.rows))

    def row(self, method: str, slice_name: str, metric: str, k: int) -> Row | None:
        """One figure, or None where the slice is empty."""
        if not self._index:
            self._index.update({(row.method, row.slice, row.metric, row.k): row for row in self.rows})
        return self._index.get((method, slice_name, metric, k))

    def figures(self) -> dict[str, float]:
        """Flat figures under stable keys.

        `ranking.<method>.recall@20` with `.low` and `.high`; other slices as `ranking.<method>.cold.recall@20`;
        `ranking.<method>.fit_seconds`; `ranking.<method>.oracle_share.ndcg@20`;
        `ranking.<model>.minus.<baseline>.ndcg@20`; `ranking.users`, `ranking.targets`, `ranking.pool`.
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
                "baseline": methods[row.method].is_baseline,
            }
            for row in self.rows
        ]


def _no_progress(done: int, total: int) -> None:
    return None


def number(value: float | None, digits: int = 4) -> str:
    """A figure as it is printed: `.1057`, `1.2500`, `–` for none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{abs(value):.{digits}f}"
    text = text.removeprefix("0") if digits else text
    return f"−{text}" if value < 0 and float(f"{value:.{digits}f}") != 0 else text


def signed(value: float) -> str:
    """A difference as it is printed: `+.0123`."""
    return number(value) if value < 0 else f"+{number(value)}"


def evaluate(
    task: RankingTask,
    entrants: Sequence[Entrant],
    settings: EvaluationSettings,
    *,
    model: str | None = "two_tower",
    reference: str = "blend",
    oracle: Recommender | None = None,
    seed: int = 0,
    notes: Iterable[str] = (),
    blend_trials: Sequence[Trial] = (),
    learning_curves: Sequence[LearningCurve] = (),
    progress: Callable[[int, int], None] = _no_progress,
) -> RankingReport:
    """Ranks the task's pool with every entrant, measures, compares `model` with all others, and words the verdicts.

    `model` and `reference` name entrants; a `model` that is not among them (or None) means a report of baselines
    alone. `oracle` is ranked too, but competes with nobody. Raises ValueError for two entrants of one name and where
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
    model = model if model in names else None
    ks = tuple(sorted(set(settings.k)))
    # A list as long as the pool contains every target, and its recall says nothing.
    curve_ks = tuple(sorted({k for k in _CURVE if k <= max(max(ks), int(task.pool.sum()) // 4)} | set(ks)))
    depth = max(curve_ks)

    methods: list[Method] = []
    measured: dict[Slice, dict[str, SliceMetrics]] = {name: {} for name in task.slices()}
    spread: dict[tuple[str, int], tuple[float, NDArray[np.float64]]] = {}
    curves: dict[str, list[float]] = {}
    for position, entrant in enumerate(everybody):
        started = time.perf_counter()
        lists = rank(task, entrant.recommender, depth)
        seconds = time.perf_counter() - started
        hits = find_hits(task, lists)
        for name in task.slices():
            wanted = curve_ks if name == "overall" else ks
            measured[name][entrant.name] = slice_metrics(task, hits, name, wanted)
        known = lists[task.has_history]
        for k in ks:
            spread[entrant.name, k] = (coverage(task, known, k), novelty(task, known, k))
        overall = measured["overall"][entrant.name]
        if len(overall.rows):
            curves[entrant.name] = [float(overall.values["recall", k].mean()) for k in curve_ks]
        methods.append(
            Method(
                name=entrant.name,
                title=entrant.title or entrant.name,
                description=entrant.description,
                is_baseline=entrant.is_baseline,
                is_oracle=oracle is not None and entrant.recommender is oracle,
                fit_seconds=entrant.fit_seconds,
                score_seconds=seconds,
            )
        )
        progress(position + 1, len(everybody))

    rows: list[Row] = []
    comparisons: list[Comparison] = []
    shares: list[OracleShare] = []
    headline = max(ks)
    for name in task.slices():
        figures = measured[name]
        sample = figures[names[0]]
        if not len(sample.rows):
            continue
        columns = [(method, metric, k) for method in names for metric in PER_USER_METRICS for k in ks]
        values = np.stack([figures[method].values[metric, k] for method, metric, k in columns], axis=1)
        means = resampled_means(values, settings.bootstrap, seed)
        lows, highs = percentile_interval(means)
        intervals: dict[tuple[str, str, int], Interval] = {}
        for index, column in enumerate(columns):
            intervals[column] = Interval(float(values[:, index].mean()), float(lows[index]), float(highs[index]))
        place = {column: index for index, column in enumerate(columns)}
        size = (len(sample.rows), sample.targets)
        for (method, metric, k), interval in intervals.items():
            rows.append(Row(method, name, metric, k, interval.value, interval.low, interval.high, *size))
        if name == "overall":
            rows += _spread_rows(names, ks, spread, size, settings.bootstrap, seed)
        rivals = [] if model is None else [method.name for method in methods if method.name != model]
        for metric in ("recall", "ndcg"):
            for rival in rivals:
                first, second = place[str(model), metric, headline], place[rival, metric, headline]
                low, high = percentile_interval((means[:, first] - means[:, second])[:, None])
                gap = float(values[:, first].mean() - values[:, second].mean())
                apart = not intervals[str(model), metric, headline].overlaps(intervals[rival, metric, headline])
                difference = Interval(gap, float(low[0]), float(high[0]))
                comparisons.append(Comparison(str(model), rival, name, metric, headline, difference, apart))
            if oracle is not None:
                shares += _oracle_shares(name, metric, headline, names, oracle.name, values, means, place)

    words = verdicts(methods, rows, comparisons, shares, model=model, reference=reference, k=headline)
    return RankingReport(
        setting=Setting.of(task, settings.bootstrap),
        methods=tuple(methods),
        rows=tuple(rows),
        comparisons=tuple(comparisons),
        shares=tuple(shares),
        verdicts=tuple(words),
        ks=ks,
        model=model,
        curve_ks=curve_ks,
        recall_curves=curves,
        blend_trials=tuple(blend_trials),
        learning_curves=tuple(learning_curves),
        notes=tuple(notes),
    )


def _spread_rows(
    names: Sequence[str],
    ks: Sequence[int],
    spread: Mapping[tuple[str, int], tuple[float, NDArray[np.float64]]],
    size: tuple[int, int],
    draws: int,
    seed: int,
) -> list[Row]:
    rows: list[Row] = []
    for method in names:
        for k in ks:
            share, bits = spread[method, k]
            rows.append(Row(method, "overall", "coverage", k, share, None, None, *size))
            listed = bits[np.isfinite(bits)]
            if len(listed):
                low, high = percentile_interval(resampled_means(listed[:, None], draws, seed))
                value = float(listed.mean())
                rows.append(Row(method, "overall", "novelty", k, value, float(low[0]), float(high[0]), *size))
    return rows


def _oracle_shares(
    name: Slice,
    metric: str,
    k: int,
    names: Sequence[str],
    oracle: str,
    values: NDArray[np.float64],
    means: NDArray[np.float64],
    place: Mapping[tuple[str, str, int], int],
) -> list[OracleShare]:
    best = place[oracle, metric, k]
    if values[:, best].mean() <= 0 or means[:, best].min() <= 0:
        return []
    shares: list[OracleShare] = []
    for method in names:
        if method == oracle:
            continue
        own = place[method, metric, k]
        low, high = percentile_interval((means[:, own] / means[:, best])[:, None])
        value = float(values[:, own].mean() / values[:, best].mean())
        shares.append(OracleShare(method, name, metric, k, Interval(value, float(low[0]), float(high[0]))))
    return shares


def verdicts(
    methods: Sequence[Method],
    rows: Sequence[Row],
    comparisons: Sequence[Comparison],
    shares: Sequence[OracleShare],
    *,
    model: str | None,
    reference: str,
    k: int,
) -> list[Verdict]:
    """What the figures say, most important first. NDCG decides; recall is reported beside it."""
    titles = {method.name: method.title for method in methods}
    rivals = {method.name for method in methods if not method.is_oracle}
    ndcg: dict[tuple[str, Slice], Row] = {
        (row.method, row.slice): row for row in rows if row.metric == "ndcg" and row.k == k
    }
    said: list[Verdict] = []
    if model is None:
        best = _best(ndcg, rivals, "overall")
        if best is not None:
            said.append(Verdict("note", f"{titles[best.method]} is the best method: NDCG@{k} {_with_interval(best)}."))
    else:
        against = [c for c in comparisons if c.metric == "ndcg" and c.slice == "overall" and c.second in rivals]
        said += [_reference_verdict(c, titles, k) for c in against if c.second == reference]
        said += _others_verdicts([c for c in against if c.second != reference], titles, k)
        said += _recall_disagreement(comparisons, rivals, titles, k)
    said += _oracle_verdicts(shares, ndcg, titles, model, k)
    cold = _best(ndcg, rivals, "cold")
    if cold is not None:
        mine = ndcg.get((model, "cold")) if model is not None else None
        text = f"On cold items {titles[cold.method]} is best: NDCG@{k} {_with_interval(cold)}"
        if mine is not None and cold.method != model:
            text += f"; {titles[str(model)]} has {_with_interval(mine)}"
        tone: Tone = "note" if mine is None else "good" if cold.method == model else "undecided"
        said.append(Verdict(tone, text + "."))
    return said


def _best(ndcg: Mapping[tuple[str, Slice], Row], rivals: set[str], slice_name: Slice) -> Row | None:
    candidates = [
        row for (method, name), row in ndcg.items() if name == slice_name and method in rivals and row.value > 0
    ]
    return max(candidates, key=lambda row: row.value, default=None)


def _with_interval(row: Row) -> str:
    return f"{number(row.value)} ({number(row.low)} to {number(row.high)})"


def _gap(comparison: Comparison) -> str:
    difference = comparison.difference
    return f"{signed(difference.value)}, 95 % paired interval {signed(difference.low)} to {signed(difference.high)}"


def _reference_verdict(comparison: Comparison, titles: Mapping[str, str], k: int) -> Verdict:
    ours, theirs = titles[comparison.first], titles[comparison.second]
    match comparison.outcome:
        case "better":
            beyond = "; their own intervals do not overlap" if comparison.apart else ""
            return Verdict("good", f"{ours} beats {theirs} on NDCG@{k}: {_gap(comparison)}{beyond}.")
        case "worse":
            advice = f"A model that loses to {theirs} does not earn its keep here: serve {theirs} instead."
            return Verdict("bad", f"{ours} loses to {theirs} on NDCG@{k}: {_gap(comparison)}. {advice}")
        case "undecided":
            advice = f"Until it can, {theirs} is the cheaper choice."
            return Verdict(
                "undecided", f"{ours} cannot be told apart from {theirs} on NDCG@{k}: {_gap(comparison)}. {advice}"
            )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _others_verdicts(comparisons: Sequence[Comparison], titles: Mapping[str, str], k: int) -> list[Verdict]:
    said: list[Verdict] = []
    kinds: tuple[tuple[Outcome, bool | None, Tone, str, str], ...] = (
        ("worse", None, "bad", "loses to", ""),
        ("undecided", None, "undecided", "cannot be told apart from", ""),
        ("better", False, "good", "beats", " in the paired comparison, though their own intervals overlap"),
        ("better", True, "good", "beats", ", with intervals that do not overlap"),
    )
    for outcome, apart, tone, verb, ending in kinds:
        chosen = [c for c in comparisons if c.outcome == outcome and apart in (None, c.apart)]
        if chosen:
            names = _listed([f"{titles[c.second]} ({signed(c.difference.value)})" for c in chosen])
            said.append(Verdict(tone, f"On NDCG@{k} {titles[chosen[0].first]} {verb} {names}{ending}."))
    return said


def _recall_disagreement(
    comparisons: Sequence[Comparison], rivals: set[str], titles: Mapping[str, str], k: int
) -> list[Verdict]:
    chosen = [c for c in comparisons if c.slice == "overall" and c.second in rivals]
    ndcg = {c.second: c for c in chosen if c.metric == "ndcg"}
    said: list[Verdict] = []
    for comparison in chosen:
        if (
            comparison.metric == "recall"
            and comparison.outcome == "worse"
            and ndcg[comparison.second].outcome != "worse"
        ):
            ours, theirs = titles[comparison.first], titles[comparison.second]
            said.append(Verdict("bad", f"On Recall@{k} {ours} loses to {theirs}: {_gap(comparison)}."))
    return said


def _oracle_verdicts(
    shares: Sequence[OracleShare],
    ndcg: Mapping[tuple[str, Slice], Row],
    titles: Mapping[str, str],
    model: str | None,
    k: int,
) -> list[Verdict]:
    if not shares:
        return []
    found = {(share.method, share.slice): share.share for share in shares if share.metric == "ndcg"}
    subject = model
    if subject is None:
        overall = {method: share for (method, name), share in found.items() if name == "overall"}
        subject = max(overall, key=lambda method: overall[method].value, default=None)
    if subject is None or (subject, "overall") not in found:
        return []

    def share_of(name: Slice) -> str:
        share = found[str(subject), name]
        return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"

    text = f"{titles[subject]} reaches {share_of('overall')} of the oracle's NDCG@{k}"
    if (subject, "cold") in found:
        text += f", and {share_of('cold')} of it on cold items"
    return [Verdict("note", text + ".")]
