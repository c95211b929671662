"""What is known at one moment of which items go together: counts of baskets, and features of pairs made of them.

Belongs here: counting what lies before a moment, and the features of (given items, candidate). Does not belong here:
weighing the features (`compatibility.py`).

The features back off from the item to what is known of its like: counts of the two items, of their families, of the
items whose photos and texts are closest to either, and lifts of their types, sections, colours and so on. So a cold
item has features too. The lift of two values is the logarithm of how often baskets have both, over how often they would
if values met by chance, with `_PRIOR` added to both: pointwise mutual information (Church and Hanks, 1990), shrunk.
Counts of items given together are summed, lifts and cosines averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.recommendations.outfits.baskets import DAY, Baskets, baskets_of, grouped, pair_counts
from fashionrec_assets.recommendations.outfits.wardrobe import ATTRIBUTES, Wardrobe

POPULARITY: tuple[str, ...] = ("popular on the last day", "popular lately", "looked at lately", "never had before")
COUNTS: tuple[str, ...] = (
    "had with the item",
    "had with the item, for its popularity",
    "families had together",
    "neighbours had together",
    "visited together",
)
LIFTS: tuple[str, ...] = tuple(f"{attribute} pairs" for attribute in ATTRIBUTES)
COSINES: tuple[str, ...] = ("photos alike", "texts alike")
FEATURES: tuple[str, ...] = (*POPULARITY, *COUNTS, *LIFTS, *COSINES)

_PHOTO, _TEXT = len(FEATURES) - 2, len(FEATURES) - 1
_PRIOR = 5.0
_SHRINK = 2.0
"""Baskets without a partner added to what an item was had in: a share that rests on one basket is no share."""
_SCALE = 100.0
_HALF_LIFE_DAYS = 2.0
_NEIGHBOURS = 10
_BLOCK = 512
_PAIRS = 1024
"""Pairs whose vectors are gathered at a time: as many as stay in the processor's cache."""


