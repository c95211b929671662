"""Short texts for training: what a shopper types, made of an item's attributes.

Belongs here: making phrases, and saying which items answer them. Does not belong here: the attributes' sources
(`training_set.py`), how often a phrase is shown (`clip_training.py`).

A model that only ever read whole descriptions does not know what "red dress" alone is worth. A phrase is answered by
every item that has its attributes, so in a batch all of them share the target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER = (
    "colour",
    "pattern",
    "material",
    "sleeves",
    "neckline",
    "fit",
    "length",
    "style",
    "type",
    "gender",
    "section",
)
"""The attributes that phrases are made of, in the order in which they are named."""
TEMPLATES = ("{}", "a photo of {}")
MOST_NAMED = 3

Attributes = Mapping[str, str]
"""Attribute name to value; others than those of `ORDER` are not looked at."""


@dataclass(frozen=True)
class Phrases:
    """The `texts` of p phrases, and `of` (n, k) the phrases of each row, -1 where it has fewer.

    `has` (n, v + 1) are the attributes of each row, the last column always true; `needs` (p, `MOST_NAMED`) the columns
    that a phrase names, the last column where it names fewer.
    """

    texts: tuple[str, ...]
    of: NDArray[np.int64]
    needs: NDArray[np.int64]
    has: NDArray[np.bool_]

    def answered(self, chosen: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `rows` (m,) answer the phrases `chosen` (q,), (q, m)."""
        return np.asarray(self.has[rows][:, self.needs[chosen]].all(axis=2).T)


def phrases_of(items: Sequence[Attributes], each: int, *, seed: int) -> Phrases:
    """About `each` random phrases for every item of `items`, the same ones for the same arguments."""
    draw = np.random.default_rng(seed)
    facts = sorted({(name, item[name]) for item in items for name in ORDER if item.get(name)})
    column = {fact: number for number, fact in enumerate(facts)}
    has = np.zeros((len(items), len(facts) + 1), dtype=np.bool_)
    has[:, -1] = True
    of = np.full((len(items), each), -1, dtype=np.int64)
    numbers: dict[str, int] = {}
    needs: list[list[int]] = []
    for row, item in enumerate(items):
        named = [name for name in ORDER if item.get(name)]
        has[row, [column[name, item[name]] for name in named]] = True
        for place in range(each if named else 0):
            count = int(draw.integers(1, min(MOST_NAMED, len(named)) + 1))
            chosen = [named[number] for number in sorted(draw.choice(len(named), count, replace=False).tolist())]
            words = " ".join(item[name] for name in chosen)
            text = TEMPLATES[int(draw.integers(len(TEMPLATES)))].format(words)
            if text not in numbers:
                numbers[text] = len(needs)
                wanted = [column[name, item[name]] for name in chosen]
                needs.append([*wanted, *[len(facts)] * (MOST_NAMED - len(wanted))])
            of[row, place] = numbers[text]
    return Phrases(tuple(numbers), of, np.array(needs, dtype=np.int64).reshape(-1, MOST_NAMED), has)
