"""The report on explanations as a page: whether they are true, whether they name what decided, and how they read.

Belongs here: the wording and order of this one report. Does not belong here: figures (`report.py`), markup
(`render.py` and its templates).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.explanations.counterfactual import LEAST_RATIO
from fashionrec_assets.evaluation.explanations.history import series
from fashionrec_assets.evaluation.explanations.judges import CRITERIA
from fashionrec_assets.evaluation.explanations.report import ALL, ExplanationReport, Figure
from fashionrec_assets.evaluation.explanations.rows import Explained
from fashionrec_assets.evaluation.plots import Bar, Line, difference_plot, line_plot
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Page, Section, TableLine
from fashionrec_assets.evaluation.words import Tone, Verdict, listed, number, signed
from fashionrec_assets.recommendations.explanations.facts import Fact

TITLE = "Explanations"
_FOOTER = "Made by fashionrec. This page is self-contained: it can be mailed, archived or attached to a ticket."
_SURFACES: Mapping[str, str] = {
    ALL: "All together",
    "homepage": "Homepage",
    "outfit": "Outfits",
    "style": "Style discovery",
    "assistant": "Assistant",
}
_TRUTH: Mapping[str, str] = {
    "claim_precision": "Claims that hold",
    "texts_covered": "Texts wholly covered by facts",
    "claim_precision_before": "Claims that held before the check",
    "claims": "Claims in a text",
}
_COVERAGE: Mapping[str, str] = {"cites_weightiest": "Cite the weightiest fact", "weight_cited": "Weight that is cited"}
_TEXTS: Mapping[str, str] = {
    "usr": "USR",
    "fmr": "FMR",
    "fcr": "FCR",
    "div": "DIV",
    "reading_ease": "Reading ease",
    "words": "Words",
}
_PLAIN = frozenset({"claims", "reading_ease", "words"})
"""Figures that are no shares: printed with one digit."""
_CHARTED = ("claim_precision_before", "cites_weightiest", "weight_cited", "usr", "fmr", "fcr")


def explanation_page(report: ExplanationReport, shop: str = "") -> Page:
    """The page of a report; `shop` names the source for the reader."""
    total = sum(sum(counts.values()) for counts in report.leads.values())
    return Page(
        title=TITLE,
        kicker=shop or "Recommendations",
        lead=f"{total} of {report.sampled_of} published explanations, checked again claim by claim.",
        verdicts=verdicts(report),
        sections=[
            _truth(report),
            _coverage(report),
            _counterfactual(report),
            _texts(report),
            _judges(report),
            _preferences(report),
            _drift(report),
            _examples(report),
            _definitions(),
        ],
        footer=_FOOTER,
    )


def verdicts(report: ExplanationReport) -> list[Verdict]:
    """What a reader can act on: truth first, then faithfulness, coverage, drift."""
    if not report.figures:
        return [Verdict("note", "There are no explanations yet.")]
    overall = report.surfaces()[0]
    found: list[Verdict] = []
    precision, covered = report.find(overall, "claim_precision"), report.find(overall, "texts_covered")
    if precision is not None and covered is not None:
        good = precision.value == covered.value == 1.0
        text = (
            f"{_percent(precision.value)} of claims and {_percent(covered.value)} of texts say no more than the facts"
        )
        end = "." if good else "; materialize explanations again, and look at the texts below."
        found.append(Verdict("good" if good else "bad", text + end))
    found += _faithful(report)
    coverage = report.find(overall, "cites_weightiest")
    if coverage is not None:
        weight = report.find(overall, "weight_cited")
        rest = "" if weight is None else f"; {_percent(weight.value)} of all weight is cited"
        found.append(Verdict("note", f"{_percent(coverage.value)} cite the weightiest fact there is{rest}."))
    if report.moves:
        named = listed(
            [f"{_named(one.figure)} ({number(one.before)} to {number(one.now)})" for one in report.moves[:4]]
        )
        found.append(Verdict("undecided", f"Moved since the last run under the same settings: {named}."))
    return found


def _faithful(report: ExplanationReport) -> list[Verdict]:
    test = report.faithfulness
    if test is None:
        return [Verdict("note", "Whether cited events carry a recommendation was not asked: no explanation cites any.")]
    tone: Tone = "good" if test.margin.low > 0 else "bad" if test.margin.high < 0 else "undecided"
    meets = {"good": "meets", "bad": "misses", "undecided": "cannot be told to meet"}.get(tone, "")
    random = test.random.value
    others = f"it falls by {_lost(random)}" if random > 0 else f"it rises by {_lost(random)}"
    return [
        Verdict(
            tone,
            f"Without the events an explanation cites, the item's share falls by {_lost(test.cited.value)}; without as "
            f"many random ones {others}. That {meets} the bar of {LEAST_RATIO:g} times.",
        )
    ]


def _truth(report: ExplanationReport) -> Section:
    tables = [_table(report, _TRUTH, "Claims"), _counts(report.leads, "What explanations lead with")]
    if len({writer for counts in report.writers.values() for writer in counts}) > 1:
        tables.append(_counts(report.writers, "Who wrote them"))
    points = [
        f"{_SURFACES.get(one.evidence.surface, one.evidence.surface)}, {one.evidence.item_id}: {one.text} "
        f"Wrong: {'; '.join(wrong)}."
        for one, wrong in report.untrue
    ]
    silent = [f"{_SURFACES.get(name, name)}: {count} claim nothing." for name, count in report.silent.items() if count]
    return Section(
        "Are they true?",
        "Every published claim is held again against the fact it cites, as the fact is now. Before the check: claims "
        "published among all that were written, those refused on the way included.",
        tables=tables,
        points=[*points, *silent],
    )


def _coverage(report: ExplanationReport) -> Section:
    return Section(
        "Do they name what decided?",
        "The weight of a fact is by how much the ranker's score falls without what it tells of. Explanations whose "
        "facts all weigh nothing are left out.",
        tables=[_table(report, _COVERAGE, "Evidence that is cited")],
    )


def _counterfactual(report: ExplanationReport) -> Section:
    test = report.faithfulness
    title = "Had it never happened"
    if test is None:
        return Section(title, points=["Nothing was asked: no explanation of the homepage cites an event of its user."])
    lines = [
        TableLine("Cited events", [_interval(test.cited)], "model"),
        TableLine("As many random events", [_interval(test.random)]),
        TableLine("Ratio", [_times_cell(test.ratio)]),
        TableLine("Ratio of sizes, falls and rises alike", [_times_cell(test.size_ratio)]),
        TableLine(f"Cited less {LEAST_RATIO:g} times random, where that is a fall", [_interval(test.margin)]),
    ]
    bars = [
        Bar("cited events", test.cited.value, test.cited.low, test.cited.high, "model"),
        Bar("random events", test.random.value, test.random.low, test.random.high),
    ]
    return Section(
        title,
        f"{len(test.trials)} recommendations, each ranked again by the full ranker after the events that its "
        f"explanation cites were taken out of the user's log, and {test.draws} times after as many random other items "
        f"were. {test.without_control} more cite over half of what the user turned to and have no control.",
        drawings=[Drawing("Fall of the log share", difference_plot("faithfulness", bars, "fall of the log share"))],
        tables=[FigureTable("Fall of the log of the item's share of the candidates", ["Taken away", "Fall"], lines)],
    )


def _texts(report: ExplanationReport) -> Section:
    return Section("How do they read?", tables=[_table(report, _TEXTS, "Variety, features and readability")])


def _judges(report: ExplanationReport) -> Section:
    title, found = "Two language models as judges", report.judgement
    if found is None:
        return Section(title, points=[report.judges_note or "Not run: feedback.judges names no models."])
    lines = [
        TableLine(
            criterion,
            [
                *(Cell(number(found.means.get(name, {}).get(criterion), 2)) for name in found.judges),
                Cell(number(found.kappa[criterion], 2)),
            ],
        )
        for criterion in CRITERIA
    ]
    points = [f"{found.both} explanations were graded by both; {found.failed} answers were no grades."]
    if found.ended_early:
        points.append(f"Calls ended early: {found.ended_early}.")
    return Section(
        title,
        "Mean grades from 1 to 5. Grades count for as much as the judges agree beyond chance: by kappa, 0 is chance "
        "and 1 is always.",
        tables=[FigureTable("Grades and agreement", ["Criterion", *found.judges, "Kappa"], lines)],
        points=points,
    )


def _preferences(report: ExplanationReport) -> Section:
    lines = [
        TableLine(
            f"{each} answers a user",
            [
                Cell(number(one.correlation.value), f"{number(one.correlation.low)} to {number(one.correlation.high)}"),
                Cell(_percent(one.default.value)),
                Cell(_percent(one.chosen.value), f"{signed(one.gain.low)} to {signed(one.gain.high)}"),
                Cell(_percent(one.oracle.value)),
                Cell(_percent(one.of_possible)),
            ],
        )
        for each, one in report.recoveries.items()
    ]
    heads = ["Answers", "Rank correlation", "Default lead", "Chosen lead", "Best lead there is", "Of what is possible"]
    points = [f"Answers of the shop's own users so far: {report.answers}."]
    found = None if report.strategies is None else report.strategies.of.get("lead")
    if found is not None:
        ranked = sorted(zip(found.options, found.everyone, found.shown, strict=True), key=lambda one: -one[1])
        told = listed([f"{name} ({_percent(share)} of {shown})" for name, share, shown in ranked if shown])
        known = "Leads are known to differ" if found.established else "Leads are not known to differ"
        points.append(f"{known}; expected to be helpful: {told}.")
    if report.strategies is not None and report.strategies.unread:
        points.append(
            f"{report.strategies.unread} answers name no kind of fact as their lead, and teach nothing of it."
        )
    return Section(
        "What answers teach",
        "Simulated: made-up users of four groups who find some leads more helpful than others. The model learns from "
        "their answers to random leads, and then chooses leads of explanations that nobody has answered about.",
        tables=[FigureTable("Simulated users: helpful explanations", heads, lines)] if lines else [],
        points=points,
    )


def _drift(report: ExplanationReport) -> Section:
    found = series(report.history)
    overall = report.surfaces()[0] if report.figures else ALL
    lines = [
        Line(_named(key), list(range(1, len(points) + 1)), [point.value for point in points])
        for key, points in found.items()
        if key.partition(".")[0] == overall and key.partition(".")[2] in _CHARTED and len(points) > 1
    ]
    runs = len({point.at for point in report.history})
    drawings = [Drawing("Figures by run", line_plot("drift", lines, "run", "share"))] if lines else []
    points = [
        f"{_named(one.figure)}: {number(one.before)} in the run before, {number(one.now)} now, "
        f"{_percent(one.beyond)} of the earlier value outside its interval."
        for one in report.moves
    ]
    return Section("Over time", f"{runs} runs so far.", drawings=drawings, points=points or ["No figure moved."])


def _examples(report: ExplanationReport) -> Section:
    lines = [
        TableLine(
            one.text,
            [
                Cell(_SURFACES.get(one.evidence.surface, one.evidence.surface), one.evidence.name),
                Cell("; ".join(f"{fact.kind} {number(fact.weight, 2)}" for fact in one.cited)),
                Cell("; ".join(f"{fact.kind} {number(fact.weight, 2)}" for fact in _left_out(one)) or "–"),
            ],
        )
        for one in report.examples
    ]
    heads = ["Explanation", "Of", "Facts it cites, with weights", "Facts it leaves out"]
    return Section(
        "Worked examples", tables=[FigureTable("Explanations and their facts", heads, lines)] if lines else []
    )


def _left_out(one: Explained) -> list[Fact]:
    cited = set(one.cited)
    return [fact for fact in one.evidence.facts if fact not in cited]


def _definitions() -> Section:
    return Section(
        "What the figures mean",
        terms=[
            ("USR", "unique sentence ratio: different sentences among all; higher is more varied"),
            ("FMR", "feature matching ratio: features of cited facts that the text names"),
            ("FCR", "feature coverage ratio: the catalog's features that some text names"),
            ("DIV", "features that two explanations have in common, mean over pairs; lower is more varied"),
            ("Feature", "a value of an attribute of the catalog, such as a colour or a type"),
            ("Reading ease", "Flesch's, for English: 60 and more is plain, below 30 hard"),
            ("Intervals", "95 %, by bootstrap over readers: explanations of one reader are alike"),
        ],
    )


def _table(report: ExplanationReport, names: Mapping[str, str], caption: str) -> FigureTable:
    lines = [
        TableLine(
            _SURFACES.get(surface, surface),
            [_cell(report.find(surface, name)) for name in names],
            "model" if surface == ALL else "",
        )
        for surface in report.surfaces()
    ]
    return FigureTable(caption, ["Surface", *names.values()], lines)


def _counts(counts: Mapping[str, Mapping[str, int]], caption: str) -> FigureTable:
    heads = list(dict.fromkeys(name for one in counts.values() for name in one))
    lines = [
        TableLine(_SURFACES.get(surface, surface), [Cell(str(found.get(name, 0))) for name in heads])
        for surface, found in counts.items()
    ]
    return FigureTable(caption, ["Surface", *heads], lines)


def _cell(figure: Figure | None) -> Cell:
    if figure is None:
        return Cell("–")

    def show(value: float) -> str:
        digits = 1 if figure.name in _PLAIN else 3
        return number(value, digits) if digits == 1 or figure.name == "div" else _percent(value)

    if figure.low is None or figure.high is None:
        return Cell(show(figure.value))
    return Cell(show(figure.value), f"{show(figure.low)} to {show(figure.high)}")


def _interval(one: Interval) -> Cell:
    return Cell(number(one.value, 3), f"{number(one.low, 3)} to {number(one.high, 3)}")


def _percent(value: float) -> str:
    """A share as it is printed; what is not all or nothing is never rounded to it."""
    text = f"{100 * value:.1f}"
    if text == "100.0" and value < 1:
        text = "99.9"
    return f"{text.removesuffix('.0')} %"


def _lost(drop: float) -> str:
    """A fall of the log of a share (below 0: a rise), as a part of the share."""
    return _percent(abs(1 - math.exp(-drop)))


def _times_cell(one: Interval) -> Cell:
    return Cell(_times(one.value), f"{_times(one.low)} to {_times(one.high)}")


def _times(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.1f}"


def _named(figure: str) -> str:
    """`homepage.usr` as it is called on the page."""
    surface, _, name = figure.partition(".")
    called = {**_TRUTH, **_COVERAGE, **_TEXTS}.get(name, name.replace("_", " "))
    return called if surface == ALL else f"{_SURFACES.get(surface, surface)}: {called}"
