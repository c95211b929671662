"""How well an index finds, how fast, and how much effort that takes.

Belongs here: recall against exact search, queries a second, raising the effort of a search until the recall is met.
Does not belong here: building (`building.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.index.kinds import held_blocks, held_vectors
from fashionrec_assets.index.vectors import checked_vectors, sample

RECALL_K = 10
FIRST_EFFORT = "first_effort"
"""The parameter that says what effort of search (`ef_search`, `nprobe`) an index was built with."""
_LARGEST_EF = 2_048
_MOST_REFINING = 32
_LEAST_GAIN = 0.001
_SPEED_SECONDS = 0.05
_SCORES_AT_ONCE = 1 << 20


def measure_recall(
    index: ItemIndex,
    vectors: NDArray[np.float32],
    *,
    k: int = RECALL_K,
    size: int = 500,
    seed: int = 17,
    queries: NDArray[np.float32] | None = None,
) -> float:
    """Recall@k of `index` against exact search in `vectors` (n, d), from a seeded sample of `queries` (or vectors).

    A found item counts if its true score reaches the k-th best true score, so items with equal vectors are
    interchangeable. Raises ValueError if the index was not built over as many vectors.
    """
    vectors = checked_vectors(vectors, "vectors")
    if vectors.shape != (len(index), index.config.dim):
        raise ValueError(f"the index is over {(len(index), index.config.dim)} vectors, not {vectors.shape}")
    chosen = sample(vectors if queries is None else checked_vectors(queries, "queries"), size, seed)
    return recall_of(index, chosen, exact_threshold([vectors], chosen, min(k, len(index))), k=k, vectors=vectors)


def queries_per_second(index: ItemIndex, *, k: int = RECALL_K, batch: int = 64) -> float:
    """How many queries `index` answers a second, in batches, with as many threads as FAISS is given.

    Vectors of the index are asked for, as often as a moment allows.
    """
    some = np.unique(np.linspace(0, len(index) - 1, batch).astype(np.int64))
    queries = held_vectors(index.faiss_index, index.places[some])
    k = min(k, len(index))
    index.search(queries, k)
    began, answered = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < _SPEED_SECONDS or not answered:
        index.search(queries, k)
        answered += len(queries)
    return answered / spent


def exact_threshold(parts: Iterable[NDArray[np.float32]], queries: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """float32 (m,): the k-th best inner product of every query (m, d) in all `parts` (n, d), of k rows at least.

    By brute force, block by block: it holds `_SCORES_AT_ONCE` scores, and the best there were. FAISS's own search for
    it (`faiss.knn`) takes several times as long with some hundred queries and a million vectors.
    """
    m = len(queries)
    size = max(k, _SCORES_AT_ONCE // max(m, 1))
    best = np.full((m, k), -np.inf, np.float32)
    worst = best[:, 0]
    for part in parts if m else ():
        for start in range(0, len(part), size):
            scores = queries @ part[start : start + size].T
            lines = np.flatnonzero(scores.max(axis=1) > worst)
            if len(lines):
                if worst[lines].min() > -np.inf:
                    best[lines] = _best_of(best[lines], scores[lines])
                else:
                    best = np.partition(np.concatenate([best, scores], axis=1), -k, axis=1)[:, -k:]
                worst = best.min(axis=1)
    return worst


def _best_of(best: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The best k in each line of `best` (m, k) and `scores` (m, n) together, where few of these are."""
    m, k = best.shape
    line, row = np.nonzero(scores > best.min(axis=1)[:, None])
    lines = np.concatenate([np.repeat(np.arange(m), k), line])
    found = np.concatenate([best.ravel(), scores[line, row]])
    order = np.lexsort((-found, lines))
    first = np.searchsorted(lines[order], np.arange(m))
    return found[order[first[:, None] + np.arange(k)]]


