"""The ablation report as a page: what each technique of the two-tower model adds, and what it costs.

Belongs here: the wording and order of this one report. Does not belong here: figures (`ablations.py`), markup
(`render.py` and its templates).
"""

from __future__ import annotations

from datetime import UTC, datetime

from fashionrec_assets.evaluation.ablation_grid import AXIS_TITLES, Axis
from fashionrec_assets.evaluation.ablations import FIGURES, Ablation, AblationReport, Figure, effect_of
from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.plots import Bar, difference_plot, interval_plot
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Page, Section, TableLine
from fashionrec_assets.evaluation.words import Tone, Verdict, listed, number, paired, signed

_TITLES = {"ndcg": "NDCG", "recall": "Recall", "cold_recall": "Cold-item Recall"}
_KINDS = {"pays": "better", "harms": "worse", "cannot_tell": "unclear", "reference": ""}
_WORDS = {"pays": "pays", "harms": "harms", "cannot_tell": "cannot tell", "reference": "reference"}


def ablation_page(report: AblationReport, shop: str = "") -> Page:
    """The page of a report; `shop` names the source for the reader."""
    axes: list[Axis] = [axis for axis in AXIS_TITLES if any(a.variant.axis == axis for a in report.ablations)]
    sections = [
        Section(
            "What each technique adds",
            f"NDCG@{report.k} with the technique less NDCG@{report.k} without it, person by person, with 95 % paired "
            "bootstrap intervals. Right of zero the technique helps.",
            drawings=[_effects(report, "ndcg"), _effects(report, "cold_recall")],
        ),
        *[_axis_section(report, axis) for axis in axes],
        Section("What a model costs", tables=[_costs(report)], drawings=[_seconds(report)]),
        Section("The protocol", points=[*_points(report), *report.notes]),
    ]
    return Page(
        title="Ablations of the two-tower model",
        kicker=shop or "Recommendations",
        lead=(
            f"{len(report.ablations)} reduced models, each trained for {_epochs(report.epochs)} on {report.events:,} "
            f"events of {report.trained_on:,} people, rank for {report.users:,} people. What does each technique add?"
        ),
        verdicts=ablation_verdicts(report),
        sections=sections,
        footer="Made by fashionrec. This page is self-contained: it can be mailed, archived or attached to a ticket.",
    )


def off_page() -> Page:
    """The page where the setting switches ablations off."""
    text = "Ablations are switched off: set evaluation.ablations to default or full to train them."
    return Page("Ablations of the two-tower model", "Recommendations", "", [Verdict("note", text)], [], "")


def ablation_verdicts(report: AblationReport) -> list[Verdict]:
    """What pays, what harms, and what these people cannot tell; each with its gain in NDCG."""
    said: list[Verdict] = []
    tones: tuple[tuple[str, Tone, str], ...] = (
        ("harms", "bad", "Does harm in these reduced models"),
        ("pays", "good", "Pays in these reduced models"),
        ("cannot_tell", "undecided", "Cannot be told from chance"),
    )
    for judgement, tone, words in tones:
        chosen = [a for a in report.ablations if a.judgement == judgement and a.variant.axis != "combination"]
        effects = [(a, effect_of(a.variant, gap)) for a in chosen if (gap := a.differences["ndcg"]) is not None]
        if effects:
            effects.sort(key=lambda pair: -abs(pair[1].value))
            parts = [f"{a.variant.technique} ({signed(effect.value)})" for a, effect in effects]
            said.append(Verdict(tone, f"{words}, by NDCG@{report.k}: {listed(parts)}."))
    best = max(report.ablations[1:], key=_gain, default=None)
    gap = None if best is None else best.differences["ndcg"]
    if best is not None and gap is not None and gap.low > 0:
        text = (
            f"The best variant of the grid is “{best.variant.title}”: {paired(gap)} in NDCG@{report.k} against the "
            "settings in force. These figures come from the test window: before you change a setting, confirm it on "
            "the validation window."
        )
        said.append(Verdict("note", text))
    return said


def _gain(ablation: Ablation) -> float:
    gap = ablation.differences["ndcg"]
    return float("-inf") if gap is None else gap.value


def _effects(report: AblationReport, figure: Figure) -> Drawing:
    label = f"{_TITLES[figure]}@{report.k}"
    plot = difference_plot(f"effects-{figure}", _effect_bars(report, figure), f"gain in {label}")
    return Drawing(f"Gain of each technique in {label}", plot, "Highlighted: intervals above zero.")


def _effect_bars(report: AblationReport, figure: Figure) -> list[Bar]:
    bars: list[Bar] = []
    for ablation in report.ablations:
        gap = ablation.differences[figure]
        if gap is not None and ablation.variant.axis != "combination":
            effect = effect_of(ablation.variant, gap)
            role = "model" if effect.low > 0 else "baseline"
            bars.append(Bar(ablation.variant.technique, effect.value, effect.low, effect.high, role))
    return bars


