"""The attributes of items as columns of ones and zeros.

Belongs here: which attribute values a catalog has, and which items bear them. Does not belong here: where attributes
come from (`reading.py`), clusters, names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FACETS = (
    "type",
    "category",
    "gender",
    "section",
    "style",
    "pattern",
    "colour",
    "material",
    "fit",
    "length",
    "sleeves",
    "neckline",
    "brand",
)
"""The attributes that styles are told apart by."""

_SAYS_NOTHING = frozenset({"unknown", "undefined", "none", "other", "n/a", "items"})

Label = tuple[str, str]
"""A facet and a value of it."""


@dataclass(frozen=True)
class Labels:
    """`names` (l,): facets and values, sorted. `holds` bool (n, l): which item bears which."""

    names: tuple[Label, ...]
    holds: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.holds)

    @classmethod
    def of(cls, rows: Iterable[tuple[int, str, str]], n: int, *, least: int = 1) -> Labels:
        """From (item row, facet, value) of `n` items; values that fewer than `least` items bear are left out.

        Values are compared in lower case with single spaces. Other facets than `FACETS`, empty values and
        words for an unknown one are left out.
        """
        found: dict[Label, set[int]] = {}
        for item, facet, value in rows:
            word = " ".join(value.lower().split())
            if facet in FACETS and word and word not in _SAYS_NOTHING:
                found.setdefault((facet, word), set()).add(item)
        names = tuple(sorted(label for label, items in found.items() if len(items) >= least))
        holds = np.zeros((n, len(names)), bool)
        for column, label in enumerate(names):
            holds[sorted(found[label]), column] = True
        return cls(names, holds)

    def columns(self, names: Sequence[Label]) -> NDArray[np.bool_]:
        """bool (n, len(names)): whether each item bears each of `names`; false for a value nobody bears."""
        place = {label: column for column, label in enumerate(self.names)}
        out = np.zeros((len(self.holds), len(names)), bool)
        for at, label in enumerate(names):
            if label in place:
                out[:, at] = self.holds[:, place[label]]
        return out

    def any_of(self, facet: str, values: Sequence[str]) -> NDArray[np.bool_]:
        """bool (n,): whether each item bears one of `values` of `facet`."""
        return np.logical_or.reduce(self.columns([(facet, value) for value in values]), axis=1)
