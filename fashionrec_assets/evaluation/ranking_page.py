"""The ranking report as a page: which tables and plots it has, and the words a newcomer needs to read them.

Belongs here: the wording and order of this one report. Does not belong here: figures (`ranking_report.py`), markup
(`render.py` and its templates).
"""

from __future__ import annotations

from fashionrec_assets.catalog.ranking_task import SLICE_MEANING
from fashionrec_assets.evaluation.metrics import PER_USER_METRICS
from fashionrec_assets.evaluation.plots import Bar, Line, interval_plot, line_plot
from fashionrec_assets.evaluation.ranking_figures import Method, RankingReport, Row
from fashionrec_assets.evaluation.ranking_sections import (
    METRIC_TITLES,
    behaviour_section,
    bucket_sections,
    modality_section,
    role,
    seed_section,
)
from fashionrec_assets.evaluation.ranking_words import metric_terms, moment, protocol_points, slice_size
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Page, Section, TableLine
from fashionrec_assets.evaluation.slices import SLICE_TITLES
from fashionrec_assets.evaluation.words import listed, number, signed

_CURVES_SHOWN = 8


def _plot_role(method: Method, report: RankingReport) -> str:
    return role(method, report) or "baseline"


def _ranked(report: RankingReport, slice_name: str = "overall") -> list[Method]:
    """Methods, best NDCG first, the oracle at the top because it is no competitor."""

    def order(method: Method) -> tuple[bool, float, str]:
        row = report.row(method.name, slice_name, "ndcg", report.headline_k)
        return (not method.is_oracle, -(row.value if row else 0.0), method.name)

    return sorted(report.methods, key=order)


def _cell(report: RankingReport, row: Row | None) -> Cell:
    if row is None:
        return Cell("–")
    rivals = [method.name for method in report.methods if not method.is_oracle]
    others = [report.row(name, row.slice, row.metric, row.k) for name in rivals]
    top = max((other.value for other in others if other is not None), default=0.0)
    digits = 2 if row.metric == "novelty" else 4
    small = f"{number(row.low, digits)}–{number(row.high, digits)}" if row.low is not None else ""
    # What is novel or covers much is not thereby good: random does best at both.
    competes = row.metric in ("recall", "ndcg", "precision", "mrr") and row.method in rivals
    kind = "best" if competes and row.value == top > 0 else ""
    text = f"{row.value:.1%}" if row.metric == "coverage" else number(row.value, digits)
    return Cell(text, small, kind)


def _overall_table(report: RankingReport, k: int) -> FigureTable:
    heads = ["Method", *[f"{METRIC_TITLES[metric]}@{k}" for metric in PER_USER_METRICS]]
    lines = [
        TableLine(
            method.title,
            [_cell(report, report.row(method.name, "overall", metric, k)) for metric in PER_USER_METRICS],
            role(method, report),
        )
        for method in _ranked(report)
    ]
    return FigureTable(f"Accuracy at {k}", heads, lines)


def _lists_table(report: RankingReport) -> FigureTable:
    """What the lists are like as lists, and what a method costs."""
    k, measured = report.headline_k, {row.metric for row in report.rows}
    metrics = [metric for metric in METRIC_TITLES if metric in measured and metric not in PER_USER_METRICS]
    lines: list[TableLine] = []
    for method in _ranked(report):
        cells = [_cell(report, report.row(method.name, "overall", metric, k)) for metric in metrics]
        grown = "–" if method.fit_growth is None else f"{method.fit_growth / 2**20:,.0f} MiB"
        cells += [Cell(f"{method.fit_seconds:.1f} s"), Cell(grown), Cell(f"{method.score_seconds:.1f} s")]
        lines.append(TableLine(method.title, cells, role(method, report)))
    heads = ["Method", *[f"{METRIC_TITLES[metric]}@{k}" for metric in metrics], "Fit", "Growth", "Rank all"]
    return FigureTable("Lists and costs", heads, lines)


def _slice_table(report: RankingReport) -> FigureTable:
    k = report.headline_k
    columns = [(name, metric) for name in report.slices if name != "overall" for metric in ("recall", "ndcg")]
    heads = ["Method", *[f"{SLICE_TITLES[name]} {METRIC_TITLES[metric]}@{k}" for name, metric in columns]]
    lines = [
        TableLine(
            method.title,
            [_cell(report, report.row(method.name, name, metric, k)) for name, metric in columns],
            role(method, report),
        )
        for method in _ranked(report)
    ]
    return FigureTable("Figures by slice", heads, lines)


def _comparison_table(report: RankingReport, model: str) -> FigureTable:
    k = report.headline_k
    kinds = {"better": "better", "worse": "worse", "undecided": "unclear"}
    pairs = {(c.second, c.slice, c.metric): c for c in report.comparisons if c.first == model}
    columns = [(name, "ndcg") for name in report.slices]
    if "overall" in report.slices:
        columns.insert(1, ("overall", "recall"))
    lines = []
    for method in _ranked(report):
        cells = []
        for slice_name, metric in columns:
            pair = pairs.get((method.name, slice_name, metric))
            if pair is None:
                cells.append(Cell("–"))
                continue
            interval = f"{signed(pair.difference.low)} to {signed(pair.difference.high)}"
            cells.append(Cell(signed(pair.difference.value), interval, kinds[pair.outcome]))
        if method.name != model:
            lines.append(TableLine(method.title, cells, role(method, report)))
    heads = ["Against", *[f"{SLICE_TITLES[name]} {METRIC_TITLES[metric]}@{k}" for name, metric in columns]]
    title = next(method.title for method in report.methods if method.name == model)
    return FigureTable(f"Differences to {title}", heads, lines)