def effects_picture(report: AblationReport) -> bytes:
    """The same plot as a PNG, for the asset's metadata."""
    from fashionrec_assets.evaluation.plots import difference_picture

    return difference_picture(_effect_bars(report, "ndcg"), f"gain in NDCG@{report.k}")


def _axis_section(report: AblationReport, axis: Axis) -> Section:
    chosen = [report.reference, *[a for a in report.ablations if a.variant.axis == axis]]
    heads = ["Model", *[f"{_TITLES[name]}@{report.k}" for name in FIGURES]]
    heads += [f"Difference in {_TITLES[name]}" for name in FIGURES]
    heads.append("Judgement")
    lines = []
    for one in chosen:
        cells = [_figure(one.figures[name]) for name in FIGURES]
        cells += [_difference(one.differences[name]) for name in FIGURES]
        cells.append(Cell(_WORDS[one.judgement], one.variant.technique, _KINDS[one.judgement]))
        lines.append(TableLine(one.variant.title, cells, "model" if one is report.reference else ""))
    drawings: list[Drawing] = []
    for name in ("ndcg", "cold_recall"):
        bars = [
            Bar(one.variant.title, figure.value, figure.low, figure.high, "model" if one is report.reference else "")
            for one in chosen
            if (figure := one.figures[name]) is not None
        ]
        label = f"{_TITLES[name]}@{report.k}"
        if bars:
            drawings.append(Drawing(f"{label} by variant", interval_plot(f"{axis}-{name}", bars, label)))
    return Section(
        AXIS_TITLES[axis],
        "Differences are the variant's less the reference's; the judgement is about the technique that the two differ "
        "in, and rests on NDCG.",
        drawings=drawings,
        tables=[FigureTable(AXIS_TITLES[axis], heads, lines)],
    )


def _figure(figure: Interval | None) -> Cell:
    return Cell("–") if figure is None else Cell(number(figure.value), f"{number(figure.low)}–{number(figure.high)}")


def _difference(gap: Interval | None) -> Cell:
    if gap is None:
        return Cell("–")
    kind = "better" if gap.low > 0 else "worse" if gap.high < 0 else "unclear"
    return Cell(signed(gap.value), f"{signed(gap.low)} to {signed(gap.high)}", kind)


def _costs(report: AblationReport) -> FigureTable:
    several = any(one.deviation is not None for one in report.ablations)
    heads = ["Model", "Training", "Memory grew by", *(["NDCG's deviation over seeds"] if several else [])]
    lines = [
        TableLine(
            one.variant.title,
            [
                Cell(f"{one.seconds:.1f} s"),
                Cell(f"{one.growth / 2**20:,.0f} MiB"),
                *([Cell("–" if one.deviation is None else number(one.deviation))] if several else []),
            ],
            "model" if one is report.reference else "",
        )
        for one in report.ablations
    ]
    return FigureTable("Seconds and memory of one training", heads, lines)


def _seconds(report: AblationReport) -> Drawing:
    bars = [
        Bar(one.variant.title, one.seconds, role="model" if one is report.reference else "baseline")
        for one in report.ablations
        if one.variant.axis != "combination"
    ]
    return Drawing("Training time", interval_plot("seconds", bars, "seconds", digits=1))


def _points(report: AblationReport) -> list[str]:
    runs = report.reference.runs
    points = [
        f"Every model is trained on the same events of {report.trained_on:,} people before {_day(report.start)}, for "
        f"{_epochs(report.epochs)}, and ranks the whole pool for {report.users:,} people with a history, from all of "
        f"their events, up to {_day(report.end)}.",
        "The models are reduced: they say which choice is better, not how good the full model is; its figures are in "
        "the ranking report. What needs many events to be learned, such as an embedding of each item's ID, is worth "
        "more to the full model than it seems here.",
        "Nothing is chosen from these figures; choices are made on the validation window.",
        f"Of the people evaluated, {report.cold_users:,} chose an item that nobody had touched before.",
        "A technique pays if the 95 % interval of its gain in NDCG lies above zero, harms if below, else these people "
        "cannot tell. With many comparisons one in forty goes wrong on either side by chance alone.",
        "Memory is the growth of the process's resident set at its peak during training: what an earlier model left "
        "free is used again, so the first model seems to need the most.",
    ]
    if runs > 1:
        points.append(f"Each model is trained {runs} times with other seeds; figures are means over them.")
    return points


def _epochs(count: int) -> str:
    return "one epoch" if count == 1 else f"{count} epochs"


def _day(second: int) -> str:
    at = datetime.fromtimestamp(second, UTC)
    return f"{at.day} {at:%B %Y}"
