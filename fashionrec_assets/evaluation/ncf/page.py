"""The study as a page: what fusion, VAE samples, alignment and neural matching add, what they cost, and what is wrong.

Belongs here: the wording and order of this one report. Does not belong here: figures (`report.py`), diagnosis
(`diagnosis.py`), sentences (`verdicts.py`), markup (`render.py` and its templates).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from fashionrec_assets.evaluation.ablations import Judgement
from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.group_plots import Group, Point, bucket_plot
from fashionrec_assets.evaluation.ncf.diagnosis import SIGNATURES, diagnose
from fashionrec_assets.evaluation.ncf.drawings import step_plot
from fashionrec_assets.evaluation.ncf.grid import EXPERIMENTS, Kind, lowered, percent, window_title
from fashionrec_assets.evaluation.ncf.preference import OTHERS
from fashionrec_assets.evaluation.ncf.report import Figure, NcfReport, Outcome, WindowFacts
from fashionrec_assets.evaluation.ncf.study import SLICES, Metric
from fashionrec_assets.evaluation.ncf.verdicts import JUDGEMENT_WORDS, SHORT_SLICES, ncf_verdicts, slice_title
from fashionrec_assets.evaluation.plots import Bar, interval_plot
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Page, Section, TableLine
from fashionrec_assets.evaluation.slices import SliceName
from fashionrec_assets.evaluation.words import Verdict, listed, number, signed

TITLE = "Fusion, VAE samples and neural matching"
_METRICS: tuple[Metric, ...] = ("ndcg", "recall", "precision", "mse")
_NAMES = {"ndcg": "NDCG", "recall": "Recall", "precision": "Precision", "mse": "MSE"}
_KINDS: dict[Judgement, str] = {"pays": "better", "harms": "worse", "cannot_tell": "unclear", "reference": ""}
_KIND_LINES: dict[Kind, str] = {
    "vae": "VAE samples",
    "neighbours": "neighbour substitution",
    "attributes": "attribute swap",
    "random": "random samples",
}
_HINTS = {
    1: "The same model, trained without samples, on what it may know of an item.",
    2: "Three ways to fuse text tokens and image patches, with VAE samples in the training data and without; and an "
    "InfoNCE loss that aligns the two pooled modalities, which the paper does without.",
    3: "Synthetic rows beside the real ones: from the VAE, by rules, and at random. The degree is the number of "
    "synthetic rows for each real one.",
    4: "What stands for the ID embedding of an item without events, in one and the same trained model; with IDs "
    "hidden from a share of the items in training or not; beside content alone. Judged on NDCG of cold items.",
    5: "People's events thinned at random before training, with everything else left as it is; and the same study on "
    "days before the test window.",
    0: "The function that matches a fused user with a fused item.",
}
_FOOTER = "Made by fashionrec. This page is self-contained: it can be mailed, archived or attached to a ticket."


def ncf_page(report: NcfReport, shop: str = "") -> Page:
    """The page of a report; `shop` names the source for the reader."""
    models = len({(one.variant.title, one.variant.experiment) for one in report.outcomes if not one.variant.contrast})
    return Page(
        title=TITLE,
        kicker=shop or "Recommendations",
        lead=(
            f"{models} reduced models in {len(report.experiments())} experiments ask what arXiv 2410.02219 leaves "
            "open: how much samples from a VAE help, what explicit alignment adds, and whether a VAE beats simple "
            "rules."
        ),
        verdicts=ncf_verdicts(report),
        sections=[
            _diagnosis(report),
            *[_experiment(report, number) for number in report.experiments()],
            _definitions(report),
            Section("The protocol", points=_protocol(report)),
        ],
        footer=_FOOTER,
    )


def off_page() -> Page:
    """The page where no experiment is switched on."""
    text = "The study is switched off: name experiments in evaluation.ncf_experiments to run it."
    return Page(TITLE, "Recommendations", "", [Verdict("note", text)], [], "")


def _diagnosis(report: NcfReport) -> Section:
    findings = diagnose(report)
    if not findings:
        signs = listed([lowered(title) for title in SIGNATURES.values()])
        return Section("Diagnosis", points=[f"Nothing found. Looked for: {signs}."])
    points = [
        f"{SIGNATURES[one.signature]}: {one.title}. {one.evidence} Likely cause: {one.cause} What to do: {one.remedy}"
        for one in findings
    ]
    return Section("Diagnosis", "What the figures say is wrong, with the likely cause and what to do.", points=points)


def _experiment(report: NcfReport, experiment: int) -> Section:
    models, every = report.of(experiment, contrasts=False), report.of(experiment)
    drawings: list[Drawing] = []
    match experiment:
        case 3:
            drawings = _degree_plots(report, models)
        case 4:
            drawings = [*_bars(report, models, experiment, "cold"), *_slices_plot(report, models)]
        case 5:
            drawings = _sparsity_plots(report, models)
        case _:
            drawings = _bars(report, models, experiment, "overall")
    tables = [_figures(report, models, EXPERIMENTS[experiment])]
    if compared := [one for one in every if one.variant.reference]:
        tables.append(_differences(report, compared, EXPERIMENTS[experiment]))
    if experiment == 4:
        tables += [_by_slice_table(report, models, metric) for metric in ("ndcg", "recall", "mse")]
    return Section(EXPERIMENTS[experiment], _HINTS[experiment], drawings=drawings, tables=tables)


def _figures(report: NcfReport, models: Sequence[Outcome], caption: str) -> FigureTable:
    several = any(one.seeds > 1 for one in models)
    heads = ["Model", *[_head(report, metric) for metric in _METRICS], "Base-rate MSE", f"Cold-item NDCG@{report.k}"]
    heads += [*(["NDCG's deviation over seeds"] if several else []), "Training", "Seconds per point of NDCG"]
    lines: list[TableLine] = []
    for one in models:
        ndcg, base = one.figures.get(("overall", "ndcg")), one.figures.get(("overall", "base_mse"))
        cells = [_cell(one.figures.get(("overall", metric))) for metric in _METRICS]
        cells += [Cell("–" if base is None else number(base.value)), _cell(one.figures.get(("cold", "ndcg")))]
        if several:
            cells.append(Cell("–" if ndcg is None else number(ndcg.deviation)))
        points = 0.0 if ndcg is None else 100 * ndcg.value
        cells += [Cell(f"{one.seconds:.1f} s"), Cell(f"{one.seconds / points:.2f}" if points > 0 else "–")]
        lines.append(TableLine(one.variant.title, cells, "" if one.variant.reference else "model"))
    return FigureTable(f"{caption}: figures", heads, lines)


def _differences(report: NcfReport, compared: Sequence[Outcome], caption: str) -> FigureTable:
    """What each technique adds: every row with the technique less without it."""
    wanted: list[tuple[SliceName, Metric]] = [("overall", "ndcg"), ("overall", "precision"), ("overall", "mse")]
    wanted.append(("cold", "ndcg"))
    titles = [f"{'Cold-item ' if name == 'cold' else ''}{_head(report, metric)}" for name, metric in wanted]
    heads = ["What the technique adds", *titles, "Seconds it costs", "Judgement"]
    lines: list[TableLine] = []
    for one in compared:
        cells = [_effect(one, name, metric) for name, metric in wanted]
        base, judgement = (
            report.find(one.variant.reference),
            "cannot_tell" if one.headline is None else one.headline.judgement,
        )
        extra = None if base is None else one.seconds - base.seconds
        extra = extra if extra is None or one.variant.adds else -extra
        cells.append(Cell("–" if extra is None else f"{'+' if extra >= 0 else '−'}{abs(extra):.1f} s"))
        cells.append(Cell(JUDGEMENT_WORDS[judgement], "", _KINDS[judgement]))
        lines.append(TableLine(one.variant.technique, cells))
    return FigureTable(f"{caption}: what each technique adds", heads, lines)


def _by_slice_table(report: NcfReport, models: Sequence[Outcome], metric: Metric) -> FigureTable:
    there: list[SliceName] = [name for name in SLICES if any((name, metric) in one.figures for one in models)]
    lines = [TableLine(one.variant.title, [_cell(one.figures.get((name, metric))) for name in there]) for one in models]
    people = [max((f.people for one in models if (f := one.figures.get((name, metric)))), default=0) for name in there]
    heads = [f"{_head(report, metric)} by slice"]
    heads += [f"{slice_title(name)} ({count:,})" for name, count in zip(there, people, strict=True)]
    return FigureTable(f"{_head(report, metric)} by slice", heads, lines)


def _bars(report: NcfReport, models: Sequence[Outcome], experiment: int, name: SliceName) -> list[Drawing]:
    drawings: list[Drawing] = []
    for metric in ("ndcg", "mse"):
        bars = [
            Bar(one.variant.title, *_ends(figure), "" if one.variant.reference else "model")
            for one in models
            if (figure := one.figures.get((name, metric))) is not None
        ]
        if bars:
            label = f"{'cold-item ' if name == 'cold' else ''}{_head(report, metric)}"
            hint = "Less is better." if metric == "mse" else "Highlighted: what the others are judged against."
            plot = interval_plot(f"ncf-{experiment}-{name}-{metric}", bars, label)
            drawings.append(Drawing(label[0].upper() + label[1:], plot, hint))
    return drawings


def _degree_plots(report: NcfReport, models: Sequence[Outcome]) -> list[Drawing]:
    """Lines by degree, one for each kind of samples, all from no samples at all."""
    none = report.find("augmentation=none")
    own = [one for one in models if one.variant.reference in ("", "augmentation=none") and "+" not in one.variant.name]
    degrees = sorted({one.variant.degree for one in own if one.variant.augmentation is not None})
    drawings: list[Drawing] = []
    wanted: tuple[tuple[SliceName, Metric], ...] = (("overall", "ndcg"), ("cold", "ndcg"), ("overall", "mse"))
    for name, metric in wanted:
        groups: list[Group] = []
        for kind, title in _KIND_LINES.items():
            by_degree = {one.variant.degree: one for one in own if one.variant.augmentation == kind}
            chain = [none, *[by_degree.get(degree) for degree in degrees]]
            groups.append(Group(title, [_point(one, name, metric) for one in chain], "model" if kind == "vae" else ""))
        drawings += _steps(
            report,
            f"ncf-3-{name}",
            ["none", *map(percent, degrees)],
            groups,
            "synthetic rows for each real one",
            name,
            metric,
        )
    return drawings


def _sparsity_plots(report: NcfReport, models: Sequence[Outcome]) -> list[Drawing]:
    """With and without samples: by share of the events kept, and by window."""
    here = [one for one in models if one.variant.window == 0]
    keeps = sorted({one.variant.keep for one in here})
    windows = sorted({one.variant.window for one in models}, reverse=True)
    drawings: list[Drawing] = []
    for metric in ("ndcg", "mse"):
        by_keep = [
            Group(title, [_point(_pick(here, sampled, keep=keep), "overall", metric) for keep in keeps], role)
            for sampled, title, role in _SAMPLED
        ]
        drawings += _steps(
            report,
            "ncf-5-keep",
            [percent(keep) for keep in keeps],
            by_keep,
            "share of the training events kept",
            "overall",
            metric,
        )
    if len(windows) > 1:
        by_window = [
            Group(title, [_point(_pick(models, sampled, window=at), "overall", "ndcg") for at in windows], role)
            for sampled, title, role in _SAMPLED
        ]
        names = [_WINDOW_STEPS.get(at, f"{at} earlier") for at in windows]
        drawings += _steps(report, "ncf-5-window", names, by_window, "window that is foretold", "overall", "ndcg")
    return drawings


_SAMPLED = ((True, "with VAE samples", "model"), (False, "without", ""))
_WINDOW_STEPS = {0: "test", 1: "one earlier", 2: "two earlier"}


def _pick(models: Sequence[Outcome], sampled: bool, *, keep: float = 1.0, window: int = 0) -> Outcome | None:
    return next(
        (
            one
            for one in models
            if (one.variant.augmentation is not None) == sampled
            and one.variant.keep == keep
            and one.variant.window == window
        ),
        None,
    )


def _steps(
    report: NcfReport,
    stem: str,
    steps: Sequence[str],
    groups: Sequence[Group],
    x_label: str,
    name: SliceName,
    metric: Metric,
) -> list[Drawing]:
    drawn = [group for group in groups if any(point is not None for point in group.points)]
    if not drawn:
        return []
    label = f"{'cold-item ' if name == 'cold' else ''}{_head(report, metric)}"
    plot = step_plot(f"{stem}-{metric}", steps, drawn, x_label, label)
    hint = "With 95 % intervals. Less is better." if metric == "mse" else "With 95 % intervals."
    return [Drawing(f"{label[0].upper() + label[1:]} by {x_label}", plot, hint)]


def _slices_plot(report: NcfReport, models: Sequence[Outcome]) -> list[Drawing]:
    there: list[SliceName] = [
        name for name in SLICES if name != "overall" and any((name, "ndcg") in one.figures for one in models)
    ]
    groups = [
        Group(
            one.variant.title, [_point(one, name, "ndcg") for name in there], "" if one.variant.reference else "model"
        )
        for one in models
    ]
    if not there or not groups:
        return []
    plot = bucket_plot("ncf-4-slices", [SHORT_SLICES.get(name, name) for name in there], groups, _head(report, "ndcg"))
    return [Drawing(f"{_head(report, 'ndcg')} by slice", plot, "Numbers: events of the person before the cut.")]


def _point(one: Outcome | None, name: SliceName, metric: Metric) -> Point | None:
    figure = None if one is None else one.figures.get((name, metric))
    return None if figure is None else _ends(figure)


def _ends(figure: Figure) -> Point:
    return figure.interval.value, figure.interval.low, figure.interval.high


def _head(report: NcfReport, metric: Metric) -> str:
    return _NAMES[metric] if metric == "mse" else f"{_NAMES[metric]}@{report.k}"


def _cell(figure: Figure | None) -> Cell:
    if figure is None:
        return Cell("–")
    return Cell(number(figure.value), f"{number(figure.interval.low)}–{number(figure.interval.high)}")


def _effect(one: Outcome, name: SliceName, metric: Metric) -> Cell:
    effect, figure = one.effect(name, metric), one.figures.get((name, metric))
    if effect is None or figure is None:
        return Cell("–")
    return Cell(signed(effect.value), _range(effect), _KINDS[figure.judgement])


def _range(effect: Interval) -> str:
    return f"{signed(effect.low)} to {signed(effect.high)}"


def _definitions(report: NcfReport) -> Section:
    k = report.k
    return Section(
        "Definitions",
        terms=[
            ("Preference", "1 for an item that the person turns to in the window, 0 else."),
            (
                "MSE",
                "Mean squared error of the predicted preference: over every target of a person and "
                f"{OTHERS} items drawn uniformly from the pool that are neither targets nor in the history, the same "
                "pairs for every model; then over people. A score becomes a probability by Platt scaling that is "
                "fitted on the same kind of pairs of people kept back before the window, never on the window. It "
                "depends on how many other items are drawn, so it compares models on this page and nothing else.",
            ),
            (
                "Base-rate MSE",
                "The same error of foretelling for every pair the share of wanted items among the pairs kept back: "
                "the line to beat.",
            ),
            (
                f"NDCG@{k}, Recall@{k}, Precision@{k}",
                "Of the whole pool ranked for each person, as in the ranking report.",
            ),
            (
                "Pays, harms",
                "The 95 % paired bootstrap interval over people, with the technique less without (of MSE "
                "without less with), lies above or below zero, and every training run points the same way.",
            ),
            ("Degree", "Synthetic rows for each real training row; 100 % doubles the data."),
            ("Cold items", "Targets that nobody had touched before the cut."),
            ("Events of a person", "Before the cut, in the whole history; 0: people without events."),
        ],
    )


def _protocol(report: NcfReport) -> list[str]:
    points = [_window_words(facts) for facts in report.windows]
    seeds = max((one.seeds for one in report.outcomes), default=0)
    trained = "once" if seeds == 1 else f"{seeds} times with other seeds; figures are means over them"
    epochs = "one epoch" if report.epochs == 1 else f"{report.epochs} epochs"
    points += [
        f"Every model is trained for at most {epochs}, {trained}. The models are reduced: they say which choice is "
        "better, not how good the full model is.",
        "Models with the same settings and data are one model, trained once, in whatever experiment they stand. But "
        "for the experiment on cold items, an item without events has the same ID embedding as every other such item.",
        "Thinned events are thinned in training only: people are ranked for from their whole history, so the people, "
        "their targets and the slices stay the same.",
        "Nothing is chosen from these figures; choices are made on people kept back before the window. With many "
        "comparisons one in forty goes wrong on either side by chance alone.",
    ]
    titles = {one.name: f"{one.title} ({EXPERIMENTS[one.experiment].lower()})" for one in report.planned}
    points += [f"{titles.get(name, name)} is left out: {why}" for name, why in report.left_out.items()]
    return [*points, *report.notes]


def _window_words(facts: WindowFacts) -> str:
    return (
        f"{window_title(facts.number)}, {_day(facts.start)} to {_day(facts.end)}: models learn from {facts.events:,} "
        f"events of {facts.trained_on:,} people before it, and rank for {facts.users:,} people with a history, of whom "
        f"{facts.cold_target_users:,} chose a cold item, and {facts.cold_users:,} without one."
    )


def _day(second: int) -> str:
    at = datetime.fromtimestamp(second, UTC)
    return f"{at.day} {at:%B %Y}"


def effects_picture(report: NcfReport) -> bytes | None:
    """What VAE samples add to NDCG wherever they were tried, as a PNG for the asset's metadata; None if nowhere."""
    from fashionrec_assets.evaluation.plots import difference_picture

    bars = [
        Bar(one.variant.title, effect.value, effect.low, effect.high, "model" if effect.low > 0 else "baseline")
        for one in report.outcomes
        if one.variant.subject == "vae" and (effect := one.effect()) is not None
    ]
    return difference_picture(bars, f"gain of VAE samples in NDCG@{report.k}") if bars else None
