"""From scores to top-K lists, and from lists to figures per user.

Belongs here: ranking a task's pool with a method, block by block, and the metrics of the lists. Does not belong here:
intervals (`bootstrap.py`), fitting, wording.

Cut-offs and definitions, with T a user's targets, L their list of the K best items and h the hits in it:

- Recall@K = h / |T|, not h / min(K, |T|);
- Precision@K = h / K;
- NDCG@K = sum of 1 / log2(rank + 1) over the hits, over the best value |T| targets allow in K places (binary gains,
  Järvelin and Kekäläinen 2002);
- MRR@K = 1 / rank of the first hit, 0 if none is in the list;
- coverage@K = share of the pool that is in at least one list;
- novelty@K = mean self-information of the items shown, -log2((c + 1) / (n + 1)) bits, where c of the n people with a
  history touched the item (Zhou et al. 2010, smoothed so that an untouched item counts);
- diversity@K = mean over the pairs in a list of how unlike its two items are (intra-list diversity, Smyth and McClave
  2001): 1 - cosine of their text vectors, or 1 for two product types and 0 for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import RankingTask, Slice
from fashionrec_assets.evaluation.recommender import InnerProducts, Recommender
from fashionrec_assets.evaluation.slices import Masks

PER_USER_METRICS: tuple[str, ...] = ("recall", "ndcg", "precision", "mrr")

Metric = tuple[str, int]
"""A metric and its cut-off, for example `("recall", 20)`."""

Progress = Callable[[int, int], None]

_NO_ITEM = -1
_NAN = "NaN scores; use -inf for what it cannot recommend"
_LISTS_AT_ONCE = 512
_CHUNK_BYTES = 5 << 20
"""Scores that are ordered at a time: about what a core's caches hold."""
_FEWEST_AT_ONCE = 4
_BLOCK_BYTES = 10 << 20
"""Scores that are made at a time: as many as are still near when they are ranked."""
_FEWEST_SCORED = 64
"""Users that a block has if memory allows: for fewer a matrix product costs far more per user."""
_PRODUCTS_AT_ONCE = 1 << 16
"""Items whose inner products are taken at a time: in a larger catalog too, many users share one pass over them."""


class BadScoresError(ValueError):
    """A method returned scores that cannot be ranked."""


class _NaNScoresError(BadScoresError):
    """NaN where something could be listed."""


