"""The ranking report as a page: which tables and plots it has, and the words a newcomer needs to read them.

Belongs here: the wording and order of this one report. Does not belong here: figures (`ranking_report.py`), markup
(`render.py` and its templates).
"""

from __future__ import annotations

from datetime import UTC, datetime

from fashionrec_assets.evaluation.plots import Bar, Line, interval_plot, line_plot
from fashionrec_assets.evaluation.protocol import SLICE_MEANING
from fashionrec_assets.evaluation.ranking_report import Method, RankingReport, Row, number, signed
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Page, Section, TableLine

_METRIC_TITLES = {
    "recall": "Recall",
    "ndcg": "NDCG",
    "precision": "Precision",
    "mrr": "MRR",
    "coverage": "Coverage",
    "novelty": "Novelty",
}
_SLICE_TITLES = {
    "overall": "Overall",
    "warm": "Warm items",
    "cold": "Cold items",
    "cold_users": "Cold users",
    "buy": "Purchases",
}
_BEHAVIOUR_TITLES = {"pv": "views", "fav": "favourites", "cart": "carts", "buy": "purchases"}
_CURVES_SHOWN = 8
_FEW = 30


def _moment(seconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return f"second {seconds}"
    return f"{moment:%d %B %Y}" if seconds % 86_400 == 0 else f"{moment:%d %B %Y %H:%M} UTC"


def _role(method: Method, model: str | None) -> str:
    return "oracle" if method.is_oracle else "model" if method.name == model else ""


def _plot_role(method: Method, model: str | None) -> str:
    return _role(method, model) or "baseline"


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
    metrics = tuple(_METRIC_TITLES)
    heads = ["Method", *[f"{_METRIC_TITLES[metric]}@{k}" for metric in metrics]]
    if k == report.headline_k:
        heads += ["Fit", "Rank all"]
    lines = []
    for method in _ranked(report):
        cells = [_cell(report, report.row(method.name, "overall", metric, k)) for metric in metrics]
        if k == report.headline_k:
            cells += [Cell(f"{method.fit_seconds:.1f} s"), Cell(f"{method.score_seconds:.1f} s")]
        lines.append(TableLine(method.title, cells, _role(method, report.model)))
    return FigureTable(f"All figures at {k}", heads, lines)


def _slice_table(report: RankingReport) -> FigureTable:
    k = report.headline_k
    columns = [(name, metric) for name in report.slices if name != "overall" for metric in ("recall", "ndcg")]
    heads = ["Method", *[f"{_SLICE_TITLES[name]} {_METRIC_TITLES[metric]}@{k}" for name, metric in columns]]
    lines = [
        TableLine(
            method.title,
            [_cell(report, report.row(method.name, name, metric, k)) for name, metric in columns],
            _role(method, report.model),
        )
        for method in _ranked(report)
    ]
    return FigureTable("Figures by slice", heads, lines)


def _comparison_table(report: RankingReport) -> FigureTable:
    k = report.headline_k
    kinds = {"better": "better", "worse": "worse", "undecided": "unclear"}
    pairs = {(c.second, c.slice, c.metric): c for c in report.comparisons}
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
        if method.name != report.model:
            lines.append(TableLine(method.title, cells, _role(method, report.model)))
    heads = ["Against", *[f"{_SLICE_TITLES[name]} {_METRIC_TITLES[metric]}@{k}" for name, metric in columns]]
    return FigureTable("Differences to the model", heads, lines)


def _bars(report: RankingReport, slice_name: str, metric: str) -> list[Bar]:
    bars = []
    for method in report.methods:
        row = report.row(method.name, slice_name, metric, report.headline_k)
        if row is not None:
            bars.append(Bar(method.title, row.value, row.low, row.high, _plot_role(method, report.model)))
    return bars


def _drawings(report: RankingReport) -> list[Drawing]:
    k = report.headline_k
    drawings = [
        Drawing(
            f"{_METRIC_TITLES[metric]}@{k} by method",
            interval_plot(f"overall-{metric}", _bars(report, "overall", metric), f"{_METRIC_TITLES[metric]}@{k}"),
            "People with a history; whiskers are 95 % bootstrap intervals over people.",
        )
        for metric in ("ndcg", "recall")
        if "overall" in report.slices
    ]
    shown = [method for method in _ranked(report) if method.name in report.recall_curves][:_CURVES_SHOWN]
    if shown:
        lines = [
            Line(method.title, report.curve_ks, report.recall_curves[method.name], _plot_role(method, report.model))
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


def _protocol_points(report: RankingReport) -> list[str]:
    facts = report.setting
    words = [_BEHAVIOUR_TITLES[behaviour] for behaviour in facts.behaviours]
    behaviours = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
    sampled = facts.evaluated_users + facts.evaluated_cold_users
    points = [
        f"Methods see every event before {_moment(facts.start)}: {facts.history_events:,} events of "
        f"{facts.history_users:,} people. Nothing later reaches them.",
        f"Targets are {behaviours} from {_moment(facts.start)} up to, not including, {_moment(facts.end)}, on items "
        "new to the person.",
        f"Evaluated are {facts.evaluated_users:,} people with a history, who have {facts.targets:,} targets "
        f"({_percent(facts.cold_targets, facts.targets)} of them cold), and {facts.evaluated_cold_users:,} without.",
        f"Each method ranks the whole pool of {facts.pool:,} items launched by the end of the window "
        f"({facts.cold_pool:,} of them cold); no sampled candidates. What a person already had is never recommended.",
        "Choices, such as the blend's weights, are made on the validation days before, with methods that have not "
        "seen those days; the figures here come from the days after.",
        f"Intervals are 95 % percentile bootstrap intervals from {facts.bootstrap:,} resamples of the people. "
        "Comparisons are paired: both methods on the same resample.",
    ]
    if sampled < facts.eligible_users:
        points.append(f"These are a random sample: {facts.eligible_users:,} people were eligible.")
    small = [_SLICE_TITLES[name].lower() for name in report.slices if _people(report, name) < _FEW]
    if small:
        points.append(
            f"Fewer than {_FEW} people stand behind the figures for {', '.join(small)}: read them as anecdotes."
        )
    if facts.repeated_targets:
        points.append(f"{facts.repeated_targets:,} pairs of person and item were set aside as repeats.")
    if facts.targets_outside_pool:
        points.append(
            f"{facts.targets_outside_pool:,} targets were set aside because the catalog says the item was launched "
            "only after the window."
        )
    return points


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def _metric_terms(k: int) -> list[tuple[str, str]]:
    return [
        (f"NDCG@{k}", "Rewards hits near the top of the list; 1 is a perfect order. The figure verdicts rest on."),
        (f"Recall@{k}", f"The share of a person's targets that is among the first {k}. Most people have few targets."),
        (f"Precision@{k}", f"The share of the {k} recommendations that are targets: small where targets are few."),
        (f"MRR@{k}", "One over the rank of the first hit: 1 if it is first, one half if second, 0 if there is none."),
        (f"Coverage@{k}", "The share of the pool that is recommended to at least one person."),
        (f"Novelty@{k}", "How surprising the items are, in bits: 10 means one person in 1,024 had touched them."),
        ("Interval", "Where the figure would fall for other people of the same kind, 95 times in 100."),
    ]


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
            f"Each bar is the mean over people. {titles[report.model]} is the highlighted one." if report.model else "",
            drawings=_drawings(report),
        ),
        Section(
            "All methods",
            "People with a history. The best method is bold; the small figures are intervals.",
            tables=[_overall_table(report, size) for size in sorted(report.ks, reverse=True)],
        ),
    ]
    if len(report.slices) > 1:
        sections.append(
            Section(
                "Slices",
                "The same rankings, looked at by what was to be found and for whom.",
                tables=[_slice_table(report)],
                terms=[
                    (f"{_SLICE_TITLES[name]} ({_size(report, name)})", SLICE_MEANING[name] + ".")
                    for name in report.slices
                ],
            )
        )
    if report.comparisons and report.model is not None:
        sections.append(
            Section(
                f"{titles[report.model]} against each method",
                "How much better the model is, person by person. Green: better; red: worse; ochre: the interval "
                "contains zero, so these people cannot tell.",
                tables=[_comparison_table(report)],
            )
        )
    if report.learning_curves:
        drawings = [
            Drawing(
                f"{curve.title}: {label}",
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
        Section("The metrics", terms=_metric_terms(k)),
        Section("The protocol", points=[*_protocol_points(report), *report.notes]),
    ]
    count = len([method for method in report.methods if not method.is_oracle])
    return Page(
        title="Ranking report",
        kicker=shop or "Recommendations",
        lead=(
            f"{count} methods rank {facts.pool:,} items for {facts.evaluated_users:,} people with a history and "
            f"{facts.evaluated_cold_users:,} without, from {_moment(facts.start)} up to {_moment(facts.end)}. "
            "Who foretold best what they went on to choose?"
        ),
        verdicts=report.verdicts,
        sections=sections,
        footer="Made by fashionrec. This page is self-contained: it can be mailed, archived or attached to a ticket.",
    )


def _people(report: RankingReport, slice_name: str) -> int:
    return next(row.users for row in report.rows if row.slice == slice_name)


def _size(report: RankingReport, slice_name: str) -> str:
    row = next(row for row in report.rows if row.slice == slice_name)
    return f"{row.users:,} people, {row.targets:,} targets"
