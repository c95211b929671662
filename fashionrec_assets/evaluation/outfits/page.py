"""The page about basket completion.

Belongs here: wording and layout. Does not belong here: figures (`report.py`).
"""

from __future__ import annotations

from fashionrec_assets.evaluation.outfits.methods import CATEGORY, COUNTS, MODEL, POPULAR
from fashionrec_assets.evaluation.outfits.report import METRICS, Figure, OutfitReport, ordered
from fashionrec_assets.evaluation.outfits.task import MEANING, SETTINGS, Setting
from fashionrec_assets.evaluation.plots import Bar, difference_plot, interval_plot
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Page, Section, TableLine
from fashionrec_assets.evaluation.words import Tone, Verdict, listed, number, paired, signed

_TITLES = {"recall": "Recall@10", "ndcg": "NDCG@10", "mrr": "MRR"}
_DONE = {"pv": "looked at", "fav": "favoured", "cart": "put into the cart", "buy": "bought"}


def outfit_page(report: OutfitReport) -> Page:
    """The report as a page."""
    return Page(
        title="What completes a basket",
        kicker="Matching recommendations",
        lead=_lead(report),
        verdicts=outfit_verdicts(report),
        sections=[
            *(_setting(report, setting) for setting in SETTINGS if report.asked[setting].baskets),
            _features(report),
            _pairs(report),
            _protocol(report),
        ],
        footer="Measured once on the test days; everything was learned and chosen on the days before them.",
    )


def outfit_verdicts(report: OutfitReport) -> list[Verdict]:
    """Whether the model beats counts and category popularity, in both settings."""
    found: list[Verdict] = []
    for setting in SETTINGS:
        for rival in (COUNTS, CATEGORY, POPULAR):
            figure = report.figures.get((setting, rival, "recall"))
            own = report.figures.get((setting, MODEL, "recall"))
            if figure is None or own is None or figure.behind is None:
                continue
            title = next(one.title for one in report.entrants if one.name == rival).lower()
            tone: Tone = "good" if figure.behind.low > 0 else "bad" if figure.behind.high < 0 else "undecided"
            words = {
                "good": f"The outfit model beats {title}",
                "bad": f"The outfit model loses to {title}",
                "undecided": f"The outfit model and {title} cannot be told apart",
            }
            found.append(
                Verdict(
                    tone,
                    f"{MEANING[setting]}: {words[tone][0].lower()}{words[tone][1:]} in Recall@10, "
                    f"{number(own.value.value)} against {number(figure.value.value)} ({paired(figure.behind)}).",
                )
            )
    if not found:
        found.append(Verdict("undecided", "The test days have no basket with two designs: nothing can be measured."))
    return found


def _lead(report: OutfitReport) -> str:
    asked = report.asked["any"]
    done = listed([_DONE[behaviour] for behaviour in report.behaviours])
    return (
        f"An item of a basket is held out and asked for, given the rest: {asked.questions} questions about "
        f"{asked.baskets} baskets of {asked.people} people on the test days. A basket is what one person {done} on one "
        f"day; a basket counts once."
    )


def _setting(report: OutfitReport, setting: Setting) -> Section:
    asked, entrants = report.asked[setting], ordered(report, setting)
    best = {
        metric: max(report.figures[setting, one.name, metric].value.value for one in entrants) for metric in METRICS
    }
    lines = [
        TableLine(
            one.title,
            [_cell(report.figures[setting, one.name, metric], best[metric]) for metric in METRICS],
            "model" if one.name == MODEL else "",
        )
        for one in entrants
    ]
    bars = [
        Bar(one.title, value.value, value.low, value.high, "model" if one.name == MODEL else "baseline")
        for one in entrants
        for value in [report.figures[setting, one.name, "recall"].value]
    ]
    hint = (
        f"{asked.questions} questions, {asked.baskets} baskets, {asked.people} people. Every method ranks the same "
        "candidates."
    )
    return Section(
        MEANING[setting],
        hint,
        drawings=[
            Drawing(
                "Recall@10",
                interval_plot(f"outfit-{setting}", bars, "Recall@10, 95 % interval over people"),
                "how often the held-out item is among the first ten",
            )
        ],
        tables=[
            FigureTable(
                "Means over baskets, 95 % bootstrap intervals over people; in brackets how far the model is ahead",
                ["Method", *(_TITLES[metric] for metric in METRICS)],
                lines,
            )
        ],
        terms=[(one.title, one.meaning) for one in entrants],
    )


def _cell(figure: Figure, best: float) -> Cell:
    small = f"{number(figure.value.low)}–{number(figure.value.high)}"
    kind = "best" if figure.value.value == best else ""
    if figure.behind is not None:
        small += f" ({signed(figure.behind.value)}; {signed(figure.behind.low)} to {signed(figure.behind.high)})"
        kind = kind or ("worse" if figure.behind.low > 0 else "better" if figure.behind.high < 0 else "unclear")
    return Cell(number(figure.value.value), small, kind)


def _features(report: OutfitReport) -> Section:
    bars = [Bar(group, loss.value, loss.low, loss.high) for group, loss in report.without.items()]
    drawings = [
        Drawing(
            "What a group of features adds",
            difference_plot("outfit-features", bars, "NDCG@10 lost without it, 95 % paired interval"),
            f"validation days, {report.validation_baskets} baskets, any item of the basket; learned again without it",
        )
    ]
    weights = sorted(report.weights.items(), key=lambda one: -abs(one[1]))
    return Section(
        "What the model listens to",
        "Weights are in natural log units of the feature; 0: not used.",
        drawings=drawings if bars else (),
        tables=[
            FigureTable(
                "Weights of the model that was tested",
                ["Feature", "Weight"],
                [TableLine(name, [Cell(number(weight, 3))]) for name, weight in weights],
            )
        ],
    )


def _pairs(report: OutfitReport) -> Section:
    lines = [
        TableLine(
            f"{pair.first} and {pair.second}",
            [
                Cell(f"{pair.baskets}"),
                Cell(number(pair.expected, 1)),
                Cell(f"{pair.baskets / pair.expected:.2f}"),
            ],
        )
        for pair in report.pairs
    ]
    table = FigureTable(
        "Pairs of types in baskets before the test days", ["Types", "Baskets", "By chance", "Lift"], lines
    )
    return Section(
        "Which types go together",
        "The pairs that meet most often beyond chance, of those that met in five baskets or more.",
        tables=[table] if lines else (),
    )


def _protocol(report: OutfitReport) -> Section:
    points = [
        "The split is global in time. Counts, lifts, popularity and weights come from events before the test days; the "
        f"weights from the baskets of the last {report.window_days} of those days, with counts of the days before.",
        f"Each item of a basket is held out in turn, with all of its family; {report.outside_pool} held-out items that "
        "nobody could have known at the cut are not asked for. "
        f"{report.eligible} baskets have two designs or more; a seeded sample of them is asked about.",
        f"The whole catalog known at the cut is ranked, {report.pool} items, without the families that are given; no "
        "sampled candidates.",
        "In the second setting candidates are worn where none of the given is, for every method alike. Items of "
        "unknown slot are no candidates there.",
    ]
    return Section("How it was measured", points=points)
