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

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import RankingTask, Slice
from fashionrec_assets.evaluation.recommender import Recommender
from fashionrec_assets.evaluation.slices import Masks

PER_USER_METRICS: tuple[str, ...] = ("recall", "ndcg", "precision", "mrr")

Metric = tuple[str, int]
"""A metric and its cut-off, for example `("recall", 20)`."""

Progress = Callable[[int, int], None]

_NO_ITEM = -1
_LISTS_AT_ONCE = 512


class BadScoresError(ValueError):
    """A method returned scores that cannot be ranked."""


def _no_progress(done: int, total: int) -> None:
    return None


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """The rows of the k best items, best first, (users, k); equal scores go to the lower item row.

    -inf is never listed: a list that is too short is filled with -1 at its end. Raises BadScoresError for NaN.
    """
    n_users, n_items = scores.shape
    if np.isnan(scores).any():
        raise BadScoresError("scores contain NaN, which has no place in a ranking")
    width = min(k, n_items)
    if width == 0:
        return np.full((n_users, k), _NO_ITEM, dtype=np.int32)
    worst_listed = np.partition(scores, n_items - width, axis=1)[:, n_items - width]
    rows, items = np.nonzero(scores >= worst_listed[:, None])
    # Where equals straddle the end of the list, the lower item rows take the places that are left.
    tied = scores[rows, items] == worst_listed[rows]
    places_left = width - np.bincount(rows[~tied], minlength=n_users)
    ties_so_far = np.cumsum(tied)
    ties_before_row = np.append(0, ties_so_far)[np.searchsorted(rows, np.arange(n_users))]
    listed = ~tied | (ties_so_far - ties_before_row[rows] <= places_left[rows])
    items = items[listed].reshape(n_users, width)
    values = np.take_along_axis(scores, items, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    items = np.take_along_axis(items, order, axis=1).astype(np.int32)
    items[np.take_along_axis(values, order, axis=1) == -np.inf] = _NO_ITEM
    if width < k:
        items = np.concatenate([items, np.full((n_users, k - width), _NO_ITEM, np.int32)], axis=1)
    return items


def mask_unavailable(task: RankingTask, users: NDArray[np.int32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy of `scores` (len(users), n_items) with -inf for what is outside the pool or already the user's."""
    masked = np.where(task.pool[None, :], scores, np.float32(-np.inf))
    seen = task.seen[users]
    rows = np.repeat(np.arange(len(users)), np.diff(seen.indptr))
    masked[rows, seen.indices] = -np.inf
    return masked


def block_size(n_items: int, memory_bytes: int = 256 << 20) -> int:
    """Users per block such that a block of scores and its sorting keys stay within `memory_bytes`."""
    return max(1, min(4096, memory_bytes // (24 * max(n_items, 1))))


def scores_of(recommender: Recommender, users: NDArray[np.int32], n_items: int) -> NDArray[np.float32]:
    """The method's scores, checked. Raises BadScoresError, naming the method, for a wrong shape or a NaN."""
    scores = recommender.score(users)
    if scores.shape != (len(users), n_items):
        raise BadScoresError(
            f"{recommender.name} returned scores of shape {scores.shape} where {(len(users), n_items)} was asked for"
        )
    if np.isnan(scores).any():
        raise BadScoresError(f"{recommender.name} returned NaN scores; use -inf for what it cannot recommend")
    return scores


def rank(
    task: RankingTask,
    recommender: Recommender,
    k: int,
    *,
    block: int | None = None,
    progress: Progress = _no_progress,
) -> NDArray[np.int32]:
    """Top-k lists (len(task.users), k) of item rows, -1 where the method or the pool has nothing more to offer."""
    lists = np.full((len(task.users), k), _NO_ITEM, dtype=np.int32)
    step = block or block_size(task.n_items)
    for start in range(0, len(task.users), step):
        users = task.users[start : start + step]
        scores = mask_unavailable(task, users, scores_of(recommender, users, task.n_items))
        lists[start : start + step] = top_k(scores, k)
        progress(min(start + step, len(task.users)), len(task.users))
    return lists


@dataclass(frozen=True)
class Hits:
    """Where the lists of a method meet the targets: int64 (users, k), the target's position in the task, or -1."""

    targets: NDArray[np.int64]


def find_hits(task: RankingTask, lists: NDArray[np.int32]) -> Hits:
    """Looks every listed item up among its user's targets."""
    keys = task.target_rows * np.int64(task.n_items) + task.target_items
    wanted = np.arange(len(lists), dtype=np.int64)[:, None] * task.n_items + lists
    if not len(keys):
        return Hits(np.full(lists.shape, -1, dtype=np.int64))
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = (keys[places] == wanted) & (lists != _NO_ITEM)
    return Hits(np.where(found, places, -1))


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