def _bars(report: RankingReport, slice_name: str, metric: str) -> list[Bar]:
    bars = []
    for method in report.methods:
        row = report.row(method.name, slice_name, metric, report.headline_k)
        if row is not None:
            bars.append(Bar(method.title, row.value, row.low, row.high, _plot_role(method, report)))
    return bars


def _drawings(report: RankingReport) -> list[Drawing]:
    k = report.headline_k
    drawings = [
        Drawing(
            f"{METRIC_TITLES[metric]}@{k} by method",
            interval_plot(f"overall-{metric}", _bars(report, "overall", metric), f"{METRIC_TITLES[metric]}@{k}"),
            "People with a history; whiskers are 95 % bootstrap intervals over people.",
        )
        for metric in ("ndcg", "recall")
        if "overall" in report.slices
    ]
    shown = [method for method in _ranked(report) if method.name in report.recall_curves][:_CURVES_SHOWN]
    if shown:
        lines = [
            Line(method.title, report.curve_ks, report.recall_curves[method.name], _plot_role(method, report))
            for method in shown
        ]
        drawings.append(
            Drawing(
                "Recall by length of the list",
                line_plot("curve", lines, "length of the list, K", "Recall@K", log_x=True),
                "How much of what people went on to choose is found as the list grows.",
            )
        )
    if "cold" in report.slices:
        drawings.append(
            Drawing(
                f"Recall@{k} on cold items",
                interval_plot("cold-recall", _bars(report, "cold", "recall"), f"Recall@{k}, cold items"),
                "Items nobody had touched before the cut, ranked among all others.",
            )
        )
    return drawings


def _blend_table(report: RankingReport) -> FigureTable:
    best = sorted(report.blend_trials, key=lambda trial: -trial.ndcg)[:10]
    lines = [
        TableLine(
            f"{position}",
            [
                *[Cell(f"{weight:g}") for weight in trial.weights],
                Cell(number(trial.ndcg), "", "best" if position == 1 else ""),
            ],
        )
        for position, trial in enumerate(best, start=1)
    ]
    heads = ["Place", "Item-kNN", "TF-IDF content", "Recent popularity", f"Validation NDCG@{report.headline_k}"]
    return FigureTable("The best weights of the blend", heads, lines)


def ranking_page(report: RankingReport, shop: str = "") -> Page:
    """The page of a report; `shop` names the source for the reader."""
    facts, k = report.setting, report.headline_k
    titles = {method.name: method.title for method in report.methods}
    sections = [
        Section(
            "At a glance",
            f"Each bar is the mean over people. Highlighted: {listed([titles[name] for name in report.models])}."
            if report.models
            else "",
            drawings=_drawings(report),
        ),
        Section(
            "All methods",
            "People with a history. The best method is bold; the small figures are intervals.",
            tables=[_overall_table(report, size) for size in sorted(report.ks, reverse=True)],
        ),
        Section(
            "Lists and costs",
            "What the lists are like as lists, whether or not they are right, and what it takes to make them. More of "
            "something is not better in itself: a random order covers all and surprises most.",
            tables=[_lists_table(report)],
        ),
    ]
    if len(report.slices) > 1:
        sections.append(
            Section(
                "Slices",
                "The same rankings, looked at by what was to be found and for whom.",
                tables=[_slice_table(report)],
                terms=[
                    (f"{SLICE_TITLES[name]} ({slice_size(report, name)})", meaning + ".")
                    for name, meaning in SLICE_MEANING.items()
                    if name in report.slices
                ],
            )
        )
    sections += bucket_sections(report)
    sections += [
        Section(
            f"{titles[model]} against each method",
            "How much better the model is, person by person. Green: better; red: worse; ochre: the interval "
            "contains zero, so these people cannot tell.",
            tables=[_comparison_table(report, model)],
        )
        for model in report.models
        if report.comparisons
    ]
    if report.seeds:
        sections.append(seed_section(report))
    if report.behaviours:
        sections.append(behaviour_section(report))
    if report.modality_weights is not None:
        sections.append(modality_section(report))
    if report.learning_curves:
        drawings = [
            Drawing(
                f"{curve.title}, {label}",
                line_plot(f"learning-{i}-{j}", [Line(label, curve.x, values, "model")], curve.x_label, label),
            )
            for i, curve in enumerate(report.learning_curves)
            for j, (label, values) in enumerate(curve.series.items())
        ]
        sections.append(Section("Training", drawings=drawings))
    if report.blend_trials:
        sections.append(
            Section(
                "How the blend was tuned",
                f"{len(report.blend_trials)} combinations were scored on the validation days; these are the best.",
                tables=[_blend_table(report)],
            )
        )
    sections += [
        Section(
            "The methods",
            terms=[(method.title, method.description or "No description given.") for method in _ranked(report)],
        ),
        Section("The metrics", terms=metric_terms(k)),
        Section("The protocol", points=[*protocol_points(report), *report.notes]),
    ]
    count = len([method for method in report.methods if not method.is_oracle])
    return Page(
        title="Ranking report",
        kicker=shop or "Recommendations",
        lead=(
            f"{count} methods rank {facts.pool:,} items for {facts.evaluated_users:,} people with a history and "
            f"{facts.evaluated_cold_users:,} without, from {moment(facts.start)} up to {moment(facts.end)}. "
            "Who foretold best what they went on to choose?"
        ),
        verdicts=report.verdicts,
        sections=sections,
        footer="Made by fashionrec. This page is self-contained: it can be mailed, archived or attached to a ticket.",
    )
