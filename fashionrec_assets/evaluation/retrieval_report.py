"""The retrieval report: what an image model with each technique finds on held-out items, and which technique pays.

Belongs here: measuring the arms of the ablation, the verdicts in words, and the flat forms scripts read (`figures`,
`records`). Does not belong here: encoding and reading the shop (`retrieval_inputs.py`), layout (`retrieval_page.py`).

The ablation is that of VL-CLIP (arXiv 2507.17080, section 4): original weights, fine-tuning, grounding and clarified
text, each alone and together.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.arms import FULL, Arm
from fashionrec_assets.evaluation.bootstrap import Interval, percentile_interval, resampled_means
from fashionrec_assets.evaluation.ranking_report import Verdict
from fashionrec_assets.evaluation.retrieval import (
    ALL,
    HEADLINE,
    METRICS,
    SLICE_TITLES,
    Metric,
    Places,
    QueryFigures,
    best_candidates,
    chance_hits,
    family_figures,
    metric_key,
    own_figures,
    own_places,
    several_figures,
)
from fashionrec_assets.evaluation.shopper_phrases import Fields, Phrases
from fashionrec_assets.evaluation.technique_effects import TECHNIQUES, Effect, Technique, find_effect, judge
from fashionrec_assets.evaluation.technique_findings import Finding, finding_of, hard_photos
from fashionrec_assets.evaluation.zero_shot import ZeroShotTask, commonest, predict, score

Task = Literal["text_to_image", "image_to_text", "image_to_image", "phrase_to_image"]
TASKS: Final[tuple[Task, ...]] = ("text_to_image", "image_to_text", "image_to_image", "phrase_to_image")

COMMONEST: Final = "commonest_class"
EFFECT_METRICS: Final[tuple[Metric, ...]] = (HEADLINE, ("mrr", 0), ("ndcg", 10))
LEAST_ITEMS: Final = 8


def arm_key(arm: Arm) -> str:
    """The arm's name in figures and tables: "full" for the one with everything."""
    return "full" if arm == FULL else arm.name


@dataclass(frozen=True)
class HeldOut:
    """The items the report is about, n of them, in the order of every array.

    `families`: a label for each; `slices`: name to the queries that are in it, bool (n,); `fields`: raw values,
    cleaned; `texts`: what each text says, by whether it is clarified; `catalog`: items with a crop and a description,
    held out or not.
    """

    item_ids: Sequence[str]
    families: Sequence[str]
    slices: Mapping[str, NDArray[np.bool_]]
    fields: Fields
    texts: Mapping[bool, Sequence[str]]
    catalog: int