def recall_of(
    index: ItemIndex,
    queries: NDArray[np.float32],
    threshold: NDArray[np.float32],
    *,
    k: int = RECALL_K,
    vectors: NDArray[np.float32] | None = None,
) -> float:
    """The share of what `index` finds for `queries` (m, d) that scores at least `threshold` (m,).

    Scores are those in `vectors` (n, d); without them, those of the vectors that the index holds, as it says itself.
    """
    if len(queries) == 0:
        return 1.0
    rows, scores = index.search(queries, min(k, len(index)))
    near = queries if vectors is None else vectors[rows[:, 0]]
    if vectors is not None:
        scores = np.einsum("md,mkd->mk", queries, vectors[rows])
    tolerance = 1e-5 * np.linalg.norm(queries, axis=1) * np.linalg.norm(near, axis=1)
    return float(np.mean(scores >= (threshold - tolerance)[:, None]))


def tune(
    built: ItemIndex, vectors: NDArray[np.float32], queries: NDArray[np.float32], target: float
) -> tuple[dict[str, int], float]:
    """Raise the search effort of an approximate index until `target` recall is reached; what was set last stays set."""
    import faiss

    threshold = exact_threshold([vectors], queries, min(RECALL_K, len(vectors)))
    index: Any = faiss.downcast_index(built.faiss_index)
    parameters = built.config.parameters
    recall = 1.0
    if built.config.kind == "hnsw":
        effort = 0
        for effort in _doubling(32, min(_LARGEST_EF, max(32, built.config.items))):
            index.hnsw.efSearch = effort
            recall = recall_of(built, queries, threshold, vectors=vectors)
            if recall >= target:
                break
        return {"ef_search": effort, FIRST_EFFORT: effort}, recall
    lists = faiss.extract_index_ivf(index)
    if built.config.kind == "ivf":
        effort = 0
        for effort in _doubling(8, parameters["nlist"]):
            lists.nprobe = effort
            recall = recall_of(built, queries, threshold, vectors=vectors)
            if recall >= target:
                break
        return {"nprobe": effort, FIRST_EFFORT: effort}, recall
    for factor in _doubling(parameters["refine_factor"], parameters["refine_factor"] * _MOST_REFINING):
        index.k_factor = factor
        before = 0.0
        for effort in _doubling(8, parameters["nlist"]):
            lists.nprobe = effort
            recall = recall_of(built, queries, threshold, vectors=vectors)
            if recall >= target:
                return {"nprobe": effort, FIRST_EFFORT: effort, "refine_factor": factor}, recall
            if recall < before + _LEAST_GAIN:
                # More lists find nothing new: the codes lose what is missing, and refining more of them brings it back.
                break
            before = recall
    effort = int(lists.nprobe)
    return {"nprobe": effort, FIRST_EFFORT: effort, "refine_factor": int(index.k_factor)}, recall


def tune_again(index: ItemIndex, queries: NDArray[np.float32], target: float) -> tuple[ItemIndex, float]:
    """After an update of an approximate index: the index and its recall, with twice the effort if it needs that.

    Measured against the vectors that it holds. Never more than twice the effort it was built with: what is missed then
    is better built anew.
    """
    import faiss

    held = held_blocks(index.faiss_index, index.places)
    threshold = exact_threshold(held, queries, min(RECALL_K, len(index)))
    recall = recall_of(index, queries, threshold)
    name = "ef_search" if index.config.kind == "hnsw" else "nprobe"
    effort = index.config.parameters[name]
    if recall >= target or effort > index.config.parameters[FIRST_EFFORT]:
        return index, recall
    inner: Any = faiss.downcast_index(index.faiss_index)
    if index.config.kind == "hnsw":
        inner.hnsw.efSearch = 2 * effort
    else:
        faiss.extract_index_ivf(inner).nprobe = 2 * effort
    parameters = index.config.parameters | {name: 2 * effort}
    if index.config.kind == "ivfpq":
        inner.k_factor = 2 * parameters["refine_factor"]
        parameters["refine_factor"] *= 2
    index = replace(index, config=replace(index.config, parameters=parameters))
    return index, recall_of(index, queries, threshold)


def _doubling(first: int, last: int) -> list[int]:
    """`first`, doubled up to and including `last`."""
    values = [min(first, last)]
    while values[-1] < last:
        values.append(min(values[-1] * 2, last))
    return values
