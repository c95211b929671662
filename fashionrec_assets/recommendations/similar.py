"""Similar items: what looks and reads most like an item, one per family of variants.

Belongs here: the exact computation by blocks of items, and which rows an edit of the catalog changes. Does not belong
here: vectors (embeddings), the ledger that says which items were edited.

The score of two items is `image_weight` times the cosine of their image vectors plus the rest times the cosine of their
text vectors, or the latter alone where either has no photo. Within a family (colour variants of one design) only the
best variant is listed, and an item's own family is left out. Ties go to the smaller item id. Every score is a function
of the two items alone, bit for bit (`cosines`), which is what makes `refresh` equal a full recomputation.

The work is n² d / 10^11 seconds or so on one core: seconds for 20,000 items, an hour for a million.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.recommendations.cosines import SCALE, rounded_units
from fashionrec_assets.recommendations.tables import SIMILAR_ITEMS, arrow_schema
from fashionrec_assets.settings import RecommendationSettings

Progress = Callable[[int, int], None]

_BLOCK_CELLS = 8_000_000
"""Scores held at a time: about 32 MB for each of a handful of arrays, whatever the catalog's size."""

_SLACK = 8
"""Families kept beyond the list's length, so that ties at its end are broken by item id."""


def _quiet(done: int, total: int) -> None:
    """A progress listener that does not listen."""


@dataclass(frozen=True)
class SimilarityInput:
    """The catalog as similarity sees it; build it with `of`.

    `ids` (n,) sorted. `image`, `text`: float32 (n, d), rounded by `cosines.rounded_units`. `has_image`: bool (n,).
    `families`: int64 (n,), equal for variants of one design. All in the order of `ids`.
    """

    ids: NDArray[np.str_]
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    has_image: NDArray[np.bool_]
    families: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        ids: NDArray[np.str_],
        image: NDArray[np.float32],
        has_image: NDArray[np.bool_],
        text: NDArray[np.float32],
        families: Collection[str | None],
    ) -> SimilarityInput:
        """From columns in any order. `image` (n, d1) and `text` (n, d2) need not be normalised.

        A family of None or '' is the item alone. An image vector of zeros counts as none. Image rows without
        `has_image` are not read, and may be NaN. Raises ValueError if lengths differ, ids repeat, or a vector that
        is read is not finite.
        """
        n = len(ids)
        if not (len(image) == len(text) == len(has_image) == len(families) == n):
            raise ValueError(
                f"{n} ids, {len(image)} image and {len(text)} text vectors, {len(has_image)} flags and "
                f"{len(families)} families"
            )
        order = np.argsort(np.asarray(ids, np.str_), kind="stable")
        sorted_ids = np.asarray(ids, np.str_)[order]
        if n > 1 and bool(np.any(sorted_ids[1:] == sorted_ids[:-1])):
            raise ValueError("item ids repeat")
        seen = np.asarray(has_image, bool)[order]
        pictures = np.where(seen[:, None], np.asarray(image, np.float32)[order], np.float32(0))
        rounded = rounded_units(pictures)
        # Prefixes keep a family called like an item apart from that item's own family of one.
        names = np.array(["f" + f if f else "" for f in families], dtype=np.str_)[order]
        names = np.where(names == "", np.char.add("i", sorted_ids), names) if n else names
        _, codes = np.unique(names, return_inverse=True)
        text_rounded = rounded_units(np.asarray(text, np.float32)[order])
        return cls(sorted_ids, rounded, text_rounded, seen & rounded.any(axis=1), codes.astype(np.int64))

    def __len__(self) -> int:
        return len(self.ids)


