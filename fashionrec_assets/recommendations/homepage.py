"""The homepage: the items each user is shown, with the events each rests on.

Belongs here: candidates from the index, what is left out, the evidence and the sentence made of it, and the page of
users about whom nothing is known. Does not belong here: the vectors (towers), popularity (`popular.py`).

What is left out: items the user bought (unless `repeat_purchases`). Items they looked at, saved or put in the cart but
did not buy may come back, as shops do, unless `show_seen` is off; such a row says that they have seen it.

What a row rests on: of the user's own events that the model read, those on the items closest to the shown one in the
model's item space, by cosine; below `evidence_similarity` an item is no evidence. A row without any says so. Everything
but the score is thereby a statement about the log that can be looked up there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.index.vectors_index import ItemIndex
from fashionrec_assets.recommendations.cosines import SCALE, rounded_units
from fashionrec_assets.recommendations.tables import HOMEPAGE, arrow_schema
from fashionrec_assets.settings import RecommendationSettings

Progress = Callable[[int, int], None]

Rank = Callable[[NDArray[np.int64], Sequence[NDArray[np.int64]], int], tuple[NDArray[np.int64], NDArray[np.float32]]]
"""(user rows (u,), item rows hidden from each, size) -> item rows int64 (u, size), -1 for none, and float32 scores."""

_VERBS = {"pv": ("viewed ", ""), "fav": ("saved ", ""), "cart": ("put ", " in your cart"), "buy": ("bought ", "")}
"""What comes before and after the items of a behaviour in a sentence about the user."""

NO_EVIDENCE = "Chosen from your activity as a whole; no single item of it stands out."
_BUY = BEHAVIOURS.index("buy")
_EVIDENCE_TYPES = (pa.string(), pa.string(), pa.timestamp("us"), pa.float64())
_TITLE_CHARS = 60
_BLOCK_USERS = 2_000
_BLOCK_NUMBERS = 16_000_000
"""Vector components gathered at a time (64 MB)."""

_SLACK = 8
"""Candidates beyond the page's length, so that the order and the cut do not depend on how FAISS batched the query."""


def _quiet(done: int, total: int) -> None:
    """A progress listener that does not listen."""


@dataclass(frozen=True)
class ItemSpace:
    """The items that may be shown, in the order of the index: row r of everything is `index.ids[r]`.

    `vectors`: float32 (n, d), what the index was built over. `titles`: (n,), '' where an item has none.
    """

    index: ItemIndex
    vectors: NDArray[np.float32]
    titles: Sequence[str]

    def __post_init__(self) -> None:
        expected = (len(self.index), self.index.config.dim)
        if self.vectors.shape != expected or len(self.titles) != expected[0]:
            raise ValueError(
                f"the index is over {expected} vectors; given are {self.vectors.shape} and {len(self.titles)} titles"
            )


