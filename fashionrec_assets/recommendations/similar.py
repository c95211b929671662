"""Similar items: what looks like an item, reads like it, or both, one per family of variants.

Belongs here: the lists, from candidates that FAISS finds, and which of them an edit of the catalog changes. Does not
belong here: vectors (embeddings), the index (`index`), the ledger that says which items were edited.

By `image` and by `text` the score of two items is the cosine of their vectors; an item without a photo has no list by
image and stands on none. By `both` it is `image_weight` times the one plus the rest times the other, or the text's
alone where either has no photo. Within a family (colour variants of one design) only the best variant is listed, and an
item's own family is left out. Ties go to the smaller item id.

Every score is a function of the two items alone, bit for bit (`cosines`), and a list is taken from FAISS only when
nothing that was not fetched could still belong to it; else more is fetched. While the index is exact (`flat_up_to`
items), `refresh` therefore equals a full recomputation. Beyond, FAISS searches a graph, and a list may miss what the
graph did not lead to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.index.building import build
from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.recommendations.cosines import SCALE, rounded_units
from fashionrec_assets.recommendations.diversity import places
from fashionrec_assets.recommendations.tables import BY, SIMILAR_ITEMS, arrow_schema
from fashionrec_assets.settings import IndexSettings, RecommendationSettings

Progress = Callable[[int, int], None]

_BLOCK_NUMBERS = 8_000_000
"""Numbers held at a time: about 32 MB for each of a handful of arrays, whatever the catalog's size."""

_FETCH = 4
"""So many times a list's length is fetched at first, and so many times more when that was not enough."""

_NOISE = 1e-5
"""More than FAISS's sums of float32 can be off, in units of a cosine."""


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

    @property
    def width(self) -> int:
        """Dimensions of both vectors together."""
        return max(1, self.image.shape[1] + self.text.shape[1])


