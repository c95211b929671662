"""The discovery report as a page: verdicts, both curves, and the styles.

Belongs here: the wording and order of this one report. Does not belong here: figures (`report.py`), markup
(`render.py` and its templates).
"""

from __future__ import annotations

from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.discovery.report import DiscoveryReport, MeasuredCurve
from fashionrec_assets.evaluation.group_plots import Group
from fashionrec_assets.evaluation.ncf.drawings import step_plot
from fashionrec_assets.evaluation.render import Cell, Drawing, FigureTable, Page, Section, TableLine
from fashionrec_assets.evaluation.words import Tone, Verdict, listed, number, paired, signed

NAMES = {
    "ndcg": "NDCG",
    "recall": "Recall",
    "chance": "Mean calibrated chance",
    "relevance": "Relevance",
    "diversity": "Intra-list diversity",
    "style_novelty": "Style novelty",
    "novelty": "Self-information",
    "coverage": "Coverage",
}
_MEANINGS = (
    ("NDCG, Recall", "Hits among what the user turned to in the test days, new to them; NDCG gives early hits more."),
    (
        "Mean calibrated chance",
        "The mean, over the items listed, of the ranker's calibrated probability that the user, coming back, turns to "
        "the item; 0 for an item that is none of the ranker's candidates.",
    ),
    (
        "Relevance",
        "The mean chance of the picks under the two-tower model, as a multiple of that of the likeliest item of the "
        "user's unexplored styles.",
    ),
    ("Intra-list diversity", "Mean over the pairs of a list of 1 less the cosine of their photo and text vectors."),
    ("Style novelty", "Mean distance of a pick's style from the styles of the user's items, from 0 to 1."),
    (
        "Self-information",
        "Mean over the items listed of −log2 of the share of people who touched it, in bits.",
    ),
    ("Coverage", "Share of the pool that is in at least one list."),
    ("Truth of a name", "Share of a style's items for which every attribute of its name holds."),
)
_TITLES = {"diversity": "The diversity dial", "exploration": "The exploration dial"}
_GAINS = {"diversity": "diversity", "exploration": "style_novelty"}
_PLOTTED = {
    "diversity": ("ndcg", "diversity", "chance"),
    "exploration": ("ndcg", "style_novelty", "chance", "novelty"),
}
_HINTS = {
    "diversity": "Lists of the main shelf, chosen by maximal marginal relevance from the ranker's candidates: 0 is by "
    "score alone.",
    "exploration": "Picks of styles the user has rarely or never turned to. At 0 they are the likeliest; at e each "
    "has at least 1 − e times the relevance of the last item of that list.",
}


def discovery_page(report: DiscoveryReport) -> Page:
    """The page of a report."""
    users = listed([f"{one.users:,} users ({one.curve.dial})" for one in report.curves])
    return Page(
        "What variety costs",
        "Discovery report",
        f"Both dials turned from 0 to 1 on the test days, {report.days}, with models fitted before them: {users}.",
        discovery_verdicts(report),
        [*(_curve_section(one) for one in report.curves), _styles_section(report), _terms()],
        "Intervals are 95 % bootstrap intervals over users; differences are over the same users.",
    )


def discovery_verdicts(report: DiscoveryReport) -> list[Verdict]:
    """What each dial in force costs and gives, whether the curves go the way they must, and the styles' truth."""
    found = [_price_verdict(one) for one in report.curves]
    found += [_way_verdict(one) for one in report.curves]
    if report.styles:
        least = min(report.styles, key=lambda one: (one.truth, one.name))
        tone: Tone = "good" if least.truth > 0.5 else "bad"
        found.append(
            Verdict(
                tone,
                f"Names of styles: of {len(report.styles)} names, each is true of at least {least.truth:.0%} of its "
                f"items; the least true is “{least.name}”.",
            )
        )
    hidden = next((one for one in report.agreement if one.attribute == "style"), None)
    if hidden is not None:
        found.append(
            Verdict(
                "note",
                f"The sample shop's hidden style of an item agrees with the styles found: mutual information "
                f"{number(hidden.nmi)}, {number(hidden.ami)} adjusted for chance.",
            )
        )
    return found


