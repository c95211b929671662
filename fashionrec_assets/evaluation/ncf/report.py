"""From runs to figures with intervals, differences and judgements: what the study found, as data.

Belongs here: means over training runs, intervals over people, paired differences, the rule of judgement, the rows of
the table. Does not belong here: running (`study.py`), wording and layout (`page.py`), what is wrong (`diagnosis.py`).

A judgement is about the technique in which a variant and the one it is judged against differ. It looks at the 95 %
interval of the paired difference, with the technique less without (the other way round for errors, where less is
better): above zero it *pays*, below it *harms*, else one *cannot tell*. The interval is over people and knows nothing
of training's own luck; so where there are several training runs, each of them must also point the same way, else one
cannot tell either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.evaluation.ablations import Judgement
from fashionrec_assets.evaluation.bootstrap import Interval, percentile_interval, resampled_means
from fashionrec_assets.evaluation.ncf.grid import EXPERIMENTS, Variant
from fashionrec_assets.evaluation.ncf.study import ERRORS, METRICS, RANKING, SLICES, Measured, Metric, Runs, Window
from fashionrec_assets.evaluation.slices import SliceName

Key = tuple[SliceName, Metric]
FLAT_SLICES: tuple[SliceName, ...] = ("overall", "cold", "cold_users")


@dataclass(frozen=True)
class Figure:
    """A mean over people and training runs.

    `difference`: the variant less its reference; None where it has none. `deviation`: standard deviation over training
    runs, None for a single one. `people`: whom the mean is over.
    """

    interval: Interval
    difference: Interval | None
    judgement: Judgement
    deviation: float | None
    people: int

    @property
    def value(self) -> float:
        return self.interval.value


@dataclass(frozen=True)
class Outcome:
    """A variant's figures by slice and metric; `seconds` is the mean of its `seeds` trainings.

    Outcomes with the same `model` are one model that stands in several places.
    """

    variant: Variant
    model: str
    figures: Mapping[Key, Figure]
    seeds: int
    seconds: float

    @property
    def headline(self) -> Figure | None:
        """The NDCG that the verdict on the variant's technique rests on."""
        return self.figures.get((self.variant.headline, "ndcg"))

    def effect(self, name: SliceName = "overall", metric: Metric = "ndcg") -> Interval | None:
        """What the technique adds: with it less without it."""
        figure = self.figures.get((name, metric))
        if figure is None or figure.difference is None:
            return None
        return with_less_without(self.variant, figure.difference)


@dataclass(frozen=True)
class WindowFacts:
    """A window, and what was trained on and measured in it."""

    number: int
    start: int
    end: int
    users: int
    cold_users: int
    cold_target_users: int
    trained_on: int
    events: int

    @classmethod
    def of(cls, number: int, window: Window) -> WindowFacts:
        task = window.task
        cold = task.slice_masks("cold")[1] & task.has_history[task.target_rows]
        return cls(
            number=number,
            start=task.start,
            end=task.end,
            users=int(task.has_history.sum()),
            cold_users=int((~task.has_history).sum()),
            cold_target_users=len(np.unique(task.target_rows[cold])),
            trained_on=len(np.unique(window.sample.users)),
            events=len(window.sample),
        )


@dataclass(frozen=True)
class NcfReport:
    """The study, measured. `planned` are all variants of the grid; `left_out` says why one has no figures."""

    grid: str
    k: int
    epochs: int
    windows: tuple[WindowFacts, ...]
    planned: tuple[Variant, ...]
    outcomes: tuple[Outcome, ...]
    left_out: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def find(self, name: str) -> Outcome | None:
        return next((one for one in self.outcomes if one.variant.name == name), None)

    def comparison(self, one: Outcome) -> tuple[str, str | None, str]:
        """What is compared with what, and where: equal ones are one comparison that stands in several places."""
        base = self.find(one.variant.reference)
        return one.model, None if base is None else base.model, one.variant.headline

    def of(self, experiment: int, *, contrasts: bool = True) -> list[Outcome]:
        """The outcomes of an experiment; without `contrasts`, every model once."""
        return [
            one
            for one in self.outcomes
            if one.variant.experiment == experiment and (contrasts or not one.variant.contrast)
        ]

    def experiments(self) -> list[int]:
        """Those with outcomes, in the report's order."""
        return [number for number in EXPERIMENTS if self.of(number)]

    def records(self) -> list[dict[str, object]]:
        """The rows of the table `ncf_ablations`."""
        rows: list[dict[str, object]] = []
        for one in self.outcomes:
            variant = one.variant
            for (name, metric), figure in one.figures.items():
                gap = figure.difference
                rows.append(
                    {
                        "experiment": variant.experiment,
                        "variant": variant.name,
                        "slice": name,
                        "metric": metric,
                        "k": 0 if metric in ERRORS else self.k,
                        "value": figure.interval.value,
                        "low": figure.interval.low,
                        "high": figure.interval.high,
                        "reference": variant.reference or None,
                        "technique": variant.technique,
                        "subject": variant.subject,
                        "difference": None if gap is None else gap.value,
                        "difference_low": None if gap is None else gap.low,
                        "difference_high": None if gap is None else gap.high,
                        "judgement": figure.judgement,
                        "augmentation": variant.augmentation or "none",
                        "degree": variant.degree,
                        "keep": variant.keep,
                        "windows_back": variant.window,
                        "users": figure.people,
                        "seeds": one.seeds,
                        "seed_sd": figure.deviation,
                        "train_seconds": one.seconds,
                    }
                )
        return rows

    def flat(self) -> dict[str, float]:
        """`ncf_ablations.<grid>.<variant>.<slice>.<metric>@<k>`, of errors without `@<k>`, of the headline slices; with
        `.low` and `.high`, and `.difference` of the same."""
        found: dict[str, float] = {}
        for row in self.records():
            if row["slice"] not in FLAT_SLICES:
                continue
            key = f"ncf_ablations.{self.grid}.{row['variant']}.{row['slice']}.{row['metric']}"
            key += f"@{row['k']}" if row["k"] else ""
            for name, column in (("", "value"), (".low", "low"), (".high", "high"), (".difference", "difference")):
                value = row[column]
                if isinstance(value, float):
                    found[f"{key}{name}"] = value
        return found

    def completeness(self) -> dict[str, object]:
        """What the check of completeness reads: the names planned, and why some of them have no figures."""
        return {"planned": [one.name for one in self.planned], "left_out": dict(self.left_out)}