def similar_items(
    items: SimilarityInput,
    settings: RecommendationSettings,
    *,
    only: Collection[str] | None = None,
    progress: Progress = _quiet,
) -> pa.Table:
    """`SIMILAR_ITEMS` rows of all items, or of those in `only`, sorted by (item_id, rank).

    Memory does not grow with the square of the catalog: items are taken in blocks. Raises KeyError if `only` names an
    item that is not in `items`.
    """
    anchors = np.arange(len(items)) if only is None else _rows(items, only)
    by_family = np.argsort(items.families, kind="stable")
    starts = np.flatnonzero(np.diff(items.families[by_family], prepend=-1)) if len(items) else np.empty(0, np.int64)
    sizes = np.diff(starts, append=len(items))
    block = max(1, _BLOCK_CELLS // max(1, len(items)))
    parts = [arrow_schema(SIMILAR_ITEMS).empty_table()]
    for start in range(0, len(anchors), block):
        rows = anchors[start : start + block]
        parts.append(_block(items, rows, by_family, starts, sizes, settings))
        progress(min(start + block, len(anchors)), len(anchors))
    return pa.concat_tables(parts).combine_chunks()


def affected(
    previous: pa.Table, items: SimilarityInput, changed: Collection[str], settings: RecommendationSettings
) -> NDArray[np.str_]:
    """The items, sorted, whose rows an edit of the catalog may have changed; all others keep theirs exactly.

    `previous`: the table before the edit, made with the same settings. `items`: the catalog after it. `changed`: the
    items that are new or whose image vector, text vector or family is not what `previous` was made from; removed items
    are seen from `previous`, and ids in `changed` that are not in `items` count as removed. Affected are the changed
    items, the items whose list names a changed or removed one, and those whose list a changed item is now good enough
    for.
    """
    ids = items.ids
    listed = np.asarray(previous.column("similar_id").to_pylist(), np.str_)
    owners = np.asarray(previous.column("item_id").to_pylist(), np.str_)
    scores = np.asarray(previous.column("score").to_numpy(), np.float64)
    altered = np.asarray(sorted(set(changed)), np.str_)
    anew = altered[np.isin(altered, ids)]
    hit = np.isin(ids, anew)
    touched = owners[np.isin(listed, altered) | ~np.isin(listed, ids)]
    hit |= np.isin(ids, touched)
    # The worst score that still makes an item's list; any score does while the list is not full.
    bar = np.full(len(ids), -np.inf)
    place = np.searchsorted(ids, owners)
    place = np.where(place < len(ids), place, 0)
    kept = (ids[place] == owners) if len(ids) else np.zeros(len(owners), bool)
    full = np.bincount(place[kept], minlength=len(ids)) >= settings.similar_size
    worst = np.full(len(ids), np.inf)
    np.minimum.at(worst, place[kept], scores[kept])
    bar[full] = worst[full]
    rows = np.flatnonzero(np.isin(ids, anew))
    block = max(1, _BLOCK_CELLS // max(1, len(ids)))
    for start in range(0, len(rows), block):
        of_block = rows[start : start + block]
        combined, _, _ = _scores(items, of_block, settings)
        combined[items.families[of_block, None] == items.families[None, :]] = -np.inf
        hit |= combined.max(axis=0) >= bar
    return ids[hit]


def refresh(
    previous: pa.Table,
    items: SimilarityInput,
    changed: Collection[str],
    settings: RecommendationSettings,
    *,
    progress: Progress = _quiet,
) -> tuple[pa.Table, NDArray[np.str_]]:
    """`previous` brought up to date, and the ids of the items whose rows were computed again.

    The table equals `similar_items(items, settings)`. Arguments and conditions are those of `affected`.
    """
    again = affected(previous, items, changed, settings)
    owners = np.asarray(previous.column("item_id").to_pylist(), np.str_)
    stays = np.isin(owners, items.ids) & ~np.isin(owners, again)
    fresh = similar_items(items, settings, only=again.tolist(), progress=progress)
    merged = pa.concat_tables([previous.filter(pa.array(stays)).cast(fresh.schema), fresh])
    return merged.sort_by([("item_id", "ascending"), ("rank", "ascending")]).combine_chunks(), again


def _rows(items: SimilarityInput, ids: Collection[str]) -> NDArray[np.int64]:
    """The rows of `ids`, ascending."""
    wanted = np.asarray(sorted(set(ids)), np.str_)
    missing = wanted[~np.isin(wanted, items.ids)]
    if len(missing):
        raise KeyError(f"no item {missing[0]} among the {len(items)} items ({len(missing)} unknown in all)")
    return np.searchsorted(items.ids, wanted).astype(np.int64)


def _scores(
    items: SimilarityInput, rows: NDArray[np.int64], settings: RecommendationSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Score, image cosine and text cosine of `rows` (m,) with every item, each float32 (m, n)."""
    image: NDArray[np.float32] = np.matmul(items.image[rows], items.image.T, dtype=np.float32)
    image /= SCALE
    text: NDArray[np.float32] = np.matmul(items.text[rows], items.text.T, dtype=np.float32)
    text /= SCALE
    both = items.has_image[rows, None] & items.has_image
    combined = np.subtract(image, text)
    combined *= np.where(both, np.float32(settings.image_weight), np.float32(0))
    combined += text
    return combined, image, text


def _block(
    items: SimilarityInput,
    rows: NDArray[np.int64],
    by_family: NDArray[np.int64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    settings: RecommendationSettings,
) -> pa.Table:
    """The lists of `rows` (m,). Family f's members are `by_family[starts[f] : starts[f] + sizes[f]]`, by row."""
    m, k = len(rows), settings.similar_size
    combined, image, text = _scores(items, rows, settings)
    best = np.maximum.reduceat(combined[:, by_family], starts, axis=1)
    best[np.arange(m), items.families[rows]] = -np.inf
    keep = min(best.shape[1], k + _SLACK)
    chosen = np.argpartition(-best, keep - 1, axis=1)[:, :keep]
    unclear = np.empty(0, np.int64)
    if keep < best.shape[1]:
        # Where the list's last score is also the last one kept, equals of it may have been left behind.
        ranked = np.sort(np.take_along_axis(best, chosen, axis=1), axis=1)
        unclear = np.flatnonzero(ranked[:, keep - k] == ranked[:, 0])
    similar = np.empty((m, min(k, keep)), np.int64)
    clear = np.setdiff1d(np.arange(m), unclear)
    similar[clear] = _ordered(combined, best, clear, chosen[clear], by_family, starts, sizes)[:, :k]
    for anchor in unclear:
        everything = np.arange(best.shape[1])[None, :]
        similar[anchor] = _ordered(combined, best, np.array([anchor]), everything, by_family, starts, sizes)[0, :k]
    line = np.arange(m)[:, None]
    own = items.families[similar] == items.families[rows, None]
    pictured = items.has_image[similar] & items.has_image[rows, None]
    ranks = np.broadcast_to(np.arange(1, similar.shape[1] + 1), similar.shape)
    there = ~own.ravel()
    owners = np.broadcast_to(rows[:, None], similar.shape)
    columns = [
        pa.array(items.ids[owners.ravel()[there]].tolist(), pa.string()),
        pa.array(ranks.ravel()[there], pa.int32()),
        pa.array(items.ids[similar.ravel()[there]].tolist(), pa.string()),
        pa.array(combined[line, similar].ravel()[there].astype(np.float64), pa.float64()),
        pa.array(image[line, similar].ravel()[there].astype(np.float64), pa.float64(), mask=~pictured.ravel()[there]),
        pa.array(text[line, similar].ravel()[there].astype(np.float64), pa.float64()),
    ]
    return pa.table(columns, schema=arrow_schema(SIMILAR_ITEMS))


def _ordered(
    combined: NDArray[np.float32],
    best: NDArray[np.float32],
    anchors: NDArray[np.int64],
    chosen: NDArray[np.int64],
    by_family: NDArray[np.int64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> NDArray[np.int64]:
    """For each of `anchors` (a,): the best item of each of its `chosen` (a, c) families, best first, ties by row."""
    if chosen.size == 0:
        return np.empty(chosen.shape, np.int64)
    flat = chosen.ravel()
    length = sizes[flat]
    ends = np.cumsum(length)
    member = by_family[np.arange(ends[-1]) - np.repeat(ends - length - starts[flat], length)]
    anchor = np.repeat(np.repeat(anchors, chosen.shape[1]), length)
    target = np.maximum.reduceat(combined[anchor, member], ends - length)
    is_best = combined[anchor, member] == np.repeat(target, length)
    first = np.minimum.reduceat(np.where(is_best, member, np.iinfo(np.int64).max), ends - length).reshape(chosen.shape)
    value = np.take_along_axis(best[anchors], chosen, axis=1)
    order = np.lexsort((first, -value), axis=1)
    return cast("NDArray[np.int64]", np.take_along_axis(first, order, axis=1))