def _price_verdict(one: MeasuredCurve) -> Verdict:
    dial, gain = one.curve.dial, _GAINS[one.curve.dial]
    if one.curve.in_force == 0:
        return Verdict("note", f"The {dial} dial is at 0: nothing is given up for variety.")
    cost, won = one.prices["ndcg"], one.prices[gain]
    measurable = cost.high < 0
    said = "costs" if measurable else "cannot be told to cost anything in"
    text = (
        f"The {dial} dial in force ({one.curve.in_force:g}) {said} NDCG@{one.curve.k} ({paired(cost)}) and changes "
        f"{NAMES[gain].lower()} by {signed(won.value)} ({signed(won.low)} to {signed(won.high)})."
    )
    tone: Tone = "note" if measurable else "good"
    return Verdict(tone if won.low > 0 else "bad", text)


def _way_verdict(one: MeasuredCurve) -> Verdict:
    dial, broken, beyond = one.curve.dial, one.broken(), one.inversions()
    small = sum(step.inverted and not step.beyond_chance for steps in one.steps.values() for step in steps)
    parts: list[str] = []
    if dial == "exploration":
        kept = "hold for every user at every step" if not broken else f"are broken for users {broken} times"
        parts.append(f"falling relevance and rising style novelty, which the choice guarantees, {kept}")
    if beyond:
        steps = listed(
            [f"{NAMES[s.metric]} from {s.first:g} to {s.second:g} ({signed(s.difference.value)})" for s in beyond]
        )
        parts.append(f"against the expected way by more than chance: {steps}")
    else:
        parts.append(f"no step goes against the expected way by more than chance ({small} do within it)")
    tone: Tone = "bad" if broken else "undecided" if beyond else "good"
    return Verdict(tone, f"Whether the {dial} dial goes one way: {'; '.join(parts)}.")


def _curve_section(one: MeasuredCurve) -> Section:
    dial = one.curve.dial
    steps = [f"{at:g}{' *' if at == one.curve.in_force else ''}" for at in one.curve.at]
    drawings = [
        Drawing(
            f"{_head(one, metric)} by the {dial} dial",
            step_plot(
                f"discovery-{dial}-{metric}",
                steps,
                [Group(_head(one, metric), [(p.value, p.low, p.high) for p in one.points[metric]], "model")],
                f"{dial} dial (*: in force)",
                _head(one, metric),
            ),
            "With 95 % intervals.",
        )
        for metric in _PLOTTED[dial]
        if metric in one.points
    ]
    metrics = list(one.points)
    lines = [
        TableLine(
            f"{at:g}{' (in force)' if at == one.curve.in_force else ''}",
            [_cell(one.points[metric][place]) for metric in metrics],
            "model" if at == one.curve.in_force else "",
        )
        for place, at in enumerate(one.curve.at)
    ]
    table = FigureTable(f"{_TITLES[dial]}, {one.users:,} users", ["Dial", *[_head(one, m) for m in metrics]], lines)
    return Section(_TITLES[dial], _HINTS[dial], drawings=drawings, tables=[table])


def _styles_section(report: DiscoveryReport) -> Section:
    lines = [TableLine(one.name, [Cell(f"{one.size:,}"), Cell(f"{one.truth:.0%}")]) for one in report.styles]
    tables = [FigureTable("Styles by name", ["Style", "Items", "Truth of its name"], lines)]
    if report.agreement:
        rows = [TableLine(one.attribute, [Cell(number(one.nmi)), Cell(number(one.ami))]) for one in report.agreement]
        heads = ["Hidden attribute", "Mutual information, normalised", "adjusted for chance"]
        tables.append(FigureTable("Agreement with what the sample shop knows", heads, rows))
    return Section(
        "The styles", "Clusters of items by photo, words and attributes, named by what they share.", tables=tables
    )


def _terms() -> Section:
    return Section("Terms", terms=_MEANINGS)


def _cell(point: Interval) -> Cell:
    small = f"{number(point.low)}–{number(point.high)}" if point.low != point.high else ""
    return Cell(number(point.value), small)


def _head(one: MeasuredCurve, metric: str) -> str:
    return f"{NAMES[metric]}@{one.curve.k}" if metric in ("ndcg", "recall") else NAMES[metric]