@dataclass(frozen=True)
class _History:
    """Per user of a block, the different items they had events on: `[offsets[u], offsets[u + 1])` of the arrays.

    `items` int64: rows of the index. `behaviours` int8: the furthest along the funnel. `times` int64: the last time of
    that behaviour.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    behaviours: NDArray[np.int8]
    times: NDArray[np.int64]


def homepage(
    space: ItemSpace,
    user_vectors: NDArray[np.float32],
    log: EventLog,
    popular: pa.Table,
    settings: RecommendationSettings,
    *,
    rank: Rank | None = None,
    only: NDArray[np.int64] | None = None,
    evidence_events: int | None = None,
    progress: Progress = _quiet,
) -> pa.Table:
    """`HOMEPAGE` rows of all users of `log`, or of the user rows in `only`, sorted by (user_id, rank).

    `user_vectors`: float32 (log.n_users, d), in the order of `log.user_ids`. A row of zeros, or with a NaN, is no
    usable vector, nor is that of a user without events: they get the `popular` items (`POPULAR_ITEMS`) they have not
    bought, marked as such. `rank` orders the items of everyone else (late fusion); without it the order is that of
    the index. `evidence_events`: how many of a user's last events the model read (all if None); older ones
    are no evidence, but what was ever bought is left out. A page is shorter than `homepage_size` only when the catalog
    has no more to show. A user's rows do not depend on which other users are computed with them.

    Raises ValueError if shapes do not fit.
    """
    if user_vectors.shape != (log.n_users, space.index.config.dim):
        raise ValueError(
            f"user_vectors is {user_vectors.shape}; the log has {log.n_users} users and the index "
            f"{space.index.config.dim} dimensions"
        )
    users = np.arange(log.n_users) if only is None else np.unique(np.asarray(only, np.int64))
    shop = _Shop.of(space, log, popular)
    parts = [arrow_schema(HOMEPAGE).empty_table()]
    for start in range(0, len(users), _BLOCK_USERS):
        block = users[start : start + _BLOCK_USERS]
        parts.append(_block(block, shop, user_vectors, settings, evidence_events, rank))
        progress(min(start + _BLOCK_USERS, len(users)), len(users))
    return pa.concat_tables(parts).combine_chunks()


def unknown_user_page(popular: pa.Table, settings: RecommendationSettings, user_id: str = "") -> pa.Table:
    """The page of a user who is not in the log, as `HOMEPAGE` rows: the most popular items, saying so."""
    page = np.arange(min(settings.homepage_size, len(popular)))
    return _popular_rows(np.full(len(page), user_id, dtype=object), page + 1, page, popular)


@dataclass(frozen=True)
class _Shop:
    """What every block of users reads. `units`: the item vectors, rounded by `cosines`. `names`: how a sentence calls
    an item. `known` (log.n_items,) and `popular_rows` (len(popular),): rows of the index, -1 where an item has none.
    `offsets`: of the log's users."""

    space: ItemSpace
    units: NDArray[np.float32]
    names: pa.Array
    log: EventLog
    offsets: NDArray[np.int64]
    known: NDArray[np.int64]
    popular: pa.Table
    popular_rows: NDArray[np.int64]

    @classmethod
    def of(cls, space: ItemSpace, log: EventLog, popular: pa.Table) -> _Shop:
        ids = space.index.ids
        return cls(
            space,
            rounded_units(space.vectors),
            _names(space),
            log,
            log.offsets(),
            _index_rows(ids, log.item_ids),
            popular,
            _index_rows(ids, np.asarray(popular.column("item_id").to_pylist(), np.str_)),
        )


def _block(
    users: NDArray[np.int64],
    shop: _Shop,
    user_vectors: NDArray[np.float32],
    settings: RecommendationSettings,
    evidence_events: int | None,
    rank: Rank | None,
) -> pa.Table:
    """The pages of `users` (rows of the log, ascending)."""
    vectors = np.asarray(user_vectors[users], np.float32)
    active = shop.offsets[users + 1] > shop.offsets[users]
    usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1) & active
    hidden = _hidden(_history(users, shop, None), settings)
    places = np.flatnonzero(usable)
    hide = [hidden[p] for p in places]
    source = "two_tower" if rank is None else "late_fusion"
    if rank is None:
        rows, scores = _ranked(shop.space, vectors[places], hide, settings.homepage_size)
    else:
        rows, scores = rank(users[places], hide, settings.homepage_size)
    recent = _history(users[places], shop, evidence_events)
    evidence, similarities = _evidence(shop.units, rows, recent, settings)
    personal = _personal_rows(shop, users[places], rows, scores, evidence, similarities, recent, source)

    owners, page, ranks = [], [], []
    for place in np.flatnonzero(~usable):
        open_to = (shop.popular_rows >= 0) & ~np.isin(shop.popular_rows, hidden[place])
        allowed = np.flatnonzero(open_to)[: settings.homepage_size]
        owners.append(np.full(len(allowed), str(shop.log.user_ids[users[place]]), dtype=object))
        page.append(allowed)
        ranks.append(np.arange(1, len(allowed) + 1))
    if not owners:
        return personal
    fallback = _popular_rows(np.concatenate(owners), np.concatenate(ranks), np.concatenate(page), shop.popular)
    together = pa.concat_tables([personal, fallback])
    return together.sort_by([("user_id", "ascending"), ("rank", "ascending")])