def _no_progress(done: int, total: int) -> None:
    return None


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """The rows of the k best items, best first, (users, k); equal scores go to the lower item row.

    -inf is never listed: a list that is too short is filled with -1 at its end. Beside the lists, memory is bounded
    for any number of users and items. Raises BadScoresError for NaN.
    """
    n_users, n_items = scores.shape
    lists = np.full((n_users, k), _NO_ITEM, dtype=np.int32)
    width = min(k, n_items)
    step = max(_FEWEST_AT_ONCE, _CHUNK_BYTES // (4 * max(n_items, 1)))
    for start in range(0, n_users if width else 0, step):
        part = np.ascontiguousarray(scores[start : start + step])
        found = _contenders(part, width)
        rows, items = np.divmod(found, n_items)
        place = np.arange(len(rows)) - np.searchsorted(rows, np.arange(len(part)))[rows]
        shape = (len(part), max(width, int(place.max(initial=0)) + 1))
        values, listed = np.full(shape, np.inf, scores.dtype), np.full(shape, _NO_ITEM, np.int32)
        values[rows, place] = -part.ravel()[found]
        listed[rows, place] = items
        order = np.argsort(values, axis=1, kind="stable")[:, :width]
        lists[start : start + step, :width] = listed[np.arange(len(part))[:, None], order]
    return lists


def _contenders(scores: NDArray[np.float32], width: int) -> NDArray[np.int64]:
    """Flat places, ascending, of finite scores with all that can be among the `width` best of their row, and few more.

    Items are dealt out to groups, and groups to larger ones. Only the best of the larger groups are ordered: no score
    below the `width`-th best of those can be listed, and few but the listed ones are above it. The groups that reach it
    are opened. So the scores are read once and never moved.
    """
    n_users, n_items = scores.shape
    # A group costs its share of three passes, and opening it about eight times as much per item.
    rounds = max(1, int(np.sqrt(n_items / (8 * width))))
    best = _group_maxima(scores, rounds)
    groups = best.shape[1]
    # With eight larger groups for every place in a list, few of the listed share one.
    larger = _group_maxima(best, max(1, groups // (8 * width)))
    ordered = np.partition(larger, larger.shape[1] - width, axis=1)
    # NaN is the maximum of its group, and the last in order.
    if np.isnan(ordered[:, -1]).any():
        raise _NaNScoresError("scores contain NaN, which has no place in a ranking")
    least = np.maximum(ordered[:, -width], np.finfo(scores.dtype).min)
    if rounds > 1:
        rows, members = np.divmod(np.flatnonzero(best >= least[:, None]), groups)
        if len(rows) <= 2 * width * n_users:
            dealt = rounds * groups
            opened = scores[:, :dealt].reshape(n_users, rounds, groups)[rows, :, members]
            at, number = np.divmod(np.flatnonzero(opened >= least[rows][:, None]), rounds)
            found = rows[at] * n_items + number * groups + members[at]
            if dealt < n_items:
                rows, members = np.nonzero(scores[:, dealt:] >= least[:, None])
                found = np.append(found, rows * n_items + dealt + members)
            return np.sort(found)
    return _first_of_the_tied(scores, least, width)


def _group_maxima(values: NDArray[np.float32], rounds: int) -> NDArray[np.float32]:
    """The maximum of every group, (users, groups), when a row (users, n) is dealt out to groups in so many rounds.

    Group g has the places g, g + groups, g + 2 * groups, …, so that the maximum runs along memory; what is left of the
    row goes to the first groups: there must be as many as that.
    """
    if rounds == 1:
        return values
    groups = values.shape[1] // rounds
    dealt = rounds * groups
    best = values[:, :dealt].reshape(len(values), rounds, groups).max(axis=1)
    left = values[:, dealt:]
    np.maximum(best[:, : left.shape[1]], left, out=best[:, : left.shape[1]])
    return best


def _first_of_the_tied(scores: NDArray[np.float32], least: NDArray[np.float32], width: int) -> NDArray[np.int64]:
    """Flat places of what is above `least` of its row (users,), and of as much of what equals it as may still be
    listed: the lower item rows."""
    found = np.flatnonzero(scores >= least[:, None])
    rows = found // scores.shape[1]
    tied = scores.ravel()[found] == least[rows]
    places_left = width - np.bincount(rows[~tied], minlength=len(scores))
    ties_so_far = np.cumsum(tied)
    ties_before_row = np.append(0, ties_so_far)[np.searchsorted(rows, np.arange(len(scores)))]
    return found[~tied | (ties_so_far - ties_before_row[rows] <= places_left[rows])]


def mask_unavailable(
    task: RankingTask, users: NDArray[np.int32], scores: NDArray[np.float32], first: int = 0
) -> NDArray[np.float32]:
    """`scores` (len(users), n) of n items from row `first` on, with -inf for what is outside the pool or already the
    user's.

    They are changed in place; an array that is read-only is copied first.
    """
    masked = scores if scores.flags.writeable else scores.copy()
    last = first + scores.shape[1]
    pool = task.pool[first:last]
    if not pool.all():
        masked[:, ~pool] = -np.inf
    rows, items = _seen_pairs(task, users)
    if len(pool) < task.n_items:
        here = (items >= first) & (items < last)
        rows, items = rows[here], items[here] - first
    masked[rows, items] = -np.inf
    return masked


def _seen_pairs(task: RankingTask, users: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
    """Positions in `users`, ascending, and the items these users already have."""
    seen = task.seen
    starts, stops = seen.indptr[users], seen.indptr[users + 1]
    counts = stops - starts
    rows = np.repeat(np.arange(len(users)), counts)
    return rows, seen.indices[np.arange(len(rows)) + np.repeat(stops - np.cumsum(counts), counts)]


def block_size(n_items: int, memory_bytes: int = 256 << 20) -> int:
    """Users per block: so many that their scores are ranked while they are near, in multiples of what a matrix product
    is fast for, and that scores with their sorting keys stay within `memory_bytes`."""
    n_items = max(n_items, 1)
    near = _BLOCK_BYTES // (4 * n_items) // _FEWEST_SCORED * _FEWEST_SCORED
    return max(1, min(4096, max(near, _FEWEST_SCORED), memory_bytes // (24 * n_items)))


def scores_of(recommender: Recommender, users: NDArray[np.int32], n_items: int) -> NDArray[np.float32]:
    """The method's scores, checked. Raises BadScoresError, naming the method, for a wrong shape or a NaN."""
    scores = _shaped_scores(recommender, users, n_items)
    if np.isnan(scores).any():
        raise BadScoresError(f"{recommender.name} returned {_NAN}")
    return scores


def _shaped_scores(recommender: Recommender, users: NDArray[np.int32], n_items: int) -> NDArray[np.float32]:
    scores = recommender.score(users)
    if scores.shape != (len(users), n_items):
        raise BadScoresError(
            f"{recommender.name} returned scores of shape {scores.shape} where {(len(users), n_items)} was asked for"
        )
    return scores


def rank(
    task: RankingTask,
    recommender: Recommender,
    k: int,
    *,
    block: int | None = None,
    progress: Progress = _no_progress,
) -> NDArray[np.int32]:
    """Top-k lists (len(task.users), k) of item rows, -1 where the method or the pool has nothing more to offer.

    `block`: users at a time; None takes `block_size`. Inner products (`InnerProducts`) of a catalog of more than 65,536
    items are taken and ranked in parts of that many; in their last bits they may differ from `score`'s. Raises
    BadScoresError, naming the method, for a wrong shape or a NaN where something could be listed.
    """
    lists = np.full((len(task.users), k), _NO_ITEM, dtype=np.int32)
    step = block or block_size(
        min(task.n_items, _PRODUCTS_AT_ONCE) if _in_parts(recommender, task.n_items) else task.n_items
    )
    starts = list(range(0, len(task.users), step))
    # The product of a single vector is rounded otherwise: nobody is left over for a block of their own, and so lists do
    # not depend on the size of the blocks.
    if len(starts) > 1 and step > 1 and starts[-1] == len(task.users) - 1:
        del starts[-1]
    for start, stop in zip(starts, [*starts[1:], len(task.users)], strict=True):
        try:
            lists[start:stop] = _lists_of(task, recommender, task.users[start:stop], k)
        except _NaNScoresError as error:
            raise BadScoresError(f"{recommender.name} returned {_NAN}") from error
        progress(stop, len(task.users))
    return lists


def _in_parts(recommender: Recommender, n_items: int) -> TypeGuard[InnerProducts]:
    return n_items > _PRODUCTS_AT_ONCE and isinstance(recommender, InnerProducts)


def _lists_of(task: RankingTask, recommender: Recommender, users: NDArray[np.int32], k: int) -> NDArray[np.int32]:
    """Some users' lists: at once, or the best of one part of the catalog after the other."""
    if not _in_parts(recommender, task.n_items):
        return top_k(mask_unavailable(task, users, _shaped_scores(recommender, users, task.n_items)), k)
    vectors = recommender.user_vectors(users)
    if len(recommender.item_vectors) != task.n_items:
        raise BadScoresError(
            f"{recommender.name} has vectors of {len(recommender.item_vectors)} items where {task.n_items} are ranked"
        )
    best = np.zeros((len(users), 0), np.float32)
    lists = np.zeros((len(users), 0), np.int32)
    for first in range(0, task.n_items, _PRODUCTS_AT_ONCE):
        products = vectors @ recommender.item_vectors[first : first + _PRODUCTS_AT_ONCE].T
        items = top_k(mask_unavailable(task, users, products, first), k)
        values = np.take_along_axis(products, np.maximum(items, 0).astype(np.int64), axis=1)
        best = np.concatenate([best, np.where(items == _NO_ITEM, -np.inf, values)], axis=1, dtype=np.float32)
        lists = np.concatenate([lists, np.where(items == _NO_ITEM, _NO_ITEM, items + first)], axis=1, dtype=np.int32)
        # Parts come in the order of items: of equals, the earlier stay first.
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        best, lists = np.take_along_axis(best, order, axis=1), np.take_along_axis(lists, order, axis=1)
    return lists


@dataclass(frozen=True)
class Hits:
    """Where the lists of a method meet the targets: int64 (users, k), the target's position in the task, or -1."""

    targets: NDArray[np.int64]


def find_hits(task: RankingTask, lists: NDArray[np.int32]) -> Hits:
    """Looks every target up in its user's list."""
    found = np.full(lists.shape, -1, dtype=np.int64)
    width = max(lists.shape[1], 1)
    step = max(1, _CHUNK_BYTES // (4 * width))
    for start in range(0, len(task.target_items), step):
        rows, items = task.target_rows[start : start + step], task.target_items[start : start + step]
        at, place = np.divmod(np.flatnonzero(lists[rows] == items[:, None]), width)
        found[rows[at], place] = start + at
    return Hits(found)


@dataclass(frozen=True)
class SliceMetrics:
    """Per-user figures of one method on one slice.

    `rows`: int64 (n,), positions in the task's users of those with a target in the slice. `targets`: how many targets
    they have together. `values`: float64 (n,) per metric and cut-off.
    """

    rows: NDArray[np.int64]
    targets: int
    values: dict[Metric, NDArray[np.float64]]


def slice_metrics(task: RankingTask, hits: Hits, chosen: Slice | Masks, ks: Sequence[int]) -> SliceMetrics:
    """Recall, NDCG, precision and MRR at each k for the users of a slice, counting only its targets.

    `chosen` is a slice of the protocol, or masks of users (u,) and targets (t,).
    """
    in_slice, wanted = task.slice_masks(chosen) if isinstance(chosen, str) else chosen
    counts = np.bincount(task.target_rows[wanted], minlength=len(task.users))
    rows = np.flatnonzero(in_slice & (counts > 0))
    n = counts[rows]
    places = hits.targets[rows]
    # The extra place is where -1, no target, points to.
    hit = np.append(wanted, False)[places]
    length = places.shape[1]
    gains = 1.0 / np.log2(np.arange(length) + 2.0)
    ideal = np.cumsum(gains)
    first = np.where(hit.any(axis=1), hit.argmax(axis=1), length)
    values: dict[Metric, NDArray[np.float64]] = {}
    for k in ks:
        if k > length:
            raise ValueError(f"lists of {length} items have no metrics at {k}")
        found = hit[:, :k].sum(axis=1)
        values["recall", k] = found / n
        values["precision", k] = found / k
        values["ndcg", k] = (hit[:, :k] * gains[:k]).sum(axis=1) / ideal[np.minimum(n, k) - 1]
        values["mrr", k] = np.where(first < k, 1.0 / (first + 1.0), 0.0)
    return SliceMetrics(rows, int(n.sum()), values)


def coverage(task: RankingTask, lists: NDArray[np.int32], k: int) -> float:
    """The share of the pool that at least one of the lists (users, >= k) shows in its first k places."""
    shown = lists[:, :k]
    return len(np.unique(shown[shown != _NO_ITEM])) / max(int(task.pool.sum()), 1)


def novelty(task: RankingTask, lists: NDArray[np.int32], k: int) -> NDArray[np.float64]:
    """Mean self-information in bits of each list's first k items, (users,); NaN for an empty list."""
    people = np.asarray(task.seen.astype(np.int64).sum(axis=0)).ravel()
    total = len(np.unique(task.history.users))
    bits = -np.log2((people + 1.0) / (total + 1.0))
    shown = lists[:, :k]
    listed = shown != _NO_ITEM
    sums = np.where(listed, bits[np.maximum(shown, 0)], 0.0).sum(axis=1) if task.n_items else np.zeros(len(lists))
    counts = listed.sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(lists), np.nan), where=counts > 0)


@dataclass(frozen=True)
class ListViews:
    """By what items of a list are compared: `text` float32 (n_items, d) with `has_text` bool (n_items,), and `types`
    int64 (n_items,), a code per product type, -1 where it is unknown."""

    text: NDArray[np.float32]
    has_text: NDArray[np.bool_]
    types: NDArray[np.int64]


def diversity(views: ListViews, lists: NDArray[np.int32], k: int) -> dict[str, NDArray[np.float64]]:
    """`diversity_text` and `diversity_type` of each list's first k items, (users,); NaN for fewer than two items."""
    shown = lists[:, :k]
    kinds = np.full(len(shown), np.nan)
    lengths = np.linalg.norm(views.text, axis=1, keepdims=True)
    units = np.divide(views.text, lengths, out=np.zeros_like(views.text), where=lengths > 0)
    known = views.has_text & (lengths[:, 0] > 0)
    texts = np.full(len(shown), np.nan)
    for start in range(0, len(shown), _LISTS_AT_ONCE):
        part = slice(start, start + _LISTS_AT_ONCE)
        block = shown[part]
        there = (block != _NO_ITEM) & known[block]
        total = (units[block] * there[:, :, None]).sum(axis=1, dtype=np.float64)
        n = there.sum(axis=1)
        # The cosines of all ordered pairs, with itself too, add up to the squared length of the sum.
        texts[part] = 1 - _per_pair((total**2).sum(axis=1) - n, n)
        codes = np.where(block != _NO_ITEM, views.types[block], -1)
        same = (codes[:, :, None] == codes[:, None, :]) & (codes >= 0)[:, :, None]
        n = (codes >= 0).sum(axis=1)
        kinds[part] = 1 - _per_pair(same.sum(axis=(1, 2)) - n, n)
    return {"diversity_text": texts, "diversity_type": kinds}


def _per_pair(total: NDArray[np.floating], n: NDArray[np.integer]) -> NDArray[np.float64]:
    pairs = (n * (n - 1)).astype(np.float64)
    return np.divide(total, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
