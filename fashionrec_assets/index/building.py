"""An index from nothing.

Belongs here: checking what is to be indexed, making the kind it needs, tuning it. Does not belong here: changing an
index that is there (`updating.py`), FAISS (`kinds.py`).
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.index.item_index import IndexConfig, ItemIndex
from fashionrec_assets.index.kinds import Progress, choose_kind, make, memory_bytes, quiet
from fashionrec_assets.index.tuning import tune
from fashionrec_assets.index.vectors import checked_vectors, sample
from fashionrec_assets.settings import IndexSettings

_log = logging.getLogger(__name__)


def build(
    ids: NDArray[np.str_],
    vectors: NDArray[np.float32],
    settings: IndexSettings,
    *,
    outputs: pa.Array | None = None,
    queries: NDArray[np.float32] | None = None,
    seed: int = 17,
    made_with: str = "",
    progress: Progress = quiet,
) -> ItemIndex:
    """An index over `vectors` float32 (n, d), whose row r is the item `ids[r]`.

    The kind follows from n, d and `settings`. Approximate kinds are tuned on `settings.recall_sample` of `queries`
    (m, d) (user vectors; a sample of `vectors` if None) until recall@10 leaves half of what the target allows to miss,
    or the most thorough setting is reached: `config.recall_at_10` says what was reached, and meeting the target is for
    a check to enforce. Same input, same bytes, while `settings.build_threads` is 1. `outputs` and `made_with`: see
    `ItemIndex` and `IndexConfig`.

    Raises ValueError if there are no items, ids repeat, lengths differ, or a vector is not finite.
    """
    import faiss

    vectors = checked_vectors(vectors, "vectors")
    n, dim = vectors.shape
    if n == 0 or dim == 0:
        raise ValueError(
            "There are no item vectors to index. Is the catalog empty, or was every row of it rejected? See `rejects`."
        )
    made_from: pa.Array = pa.nulls(n, pa.string()) if outputs is None else outputs
    if not len(ids) == len(made_from) == n:
        raise ValueError(f"{len(ids)} ids and {len(made_from)} outputs for {n} vectors")
    if not (ids[1:] > ids[:-1]).all() and len(np.unique(ids)) != n:
        raise ValueError("item ids repeat")
    kind = choose_kind(n, dim, settings)
    taken = memory_bytes(kind, n, dim, settings)
    if taken > settings.memory_limit_mib * 2**20:
        _log.warning(
            "the smallest index over %d vectors takes %.0f MiB, more than index.memory_limit_mib (%s)",
            n,
            taken / 2**20,
            settings.memory_limit_mib,
        )
    index, parameters = make(kind, vectors, settings, seed, progress)
    asked = sample(vectors if queries is None else checked_vectors(queries, "queries"), settings.recall_sample, seed)
    config = IndexConfig(
        kind, dim, n, n, n, parameters, 1.0, len(asked), taken, seed, str(faiss.__version__), made_with
    )
    built = ItemIndex(np.asarray(ids, np.str_), config, index, np.arange(n, dtype=np.int64), made_from)
    if kind == "flat":
        # Flat looks at every vector: its recall is 1 by construction, and a check measures it nevertheless.
        return built
    tuned, recall = tune(built, vectors, asked, tuned_for(settings))
    return replace(built, config=replace(config, parameters=parameters | tuned, recall_at_10=recall))


def tuned_for(settings: IndexSettings) -> float:
    """The recall that a search is tuned to: what the target allows to miss is halved, so that other queries and
    tomorrow's items still meet it."""
    return 1 - (1 - settings.recall_target) / 2