def _index_rows(index_ids: NDArray[np.str_], ids: NDArray[np.str_]) -> NDArray[np.int64]:
    """The row of each of `ids` (n,) among `index_ids`, -1 where it is not there."""
    if len(index_ids) == 0 or len(ids) == 0:
        return np.full(len(ids), -1, np.int64)
    order = np.argsort(index_ids, kind="stable")
    place = np.minimum(np.searchsorted(index_ids, ids, sorter=order), len(order) - 1)
    found = order[place]
    return np.where(index_ids[found] == ids, found, -1).astype(np.int64)


def _names(space: ItemSpace) -> pa.Array:
    """What each item is called in a sentence: its title, cut at a word, or its id."""
    names = []
    for item_id, title in zip(space.index.ids.tolist(), space.titles, strict=True):
        name = " ".join((title or "").split())
        if len(name) > _TITLE_CHARS:
            cut = name[:_TITLE_CHARS].rsplit(" ", 1)[0] if " " in name[:_TITLE_CHARS] else name[:_TITLE_CHARS]
            name = cut.rstrip(" ,;:-") + "…"
        names.append(f"“{name}”" if name else f"item {item_id}")
    return pa.array(names, pa.string())


def _history(users: NDArray[np.int64], shop: _Shop, last: int | None) -> _History:
    """The different items among the `last` events (all if None) of each of `users`, by row."""
    log = shop.log
    ends = shop.offsets[users + 1]
    starts = shop.offsets[users] if last is None else np.maximum(shop.offsets[users], ends - last)
    counts = ends - starts
    event = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    line = np.repeat(np.arange(len(users)), counts)[shop.known[log.items[event]] >= 0]
    event = event[shop.known[log.items[event]] >= 0]
    items = shop.known[log.items[event]]
    order = np.lexsort((-log.times[event], -log.behaviours[event], items, line))
    line, items, event = line[order], items[order], event[order]
    first = np.ones(len(line), bool)
    first[1:] = (line[1:] != line[:-1]) | (items[1:] != items[:-1])
    bounds = np.searchsorted(line[first], np.arange(len(users) + 1)).astype(np.int64)
    return _History(bounds, items[first], log.behaviours[event[first]], log.times[event[first]])


def _hidden(history: _History, settings: RecommendationSettings) -> list[NDArray[np.int64]]:
    """For each user, the rows they are not shown."""
    bought = history.behaviours == _BUY
    hide = np.where(bought, not settings.repeat_purchases, not settings.show_seen)
    kept = np.concatenate([[0], np.cumsum(hide)])
    return np.split(history.items[hide], kept[history.offsets[1:-1]])