@dataclass(frozen=True)
class Affinity:
    """What baskets before `as_of` (UTC seconds) say about `wardrobe`; build it with `of`.

    `together` (n, n): baskets that have both items, `had` (n,): that have the item. `shares`: for each of `COUNTS` a
    sparse (n, n) with ascending columns, of which a feature is log(1 + `_SCALE` times the sum over the given items of a
    row). `lifts`: for each attribute float32 (a, a). `popularity` float32 (n, 4). `type_baskets` (t,) and `type_pairs`
    (t, t): of the baskets with several designs, `several` in number, those that have the type, or both.
    """

    wardrobe: Wardrobe
    as_of: int
    baskets: Baskets
    together: sparse.csr_array
    had: NDArray[np.float32]
    shares: tuple[sparse.csr_array, ...]
    lifts: tuple[NDArray[np.float32], ...]
    popularity: NDArray[np.float32]
    type_baskets: NDArray[np.int64]
    type_pairs: NDArray[np.int64]
    several: int

    @classmethod
    def of(
        cls,
        log: EventLog,
        wardrobe: Wardrobe,
        behaviours: tuple[str, ...],
        *,
        as_of: int,
        neighbours: sparse.csr_array | None = None,
    ) -> Affinity:
        """From the events before `as_of`; later ones are not looked at. `neighbours` saves `content_neighbours`."""
        history = log.between(None, as_of)
        baskets = baskets_of(history, behaviours)
        n, matrix = len(wardrobe), baskets.matrix
        together, had = pair_counts(matrix), np.asarray(matrix.sum(axis=0), dtype=np.float32)
        families = grouped(baskets, wardrobe.families, int(wardrobe.families.max(initial=-1)) + 1)
        share = _conditional(together, had)
        near = content_neighbours(wardrobe) if neighbours is None else neighbours
        visited = _visits(history, behaviours)
        shares = (
            sparse.csr_array(together / np.float32(_SCALE)),
            _cosine(together, had),
            _spread(
                _conditional(pair_counts(families), np.asarray(families.sum(axis=0), np.float32)), wardrobe.families
            ),
            _sorted(sparse.csr_array(near @ share + share @ near.T)),
            visited if visited is not None else sparse.csr_array((n, n), dtype=np.float32),
        )
        mixed = baskets.select(baskets.several(wardrobe.families))
        types = wardrobe.column("type")
        incidence = grouped(mixed, types, len(wardrobe.values[ATTRIBUTES.index("type")]))
        lifts = tuple(
            _lift(mixed, wardrobe.attributes[:, column], len(words)) for column, words in enumerate(wardrobe.values)
        )
        return cls(
            wardrobe,
            as_of,
            baskets,
            together,
            had,
            shares,
            lifts,
            _popularity(history, baskets, as_of, n),
            np.asarray(incidence.sum(axis=0)).astype(np.int64),
            (incidence.T @ incidence).toarray().astype(np.int64),
            len(mixed),
        )

    def block(
        self, given: sparse.csr_array, used: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Each of `FEATURES` that is `used` bool (F,), by its position: float32 (q, n) or (1, n), of all items beside
        each row of `given` (q, n) of 0 and 1."""
        wanted = np.ones(len(FEATURES), dtype=bool) if used is None else used
        for column, popular in enumerate(self.popularity.T):
            if wanted[column]:
                yield column, popular[None, :]
        for column, share in enumerate(self.shares, len(POPULARITY)):
            if wanted[column]:
                counts = dense(given, share)
                counts *= np.float32(_SCALE)
                yield column, np.log1p(counts, out=counts)
        sizes = np.maximum(np.asarray(given.sum(axis=1), dtype=np.float32), np.float32(1))[:, None]
        for place, lift in enumerate(self.lifts):
            column = len(POPULARITY) + len(COUNTS) + place
            if wanted[column]:
                codes = self.wardrobe.attributes[:, place]
                means = (np.asarray(given @ lift[codes]) / sizes).astype(np.float32)
                yield column, np.take(means, codes, axis=1)
        for column, vectors in zip((_PHOTO, _TEXT), (self.wardrobe.image, self.wardrobe.text), strict=True):
            if wanted[column]:
                yield column, ((np.asarray(given @ vectors) / sizes) @ vectors.T).astype(np.float32)

    @cached_property
    def _keys(self) -> tuple[NDArray[np.int64], ...]:
        return tuple(keys_of(share) for share in self.shares)

    def pairs(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
        """The features (p, F) of item `second[k]` beside the one item `first[k]`: what `block` gives for them."""
        out = np.empty((len(first), len(FEATURES)), dtype=np.float32)
        column = len(POPULARITY)
        out[:, :column] = self.popularity[second]
        for share, keys in zip(self.shares, self._keys, strict=True):
            out[:, column] = np.log1p(entries(share, first, second, keys) * np.float32(_SCALE))
            column += 1
        for place, lift in enumerate(self.lifts):
            codes = np.ascontiguousarray(self.wardrobe.attributes[:, place])
            out[:, column] = lift[codes[first], codes[second]]
            column += 1
        for vectors in (self.wardrobe.image, self.wardrobe.text):
            for start in range(0, len(first), _PAIRS):
                part = slice(start, start + _PAIRS)
                out[part, column] = np.einsum("pd,pd->p", vectors[first[part]], vectors[second[part]])
            column += 1
        return out


def dense(rows: sparse.csr_array, matrix: sparse.csr_array) -> NDArray[np.float32]:
    """float32: the product of two sparse matrices, as a dense one."""
    return np.asarray(sparse.csr_array(rows @ matrix).toarray(), dtype=np.float32)


def _shape(matrix: sparse.csr_array) -> tuple[int, int]:
    return cast("tuple[int, int]", matrix.shape)


def entries(
    matrix: sparse.csr_array,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    keys: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """The entries (p,) of a sparse matrix with sorted indices, 0 where it has none; `keys` saves `keys_of`."""
    known = keys_of(matrix) if keys is None else keys
    wanted = rows * _shape(matrix)[1] + columns
    if not len(known):
        return np.zeros(len(wanted), dtype=np.float32)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, matrix.data[place], 0).astype(np.float32)


def keys_of(matrix: sparse.csr_array) -> NDArray[np.int64]:
    """int64: row times width plus column of each entry of a sparse matrix with sorted indices, ascending."""
    height, width = _shape(matrix)
    return np.repeat(np.arange(height, dtype=np.int64), np.diff(matrix.indptr)) * width + matrix.indices


def content_neighbours(wardrobe: Wardrobe) -> sparse.csr_array:
    """float32 (n, n): each item's `_NEIGHBOURS` closest of the same slot by the mean of both cosines, weights adding
    up to 1; ties go to the smaller row."""
    vectors = np.hstack([wardrobe.image, wardrobe.text]) / np.float32(np.sqrt(2))
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float32]] = []
    for slot in np.unique(wardrobe.slots):
        members = np.flatnonzero(wardrobe.slots == slot)
        keep = min(_NEIGHBOURS, len(members) - 1)
        for start in range(0, len(members), _BLOCK) if keep > 0 else ():
            own = members[start : start + _BLOCK]
            cosines = np.round(vectors[own] @ vectors[members].T, 4)
            cosines[np.arange(len(own)), start + np.arange(len(own))] = -np.inf
            best = np.argpartition(-cosines, keep - 1, axis=1)[:, :keep]
            found = np.maximum(np.take_along_axis(cosines, best, axis=1), 0)
            totals = found.sum(axis=1, keepdims=True)
            rows.append(np.repeat(own, keep))
            columns.append(members[best].ravel())
            weights.append(np.divide(found, totals, out=np.zeros_like(found), where=totals > 0).ravel())
    n = len(wardrobe)
    if not rows:
        return sparse.csr_array((n, n), dtype=np.float32)
    place = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array((np.concatenate(weights).astype(np.float32), place), shape=(n, n))


def _conditional(together: sparse.csr_array, had: NDArray[np.float32]) -> sparse.csr_array:
    """Of the baskets with the row's item, the share that has the column's; shrunk."""
    found = sparse.csr_array(together, dtype=np.float32, copy=True)
    found.data /= np.repeat(had + np.float32(_SHRINK), np.diff(found.indptr))
    return found


def _cosine(together: sparse.csr_array, had: NDArray[np.float32]) -> sparse.csr_array:
    """Baskets with both over the geometric mean of those with either; shrunk."""
    found = sparse.csr_array(together, dtype=np.float32, copy=True)
    found.data /= np.sqrt(np.repeat(had, np.diff(found.indptr)) * had[found.indices]) + np.float32(_SHRINK)
    return found


def _spread(of_groups: sparse.csr_array, groups: NDArray[np.int64]) -> sparse.csr_array:
    """A matrix of groups (g, g) as one of their members (n, n)."""
    n = len(groups)
    member = sparse.csr_array((np.ones(n, np.float32), (np.arange(n), groups)), shape=(n, _shape(of_groups)[0]))
    return _sorted(sparse.csr_array(member @ of_groups @ member.T))


def _sorted(matrix: sparse.csr_array) -> sparse.csr_array:
    """`matrix` with the columns of each row ascending, as `entries` needs it."""
    matrix.sort_indices()
    return matrix


def _visits(history: EventLog, behaviours: tuple[str, ...]) -> sparse.csr_array | None:
    """Shares as in `_conditional`, of all that a person turned to on one day; None where that is what baskets are."""
    positions = [BEHAVIOURS.index(behaviour) for behaviour in behaviours]
    if bool(np.isin(history.behaviours, positions).all()):
        return None
    visits = baskets_of(history, BEHAVIOURS)
    return _conditional(pair_counts(visits.matrix), np.asarray(visits.matrix.sum(axis=0), dtype=np.float32))


def value_pairs(baskets: Baskets, codes: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """(size, size): pairs of different items of one basket by their values; a pair of a basket with k items counts
    1 / (k - 1), so that each item counts once."""
    counts = np.diff(baskets.offsets).astype(np.float64)
    ones = np.ones(len(baskets.items))
    by_value = sparse.csr_array((ones, (baskets.owner, codes[baskets.items])), shape=(len(baskets), size))
    by_value.sum_duplicates()
    weighted = sparse.csr_array(sparse.diags_array(1 / np.maximum(counts - 1, 1)) @ by_value)
    pairs = (weighted.T @ by_value).toarray()
    pairs[np.arange(size), np.arange(size)] -= np.asarray(weighted.sum(axis=0)).ravel()
    return np.maximum(pairs, 0)


def _lift(baskets: Baskets, codes: NDArray[np.int32], size: int) -> NDArray[np.float32]:
    """(size, size): the lift of two values."""
    pairs = value_pairs(baskets, codes, size)
    single = pairs.sum(axis=1)
    expected = np.outer(single, single) / max(single.sum(), 1.0)
    lift = np.log((pairs + _PRIOR) / (expected + _PRIOR))
    # An unknown value goes with everything.
    lift[0, :] = lift[:, 0] = 0
    return lift.astype(np.float32)


def _popularity(history: EventLog, baskets: Baskets, as_of: int, n: int) -> NDArray[np.float32]:
    """float32 (n, 4), see `POPULARITY`: logarithms of how often people had or turned to an item, newer days first."""

    def decayed(days: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.float64]:
        ages = (as_of - 1) // DAY - days
        return np.bincount(items, weights=0.5 ** (ages / _HALF_LIFE_DAYS), minlength=n).astype(np.float64)

    days = baskets.days[baskets.owner]
    last = np.bincount(baskets.items[days == (as_of - 1) // DAY], minlength=n)
    touched = np.unique(
        np.stack([history.times // DAY, history.users.astype(np.int64), history.items.astype(np.int64)]), axis=1
    )
    seen = np.bincount(baskets.items, minlength=n)
    columns = [
        np.log1p(last),
        np.log1p(decayed(days, baskets.items)),
        np.log1p(decayed(touched[0], touched[2])),
        (seen == 0).astype(np.float64),
    ]
    return np.stack(columns, axis=1).astype(np.float32)