@dataclass(frozen=True)
class ArmVectors:
    """What an arm made of the held-out items (n, d), of the phrases (q, d), and of each field's classes (c, d)."""

    arm: Arm
    images: NDArray[np.float32]
    texts: NDArray[np.float32]
    phrases: NDArray[np.float32]
    classes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One figure with its 95 % interval over `units`: families, or phrases."""

    arm: str
    task: Task
    slice: str
    metric: str
    k: int
    value: Interval
    queries: int
    units: int


@dataclass(frozen=True)
class AttributeRow:
    """How well a field can be read off the photos. `arm` is `COMMONEST` for the guess without a photo."""

    arm: str
    field: str
    classes: tuple[str, ...]
    items: int
    accuracy: Interval
    macro_f1: Interval


@dataclass(frozen=True)
class Example:
    """A query as the served arm answered it: the rows of the best images, and where the right one stands."""

    row: int
    text: str
    best: tuple[int, ...]
    rank: int

    @property
    def found(self) -> bool:
        return self.row in self.best


@dataclass(frozen=True)
class RetrievalReport:
    """What was measured and what it says. `missing` says why there is nothing, if so."""

    verdicts: tuple[Verdict, ...]
    missing: str = ""
    items: int = 0
    families: int = 0
    catalog: int = 0
    phrases: int = 0
    phrases_right: float = 0.0
    draws: int = 0
    worth: float = 0.0
    arms: tuple[Arm, ...] = ()
    original_is_random: bool = False
    rows: tuple[Row, ...] = ()
    effects: tuple[Effect, ...] = ()
    attributes: tuple[AttributeRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    chance: Mapping[str, float] = field(default_factory=dict)
    ceilings: Mapping[bool, float] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    phrase_examples: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def served(self) -> Arm | None:
        """The arm with the most techniques on: what the lineage serves."""
        return served_arm(self.arms)

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices with figures, in order."""
        there = {row.slice for row in self.rows}
        return tuple(name for name in SLICE_TITLES if name in there)

    def row(self, arm: str, task: str, slice_name: str, metric: Metric) -> Row | None:
        """One figure, or None where there is none."""
        wanted = (arm, task, slice_name, *metric)
        return next((r for r in self.rows if (r.arm, r.task, r.slice, r.metric, r.k) == wanted), None)

    def effect(
        self, technique: Technique, setting: str, task: str, slice_name: str = ALL, metric: Metric = HEADLINE
    ) -> Effect | None:
        """One effect, or None where it was not measured."""
        return find_effect(self.effects, technique, setting, task, slice_name, metric)

    def figures(self) -> dict[str, float]:
        """Flat figures under stable keys.

        `retrieval.<arm>[.<slice>].<task>.<metric>` such as `retrieval.full.text_to_image.hits@5`;
        `retrieval.<arm>.zero_shot.<field>.accuracy` and `.macro_f1`;
        `retrieval.effect.<technique>.<setting>[.<slice>].<task>.<metric>`; each with `.low` and `.high`;
        `retrieval.effect.<technique>.needed_items` where it cannot be told; `retrieval.items`, `.families`, `.phrases`.
        """
        flat: dict[str, float] = {}

        def put(key: str, value: Interval) -> None:
            flat.update({key: value.value, f"{key}.low": value.low, f"{key}.high": value.high})

        if self.missing:
            return flat
        counts = {"items": self.items, "families": self.families, "phrases": self.phrases}
        flat.update({f"retrieval.{name}": float(count) for name, count in counts.items()})
        for row in self.rows:
            put(f"retrieval.{row.arm}.{_part(row.slice)}{row.task}.{metric_key((row.metric, row.k))}", row.value)
        for one in self.attributes:
            put(f"retrieval.{one.arm}.zero_shot.{one.field}.accuracy", one.accuracy)
            put(f"retrieval.{one.arm}.zero_shot.{one.field}.macro_f1", one.macro_f1)
        for effect in self.effects:
            name = f"{effect.technique}.{effect.setting}.{_part(effect.slice)}{effect.task}"
            put(f"retrieval.effect.{name}.{metric_key((effect.metric, effect.k))}", effect.difference)
        for finding in self.findings:
            if finding.needed_items is not None:
                flat[f"retrieval.effect.{finding.technique}.needed_items"] = float(finding.needed_items)
        return flat

    def records(self) -> list[dict[str, object]]:
        """The rows of the table `retrieval_report`."""

        def record(arm: str, task: str, part: str, metric: Metric, value: Interval, queries: int, units: int) -> dict:
            named = dict(zip(("arm", "task", "part", "metric", "k"), (arm, task, part, *metric), strict=True))
            interval = {"value": value.value, "low": value.low, "high": value.high}
            return {**named, **interval, "queries": queries, "units": units}

        ranked = [record(r.arm, r.task, r.slice, (r.metric, r.k), r.value, r.queries, r.units) for r in self.rows]
        for one in self.attributes:
            for name, value in (("accuracy", one.accuracy), ("macro_f1", one.macro_f1)):
                ranked.append(record(one.arm, "zero_shot", one.field, (name, 0), value, one.items, one.items))
        return ranked

    def effect_records(self) -> list[dict[str, object]]:
        """The rows of the table `technique_effects`."""
        judged = {id(finding.effect): finding for finding in self.findings if finding.effect is not None}
        records: list[dict[str, object]] = []
        for effect in self.effects:
            finding = judged.get(id(effect))
            records.append(
                {
                    **{
                        name: getattr(effect, name) for name in ("technique", "setting", "task", "slice", "metric", "k")
                    },
                    "with_value": effect.first.value,
                    "without_value": effect.second.value,
                    "difference": effect.difference.value,
                    "low": effect.difference.low,
                    "high": effect.difference.high,
                    "intervals_apart": effect.apart,
                    "queries": effect.queries,
                    "judgement": finding.judgement if finding else judge(effect, self.worth),
                    "verdict": finding.verdict.text if finding else None,
                }
            )
        return records