def _ranked(
    space: ItemSpace, vectors: NDArray[np.float32], hidden: list[NDArray[np.int64]], size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows int64 (u, size), best first and -1 where there are no more, and their scores."""
    if len(vectors) == 0:
        return np.empty((0, size), np.int64), np.empty((0, size), np.float32)
    rows, _ = space.index.search(vectors, size + _SLACK, hidden)
    # Scored again pair by pair: a matrix product's last bits depend on the batch.
    scores = (space.vectors[rows] * vectors[:, None, :]).sum(axis=2)
    scores = np.where(rows >= 0, scores, -np.inf).astype(np.float32)
    order = np.lexsort((rows, -scores), axis=1)[:, :size]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _evidence(
    units: NDArray[np.float32], rows: NDArray[np.int64], history: _History, settings: RecommendationSettings
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For every shown row (u, k): the places in `history` of its e most similar items, -1 where there are none.

    Returns places int64 (u, k, e), best first, and cosines float32 of the same shape; e is `evidence_items`.
    """
    u, k = rows.shape
    size = settings.evidence_items
    places = np.full((u, k, size), -1, np.int64)
    cosines = np.zeros((u, k, size), np.float32)
    lengths = np.diff(history.offsets)
    # Users with equally long histories share a block, so that padding stays small.
    by_length = np.argsort(lengths, kind="stable")
    by_length = by_length[lengths[by_length] > 0]
    start = 0
    while start < len(by_length):
        stop = start + 1
        while stop < len(by_length):
            numbers = (stop + 1 - start) * int(lengths[by_length[stop]]) * max(units.shape[1], k)
            if numbers > _BLOCK_NUMBERS:
                break
            stop += 1
        who = by_length[start:stop]
        width = int(lengths[who[-1]])
        place = history.offsets[who, None] + np.arange(width)
        there = np.arange(width) < lengths[who, None]
        items = history.items[np.where(there, place, 0)]
        similarity = np.matmul(units[rows[who]], units[items].transpose(0, 2, 1)) / SCALE
        similarity = np.where(there[:, None, :], similarity, np.float32(-np.inf))
        best = np.argsort(-similarity, axis=2, kind="stable")[:, :, :size]
        value = np.take_along_axis(similarity, best, axis=2)
        found = (value >= settings.evidence_similarity) & (rows[who] >= 0)[:, :, None]
        width = best.shape[2]
        places[who, :, :width] = np.where(found, history.offsets[who, None, None] + best, -1)
        cosines[who, :, :width] = np.where(found, value, 0)
        start = stop
    return places, cosines


def _personal_rows(
    shop: _Shop,
    users: NDArray[np.int64],
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    evidence: NDArray[np.int64],
    similarities: NDArray[np.float32],
    history: _History,
    source: str,
) -> pa.Table:
    """Rows of `HOMEPAGE` that show the items `rows` (u, k) to `users` (u,), in that order."""
    u, k = rows.shape
    there = rows.ravel() >= 0
    owner, rank = np.divmod(np.flatnonzero(there), k)
    shown = rows.ravel()[there]
    cited, similarity = (
        evidence.reshape(u * k, evidence.shape[2])[there],
        similarities.reshape(u * k, evidence.shape[2])[there],
    )
    has = cited >= 0
    bounds = pa.array(np.concatenate([[0], np.cumsum(has.sum(axis=1))]), pa.int32())
    flat = cited[has]
    ids = pa.array(shop.space.index.ids.tolist(), pa.string())
    lists = [
        ids.take(pa.array(history.items[flat])),
        pa.array(BEHAVIOURS, pa.string()).take(pa.array(history.behaviours[flat])),
        pa.array(history.times[flat] * 1_000_000, pa.timestamp("us")),
        pa.array(similarity[has].astype(np.float64), pa.float64()),
    ]
    columns = [
        pa.array(shop.log.user_ids[users].tolist(), pa.string()).take(pa.array(owner)),
        pa.array(rank + 1, pa.int32()),
        ids.take(pa.array(shown)),
        pa.array(scores.ravel()[there].astype(np.float64), pa.float64()),
        pa.repeat(pa.scalar(source), len(shown)),
        _reasons(shown, cited, history, shop.names),
        *(pa.ListArray.from_arrays(bounds, values) for values in lists),
    ]
    return pa.table(columns, schema=arrow_schema(HOMEPAGE))


def _reasons(shown: NDArray[np.int64], cited: NDArray[np.int64], history: _History, names: pa.Array) -> pa.Array:
    """One sentence for each row shown (r,), from the places in `history` it cites (r, e), -1 for none.

    Rows that cite the same behaviours in the same order share a sentence pattern, which is filled in for all at once.
    """
    if len(shown) == 0:
        return pa.array([], pa.string())
    has = cited >= 0
    items = np.where(has, history.items[np.where(has, cited, 0)] if len(history.items) else 0, -1)
    behaviours = np.where(has, history.behaviours[np.where(has, cited, 0)] if len(history.items) else 0, -1)
    itself = items == shown[:, None]
    # A digit per citation: none 0, behaviour b 1 + b, and 5 more if it is the shown item itself.
    code = np.where(has, 1 + behaviours + 5 * itself, 0).astype(np.int64)
    pattern = code @ (10 ** np.arange(code.shape[1], dtype=np.int64))
    order = np.argsort(pattern, kind="stable")
    _, firsts = np.unique(pattern[order], return_index=True)
    sentences = []
    for group in np.split(order, firsts[1:]):
        digits = [int(digit) for digit in code[group[0]] if digit]
        cited_names = [names.take(pa.array(items[group, place])) for place in range(len(digits))]
        pieces = _pattern(digits, cited_names)
        sentence = pc.binary_join_element_wise(*pieces, "")  # pyright: ignore[reportAttributeAccessIssue]
        sentences.append(sentence if isinstance(sentence, pa.Array) else pa.repeat(sentence, len(group)))
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_arrays(sentences).take(pa.array(back))


def _pattern(digits: list[int], names: list[pa.Array]) -> list[pa.Array | str]:
    """The pieces of the sentence that cites `names`, the n-th with the code `digits[n]` of `_reasons`."""
    others = [(BEHAVIOURS[digit - 1], name) for digit, name in zip(digits, names, strict=True) if digit <= 5]
    itself = [BEHAVIOURS[digit - 6] for digit in digits if digit > 5]
    if itself:
        before, after = _VERBS[itself[0]]
        close = (
            [", and it is close to ", *_listed([[name] for _, name in others]), " from your history"] if others else []
        )
        return [f"You have {before}this{after} before", *close, "."]
    if not others:
        return [NO_EVIDENCE]
    clauses: list[list[pa.Array | str]] = []
    for behaviour in dict.fromkeys(behaviour for behaviour, _ in others):
        before, after = _VERBS[behaviour]
        clauses.append([before, *_listed([[name] for done, name in others if done == behaviour]), after])
    return ["Because you ", *_listed(clauses, comma=len(clauses) < len(others)), "."]


def _listed(parts: list[list[pa.Array | str]], *, comma: bool = False) -> list[pa.Array | str]:
    """ "a", "a and b", "a, b and c"; with `comma`, a comma before the "and" as well."""
    out: list[pa.Array | str] = []
    for number, part in enumerate(parts):
        if number:
            out.append((", and " if comma else " and ") if number == len(parts) - 1 else ", ")
        out += part
    return out


def _popular_rows(
    owners: NDArray[np.object_], ranks: NDArray[np.int64], page: NDArray[np.int64], popular: pa.Table
) -> pa.Table:
    """Rows of `HOMEPAGE` that show the rows `page` (r,) of `popular` to `owners` at `ranks`."""
    chosen = pa.array(page, pa.int64())
    sentences = [
        f"Popular: {users} {'shopper' if users == 1 else 'shoppers'} turned to it in the last "
        f"{'day' if days == 1 else f'{days} days'}."
        for users, days in zip(popular["users"].to_pylist(), popular["window_days"].to_pylist(), strict=True)
    ]
    none = pa.array(np.zeros(len(page) + 1), pa.int32())
    empty = [pa.ListArray.from_arrays(none, pa.array([], kind)) for kind in _EVIDENCE_TYPES]
    columns = [
        pa.array(owners.tolist(), pa.string()),
        pa.array(ranks, pa.int32()),
        popular["item_id"].take(chosen),
        popular["users"].cast(pa.float64()).take(chosen),
        pa.repeat(pa.scalar("popular"), len(page)),
        pa.array(sentences, pa.string()).take(chosen),
        *empty,
    ]
    return pa.table(columns, schema=arrow_schema(HOMEPAGE))
