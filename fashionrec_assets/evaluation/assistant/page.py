"""The assistant's report as a page.

Belongs here: its words, tables and order. Does not belong here: measuring (`study.py`), templates (`render.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from fashionrec_assets.evaluation.assistant.study import AssistantReport, Outcome
from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.render import Cell, FigureTable, Page, Section, TableLine
from fashionrec_assets.evaluation.words import Verdict, number, paired

TITLE = "The assistant"
EXAMPLES = 25
"""Misread queries shown at the most."""
_FOOTER = "Made by fashionrec. This page is self-contained: it can be mailed, archived or attached to a ticket."
_READ = {
    "read_exactly": "understood exactly",
    "read_exactly.own_words": "… with values in the catalog's own words",
    "read_exactly.other_words": "… with values in other words",
    "read_exactly.plain": "… in one sentence",
    "read_exactly.negated": "… with something unwanted",
    "read_exactly.talk": "… over several lines",
    "read_exactly.impossible": "… that nothing need answer",
}
_ANSWERED = {
    "constraints_kept": "items that satisfy every constraint the assistant read",
    "items_as_meant": "items that are what the query meant",
    "nothing_when_nothing_fits": "queries that nothing answers, and the assistant says so",
    "nothing_was_right": "answers of “nothing fits” that are right",
}
_FOUND = {
    "hits@10": "the assistant",
    "hits@10.text_only": "search by text alone",
    "hits@10.clip_only": "search by the CLIP model alone",
}


def assistant_verdicts(report: AssistantReport) -> list[Verdict]:
    """Sentences a reader can act on."""
    return [*_kept(report), *_compared(report), *_taste(report), *_reading(report)]


def _kept(report: AssistantReport) -> Iterator[Verdict]:
    kept = report.shares()["constraints_kept"]
    if kept is None:
        yield Verdict("undecided", "No query could be drawn from this shop: nothing was measured.")
    elif kept.value == 1:
        shown = sum(len(one.returned) for one in report.outcomes)
        yield Verdict("good", f"All {shown:,} items shown satisfy the constraints that were read; others checked them.")
    else:
        yield Verdict("bad", f"Only {kept.value:.1%} of the items shown satisfy the constraints that were read.")


def _compared(report: AssistantReport) -> Iterator[Verdict]:
    for name, gain in report.gains().items():
        other = _FOUND[f"hits@10.{name}"]
        if gain.low > 0:
            yield Verdict("good", f"The assistant finds the target more often than {other}: {paired(gain)}.")
        elif gain.high < 0:
            yield Verdict("bad", f"The assistant finds the target less often than {other}: {paired(gain)}.")
        else:
            yield Verdict("undecided", f"The assistant and {other} find the target about as often: {paired(gain)}.")


def _taste(report: AssistantReport) -> Iterator[Verdict]:
    taste = report.taste
    if taste is None:
        yield Verdict("undecided", "No user of the test days has a history: what taste adds was not measured.")
        return
    tone = "good" if taste.gain.low > 0 else "bad" if taste.gain.high < 0 else "undecided"
    says = {"good": "helps", "bad": "hurts", "undecided": "makes no clear difference"}[tone]
    yield Verdict(tone, f"Knowing the user {says} with short queries, HITS@10 {paired(taste.gain)}.")
    gain = taste.gain_over_popularity
    tone = "good" if gain.low > 0 else "bad" if gain.high < 0 else "undecided"
    says = {"good": "more than", "bad": "less than", "undecided": "no more than can be told from"}[tone]
    yield Verdict(tone, f"The user's tower gives {says} popularity in its place, HITS@10 {paired(gain)}.")


def _reading(report: AssistantReport) -> Iterator[Verdict]:
    shares = report.shares()
    own, other = shares["read_exactly.own_words"], shares["read_exactly.other_words"]
    if own is not None and other is not None:
        yield Verdict(
            "note",
            f"Queries in the catalog's own words are understood exactly in {own.value:.0%} of cases, those in other "
            f"words in {other.value:.0%}: what is not understood is shown to the shopper.",
        )
    if report.weights:
        chosen = max(report.weights, key=lambda weight: (report.weights[weight], -weight))
        yield Verdict(
            "note",
            f"On queries about validation items photos are best weighed {chosen:g}; in force: {report.image_weight:g}.",
        )


def assistant_page(report: AssistantReport, shop: str = "") -> Page:
    """The page of a report; `shop` names the source for the reader."""
    return Page(
        title=TITLE,
        kicker=shop or "Recommendations",
        lead=(
            f"{len(report.outcomes):,} queries whose meaning is known, drawn from items that no image model was "
            f"trained on, asked of a catalog of {report.items:,} items."
        ),
        verdicts=assistant_verdicts(report),
        sections=[_figures(report), _weights(report), _misread(report), _protocol(report)],
        footer=_FOOTER,
    )


def _figures(report: AssistantReport) -> Section:
    shares = report.shares()

    def table(caption: str, names: dict[str, str]) -> FigureTable:
        lines = [TableLine(words, [_share(shares[name])]) for name, words in names.items() if name in shares]
        return FigureTable(caption, ["", "share"], lines)

    tables = [
        table("What was read", _READ),
        table("What was answered", _ANSWERED),
        table("Targets among the first ten (HITS@10)", _FOUND),
    ]
    taste = report.taste
    if taste is not None:
        arms = {
            "without the user": taste.without,
            "with the user's tower": taste.with_user,
            "with popularity in its place": taste.with_popularity,
        }
        lines = [TableLine(name, [_share(value)]) for name, value in arms.items()]
        tables.append(FigureTable(f"{taste.users:,} short queries of test users (HITS@10)", ["", "share"], lines))
    p50, p95 = report.seconds
    return Section(
        "The figures",
        hint="In brackets: 95 % bootstrap intervals over queries; of items shown, over items.",
        tables=tables,
        terms=[("Time of an answer", f"{p50 * 1000:.0f} ms at the median, {p95 * 1000:.0f} ms at the 95th percentile")],
    )


def _share(value: Interval | None) -> Cell:
    if value is None:
        return Cell("–")
    return Cell(f"{value.value:.1%}", f"{value.low:.1%} to {value.high:.1%}")


def _weights(report: AssistantReport) -> Section:
    lines = [TableLine(f"{weight:g}", [Cell(number(value))]) for weight, value in report.weights.items()]
    return Section(
        "How photos are weighed",
        hint="HITS@10 on queries about validation items, by the weight of photos where that of texts is 1.",
        tables=[FigureTable("Weight of photos", ["weight", "HITS@10"], lines)] if lines else (),
    )


def _misread(report: AssistantReport) -> Section:
    misread = report.misread()
    lines = [
        TableLine(" / ".join(one.drawn.lines), [Cell(_meant(one)), Cell(_taken(one))]) for one in misread[:EXAMPLES]
    ]
    heads = ["query", "meant", "taken for"]
    return Section(
        "Misread queries",
        hint=f"The first {len(lines)} of {len(misread)} queries that were not understood exactly.",
        tables=[FigureTable("Misread", heads, lines)] if lines else (),
    )


def _meant(one: Outcome) -> str:
    meant = one.drawn.meant
    parts = [f"{name} {value}" for name, value in meant.wanted.items()]
    parts += [f"not {name} {value}" for name, value in meant.excluded.items()]
    parts += [f"price at least {meant.low:g}"] if meant.low is not None else []
    parts += [f"price at most {meant.high:g}"] if meant.high is not None else []
    return "; ".join(parts)


def _taken(one: Outcome) -> str:
    parts = [constraint.label for constraint in one.query.constraints]
    unknown = f" (not understood: {', '.join(one.query.unknown)})" if one.query.unknown else ""
    return ("; ".join(parts) or "no constraint") + unknown


def _protocol(report: AssistantReport) -> Section:
    return Section(
        "The protocol",
        points=[
            "A query is made of an item's fields by a template; in half of them values are called by other names. "
            "Queries with words of the item's title are not judged for their understanding.",
            "Understood exactly means: each constraint that was meant, with its value and limit, and no other.",
            "Items shown are checked against the table of items, and where a field is empty against the published "
            "description; that code shares the tables of colour families and kinds of types with the assistant, "
            "nothing else.",
            "A query is impossible by drawing values of different items; whether really nothing fits is checked.",
            "Search by text and by CLIP are given the query as it is, all lines in one, and every item.",
            "Taste: the two-tower model that saw nothing of the test days, an item the user turned to then and not "
            "before; what the user had bought is left out, with and without the tower.",
            "The parser works by rules. Some of its words (shoppers' names of colours and types) are the ones that the "
            "sample shop's sellers use, so its share of other words understood is a high one for sellers elsewhere.",
            f"Intervals come from {report.draws:,} resamples.",
        ],
    )
