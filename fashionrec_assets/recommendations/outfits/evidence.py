"""What a matching item rests on: the facts of each pair of an anchor and an item.

Belongs here: facts of pairs, as a column of `FACTS_ARROW`. Does not belong here: choosing the pairs (`looks.py`),
wording them.

The weight of a fact is what its features add to the model's score of the item beside the anchor: counts of the item
together with the anchor for `pairing`, lifts of types for `kinds`, of the attribute for `attribute`, the cosine for
`look` and `wording`, the price bands for `price`, and all that is said by counting people for `popularity`.

Baskets are those of the whole log (`baskets.py`), `kinds` counts the ones among them with several designs; types are
the shop's product types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.recommendations.explanations.facts import FACTS_ARROW
from fashionrec_assets.recommendations.outfits.affinity import FEATURES, Affinity, entries
from fashionrec_assets.recommendations.outfits.compatibility import Compatibility
from fashionrec_assets.recommendations.outfits.wardrobe import ATTRIBUTES

_COLOUR, _PATTERN = "colour", "pattern"


@dataclass(frozen=True)
class _Column:
    """One kind of fact for all pairs (p,): text fields are lists, None where a fact does not have it."""

    kind: str
    there: NDArray[np.bool_]
    weight: NDArray[np.float64]
    what: Sequence[str]
    value: Sequence[str]
    item: Sequence[str | None]
    number: NDArray[np.float64]
    base: NDArray[np.float64]


def facts_of_pairs(
    model: Compatibility,
    affinity: Affinity,
    anchors: NDArray[np.int64],
    items: NDArray[np.int64],
    people: NDArray[np.int64],
    days: int,
) -> pa.ListArray:
    """The facts of item `items[k]` beside `anchors[k]`, rows of the catalog, as a column of `FACTS_ARROW`.

    `people`: as `popular.trend_of` counts them in `days` days. Cosines are rounded to 4 digits. Facts are in order of
    their weight. A pair that no basket had, a photo that is not there and a word that is unknown give no fact.
    """
    wardrobe, p = affinity.wardrobe, len(anchors)
    features = affinity.pairs(anchors, items)
    parts = dict(zip(FEATURES, model.parts(features).astype(np.float64).T, strict=True))
    names = [wardrobe.names[row] for row in anchors.tolist()]
    ids = [str(one) for one in wardrobe.ids[anchors].tolist()]
    types = wardrobe.column("type")
    first, second = types[anchors], types[items]
    words = wardrobe.values[0]
    expected = (
        affinity.type_baskets[first].astype(np.float64) * affinity.type_baskets[second] / max(affinity.several, 1)
    )
    pairs = entries(affinity.together, anchors, items).astype(np.float64)
    # Every item is somewhat popular: what counts is by how much more than those that anybody turns to.
    popular = affinity.popularity[:, :3].astype(np.float64) @ model.weights[:3]
    usual = popular[people > 0].mean() if (people > 0).any() else 0.0
    nothing, blank, none = np.full(p, np.nan), [""] * p, [None] * p
    both_photos = wardrobe.has_image[anchors] & wardrobe.has_image[items]
    texts = np.asarray(wardrobe.text.any(axis=1))
    prices = wardrobe.prices[items]

    def attribute(name: str) -> _Column:
        column = wardrobe.column(name)[items]
        found = wardrobe.values[ATTRIBUTES.index(name)]
        return _Column(
            "attribute",
            column > 0,
            parts[f"{name} pairs"],
            [name] * p,
            [found[code] for code in column.tolist()],
            none,
            nothing,
            nothing,
        )

    columns = (
        _Column(
            "pairing",
            pairs > 0,
            parts["had with the item"] + parts["had with the item, for its popularity"],
            ["baskets"] * p,
            names,
            ids,
            pairs,
            affinity.had[anchors].astype(np.float64),
        ),
        _Column(
            "kinds",
            (first > 0) & (second > 0) & (affinity.type_pairs[first, second] > 0),
            parts["type pairs"],
            [words[code] for code in second.tolist()],
            [words[code] for code in first.tolist()],
            none,
            affinity.type_pairs[first, second].astype(np.float64),
            np.round(expected, 3),
        ),
        _Column(
            "look",
            both_photos,
            parts["photos alike"],
            ["anchor"] * p,
            names,
            ids,
            np.round(features[:, -2].astype(np.float64), 4),
            nothing,
        ),
        _Column(
            "wording",
            texts[anchors] & texts[items],
            parts["texts alike"],
            ["anchor"] * p,
            names,
            ids,
            np.round(features[:, -1].astype(np.float64), 4),
            nothing,
        ),
        attribute(_COLOUR),
        attribute(_PATTERN),
        _Column("price", np.isfinite(prices), parts["price band pairs"], blank, blank, none, prices, nothing),
        _Column(
            "popularity",
            people[items] > 0,
            popular[items] - usual,
            blank,
            blank,
            none,
            people[items].astype(np.float64),
            np.full(p, float(days)),
        ),
    )
    return _listed(columns, p)


def _listed(columns: tuple[_Column, ...], p: int) -> pa.ListArray:
    """The facts of all pairs as one array of lists, those of a pair by falling weight."""
    weights = np.round(np.stack([one.weight for one in columns], axis=1), 4) if p else np.zeros((0, len(columns)))
    there = np.stack([one.there for one in columns], axis=1) if p else np.zeros((0, len(columns)), bool)
    pair, kind = np.nonzero(there)
    order = np.lexsort((kind, -weights[pair, kind], pair))
    pair, kind = pair[order], kind[order]
    offsets = np.append(0, np.cumsum(there.sum(axis=1))).astype(np.int32)
    place = np.arange(len(pair)) - offsets[pair]
    numbers = np.stack([one.number for one in columns], axis=1)[pair, kind] if p else np.zeros(0)
    bases = np.stack([one.base for one in columns], axis=1)[pair, kind] if p else np.zeros(0)
    where = list(zip(pair.tolist(), kind.tolist(), strict=True))
    fields = {
        "id": pa.array([f"f{one + 1}" for one in place.tolist()], pa.string()),
        "kind": pa.array([columns[k].kind for _, k in where], pa.string()),
        "what": pa.array([columns[k].what[row] for row, k in where], pa.string()),
        "value": pa.array([columns[k].value[row] for row, k in where], pa.string()),
        "item": pa.array([columns[k].item[row] for row, k in where], pa.string()),
        "at": pa.nulls(len(pair), pa.timestamp("us")),
        "number": pa.array(numbers, pa.float64(), from_pandas=True),
        "base": pa.array(bases, pa.float64(), from_pandas=True),
        "weight": pa.array(weights[pair, kind], pa.float64()),
    }
    inner = FACTS_ARROW.value_type
    structs = pa.StructArray.from_arrays([fields[field.name] for field in inner], fields=list(inner))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs).cast(FACTS_ARROW)
