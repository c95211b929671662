"""The report on explanations as figures: one call that measures everything there is to measure.

Belongs here: what is measured of which explanations, and the form of the result. Does not belong here: single measures
(`grounds.py`, `texts.py`, `counterfactual.py`, `judges.py`), reading tables (`inputs.py`), wording (`page.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fashionrec_assets.evaluation.bootstrap import Interval, percentile_interval, resampled_means
from fashionrec_assets.evaluation.explanations import texts
from fashionrec_assets.evaluation.explanations.counterfactual import Faithfulness
from fashionrec_assets.evaluation.explanations.grounds import (
    cites_the_weightiest,
    claims_written,
    is_covered,
    true_claims,
    weight_cited,
)
from fashionrec_assets.evaluation.explanations.history import Move, Point
from fashionrec_assets.evaluation.explanations.judges import Judgement
from fashionrec_assets.evaluation.explanations.rows import Explained
from fashionrec_assets.evaluation.explanations.simulation import Recovery
from fashionrec_assets.recommendations.explanations.verifier import problems
from fashionrec_assets.recommendations.feedback.strategies import Strategies
from fashionrec_assets.settings import ExplanationSettings

ALL = "all"
EXAMPLES = 8


@dataclass(frozen=True)
class Figure:
    """A figure of a surface (or `ALL`), over `explanations`; without an interval where it is one of the whole set."""

    surface: str
    name: str
    value: float
    low: float | None
    high: float | None
    explanations: int

    @property
    def key(self) -> str:
        return f"{self.surface}.{self.name}"


@dataclass(frozen=True)
class ExplanationReport:
    """`untrue`: the first published explanations that say more than their facts, with what is wrong.

    `leads` and `writers`: surface -> how many explanations. `silent`: those that claim nothing. `faithfulness` is None
    where nothing could be asked, `judgement` where no judges are named; `judges_note` says why. `recoveries`: answers a
    simulated user -> what was learned of their preferences. `history`: points of earlier runs and of this one.
    """

    figures: tuple[Figure, ...]
    leads: Mapping[str, Mapping[str, int]]
    writers: Mapping[str, Mapping[str, int]]
    silent: Mapping[str, int]
    untrue: tuple[tuple[Explained, tuple[str, ...]], ...]
    examples: tuple[Explained, ...]
    sampled_of: int
    faithfulness: Faithfulness | None = None
    recoveries: Mapping[int, Recovery] = field(default_factory=dict)
    judgement: Judgement | None = None
    judges_note: str = ""
    answers: int = 0
    strategies: Strategies | None = None
    history: tuple[Point, ...] = ()
    moves: tuple[Move, ...] = ()

    def find(self, surface: str, name: str) -> Figure | None:
        return next((one for one in self.figures if (one.surface, one.name) == (surface, name)), None)

    def surfaces(self) -> list[str]:
        """The surfaces there are explanations of, in the order of the figures, all of them together first."""
        return list(dict.fromkeys(one.surface for one in self.figures))

    def records(self) -> list[dict[str, object]]:
        """Rows of the table `explanation_report`."""
        return [
            {
                "surface": one.surface,
                "figure": one.name,
                "value": one.value,
                "low": one.low,
                "high": one.high,
                "explanations": one.explanations,
            }
            for one in self.figures
        ]

    def latest(self) -> list[dict[str, object]]:
        """Rows of the table `explanation_history`: the points of this run."""
        if not self.history:
            return []
        now = max(one.at for one in self.history)
        return [
            {
                "run_at": one.at,
                "settings": one.settings,
                "figure": one.figure,
                "value": one.value,
                "low": one.low,
                "high": one.high,
            }
            for one in self.history
            if one.at == now
        ]

    def published(self) -> dict[str, float]:
        """Figures by stable keys, `explanations.<surface>.<figure>`, with `.low` and `.high` where there are any."""
        found: dict[str, float] = {}
        for one in self.figures:
            parts = {"": one.value, ".low": one.low, ".high": one.high}
            found |= {f"explanations.{one.key}{end}": value for end, value in parts.items() if value is not None}
        return found


def measure(
    explained: Sequence[Explained],
    vocabulary: texts.Vocabulary,
    settings: ExplanationSettings,
    *,
    bootstrap: int,
    seed: int,
) -> list[Figure]:
    """The figures of every surface and of all together that need nothing but the explanations and their facts."""
    by_surface: dict[str, list[Explained]] = {ALL: list(explained)}
    for one in explained:
        by_surface.setdefault(one.evidence.surface, []).append(one)
    if len(by_surface) == 2:
        del by_surface[ALL]
    return [
        figure
        for surface, rows in by_surface.items()
        if rows
        for figure in _of_surface(surface, rows, vocabulary, settings, bootstrap, seed)
    ]


def _of_surface(
    surface: str,
    rows: Sequence[Explained],
    vocabulary: texts.Vocabulary,
    settings: ExplanationSettings,
    bootstrap: int,
    seed: int,
) -> list[Figure]:
    named = [vocabulary.named(one.text) for one in rows]
    shares: dict[str, Callable[[Explained], tuple[float, float] | None]] = {
        "claim_precision": lambda one: true_claims(one, settings),
        "claim_precision_before": claims_written,
        "texts_covered": _mean(lambda one: is_covered(one, settings)),
        "cites_weightiest": _mean(cites_the_weightiest),
        "weight_cited": _mean(weight_cited),
        "claims": _mean(lambda one: len(one.explanation.claims)),
        "fmr": _features_said,
        "reading_ease": _mean(lambda one: texts.reading_ease(one.text)),
        "words": _mean(lambda one: len(texts.words(one.text))),
    }
    of_all = {
        "usr": texts.unique_sentence_ratio(one.text for one in rows),
        "fcr": texts.feature_coverage_ratio(named, vocabulary.features),
        "div": texts.feature_overlap(named),
    }
    return [
        *_ratios(surface, rows, shares, bootstrap, seed),
        *(Figure(surface, name, value, None, None, len(rows)) for name, value in of_all.items()),
    ]


def _mean(of: Callable[[Explained], float | None]) -> Callable[[Explained], tuple[float, float] | None]:
    """A mean as a ratio of two sums; explanations that `of` says nothing about are left out."""
    return lambda one: None if (value := of(one)) is None else (float(value), 1.0)


def _features_said(one: Explained) -> tuple[float, float] | None:
    """Features of cited facts that the text names, and all of them; None where no cited fact is about a feature."""
    values = [
        fact.value
        for fact in one.cited
        if fact.kind in texts.FEATURE_KINDS and fact.value and not fact.what.startswith("price_")
    ]
    return (sum(texts.names(one.text, value) for value in values), len(values)) if values else None


def _ratios(
    surface: str,
    rows: Sequence[Explained],
    shares: Mapping[str, Callable[[Explained], tuple[float, float] | None]],
    bootstrap: int,
    seed: int,
) -> list[Figure]:
    """Ratios of two sums over explanations, all from the same resamples of readers."""
    told = {name: [of(one) for one in rows] for name, of in shares.items()}
    values = np.array([[(0.0, 0.0) if pair is None else pair for pair in column] for column in told.values()])
    sums = values.sum(axis=1)
    clusters = [one.cluster for one in rows]
    drawn = resampled_means(np.hstack([values[:, :, 0].T, values[:, :, 1].T]), bootstrap, seed, clusters=clusters)
    above, below = np.hsplit(drawn, 2)
    found: list[Figure] = []
    for at, (name, column) in enumerate(told.items()):
        there = [cluster for cluster, pair in zip(clusters, column, strict=True) if pair is not None]
        if not sums[at, 1]:
            continue
        value = float(sums[at, 0] / sums[at, 1])
        held = below[:, at] > 0
        low, high = percentile_interval((above[held, at] / below[held, at])[:, None], len(set(there)))
        found.append(Figure(surface, name, value, min(float(low[0]), value), max(float(high[0]), value), len(there)))
    return found


def faithfulness_figures(found: Faithfulness | None, surface: str = "homepage") -> list[Figure]:
    """What the counterfactual test says, as figures; a ratio to nothing is none."""
    if found is None:
        return []
    named: dict[str, Interval] = {
        "drop_cited": found.cited,
        "drop_random": found.random,
        "drop_margin": found.margin,
        "drop_size_ratio": found.size_ratio,
    }
    if all(map(math.isfinite, (found.ratio.value, found.ratio.low, found.ratio.high))):
        named["drop_ratio"] = found.ratio
    return [Figure(surface, name, one.value, one.low, one.high, len(found.trials)) for name, one in named.items()]


def counted(explained: Iterable[Explained], of: Callable[[Explained], str]) -> dict[str, dict[str, int]]:
    """Surface -> how many explanations of each kind, the commonest first."""
    found: dict[str, Counter[str]] = {}
    for one in explained:
        found.setdefault(one.evidence.surface, Counter())[of(one)] += 1
    return {surface: dict(counts.most_common()) for surface, counts in found.items()}


def untrue(
    explained: Iterable[Explained], settings: ExplanationSettings, limit: int = 10
) -> tuple[tuple[Explained, tuple[str, ...]], ...]:
    """The first `limit` explanations that say more than their facts, with what is wrong."""
    found: list[tuple[Explained, tuple[str, ...]]] = []
    for one in explained:
        if wrong := problems(one.explanation, one.evidence, settings):
            found.append((one, tuple(wrong)))
        if len(found) == limit:
            break
    return tuple(found)


def examples(explained: Sequence[Explained], limit: int = EXAMPLES) -> tuple[Explained, ...]:
    """A few explanations that differ in surface and lead, the first of each in their order."""
    first: dict[tuple[str, str], Explained] = {}
    for one in explained:
        if one.explanation.claims:
            first.setdefault((one.evidence.surface, one.explanation.lead or ""), one)
    return tuple(list(first.values())[:limit])
