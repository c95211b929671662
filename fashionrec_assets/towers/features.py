"""What the towers read about items and users, as arrays.

Belongs here: the array forms, their checks, and what turns category values and numbers into codes. Does not belong
here: reading tables or vectors from storage (`reading.py` does), anything that is learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import ALWAYS

AGE_EDGES: tuple[float, ...] = (1, 2, 3, 5, 7, 14, 30, 60, 120, 240, 480)
"""Days on the shelf; the code of an age is 1 + its bucket."""
PRICE_BUCKETS = 16
DAY = 86_400


@dataclass(frozen=True)
class Modality:
    """One dense view of items or users: `values` float32 (n, d), and `present` bool (n,), false where there is none."""

    values: NDArray[np.float32]
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class ItemFeatures:
    """Features of n items in the order of `item_ids`, which is sorted and free of duplicates.

    `modalities`: name -> `Modality`; a missing row is replaced by a learned vector. `categories`: name -> str (n,), the
    values themselves ('' is unknown), because the model owns the codes: a value it never saw is unknown to it.
    `price`: float64 (n,), NaN where unknown, or None where the shop's prices may not be read. `launched_at`: int64 (n,)
    UTC seconds, `ALWAYS` where unknown, or None.
    """

    item_ids: NDArray[np.str_]
    modalities: Mapping[str, Modality] = field(default_factory=dict[str, Modality])
    categories: Mapping[str, NDArray[np.str_]] = field(default_factory=dict[str, "NDArray[np.str_]"])
    price: NDArray[np.float64] | None = None
    launched_at: NDArray[np.int64] | None = None

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
        price: NDArray[np.float64] | None = None,
        launched_at: NDArray[np.int64] | None = None,
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
        for name, numbers in (("price", price), ("launched_at", launched_at)):
            if numbers is not None and len(numbers) != len(ids):
                raise ValueError(f"{name} has {len(numbers)} values for {len(ids)} items")
        return cls(ids, modalities, columns, price, launched_at)

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
            None if self.price is None else self.price[rows],
            None if self.launched_at is None else self.launched_at[rows],
        )


@dataclass(frozen=True)
class UserProfiles:
    """What is known of users beside their events, in the order of the rows of an event log.

    `columns`: name -> str (n_users,), '' where unknown. The model owns the codes, as it does for items. `avatar`: image
    vectors (n_users, d) of the photos they show of themselves, or None where no user has one.
    """

    columns: Mapping[str, NDArray[np.str_]] = field(default_factory=dict[str, "NDArray[np.str_]"])
    avatar: Modality | None = None

    @classmethod
    def build(
        cls,
        *,
        gender: Sequence[str | None] | None = None,
        age: Sequence[int | None] | None = None,
        city: Sequence[str | None] | None = None,
        avatar: Modality | None = None,
    ) -> UserProfiles:
        """Profiles from columns of a users table; an age becomes its decade."""
        decades = None if age is None else [None if years is None else f"{years // 10 * 10}s" for years in age]
        given = {"gender": gender, "age": decades, "city": city}
        columns = {
            name: np.asarray(["" if value is None else str(value) for value in values], dtype=np.str_)
            for name, values in given.items()
            if values is not None
        }
        return cls(columns, avatar)

    def take(self, rows: NDArray[np.int64]) -> UserProfiles:
        """The profiles of `rows` (m,), which may repeat, in that order."""
        avatar = None if self.avatar is None else Modality(self.avatar.values[rows], self.avatar.present[rows])
        return UserProfiles({name: values[rows] for name, values in self.columns.items()}, avatar)


def price_edges(prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inner quantiles of the known `prices` (n,): edges of up to `PRICE_BUCKETS` buckets. Empty if none is known."""
    known = prices[np.isfinite(prices)]
    if not len(known):
        return np.zeros(0)
    return np.unique(np.quantile(known, np.linspace(0, 1, PRICE_BUCKETS + 1)[1:-1]))


def price_codes(prices: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """int64 (n,): 1 + the bucket of each price, 0 where it is unknown."""
    known = np.isfinite(prices)
    return np.where(known, 1 + np.searchsorted(edges, np.where(known, prices, 0), side="right"), 0).astype(np.int64)


def age_codes(since: NDArray[np.int64], cut: int) -> NDArray[np.int64]:
    """int64 (n,): 1 + the bucket of the age at `cut` (UTC seconds) of what is on the shelf `since` then.

    0 where that is unknown (`ALWAYS`) or not before the cut: a new item has no age that training could have seen.
    """
    known = (since != ALWAYS) & (since < cut)
    days = (cut - np.where(known, since, cut)) / DAY
    return np.where(known, 1 + np.searchsorted(np.asarray(AGE_EDGES), days, side="right"), 0).astype(np.int64)


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
