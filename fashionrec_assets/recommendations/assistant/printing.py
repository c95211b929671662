"""An answer as lines for a terminal.

Belongs here: order and markup; every text of a query or a catalog is escaped. Does not belong here: finding answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape

from fashionrec_assets.recommendations.assistant.stylist import Answer, Found, Relaxation
from fashionrec_assets.recommendations.explanations.facts import Fact


def answer_lines(answer: Answer) -> Iterator[str]:
    """How the query was understood, the items with their reasons, and what would help where there are none."""
    for one in answer.query.readings:
        yield f"  [dim]{escape(one.words)}: {escape(one.meaning)}[/]"
    if answer.query.unknown:
        words = ", ".join(answer.query.unknown)
        yield f"  [dim]not understood, searched for as it is: {escape(words)}[/]"
    if answer.query.constraints:
        asked = "; ".join(one.label for one in answer.query.constraints)
        yield f"[bold]{escape(asked)}[/]: {answer.fitting:,} {'item fits' if answer.fitting == 1 else 'items fit'}"
    for note in answer.notes:
        yield f"[yellow]{escape(note)}[/]"
    for found in answer.items:
        yield from _item(found)
    if not answer.items and answer.relaxations:
        yield "Nothing fits all of it."
        yield from map(_relaxed, answer.relaxations)


def _item(found: Found) -> Iterator[str]:
    price = "" if found.price is None else f", {found.price:,.2f}"
    yield f"[bold]{found.rank}.[/] {escape(found.name)} [dim]({escape(found.item_id)}{price})[/]"
    yield f"   {escape(found.text or '; '.join(map(plain_fact, found.evidence.facts)))}"


def _relaxed(one: Relaxation) -> str:
    given_up = " and ".join(f"“{constraint.label}”" for constraint in one.constraints)
    fit = "nothing fits" if not one.items else f"{one.items:,} {'item fits' if one.items == 1 else 'items fit'}"
    return f"  Without {escape(given_up)}, {fit}{' either' if not one.items else ''}."


def plain_fact(fact: Fact) -> str:
    """A fact in a few words, for where nobody has worded it."""
    number = "" if fact.number is None else f"{fact.number:g}"
    if fact.kind == "asked" and fact.number is not None:
        return f"{fact.what.replace('_', ' ')} {number}"
    if fact.kind in ("asked", "attribute"):
        return f"{fact.what} {fact.value}"
    words = {
        "shared": f"{fact.what} {fact.value}, like {number} of {fact.base or 0:g} of your items",
        "wording": f"reads like {fact.value}",
        "price": f"price {number}",
        "popularity": f"{number} people in {fact.base or 0:g} days",
    }
    return words.get(fact.kind, f"{fact.what} {fact.value} {number}".strip())