def with_less_without(variant: Variant, difference: Interval) -> Interval:
    """The technique's effect on a figure, from the variant's difference to its reference."""
    return difference if variant.adds else Interval(-difference.value, -difference.high, -difference.low)


def judge(variant: Variant, difference: Interval | None, metric: Metric, by_seed: Sequence[float] = ()) -> Judgement:
    """The rule of this module's docstring; `by_seed` are the differences of single training runs."""
    if difference is None:
        return "cannot_tell" if variant.reference else "reference"
    effect = with_less_without(variant, difference)
    low, high = (-effect.high, -effect.low) if metric in ERRORS else (effect.low, effect.high)
    if not (low > 0 or high < 0):
        return "cannot_tell"
    if any(gap * difference.value <= 0 for gap in by_seed):
        return "cannot_tell"
    return "pays" if low > 0 else "harms"


def judged(grid: Iterable[Variant], runs: Runs, *, draws: int, seed: int) -> tuple[Outcome, ...]:
    """Figures, paired differences and judgements of every variant that has runs."""
    chosen = [variant for variant in grid if variant.name in runs.measured]
    found: dict[str, dict[Key, Figure]] = {variant.name: {} for variant in chosen}
    for window in sorted({variant.window for variant in chosen}):
        here = [variant for variant in chosen if variant.window == window]
        for name in SLICES:
            for family in (RANKING, ERRORS):
                figures = _family(here, runs.measured, name, family, draws, seed)
                for variant_name, by_metric in figures.items():
                    found[variant_name].update(by_metric)
    return tuple(
        Outcome(
            variant,
            runs.models[variant.name],
            {
                (name, metric): found[variant.name][name, metric]
                for name in SLICES
                for metric in METRICS
                if (name, metric) in found[variant.name]
            },
            len(runs.measured[variant.name]),
            float(np.mean([run.seconds for run in runs.measured[variant.name]])),
        )
        for variant in chosen
    )


def _family(
    variants: Sequence[Variant],
    measured: Mapping[str, Sequence[Measured]],
    name: SliceName,
    family: Sequence[Metric],
    draws: int,
    seed: int,
) -> dict[str, dict[Key, Figure]]:
    """The figures of a slice that are over the same people, all on the same resamples, so that every pair is paired."""
    columns: dict[tuple[str, Metric], NDArray[np.float64]] = {}
    for variant in variants:
        for metric in family:
            values = [run.figures[name, metric] for run in measured[variant.name] if (name, metric) in run.figures]
            if values and len(values) == len(measured[variant.name]) and len(values[0]):
                columns[variant.name, metric] = np.stack(values)
    if not columns:
        return {}
    place = {key: at for at, key in enumerate(columns)}
    table = np.stack([values.mean(axis=0) for values in columns.values()], axis=1)
    means = resampled_means(table, draws, seed)
    lows, highs = percentile_interval(means)
    found: dict[str, dict[Key, Figure]] = {}
    for variant in variants:
        for metric in family:
            key: tuple[str, Metric] = (variant.name, metric)
            other: tuple[str, Metric] = (variant.reference, metric)
            if key not in place:
                continue
            at, gap, by_seed = place[key], None, list[float]()
            single = columns[key].mean(axis=1)
            if variant.reference and other in place:
                low, high = percentile_interval((means[:, at] - means[:, place[other]])[:, None])
                value = float((table[:, at] - table[:, place[other]]).mean())
                gap = Interval(value, float(low[0]), float(high[0]))
                base = columns[other].mean(axis=1)
                by_seed = (single - base).tolist() if len(single) == len(base) else []
            own = metric != "base_mse"
            found.setdefault(variant.name, {})[name, metric] = Figure(
                interval=Interval(float(table[:, at].mean()), float(lows[at]), float(highs[at])),
                difference=gap if own else None,
                judgement=judge(variant, gap if own else None, metric, by_seed),
                deviation=float(np.std(single, ddof=1)) if len(single) > 1 else None,
                people=len(table),
            )
    return found