def _part(slice_name: str) -> str:
    return "" if slice_name == ALL else f"{slice_name}."


def served_arm(arms: Sequence[Arm]) -> Arm | None:
    """The one with the most techniques on, fine-tuning first."""
    return max(arms, key=lambda arm: (arm.tuned, arm.grounded + arm.clarified, arm.grounded), default=None)


def nothing_to_report(reason: str) -> RetrievalReport:
    """A report that says, in `reason`, why there are no figures."""
    return RetrievalReport((Verdict("note", reason),), missing=reason)


def _no_progress(done: int, total: int) -> None:
    return None


def evaluate_retrieval(
    held_out: HeldOut,
    arms: Sequence[ArmVectors],
    phrases: Phrases,
    attribute_tasks: Sequence[ZeroShotTask],
    *,
    worth: float,
    draws: int,
    seed: int,
    original_is_random: bool = False,
    examples: int = 6,
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] = _no_progress,
) -> RetrievalReport:
    """Measures every arm on the held-out items and says which technique pays.

    `worth` is the smallest gain of HITS@5 that counts. Intervals are over families, drawn whole; over phrases where the
    queries are phrases. With fewer than 8 items, or without arms, the report says so and holds no figures.
    """
    n = len(held_out.item_ids)
    served = served_arm([one.arm for one in arms])
    if n < LEAST_ITEMS or served is None:
        return nothing_to_report(
            f"Nothing was measured: {n} items that the model has not learned from have a crop and a description, and "
            f"{LEAST_ITEMS} are the least. A larger catalog, or a larger setting clip.test_share, gives more."
            if served is not None or n < LEAST_ITEMS
            else "Nothing was measured: there is no image model yet."
        )
    families = np.unique(np.array(list(held_out.families), dtype=np.str_), return_inverse=True)[1].astype(np.int64)
    measured: dict[Task, dict[Arm, QueryFigures]] = {task: {} for task in TASKS}
    places: dict[Arm, Places] = {}
    for done, one in enumerate(arms, start=1):
        places[one.arm] = own_places(one.texts, one.images)
        measured["text_to_image"][one.arm] = own_figures(places[one.arm], n)
        measured["image_to_text"][one.arm] = own_figures(own_places(one.images, one.texts), n)
        measured["image_to_image"][one.arm] = family_figures(one.images, families)
        measured["phrase_to_image"][one.arm] = several_figures(
            one.phrases,
            one.images,
            lambda start, stop: phrases.right[start:stop],
            lambda start, stop: phrases.unjudged[start:stop],
        )
        progress(done, len(arms))

    pairs = _pairs([one.arm for one in arms], served, original_is_random)
    rows: list[Row] = []
    effects: list[Effect] = []
    for task in TASKS:
        clusters = None if task == "phrase_to_image" else families
        slices = {ALL: np.ones(n, dtype=np.bool_)}
        if task == "text_to_image":
            slices |= {name: held_out.slices[name] for name in SLICE_TITLES if name in held_out.slices}
        for name, mask in slices.items():
            found = _intervals(task, name, measured[task], None if clusters is None else mask, clusters, draws, seed)
            rows += found.rows
            if task in ("text_to_image", "phrase_to_image"):
                effects += found.effects(pairs)

    attributes = _attributes(held_out, arms, attribute_tasks, families, draws, seed)
    findings = tuple(finding_of(technique, effects, worth, n, held_out.catalog) for technique in TECHNIQUES)
    sizes = np.bincount(families)[families]
    report = RetrievalReport(
        verdicts=(),
        items=n,
        families=int(families.max()) + 1,
        catalog=held_out.catalog,
        phrases=len(phrases.texts),
        phrases_right=float(phrases.right.sum(axis=1).mean()) if len(phrases.texts) else 0.0,
        draws=draws,
        worth=worth,
        arms=tuple(one.arm for one in arms),
        original_is_random=original_is_random,
        rows=tuple(rows),
        effects=tuple(effects),
        attributes=tuple(attributes),
        findings=findings,
        chance={
            "text_to_image": min(1.0, HEADLINE[1] / n),
            "image_to_text": min(1.0, HEADLINE[1] / n),
            "image_to_image": _chance(sizes[sizes > 1] - 1, n - 1),
            "phrase_to_image": _chance(phrases.right.sum(axis=1), n - phrases.unjudged.sum(axis=1)),
        },
        ceilings={clarified: ceiling(texts, HEADLINE[1]) for clarified, texts in held_out.texts.items()},
        examples=_examples(held_out, next(one for one in arms if one.arm == served), places[served], examples),
        phrase_examples=phrases.texts[:6],
        notes=tuple(notes),
    )
    return replace(report, verdicts=tuple(_verdicts(report)))