def similar_items(
    items: SimilarityInput,
    settings: RecommendationSettings,
    *,
    index: IndexSettings | None = None,
    only: Collection[str] | None = None,
    each: Each | None = None,
    progress: Progress = _quiet,
) -> pa.Table:
    """`SIMILAR_ITEMS` rows of all items, or of those in `only`, sorted by (item_id, by, rank).

    Memory does not grow with the square of the catalog: items are taken in blocks, which `each`, if given, makes
    elsewhere. Raises KeyError if `only` names an item that is not in `items`.
    """
    anchors = np.arange(len(items)) if only is None else _rows(items, only)
    parts = [arrow_schema(SIMILAR_ITEMS).empty_table()]
    if len(anchors):
        lists = Lists(items, _Views.of(items, settings, index or IndexSettings()), settings)
        block = max(1, _BLOCK_NUMBERS // (_FETCH * settings.similar_size * items.width))
        blocks = [anchors[start : start + block] for start in range(0, len(anchors), block)]
        done = 0
        for rows, table in zip(blocks, each(lists, blocks) if each else map(lists.table, blocks), strict=True):
            parts.append(table)
            done += len(rows)
            progress(done, len(anchors))
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
    lists = {name: np.asarray(previous.column(name).to_pylist(), np.str_) for name in ("item_id", "by", "similar_id")}
    scores = np.asarray(previous.column("score").to_numpy(), np.float64)
    altered = np.asarray(sorted(set(changed)), np.str_)
    rows = np.flatnonzero(np.isin(ids, altered))
    hit = np.zeros(len(ids), bool)
    hit[rows] = True
    touched = np.isin(lists["similar_id"], altered) | ~np.isin(lists["similar_id"], ids)
    hit |= np.isin(ids, lists["item_id"][touched])
    bars = {by: _bar(ids, lists["item_id"][lists["by"] == by], scores[lists["by"] == by], settings) for by in BY}
    block = max(1, _BLOCK_NUMBERS // max(1, len(ids)))
    for start in range(0, len(rows), block):
        of_block = rows[start : start + block]
        own = items.families[of_block, None] == items.families[None, :]
        for by, values in _scores(items, of_block, settings).items():
            hit |= (~own & np.isfinite(values) & (values >= bars[by])).any(axis=0)
    return ids[hit]


def _bar(
    ids: NDArray[np.str_], owners: NDArray[np.str_], scores: NDArray[np.float64], settings: RecommendationSettings
) -> NDArray[np.float64]:
    """float64 (n,): the worst score that still makes each item's list; any score does while the list is not full."""
    place = np.searchsorted(ids, owners)
    place = np.where(place < len(ids), place, 0)
    kept = (ids[place] == owners) if len(ids) else np.zeros(len(owners), bool)
    full = np.bincount(place[kept], minlength=len(ids)) >= settings.similar_size
    worst = np.full(len(ids), np.inf)
    np.minimum.at(worst, place[kept], scores[kept])
    return np.where(full, worst, -np.inf)


def refresh(
    previous: pa.Table,
    items: SimilarityInput,
    changed: Collection[str],
    settings: RecommendationSettings,
    *,
    index: IndexSettings | None = None,
    each: Each | None = None,
    progress: Progress = _quiet,
) -> tuple[pa.Table, NDArray[np.str_]]:
    """`previous` brought up to date, and the ids of the items whose rows were computed again.

    The table equals `similar_items(items, settings)` while the index is exact. Arguments and conditions are those of
    `affected`.
    """
    again = affected(previous, items, changed, settings)
    owners = np.asarray(previous.column("item_id").to_pylist(), np.str_)
    stays = np.isin(owners, items.ids) & ~np.isin(owners, again)
    fresh = similar_items(items, settings, index=index, only=again.tolist(), each=each, progress=progress)
    merged = pa.concat_tables([previous.filter(pa.array(stays)).cast(fresh.schema), fresh])
    return merged.sort_by([(name, "ascending") for name in SIMILAR_ITEMS.key]).combine_chunks(), again


def _rows(items: SimilarityInput, ids: Collection[str]) -> NDArray[np.int64]:
    """The rows of `ids`, ascending."""
    wanted = np.asarray(sorted(set(ids)), np.str_)
    missing = wanted[~np.isin(wanted, items.ids)]
    if len(missing):
        raise KeyError(f"no item {missing[0]} among the {len(items)} items ({len(missing)} unknown in all)")
    return np.searchsorted(items.ids, wanted).astype(np.int64)


def _scores(
    items: SimilarityInput, rows: NDArray[np.int64], settings: RecommendationSettings
) -> dict[str, NDArray[np.float32]]:
    """For each way of comparing, the score of `rows` (m,) with every item, float32 (m, n); -inf where there is none."""
    image: NDArray[np.float32] = np.matmul(items.image[rows], items.image.T, dtype=np.float32)
    text: NDArray[np.float32] = np.matmul(items.text[rows], items.text.T, dtype=np.float32)
    return _combined(image / SCALE, text / SCALE, items.has_image[rows, None] & items.has_image, settings)


def _combined(
    image: NDArray[np.float32], text: NDArray[np.float32], pictured: NDArray[np.bool_], settings: RecommendationSettings
) -> dict[str, NDArray[np.float32]]:
    """The scores of pairs by each way of comparing, from both cosines and whether both items have a photo."""
    both = (image - text) * np.where(pictured, np.float32(settings.image_weight), np.float32(0)) + text
    return {"both": both, "image": np.where(pictured, image, np.float32(-np.inf)), "text": text}


@dataclass(frozen=True)
class _View:
    """Some items as FAISS holds them: `rows` int64 (m,), ascending, are the items, `vectors` (n, d) those of all."""

    index: ItemIndex
    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]

    @classmethod
    def of(
        cls, items: SimilarityInput, rows: NDArray[np.int64], vectors: NDArray[np.float32], settings: IndexSettings
    ) -> _View | None:
        if len(rows) == 0:
            return None
        return cls(build(items.ids[rows], vectors[rows], settings), rows, vectors)

    def search(
        self, anchors: NDArray[np.int64], size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
        """Items int64 (m, c) that come closest, which of them are there, and float64 (m,): no item that is not among
        them scores more."""
        count = min(size, len(self.rows))
        found, scores = self.index.search(self.vectors[anchors], count)
        floor = np.full(len(anchors), -np.inf) if count == len(self.rows) else scores[:, -1] / np.float64(SCALE)
        return self.rows[np.maximum(found, 0)], found >= 0, floor


@dataclass(frozen=True)
class _Views:
    """What FAISS searches: all items by text, those with a photo by image and by both, the others by text."""

    text: _View | None
    image: _View | None
    both: _View | None
    pictureless: _View | None

    @classmethod
    def of(cls, items: SimilarityInput, settings: RecommendationSettings, index: IndexSettings) -> _Views:
        weight = np.float32(settings.image_weight)
        joint = np.concatenate([np.sqrt(weight) * items.image, np.sqrt(1 - weight) * items.text], axis=1)
        pictured = np.flatnonzero(items.has_image)
        return cls(
            _View.of(items, np.arange(len(items)), items.text, index),
            _View.of(items, pictured, items.image, index),
            _View.of(items, pictured, joint, index),
            _View.of(items, np.flatnonzero(~items.has_image), items.text, index),
        )

    def searched(self, by: str, pictured: bool) -> list[_View]:
        """Where candidates of an item, with a photo or without, are looked for; nowhere if it has no such list."""
        if by == "image":
            views = [self.image] if pictured else []
        elif by == "text" or not pictured:
            views = [self.text]
        else:
            views = [self.both, self.pictureless]
        return [view for view in views if view is not None]


@dataclass(frozen=True)
class Lists:
    """What makes the lists of any items; it can be sent to another process before its first list."""

    items: SimilarityInput
    views: _Views
    settings: RecommendationSettings

    def table(self, rows: NDArray[np.int64]) -> pa.Table:
        """`SIMILAR_ITEMS` rows of the items at `rows` int64 (m,), ascending; sorted by (item_id, by, rank)."""
        return _block(self.items, rows, self.views, self.settings)


Each = Callable[[Lists, Sequence[NDArray[np.int64]]], Iterable[pa.Table]]
"""(what makes lists, blocks of item rows) -> the table of each block, in their order."""


def _block(
    items: SimilarityInput, rows: NDArray[np.int64], views: _Views, settings: RecommendationSettings
) -> pa.Table:
    """The lists of `rows` (m,)."""
    anchors, ways, ranks, similar = [], [], [], []
    for way, by in enumerate(BY):
        for pictured in (True, False):
            of_kind = rows[items.has_image[rows] == pictured]
            where = views.searched(by, pictured)
            if len(of_kind) and where:
                owner, place, found = _lists(items, of_kind, by, where, settings)
                anchors.append(owner)
                ways.append(np.full(len(owner), way))
                ranks.append(place + 1)
                similar.append(found)
    if not anchors:
        return arrow_schema(SIMILAR_ITEMS).empty_table()
    owner, way, rank, other = map(np.concatenate, (anchors, ways, ranks, similar))
    order = np.lexsort((rank, way, owner))
    owner, way, rank, other = owner[order], way[order], rank[order], other[order]
    image, text, pictured = _pairs(items, owner, other[:, None])
    scores = np.stack([_combined(image, text, pictured, settings)[by][:, 0] for by in BY], axis=1)
    ids = pa.array(items.ids.tolist(), pa.string())
    columns = [
        ids.take(pa.array(owner)),
        pa.array(BY, pa.string()).take(pa.array(way)),
        pa.array(rank, pa.int32()),
        ids.take(pa.array(other)),
        pa.array(scores[np.arange(len(way)), way].astype(np.float64), pa.float64()),
        pa.array(image[:, 0].astype(np.float64), pa.float64(), mask=~pictured[:, 0]),
        pa.array(text[:, 0].astype(np.float64), pa.float64()),
    ]
    return pa.table(columns, schema=arrow_schema(SIMILAR_ITEMS))


def _pairs(
    items: SimilarityInput, anchors: NDArray[np.int64], others: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Image cosine, text cosine and whether both have a photo, of `anchors` (m,) with their `others` (m, c)."""
    image = np.matmul(items.image[others], items.image[anchors][:, :, None])[:, :, 0] / SCALE
    text = np.matmul(items.text[others], items.text[anchors][:, :, None])[:, :, 0] / SCALE
    return image, text, items.has_image[anchors, None] & items.has_image[others]


def _lists(
    items: SimilarityInput, anchors: NDArray[np.int64], by: str, views: list[_View], settings: RecommendationSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(anchor, place from 0, similar item) of the lists of `anchors` (m,), each int64 (r,)."""
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    size = _FETCH * settings.similar_size
    while len(anchors):
        unclear = []
        step = max(1, _BLOCK_NUMBERS // (size * items.width))
        for start in range(0, len(anchors), step):
            some = anchors[start : start + step]
            owner, place, similar, clear = _taken(items, some, by, views, size, settings)
            kept = clear[owner]
            found.append((some[owner[kept]], place[kept], similar[kept]))
            unclear.append(some[~clear])
        anchors = np.concatenate(unclear)
        size *= _FETCH
    owners, ranks, others = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return owners, ranks, others


def _taken(
    items: SimilarityInput,
    anchors: NDArray[np.int64],
    by: str,
    views: list[_View],
    size: int,
    settings: RecommendationSettings,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """(place in `anchors`, place in its list, similar item), each (r,), from the `size` nearest of each view; and bool
    (m,): the lists that nothing farther away could change."""
    parts = [view.search(anchors, size) for view in views]
    other = np.concatenate([part[0] for part in parts], axis=1)
    there = np.concatenate([part[1] for part in parts], axis=1)
    floor = np.maximum.reduce([part[2] for part in parts])
    scores = _combined(*_pairs(items, anchors, other), settings)[by]
    line, column = np.nonzero(there & (items.families[other] != items.families[anchors, None]))
    item, score = other[line, column], scores[line, column]
    # The best variant of each family, then the best families.
    order = np.lexsort((item, -score, items.families[item], line))
    order = order[places(line[order] * len(items) + items.families[item][order]) == 0]
    order = order[np.lexsort((item[order], -score[order], line[order]))]
    place = places(line[order])
    order, place = order[place < settings.similar_size], place[place < settings.similar_size]
    worst = np.full(len(anchors), -np.inf)
    last = place == settings.similar_size - 1
    worst[line[order[last]]] = score[order[last]]
    return line[order], place, item[order], (floor == -np.inf) | (worst > floor + _NOISE)
