"""The closer looks of the ranking page: by bucket, by training run, by behaviour, and inside the item tower.

Belongs here: tables, plots and words of those sections. Does not belong here: the page's order and its main tables
(`ranking_page.py`), figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.evaluation.group_plots import Group, bucket_plot, reliability_plot, share_plot
from fashionrec_assets.evaluation.ranking_figures import Method, ModalityWeights, RankingReport
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Section, TableLine
from fashionrec_assets.evaluation.slices import FAMILIES, SLICE_TITLES, Family, SliceName
from fashionrec_assets.evaluation.words import number

METRIC_TITLES = {
    "recall": "Recall",
    "ndcg": "NDCG",
    "precision": "Precision",
    "mrr": "MRR",
    "coverage": "Coverage",
    "novelty": "Novelty",
    "diversity_text": "Text diversity",
    "diversity_type": "Type diversity",
}
BEHAVIOUR_TITLES = {
    "pv": "views",
    "fav": "favourites",
    "cart": "carts",
    "cart_or_fav": "carts or favourites",
    "buy": "purchases",
}
_VIEW_TITLES = {"id": "ID", "age": "days on the shelf", "image": "photo", "family_id": "product family"}
_COLOURS = 6
_MAIN_BASELINES = ("lambdamart", "blend", "item_knn", "tfidf", "recent_popularity")


def main_methods(report: RankingReport) -> list[Method]:
    """The models and the baselines that say most, for where all methods would be too many."""
    order = [*report.models, *_MAIN_BASELINES]
    return sorted((method for method in report.methods if method.name in order), key=lambda m: order.index(m.name))


def role(method: Method, report: RankingReport) -> str:
    """model, oracle or empty."""
    return "oracle" if method.is_oracle else "model" if method.name in report.models else ""


def bucket_sections(report: RankingReport) -> list[Section]:
    """A section per family of fine slices that has at least two buckets."""
    return [
        _family_section(report, family, [name for name in family.slices if name in report.all_slices])
        for family in FAMILIES
        if sum(name in report.all_slices for name in family.slices) > 1
    ]


def _family_section(report: RankingReport, family: Family, names: list[SliceName]) -> Section:
    k, methods = report.headline_k, main_methods(report)
    rows = {(row.method, row.slice, row.metric): row for row in report.rows if row.k == k}
    size = {row.slice: (row.users, row.targets) for row in report.rows}
    titles = {name: SLICE_TITLES[name][:1].upper() + SLICE_TITLES[name][1:] for name in names}
    buckets = list(titles.values())
    drawings: list[Drawing] = []
    for metric in ("ndcg", "recall"):
        groups = []
        for method in methods:
            found = [rows.get((method.name, name, metric)) for name in names]
            points = [None if row is None else (row.value, row.low or 0.0, row.high or 0.0) for row in found]
            groups.append(Group(method.title, points, "model" if method.name == report.model else "baseline"))
        label = f"{METRIC_TITLES[metric]}@{k}"
        slug = f"{names[-1].split('_')[0]}-{metric}"
        drawings.append(Drawing(f"{label} {family.title.lower()}", bucket_plot(slug, buckets, groups, label)))
    heads = ["Method", *[f"{titles[name]}: {METRIC_TITLES[m]}@{k}" for name in names for m in ("recall", "ndcg")]]
    lines: list[TableLine] = []
    for method in methods:
        cells: list[Cell] = []
        for name in names:
            for metric in ("recall", "ndcg"):
                row = rows.get((method.name, name, metric))
                top = max(other.value for m in methods if (other := rows.get((m.name, name, metric))) is not None)
                if row is None:
                    cells.append(Cell("–"))
                    continue
                kind = "best" if row.value == top > 0 else ""
                cells.append(Cell(number(row.value), f"{number(row.low)}–{number(row.high)}", kind))
        lines.append(TableLine(method.title, cells, role(method, report)))
    sizes = "; ".join(f"{SLICE_TITLES[name]}: {size[name][0]:,} people, {size[name][1]:,} targets" for name in names)
    return Section(
        family.title,
        f"{family.hint} {sizes}.",
        drawings=drawings,
        tables=[FigureTable(family.title, heads, lines)],
    )


def seed_section(report: RankingReport) -> Section:
    """Every training run of the models that have several."""
    titles = {method.name: method.title for method in report.methods}
    summaries = report.seed_summaries()
    columns = list(dict.fromkeys((row.slice, row.metric, row.k) for row in report.seeds))
    found = {(row.method, row.seed, (row.slice, row.metric, row.k)): row.figure for row in report.seeds}
    over = {(s.method, (s.slice, s.metric, s.k)): s for s in summaries}
    lines: list[TableLine] = []
    for method in dict.fromkeys(row.method for row in report.seeds):
        for seed in dict.fromkeys(row.seed for row in report.seeds if row.method == method):
            figures = [found.get((method, seed, column)) for column in columns]
            cells = [
                Cell("–") if f is None else Cell(number(f.value), f"{number(f.low)}–{number(f.high)}") for f in figures
            ]
            lines.append(TableLine(f"{titles[method]}, seed {seed}", cells))
        means = [over.get((method, column)) for column in columns]
        cells = [Cell("–") if s is None else Cell(number(s.mean), f"± {number(s.deviation)}") for s in means]
        lines.append(TableLine(f"{titles[method]}, mean of {_runs(report, method)}", cells, "model"))
    heads = ["Training run", *[_column_title(*column) for column in columns]]
    return Section(
        "By seed",
        "The same model trained again from other random numbers. The small figure of a run is its interval over "
        "people, that of a mean the standard deviation over runs: two sources of chance, independent of each other.",
        tables=[FigureTable("Training runs", heads, lines)],
    )


def _runs(report: RankingReport, method: str) -> int:
    return len({row.seed for row in report.seeds if row.method == method})


def _column_title(name: str, metric: str, k: int) -> str:
    part = "" if name == "overall" else f"{SLICE_TITLES[name]} "
    return f"{part}{METRIC_TITLES[metric]}@{k}"


def behaviour_section(report: RankingReport) -> Section:
    """AUC and calibration of what was foretold for single pairs."""
    heads = ["Foretold", "AUC", "Log loss", "Log loss of the rate", "Calibration error", "Pairs", "Rate"]
    lines = [
        TableLine(
            f"{one.title}: {BEHAVIOUR_TITLES.get(one.behaviour, one.behaviour)}",
            [
                Cell(number(one.auc)),
                Cell(number(one.log_loss)),
                Cell(number(one.base_log_loss)),
                Cell(number(one.calibration_error)),
                Cell(f"{one.pairs:,}"),
                Cell(f"{one.positives / one.pairs:.2%}"),
            ],
        )
        for one in report.behaviours
    ]
    drawings: list[Drawing] = []
    for name in dict.fromkeys(one.name for one in report.behaviours):
        chosen = [one for one in report.behaviours if one.name == name]
        curves = {
            BEHAVIOUR_TITLES.get(one.behaviour, one.behaviour): [(part.foretold, part.came) for part in one.bins]
            for one in chosen
        }
        hint = (
            f"Pairs: {chosen[0].pairs_are}. Each point is equally many pairs, left out if the behaviour came in none; "
            "on the dashed line what was foretold came."
        )
        plot = reliability_plot(f"reliability-{name}", curves, "foretold")
        drawings.append(Drawing(f"{chosen[0].title}: foretold and come", plot, hint))
    return Section(
        "Probabilities of behaviours",
        "How well each behaviour is foretold for single pairs of person and item, on held-out days. AUC is the chance "
        "that a pair with the behaviour is placed above one without; one half is guessing. A log loss above that of "
        "the rate alone means that the probabilities mislead. Calibration error is the mean distance between what was "
        "foretold and what came.",
        drawings=drawings,
        tables=[FigureTable("Behaviours", heads, lines)],
    )


def _largest(weights: ModalityWeights) -> tuple[list[str], dict[str, list[float]]]:
    """The views with the largest shares and the rest as one: more than a handful of colours nobody tells apart."""
    order = _by_share(weights)
    shown, rest = order[:_COLOURS], order[_COLOURS:]
    parts = [_view_title(weights.views[view]) for view in shown]
    rows = {group: [float(shares[view]) for view in shown] for group, (_, shares) in weights.groups.items()}
    if len(rest):
        parts.append(f"{len(rest)} others")
        for group, (_, shares) in weights.groups.items():
            rows[group].append(float(shares[rest].sum()))
    return parts, rows


def _by_share(weights: ModalityWeights) -> NDArray[np.intp]:
    return np.argsort(-np.mean([shares for _, shares in weights.groups.values()], axis=0), kind="stable")


def _view_title(view: str) -> str:
    return _VIEW_TITLES.get(view, view.replace("_", " "))


def modality_section(report: RankingReport) -> Section:
    """What item vectors are made of."""
    weights = report.modality_weights
    if weights is None:
        raise ValueError("the report has no modality weights")
    heads = ["View", *[f"{group} ({count:,})" for group, (count, _) in weights.groups.items()]]
    lines = [
        TableLine(
            _view_title(weights.views[view]), [Cell(f"{shares[view]:.1%}") for _, shares in weights.groups.values()]
        )
        for view in _by_share(weights)
    ]
    plot = share_plot("modalities", *_largest(weights))
    return Section(
        "What item vectors are made of",
        f"{weights.title}: the share of an item's vector that comes from each view, on the mean over the group. Nobody "
        "had touched a cold item before the cut: what stands for its ID is one vector that all new items share. In "
        "brackets: how many items there are.",
        drawings=[Drawing("Share of each view", plot)],
        tables=[FigureTable("Mean share of each view", heads, lines)],
    )
