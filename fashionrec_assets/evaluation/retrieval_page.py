"""The retrieval report as a page: its tables, plots and worked examples, and the words a newcomer needs.

Belongs here: the wording and order of this one report. Does not belong here: figures (`retrieval_report.py`), markup
(`render.py` and its templates).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from fashionrec_assets.embeddings.arms import FULL, Arm
from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.plots import Bar, difference_plot, interval_plot
from fashionrec_assets.evaluation.ranking_report import number, signed
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Page, Picture, Section, TableLine
from fashionrec_assets.evaluation.retrieval import ALL, HEADLINE, METRICS, SLICE_TITLES, Metric
from fashionrec_assets.evaluation.retrieval_report import (
    COMMONEST,
    EFFECT_METRICS,
    Example,
    RetrievalReport,
    Row,
    Task,
    arm_key,
)
from fashionrec_assets.evaluation.technique_effects import TECHNIQUE_TITLES, TECHNIQUES, Effect, judge
from fashionrec_assets.evaluation.technique_findings import PHRASE_HEADLINE
from fashionrec_assets.evaluation.worked_examples import Shown, strip

_METRIC_TITLES: Final = {"hits": "HITS", "mrr": "MRR", "ndcg": "NDCG"}
_FIELD_TITLES: Final = {
    "product_type": "Product type",
    "category": "Category",
    "colour": "Colour",
    "pattern": "Pattern",
    "gender": "Gender",
    "section": "Section",
}
_TASKS: Final[Sequence[tuple[Task, str]]] = (
    ("text_to_image", "Text to image"),
    ("image_to_text", "Image to text"),
    ("image_to_image", "Image to image, same family"),
)
_SETTINGS: Final = {"added_last": "added last", "added_first": "added first"}
_KINDS: Final = {"pays": "better", "harms": "worse", "does_not_pay": "unclear", "cannot_tell": "unclear"}
_JUDGEMENTS: Final = {
    "pays": "pays",
    "harms": "harms",
    "does_not_pay": "does not pay",
    "cannot_tell": "cannot tell yet",
}
_FOOTER: Final = "Made by fashionrec. This page is self-contained: it can be mailed, archived or attached to a ticket."
_CLASSES_NAMED: Final = 8
_ALT_CHARS: Final = 160
_TITLE_CHARS: Final = 400


def arm_title(arm: Arm) -> str:
    """Such as "+ fine-tuning + grounding"; "Original CLIP" with nothing added."""
    words = {"tuned": "fine-tuning", "grounded": "grounding", "clarified": "clarified text"}
    parts = [word for name, word in words.items() if getattr(arm, name)]
    return " ".join(f"+ {part}" for part in parts) or "Original CLIP"


def retrieval_page(report: RetrievalReport, strips: Sequence[Sequence[Shown]] = (), shop: str = "") -> Page:
    """The page of a report; `strips` are the images of its examples, `shop` names the source for the reader."""
    if report.missing:
        lead = "Does the text of an item find its photo? Which part of the content half of the lineage earns its keep?"
        return Page("Retrieval report", shop or "Content", lead, report.verdicts, (), _FOOTER)
    sections = [
        Section(
            "At a glance",
            "Left: every arm of the ablation, each asked with its own text. Right: what each technique adds.",
            drawings=_drawings(report),
        ),
        _ablation(report),
        _phrases(report),
        _effects(report),
        _slices(report),
        _attributes(report),
        _examples(report, strips),
        Section("What explains the figures", points=[*_ceilings(report), *report.notes]),
        Section("The protocol", points=_protocol(report), terms=_metric_terms()),
    ]
    return Page(
        title="Retrieval report",
        kicker=shop or "Content",
        lead=(
            f"{report.items:,} items of {report.families:,} families that no model learned from, or was chosen by. "
            f"{len(report.arms)} arms of the ablation each look for an item's photo by its text, for its text by its "
            "photo, and for its family by its photo. Which technique earns its keep?"
        ),
        verdicts=report.verdicts,
        sections=[section for section in sections if section is not None],
        footer=_FOOTER,
    )


def _title(metric: Metric) -> str:
    name, k = metric
    return f"{_METRIC_TITLES[name]}@{k}" if k else _METRIC_TITLES[name]


def _role(report: RetrievalReport, arm: Arm) -> str:
    return "model" if arm == report.served else ""


def _drawings(report: RetrievalReport) -> list[Drawing]:
    bars = [
        Bar(_short(arm), row.value.value, row.value.low, row.value.high, _role(report, arm) or "baseline")
        for arm in report.arms
        if (row := report.row(arm_key(arm), "text_to_image", ALL, HEADLINE)) is not None
    ]
    drawings = [
        Drawing(
            f"Text to image, {_title(HEADLINE)} by arm",
            interval_plot("arms", bars, _title(HEADLINE)),
            f"T: fine-tuned, G: grounded crop, C: clarified text. Whiskers are 95 % intervals; "
            f"a random order reaches {number(report.chance['text_to_image'])}.",
        )
    ]
    gaps = [
        Bar(
            f"{TECHNIQUE_TITLES[effect.technique]}, {_SETTINGS[effect.setting]}",
            effect.difference.value,
            effect.difference.low,
            effect.difference.high,
            "model" if effect.setting == "added_last" else "baseline",
        )
        for effect in report.effects
        if (effect.task, effect.slice, effect.metric, effect.k) == ("text_to_image", ALL, *HEADLINE)
    ]
    if gaps:
        drawings.append(
            Drawing(
                f"Difference in {_title(HEADLINE)} with and without",
                difference_plot("effects", gaps, f"difference in {_title(HEADLINE)}, text to image"),
                "Added last: taken out of the arm with everything. Added first: added to the original model.",
            )
        )
    return drawings


def _short(arm: Arm) -> str:
    letters = [letter for name, letter in (("tuned", "T"), ("grounded", "G"), ("clarified", "C")) if getattr(arm, name)]
    return " + ".join(letters) or "original"


def _value(interval: Interval, kind: str = "") -> Cell:
    return Cell(number(interval.value), f"{number(interval.low)}–{number(interval.high)}", kind)


def _cell(row: Row | None, best: float) -> Cell:
    if row is None:
        return Cell("–")
    return _value(row.value, "best" if row.value.value == best > 0 else "")


_Column = tuple[str, Task, str, Metric]
"""Head, task, slice and metric."""


def _arm_table(report: RetrievalReport, caption: str, columns: Sequence[_Column]) -> FigureTable | None:
    """A line per arm; columns without any figure are left out, None if that is all of them."""
    cells: dict[int, dict[Arm, Row | None]] = {}
    for at, (_, task, slice_name, metric) in enumerate(columns):
        found = {arm: report.row(arm_key(arm), task, slice_name, metric) for arm in report.arms}
        if any(found.values()):
            cells[at] = found
    if not cells:
        return None
    best = {at: max(row.value.value for row in found.values() if row) for at, found in cells.items()}
    lines = [
        TableLine(arm_title(arm), [_cell(cells[at][arm], best[at]) for at in cells], _role(report, arm))
        for arm in report.arms
    ]
    return FigureTable(caption, ["Arm", *[columns[at][0] for at in cells]], lines)


def _ablation(report: RetrievalReport) -> Section:
    tables = []
    for task, title in _TASKS:
        columns: list[_Column] = [(f"{title.split(',')[0]} {_title(metric)}", task, ALL, metric) for metric in METRICS]
        table = _arm_table(report, title, columns)
        if table is not None:
            tables.append(table)
    row = report.row(arm_key(report.arms[0]), "image_to_image", ALL, HEADLINE)
    alone = (
        f"{row.queries:,} items have another item of their family held out; only they ask by image."
        if row is not None
        else "Too few held-out items share a family, so image to image was not measured."
    )
    return Section(
        "The ablation",
        "Each arm reads its own text (raw or clarified) and its own picture (photo or crop), in training and here. "
        f"Only the item itself is right, even if another has the same text. {alone} The best figure is bold; the "
        "small figures are 95 % intervals.",
        tables=tables,
    )


def _phrases(report: RetrievalReport) -> Section:
    title = "The same questions for every arm"
    columns: list[_Column] = [
        (f"Phrase to image {_title(metric)}", "phrase_to_image", ALL, metric) for metric in METRICS[1:]
    ]
    table = _arm_table(report, title, columns)
    if table is None:
        return Section(
            title,
            "The catalog's fields give too few phrases (colour, pattern, type, gender), so this was not measured.",
        )
    examples = ", ".join(f"“{phrase}”" for phrase in report.phrase_examples)
    return Section(
        title,
        f"{report.phrases:,} phrases made of raw catalog fields of held-out items, such as {examples}. Right are all "
        f"held-out items with these values ({report.phrases_right:.1f} on average); items that lack one of the fields "
        "are left out of that phrase's ranking. Clarified text cannot win here by changing the question: it counts "
        "only through what the model learned from it, so without fine-tuning it changes nothing. A random order "
        f"reaches {_title(HEADLINE)} {number(report.chance['phrase_to_image'])}.",
        tables=[table],
    )


def _effect_cell(effect: Effect | None, worth: float) -> Cell:
    if effect is None:
        return Cell("–")
    gap = effect.difference
    kind = _KINDS[judge(effect, worth)]
    return Cell(signed(gap.value), f"{signed(gap.low)} to {signed(gap.high)}", kind)


def _effects(report: RetrievalReport) -> Section:
    lines = []
    for technique in TECHNIQUES:
        for setting, words in _SETTINGS.items():
            own = [report.effect(technique, setting, "text_to_image", ALL, metric) for metric in EFFECT_METRICS]
            asked = report.effect(technique, setting, "phrase_to_image", ALL, PHRASE_HEADLINE)
            if not any(own):
                continue
            said = _JUDGEMENTS[judge(own[0], report.worth)] if own[0] else "–"
            cells = [*(_effect_cell(effect, report.worth) for effect in (*own, asked)), Cell(said)]
            lines.append(TableLine(f"{TECHNIQUE_TITLES[technique]}, {words}", cells))
    if not lines:
        return Section("What each technique adds", "There are no two arms that differ in one technique only.")
    heads = ["Technique", *[f"Own text {_title(metric)}" for metric in EFFECT_METRICS]]
    heads += [f"Same phrases {_title(PHRASE_HEADLINE)}", "By its own text"]
    return Section(
        "What each technique adds",
        "Differences over the same queries, with paired intervals. Green: above zero, and a gain worth having is "
        f"possible; red: below zero; ochre: cannot be told, or less than {number(report.worth, 2)}.",
        tables=[FigureTable("What each technique adds", heads, lines)],
        terms=[
            ("Pays", "The interval of the difference lies above zero."),
            ("Harms", "The interval lies below zero."),
            (
                "Does not pay",
                f"The interval ends below {number(report.worth, 2)}, the least gain worth having, and there are at "
                f"least {math.ceil(3 / report.worth):,} families to say so.",
            ),
            (
                "Cannot tell yet",
                "Neither. The standard error shrinks with the square root of the number of queries; stated is the "
                "number at which the difference seen is 2.80 standard errors (95 % confidence, 80 % power) away from "
                "zero or, if it is smaller than the least gain worth having, from that gain.",
            ),
        ],
        points=[
            "Clarified text pays only if it also answers the same phrases better: its own text is another question."
        ],
    )


def _slices(report: RetrievalReport) -> Section | None:
    names = [name for name in report.slices if name != ALL]
    if not names:
        return None
    columns: list[_Column] = [
        (f"{SLICE_TITLES[name]} {_title(HEADLINE)}", "text_to_image", name, HEADLINE) for name in names
    ]
    table = _arm_table(report, f"Text to image {_title(HEADLINE)} by photo", columns)
    lines = []
    for technique in TECHNIQUES:
        for setting, words in _SETTINGS.items():
            effects = [report.effect(technique, setting, "text_to_image", name) for name in names]
            if any(effects):
                cells = [_apart(effect, report.worth) for effect in effects]
                lines.append(TableLine(f"{TECHNIQUE_TITLES[technique]}, {words}", cells))
    gaps = FigureTable("Differences by photo", ["Technique", *[SLICE_TITLES[name] for name in names]], lines)
    sizes = []
    for name in names:
        row = report.row(arm_key(report.arms[0]), "text_to_image", name, HEADLINE)
        sizes.append(f"{SLICE_TITLES[name].lower()} {row.queries:,}" if row else "")
    return Section(
        "By photo",
        "The same rankings among all held-out items, looked at by the photo that was to be found. Queries: "
        f"{', '.join(sizes)}. An asterisk: the intervals of the two arms themselves do not overlap, which asks for "
        "more than a difference above zero.",
        tables=[table, *([gaps] if lines else [])] if table is not None else (),
    )


def _apart(effect: Effect | None, worth: float) -> Cell:
    cell = _effect_cell(effect, worth)
    return Cell(f"{cell.text}{' *' if effect and effect.apart else ''}", cell.small, cell.kind)


def _attributes(report: RetrievalReport) -> Section:
    title = "Attributes read off the photo"
    fields = list(dict.fromkeys(row.field for row in report.attributes))
    if not fields:
        return Section(title, "No field of the catalog has two values with enough held-out items each.")
    keys = {arm_key(arm): arm_title(arm) for arm in report.arms} | {COMMONEST: "Always the commonest value"}
    found = {(row.arm, row.field): row for row in report.attributes}
    tables = []
    for name, caption in (("accuracy", "Accuracy"), ("macro_f1", "Macro-F1")):
        best = {f: max(getattr(row, name).value for row in report.attributes if row.field == f) for f in fields}
        lines = []
        for key in [key for key in keys if any((key, f) in found for f in fields)]:
            values = {f: getattr(found[key, f], name) for f in fields if (key, f) in found}
            cells = [
                _value(values[f], "best" if values[f].value == best[f] else "") if f in values else Cell("–")
                for f in fields
            ]
            served = report.served is not None and key == arm_key(report.served)
            lines.append(TableLine(keys[key], cells, "model" if served else "oracle" if key == COMMONEST else ""))
        heads = ["Arm", *[f"{_FIELD_TITLES.get(f, f)} {caption[0].lower()}{caption[1:]}" for f in fields]]
        tables.append(FigureTable(caption, heads, lines))
    terms = []
    for f in fields:
        row = next(row for row in report.attributes if row.field == f)
        more = len(row.classes) - _CLASSES_NAMED
        named = ", ".join(row.classes[:_CLASSES_NAMED]) + (f" and {more} more" if more > 0 else "")
        terms.append((_FIELD_TITLES.get(f, f), f"{len(row.classes)} values on {row.items:,} items: {named}."))
    return Section(
        title,
        "No classifier is trained: each value is named in several sentences, and the value whose sentences lie nearest "
        "to the image wins. The truth is the catalog's own field, with its errors. What does not beat the commonest "
        "value has read nothing.",
        tables=tables,
        terms=terms,
    )


def _examples(report: RetrievalReport, strips: Sequence[Sequence[Shown]]) -> Section | None:
    if not strips:
        return None
    pictures = [
        Picture(
            f"“{_clipped(example.text, _TITLE_CHARS)}”",
            strip(shown),
            _alt(example),
            f"Found at rank {example.rank}." if example.found else f"Missed: the right one is at rank {example.rank}.",
            "good" if example.found else "bad",
        )
        for example, shown in zip(report.examples, strips, strict=True)
    ]
    return Section(
        "Worked examples",
        "The served model's first five for an item's own text; the right one is framed. These are the first by a fixed "
        "hash of the item's id among those found within five, and the first among those missed: not the best, not the "
        "worst.",
        pictures=pictures,
    )


def _alt(example: Example) -> str:
    text, where = _clipped(example.text, _ALT_CHARS), "is among them" if example.found else "is not among them"
    return f"The five best images for “{text}” The right one {where}; its rank is {example.rank}."


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _ceilings(report: RetrievalReport) -> list[str]:
    named: Mapping[bool, str] = {False: "raw", True: "clarified"}
    return [
        f"Equal texts are one question: with {named[clarified]} text, no model could exceed {number(best)} "
        f"{_title(HEADLINE)} of text to image here."
        for clarified, best in sorted(report.ceilings.items())
    ]


def _protocol(report: RetrievalReport) -> list[str]:
    points = [
        f"Held out are {report.items:,} of the {report.catalog:,} items with a crop and a description, whole families "
        f"({report.families:,}) by a stable hash: colour variants of a learned design are not among them. Another part "
        "chose the epoch of every model.",
        "Every query ranks all held-out items. Equal scores are ordered at random, in expectation; among several right "
        "answers the wrong ones go first.",
        f"Intervals are 95 % bootstrap intervals from {report.draws:,} resamples of whole families (of phrases, where "
        "phrases ask), with percentiles moved out for small numbers. Differences are paired: both arms on the same "
        "resample.",
        f"Verdicts rest on {_title(HEADLINE)} of text to image, without the technique in the arm with everything.",
    ]
    if report.original_is_random:
        points.append(
            "The original arms have random weights, because the model is trained from scratch: grounding and clarified "
            "text are therefore judged among the fine-tuned arms only."
        )
    if not any(arm.tuned for arm in report.arms):
        points.append("The model is not fine-tuned, so there are no fine-tuned arms.")
    elif not any(arm.tuned and arm != FULL for arm in report.arms):
        points.append("No other fine-tuned arm was trained (setting clip.ablations).")
    return points


def _metric_terms() -> list[tuple[str, str]]:
    return [
        ("HITS@K", "The share of queries with a right answer among the first K; with one right answer also Recall@K."),
        ("MRR", "One over the rank of the first right answer, over the whole ranking."),
        ("NDCG@10", "Rewards right answers near the top of the first ten; 1 is a perfect order."),
        ("Macro-F1", "The F1 of each value, averaged over values: rare ones count as much as common ones."),
    ]
