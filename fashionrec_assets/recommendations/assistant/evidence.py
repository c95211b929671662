"""What an answer rests on: facts about an item that the query asked for, and about the user who asked.

Belongs here: finding these facts. Does not belong here: their form (`explanations.facts`), wording them, ranking.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.recommendations.assistant.catalog import CatalogFrame
from fashionrec_assets.recommendations.assistant.query import Query
from fashionrec_assets.recommendations.assistant.retrieval import Matrix
from fashionrec_assets.recommendations.assistant.taste import Taste
from fashionrec_assets.recommendations.assistant.vocabulary import HARD, accepts
from fashionrec_assets.recommendations.explanations.facts import Evidence, Fact

_SHARED = ("type", "brand", "pattern", "colour", "material")
"""Attributes that may be what an item has in common with a user's; section and gender go without saying."""
_LEAST_SHARED = 2
_NEAR = 0.5
"""Cosine of descriptions below which an item of the history is not named."""


@dataclass(frozen=True)
class Grounds:
    """What facts are looked up in: the catalog, how many people turned to each item in the last `days` days, and the
    sentence vectors (n, d) of descriptions."""

    catalog: CatalogFrame
    popularity: NDArray[np.int64]
    days: int
    vectors: Matrix


def evidence(
    grounds: Grounds, query: Query, rows: Sequence[int], taste: Taste | None, *, subject: str, most: int
) -> list[Evidence]:
    """The evidence for the items `rows`, in order: what was asked for, always, then at most `most` facts in all."""
    catalog = grounds.catalog
    found: list[Evidence] = []
    for row in rows:
        asked = _asked(catalog, query, row)
        others = _personal(grounds, query, taste, row) if taste is not None and len(taste.items) else []
        others += _plain(grounds, query, row, taste)
        kept = [*asked, *others[: max(0, most - len(asked))]]
        facts = tuple(replace(fact, id=f"f{place}") for place, fact in enumerate(kept, 1))
        found.append(Evidence("assistant", subject, str(catalog.item_ids[row]), catalog.names[row], facts))
    return found


def _asked(catalog: CatalogFrame, query: Query, row: int) -> list[Fact]:
    facts: list[Fact] = []
    for one in query.constraints:
        if one.limit is not None:
            facts.append(Fact("", "asked", one.attribute, number=one.limit, base=float(catalog.prices[row])))
        elif not one.excluded:
            said = catalog.values(one.attribute, row)
            met = [asked for asked in one.values if any(accepts(one.attribute, asked, value) for value in said)]
            facts += [Fact("", "asked", one.attribute, value) for value in met]
    soft = [
        (name, value) for name, value in query.wishes if name in catalog.said and value in catalog.values(name, row)
    ]
    return facts + [Fact("", "asked", name, value) for name, value in soft]


def _personal(grounds: Grounds, query: Query, taste: Taste, row: int) -> list[Fact]:
    """What the item has in common with the user's items, and the one of them that reads most like it."""
    catalog, facts = grounds.catalog, list[Fact]()
    others = taste.items[taste.items != row]
    shared: list[tuple[int, str, str]] = []
    # What everything in the answer is, because it was asked for, says nothing about the user.
    for name in (one for one in _SHARED if query.constraint(one) is None):
        said = catalog.said[name]
        for value in catalog.values(name, row):
            holders = said.rows[said.codes == said.values.index(value)]
            shared.append((int(np.isin(others, holders).sum()), name, value))
    number, name, value = max(shared, key=lambda one: one[0], default=(0, "", ""))
    if number >= _LEAST_SHARED:
        facts.append(Fact("", "shared", name, value, number=float(number), base=float(len(others))))
    if len(others):
        cosines = grounds.vectors[others] @ grounds.vectors[row]
        # Of equals the one they turned to last.
        nearest = len(others) - 1 - int(np.argmax(cosines[::-1]))
        if cosines[nearest] >= _NEAR:
            item = int(others[nearest])
            place = int(np.flatnonzero(taste.items == item)[0])
            facts.append(
                Fact(
                    "",
                    "wording",
                    BEHAVIOURS[int(taste.behaviours[place])],
                    catalog.names[item],
                    item=str(catalog.item_ids[item]),
                    at=datetime.fromtimestamp(int(taste.times[place]), UTC).replace(tzinfo=None),
                    number=round(float(cosines[nearest]), 4),
                )
            )
    return facts


def _plain(grounds: Grounds, query: Query, row: int, taste: Taste | None) -> list[Fact]:
    catalog, facts = grounds.catalog, list[Fact]()
    people = int(grounds.popularity[row])
    if people:
        facts.append(Fact("", "popularity", number=float(people), base=float(grounds.days)))
    price = float(catalog.prices[row])
    if not math.isnan(price):
        paid = catalog.prices[taste.items] if taste is not None else np.empty(0)
        paid = paid[~np.isnan(paid)]
        usual = round(float(np.median(paid)), 2) if len(paid) else None
        facts.append(Fact("", "price", number=price, base=usual))
    for name in HARD:
        wanted = query.constraint(name)
        for value in catalog.values(name, row):
            if wanted is None or value not in wanted.values:
                facts.append(Fact("", "attribute", name, value))
    return facts
