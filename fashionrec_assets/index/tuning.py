"""How well an index finds, how fast, and how much effort that takes.

Belongs here: recall against exact search, queries a second, raising the effort of a search until the recall is met.
Does not belong here: building (`building.py`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.index.kinds import some_vectors
from fashionrec_assets.index.vectors import checked_vectors, sample

RECALL_K = 10
FIRST_EFFORT = "first_effort"
"""The parameter that says what effort of search (`ef_search`, `nprobe`) an index was built with."""
_LARGEST_EF = 2_048
_MOST_REFINING = 32
_LEAST_GAIN = 0.001
_SPEED_SECONDS = 0.05


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
    return recall_of(index, vectors, chosen, exact_threshold(vectors, chosen, k), k)


def queries_per_second(index: ItemIndex, *, k: int = RECALL_K, batch: int = 64) -> float:
    """How many queries `index` answers a second, in batches, with as many threads as FAISS is given.

    Vectors of the index are asked for, as often as a moment allows.
    """
    queries = some_vectors(index.faiss_index, index.places, batch)
    k = min(k, len(index))
    index.search(queries, k)
    began, answered = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < _SPEED_SECONDS or not answered:
        index.search(queries, k)
        answered += len(queries)
    return answered / spent


def exact_threshold(vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """float32 (m,): the k-th best inner product of every query, by brute force."""
    import faiss

    if not len(queries):
        return np.empty(0, np.float32)
    scores, _ = faiss.knn(queries, vectors, min(k, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(scores[:, -1], np.float32)


def recall_of(
    index: ItemIndex,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    threshold: NDArray[np.float32],
    k: int = RECALL_K,
) -> float:
    """The share of what `index` finds for `queries` (m, d) that scores at least `threshold` (m,) in `vectors`."""
    if len(queries) == 0:
        return 1.0
    k = min(k, len(index))
    rows, _ = index.search(queries, k)
    true_scores = np.einsum("md,mkd->mk", queries, vectors[rows])
    tolerance = 1e-5 * np.linalg.norm(queries, axis=1) * np.linalg.norm(vectors[rows[:, 0]], axis=1)
    return float(np.mean(true_scores >= (threshold - tolerance)[:, None]))


def tune(
    built: ItemIndex, vectors: NDArray[np.float32], queries: NDArray[np.float32], target: float
) -> tuple[dict[str, int], float]:
    """Raise the search effort of an approximate index until `target` recall is reached; what was set last stays set."""
    import faiss

    threshold = exact_threshold(vectors, queries, RECALL_K)
    index: Any = faiss.downcast_index(built.faiss_index)
    parameters = built.config.parameters
    recall = 1.0
    if built.config.kind == "hnsw":
        effort = 0
        for effort in _doubling(32, min(_LARGEST_EF, max(32, built.config.items))):
            index.hnsw.efSearch = effort
            recall = recall_of(built, vectors, queries, threshold)
            if recall >= target:
                break
        return {"ef_search": effort, FIRST_EFFORT: effort}, recall
    lists = faiss.extract_index_ivf(index)
    if built.config.kind == "ivf":
        effort = 0
        for effort in _doubling(8, parameters["nlist"]):
            lists.nprobe = effort
            recall = recall_of(built, vectors, queries, threshold)
            if recall >= target:
                break
        return {"nprobe": effort, FIRST_EFFORT: effort}, recall
    for factor in _doubling(parameters["refine_factor"], parameters["refine_factor"] * _MOST_REFINING):
        index.k_factor = factor
        before = 0.0
        for effort in _doubling(8, parameters["nlist"]):
            lists.nprobe = effort
            recall = recall_of(built, vectors, queries, threshold)
            if recall >= target:
                return {"nprobe": effort, FIRST_EFFORT: effort, "refine_factor": factor}, recall
            if recall < before + _LEAST_GAIN:
                # More lists find nothing new: the codes lose what is missing, and refining more of them brings it back.
                break
            before = recall
    effort = int(lists.nprobe)
    return {"nprobe": effort, FIRST_EFFORT: effort, "refine_factor": int(index.k_factor)}, recall


def tune_again(
    index: ItemIndex, vectors: NDArray[np.float32], queries: NDArray[np.float32], target: float
) -> tuple[ItemIndex, float]:
    """After an update of an approximate index: the index and its recall, with twice the effort if it needs that.

    Never more than twice the effort it was built with: what is missed then is better built anew.
    """
    import faiss

    threshold = exact_threshold(vectors, queries, RECALL_K)
    recall = recall_of(index, vectors, queries, threshold)
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
    return index, recall_of(index, vectors, queries, threshold)


def _doubling(first: int, last: int) -> list[int]:
    """`first`, doubled up to and including `last`."""
    values = [min(first, last)]
    while values[-1] < last:
        values.append(min(values[-1] * 2, last))
    return values
