"""Searching our index beside searching FAISS itself: the same index object, parameters and threads.

What ours gives beyond FAISS: rows of items rather than of FAISS, ties in a fixed order, queries that are checked, lines
that are always full. What is left out of an answer is compared with a plain search for as many more and a filter in
Python. `--quick` for a few seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.index.building import build
from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.settings import IndexSettings
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, command, in_turns
from fashionrec_assets_tests.benchmarks.index_sizes import catalog, fresh_queries

K = 10
THREADS = 1
BATCHES = (1, 32, 1_024)
EXCLUDED = 50
BAR = 1.1
KINDS = {
    "flat": IndexSettings(flat_up_to=10**9),
    "ivf": IndexSettings(flat_up_to=1),
    "hnsw": IndexSettings(flat_up_to=1, hnsw_up_to=10**9),
    "ivfpq": IndexSettings(flat_up_to=1, memory_limit_mib=0.01),
}
_QUERIES = {"flat": 1_024}
"""Queries of a round, where it is not `_MANY`: as many as take long enough to be timed."""
_MANY = 16_384


def measure(quick: bool) -> list[Comparison]:
    import faiss

    faiss.omp_set_num_threads(THREADS)
    items, rounds = (2_000, 2) if quick else (100_000, 9)
    ids, vectors = catalog(items)
    found: list[Comparison] = []
    for kind, settings in KINDS.items():
        index = build(ids, vectors, settings)
        assert index.config.kind == kind, index.config
        for batch in BATCHES:
            asked = min(_QUERIES.get(kind, _MANY), 64 * batch if quick else 10**9)
            found.append(_plain(index, fresh_queries(items, max(asked, batch)), batch, rounds))
        found.append(_excluding(index, fresh_queries(items, 256 if quick else 2_048), rounds))
    return found


def _note(index: ItemIndex) -> str:
    parameters = ", ".join(f"{name} {value}" for name, value in index.config.parameters.items())
    return (
        f"{len(index):,} vectors of {index.config.dim} dimensions, k {K}, {THREADS} thread; {parameters or 'exact'}; "
        f"recall@10 {index.config.recall_at_10:.3f}"
    )


def _plain(index: ItemIndex, queries: NDArray[np.float32], batch: int, rounds: int) -> Comparison:
    raw: Any = index.faiss_index
    parts = [np.ascontiguousarray(queries[at : at + batch]) for at in range(0, len(queries) - batch + 1, batch)]
    for part in parts[:50]:
        rows, scores = index.search(part, K)
        their_scores, theirs = raw.search(part, K)
        assert np.array_equal(scores, their_scores), "scores differ"
        assert np.array_equal(np.sort(rows, axis=1), np.sort(theirs, axis=1)), "rows differ"

    def ours() -> None:
        for part in parts:
            index.search(part, K)

    def faiss_itself() -> None:
        for part in parts:
            raw.search(part, K)

    times = in_turns(ours, faiss_itself, rounds)
    per_second = len(parts) * batch / float(np.median(times[0]))
    return Comparison(
        f"search, {index.config.kind}, batches of {batch:,}",
        "faiss.Index.search",
        *times,
        bar=BAR,
        equal="scores and rows",
        note=f"{per_second:,.0f} queries a second; {_note(index)}",
    )


def _excluding(index: ItemIndex, queries: NDArray[np.float32], rounds: int) -> Comparison:
    raw: Any = index.faiss_index
    best = raw.search(queries, EXCLUDED)[1]
    drawn = np.random.default_rng(2).integers(0, len(index), (len(queries), EXCLUDED // 2))
    # Half of what is left out is among the best, as what somebody has bought is.
    exclude = list(np.concatenate([best[:, ::2], drawn], axis=1))

    def ours() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return index.search(queries, K, exclude)

    def filtered() -> list[list[int]]:
        lines = []
        for rows, left_out in zip(raw.search(queries, K + EXCLUDED)[1].tolist(), exclude, strict=True):
            gone = set(left_out.tolist())
            lines.append([row for row in rows if row not in gone][:K])
        return lines

    rows, _ = ours()
    same = np.mean([set(line) == set(other) for line, other in zip(rows.tolist(), filtered(), strict=True)])
    if index.config.kind == "flat":
        assert same == 1, same
    return Comparison(
        f"search, {index.config.kind}, {EXCLUDED} rows left out of each answer",
        "faiss.Index.search for as many more, filtered in Python",
        *in_turns(ours, filtered, rounds),
        equal=f"the rows of {same:.1%} of the queries",
        note=f"{len(queries):,} queries at once; {_note(index)}",
    )


if __name__ == "__main__":
    command("index", measure, __doc__)