def ceiling(texts: Sequence[str], k: int) -> float:
    """The best HITS@k that any model could reach, on average over the order of ties: equal texts are one question."""
    counts = Counter(texts)
    return sum(min(1.0, k / counts[text]) for text in texts) / max(1, len(texts))


def _chance(right: NDArray[np.int64], candidates: NDArray[np.int64] | int) -> float:
    return chance_hits(right, np.broadcast_to(np.asarray(candidates), right.shape), HEADLINE[1])


@dataclass(frozen=True)
class _Found:
    """One task on one slice: each arm's figures, and the resampled means behind them by (arm, metric)."""

    rows: list[Row]
    means: dict[tuple[Arm, Metric], NDArray[np.float64]]
    values: dict[tuple[Arm, Metric], NDArray[np.float64]]
    by_column: dict[tuple[Arm, Metric], Row]

    def effects(self, pairs: Sequence[tuple[Technique, str, Arm, Arm]]) -> list[Effect]:
        effects: list[Effect] = []
        for technique, setting, first, second in pairs:
            for metric in EFFECT_METRICS if self.rows else ():
                one, other = self.by_column[first, metric], self.by_column[second, metric]
                same = np.array_equal(self.values[first, metric], self.values[second, metric])
                gaps = (self.means[first, metric] - self.means[second, metric]) * (not same)
                low, high = percentile_interval(gaps[:, None], one.units)
                effects.append(
                    Effect(
                        technique=technique,
                        setting=cast(Literal["added_last", "added_first"], setting),
                        task=one.task,
                        slice=one.slice,
                        metric=metric[0],
                        k=metric[1],
                        first=one.value,
                        second=other.value,
                        difference=Interval(one.value.value - other.value.value, float(low[0]), float(high[0])),
                        error=float(gaps.std()),
                        queries=one.queries,
                        units=one.units,
                        trained=first.tuned and second.tuned,
                    )
                )
        return effects


def _intervals(
    task: Task,
    slice_name: str,
    figures: Mapping[Arm, QueryFigures],
    mask: NDArray[np.bool_] | None,
    clusters: NDArray[np.int64] | None,
    draws: int,
    seed: int,
) -> _Found:
    found = _Found([], {}, {}, {})
    queries = next(iter(figures.values())).queries
    chosen = np.ones(len(queries), dtype=np.bool_) if mask is None else mask[queries]
    groups = None if clusters is None else clusters[queries[chosen]]
    units = int(chosen.sum()) if groups is None else len(np.unique(groups))
    if chosen.sum() < LEAST_ITEMS or units < 2:
        return found
    columns = [(arm, metric) for arm in figures for metric in METRICS]
    values = np.stack([figures[arm].values[metric][chosen] for arm, metric in columns], axis=1)
    means = resampled_means(values, draws, seed, groups)
    lows, highs = _widened(values, *percentile_interval(means, units), units)
    for index, (arm, metric) in enumerate(columns):
        value = Interval(float(values[:, index].mean()), float(lows[index]), float(highs[index]))
        row = Row(arm_key(arm), task, slice_name, *metric, value, int(chosen.sum()), units)
        found.rows.append(row)
        found.by_column[arm, metric] = row
        found.means[arm, metric] = means[:, index]
        found.values[arm, metric] = values[:, index]
    return found


