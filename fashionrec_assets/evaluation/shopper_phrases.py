"""The same short questions for every model: shopper phrases made from the catalog's own fields.

Belongs here: making phrases, and saying which items answer them. Does not belong here: ranking (`retrieval.py`).

Clarified text changes what an item's own text asks, so a model that reads it can win by asking easier questions. These
phrases come from raw fields, never from a description or a measured colour, and are the same for every model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.descriptions.cleaning import clean_text

NOUNS: Final = ("product_type", "category")
"""Where a phrase takes its noun from: the first that the item has."""
BEFORE: Final = ("colour", "pattern")
AFTER: Final = ("gender",)
_LONGEST = 60

Fields = Mapping[str, Sequence[str]]
"""For each field the value of every item, cleaned; empty where the catalog says nothing."""


def field_value(raw: str | None) -> str:
    """A catalog value as it is compared and spoken: cleaned, lower case; empty if there is none or it is a sentence."""
    value = clean_text(raw or "").lower()
    return value if len(value) <= _LONGEST else ""


@dataclass(frozen=True)
class Phrases:
    """`texts` (q,) and, row by row, which items are `right` and which are `unjudged`, bool (q, n).

    Right are the items that have every value of the phrase. Unjudged are those that contradict none but lack a field:
    nobody can say whether they are right, so they are left out of that phrase's ranking.
    """

    texts: tuple[str, ...]
    right: NDArray[np.bool_]
    unjudged: NDArray[np.bool_]


def shopper_phrases(fields: Fields, item_ids: Sequence[str], most: int) -> Phrases:
    """Phrases such as "red striped t-shirt women", one for each combination of values that an item has.

    At most `most`, chosen by a hash of the phrase. Items without product type and category make none.
    """
    wanted: dict[str, dict[str, str]] = {}
    for row in range(len(item_ids)):
        values = {name: fields[name][row] for name in (*BEFORE, *NOUNS, *AFTER) if name in fields}
        noun = next((name for name in NOUNS if values.get(name)), None)
        if noun is not None:
            parts = {name: values[name] for name in (*BEFORE, noun, *AFTER) if values.get(name)}
            wanted.setdefault(" ".join(parts.values()), parts)
    texts = sorted(wanted, key=lambda text: hashlib.sha256(text.encode()).digest())[:most]
    columns = {name: np.array(list(values), dtype=np.str_) for name, values in fields.items()}
    right = np.ones((len(texts), len(item_ids)), dtype=np.bool_)
    possible = right.copy()
    for row, text in enumerate(texts):
        for name, value in wanted[text].items():
            same = columns[name] == value
            right[row] &= same
            possible[row] &= same | (columns[name] == "")
    return Phrases(tuple(texts), right, possible & ~right)
