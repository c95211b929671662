"""What the item tower reads about items, as arrays.

Belongs here: the array form of item features, their checks, and the vocabularies that turn category values into codes.
Does not belong here: reading tables or vectors from storage (`assets.py` does), anything that is learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Modality:
    """One dense view of the items: `values` float32 (n, d), and `present` bool (n,), false where there is none."""

    values: NDArray[np.float32]
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class ItemFeatures:
    """Features of n items in the order of `item_ids`, which is sorted and free of duplicates.

    `modalities`: name -> `Modality`; a missing row is replaced by a learned vector. `categories`: name -> str (n,), the
    values themselves ('' is unknown), because the model owns the codes: a value it never saw is unknown to it.
    """

    item_ids: NDArray[np.str_]
    modalities: Mapping[str, Modality] = field(default_factory=dict[str, Modality])
    categories: Mapping[str, NDArray[np.str_]] = field(default_factory=dict[str, "NDArray[np.str_]"])

    def __len__(self) -> int:
        return len(self.item_ids)

    @classmethod
    def build(
        cls,
        item_ids: Sequence[str] | NDArray[np.str_],
        *,
        text: NDArray[np.float32] | None = None,
        has_text: NDArray[np.bool_] | None = None,
        image: NDArray[np.float32] | None = None,
        has_image: NDArray[np.bool_] | None = None,
        categories: Mapping[str, Sequence[str | None] | NDArray[np.str_]] | None = None,
    ) -> ItemFeatures:
        """Checked features. `text` (n, dt), `image` (n, di); without `has_*` every row counts as present.

        Raises ValueError where lengths disagree, ids are not sorted and unique, or a present row is not finite.
        """
        ids = np.asarray(item_ids, dtype=np.str_)
        if len(ids) > 1 and not bool(np.all(ids[:-1] < ids[1:])):
            raise ValueError("item_ids must be sorted and free of duplicates")
        modalities: dict[str, Modality] = {}
        for name, given, mask in (("text", text, has_text), ("image", image, has_image)):
            if given is None:
                continue
            values = np.ascontiguousarray(given, dtype=np.float32)
            present = np.ones(len(values), bool) if mask is None else np.asarray(mask, bool)
            if values.ndim != 2 or len(values) != len(ids) or len(present) != len(ids):
                raise ValueError(f"{name} must have one row for each of the {len(ids)} items, got {values.shape}")
            broken = present & ~np.isfinite(values).all(axis=1)
            if broken.any():
                raise ValueError(
                    f"{name} vectors of {int(broken.sum())} items are not finite (first: {ids[broken][0]}); "
                    f"encode them again or mark them missing"
                )
            modalities[name] = Modality(np.where(present[:, None], values, np.float32(0)), present)
        columns: dict[str, NDArray[np.str_]] = {}
        for name, column in (categories or {}).items():
            filled = np.asarray(["" if value is None else str(value) for value in column], dtype=np.str_)
            if len(filled) != len(ids):
                raise ValueError(f"category {name!r} has {len(filled)} values for {len(ids)} items")
            columns[name] = filled
        return cls(ids, modalities, columns)

    def rows(self, item_ids: NDArray[np.str_]) -> NDArray[np.int64]:
        """Rows of `item_ids` here. Raises KeyError naming the first item that has no features."""
        found = lookup(self.item_ids, item_ids)
        if (found < 0).any():
            unknown = str(item_ids[found < 0][0])
            raise KeyError(f"no features for item {unknown!r}; encode the catalog before using it here")
        return found

    def take(self, rows: NDArray[np.integer]) -> ItemFeatures:
        """The features of `rows`, in that order (which the caller keeps sorted)."""
        return ItemFeatures(
            self.item_ids[rows],
            {name: Modality(m.values[rows], m.present[rows]) for name, m in self.modalities.items()},
            {name: values[rows] for name, values in self.categories.items()},
        )


def lookup(vocabulary: NDArray[np.str_], values: NDArray[np.str_]) -> NDArray[np.int64]:
    """int64 (n,): the place of every value in the sorted `vocabulary`, -1 where it is not in it."""
    if len(vocabulary) == 0:
        return np.full(len(values), -1, np.int64)
    places = np.minimum(np.searchsorted(vocabulary, values), len(vocabulary) - 1)
    return np.where(vocabulary[places] == values, places, -1).astype(np.int64)


def category_vocabulary(values: NDArray[np.str_]) -> NDArray[np.str_]:
    """The sorted values that get a code; codes start at 1, and 0 stands for '' and for values unknown to training."""
    known = np.unique(values)
    return known[known != ""]