def _widened(
    values: NDArray[np.float64], lows: NDArray[np.float64], highs: NDArray[np.float64], units: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intervals of figures that are the same for every query, by the rule of three: resampling gives them no width."""
    same, mean = np.ptp(values, axis=0) == 0, values.mean(axis=0)
    reach = np.where(same, 3 / units, 0.0)
    return np.maximum(np.where(same, mean - reach, lows), 0.0), np.minimum(np.where(same, mean + reach, highs), 1.0)


def _pairs(
    arms: Sequence[Arm], served: Arm, original_is_random: bool
) -> list[tuple[Technique, Literal["added_last", "added_first"], Arm, Arm]]:
    """(technique, setting, with it, without it) for every pair of arms that were measured."""
    pairs: list[tuple[Technique, Literal["added_last", "added_first"], Arm, Arm]] = []
    original = Arm(tuned=False, grounded=False, clarified=False)
    for technique in TECHNIQUES:
        without = replace(served, **{technique: False})
        if getattr(served, technique) and without in arms:
            pairs.append((technique, "added_last", served, without))
        alone = replace(original, **{technique: True})
        # What an untrained model does with a better picture is chance.
        if {original, alone} <= set(arms) and not (original_is_random and technique != "tuned"):
            pairs.append((technique, "added_first", alone, original))
    return pairs


def _attributes(
    held_out: HeldOut,
    arms: Sequence[ArmVectors],
    tasks: Sequence[ZeroShotTask],
    families: NDArray[np.int64],
    draws: int,
    seed: int,
) -> list[AttributeRow]:
    rows: list[AttributeRow] = []
    for task in tasks:
        guesses = {
            arm_key(one.arm): predict(one.images, one.classes[task.field]) for one in arms if task.field in one.classes
        }
        if guesses:
            guesses[COMMONEST] = commonest(task.labels)
        for arm, guess in guesses.items():
            scores = score(task.labels, guess, len(task.classes), families, draws=draws, seed=seed)
            items = int((task.labels >= 0).sum())
            rows.append(AttributeRow(arm, task.field, task.classes, items, scores.accuracy, scores.macro_f1))
    return rows


def _examples(held_out: HeldOut, served: ArmVectors, places: Places, most: int) -> tuple[Example, ...]:
    """Half found within the first five, half not (or fewer, if there are fewer): the first of each by a hash."""
    order = sorted(range(len(held_out.item_ids)), key=lambda row: _hashed(held_out.item_ids[row]))
    kinds: dict[bool, list[Example]] = {True: [], False: []}
    texts = held_out.texts[served.arm.clarified]
    for row in order:
        best = best_candidates(served.texts[row], served.images, HEADLINE[1])
        example = Example(row, texts[row], tuple(best.tolist()), round(float(places.ranks[row])))
        if len(kinds[example.found]) < (most + 1) // 2:
            kinds[example.found].append(example)
        if all(len(kind) >= (most + 1) // 2 for kind in kinds.values()):
            break
    return (*kinds[True], *kinds[False][: most - len(kinds[True])])


def _hashed(item_id: str) -> bytes:
    return hashlib.sha256(item_id.encode()).digest()


def _verdicts(report: RetrievalReport) -> list[Verdict]:
    served = report.served
    assert served is not None
    row = report.row(arm_key(served), "text_to_image", ALL, HEADLINE)
    said: list[Verdict] = []
    if row is not None:
        said.append(
            Verdict(
                "note",
                f"For its own text, the served model has an item's photo among the first five of {report.items:,} in "
                f"{row.value.value:.1%} of the cases ({row.value.low:.1%} to {row.value.high:.1%}); a random order in "
                f"{report.chance['text_to_image']:.1%}.",
            )
        )
    if report.original_is_random:
        said.append(
            Verdict(
                "note",
                "The original model has random weights, because this model is trained from scratch: beside it, "
                "fine-tuning only shows that training works.",
            )
        )
    return [*(finding.verdict for finding in report.findings), *hard_photos(report.effects), *said]
