"""A FAISS index over item vectors, by inner product: exact while that is fast, approximate and measured beyond.

Belongs here: the choice between Flat, HNSW and IVF-PQ, their tuning to a recall target, search with exclusions, and
the index's files. Does not belong here: what the vectors mean, and Dagster.

Inner product is the only metric. Two-tower vectors are scored by it as they are; for cosine, give the index and its
queries rows of unit length (`unit_rows`).

HNSW: Malkov & Yashunin, arXiv 1603.09320. IVF-PQ with fast scan: Jégou et al., TPAMI 2011, and André et al., arXiv
1812.09162, refined on half-precision copies of the vectors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fashionrec_assets.settings import IndexSettings
from fashionrec_assets.storage.files import file_digest

if TYPE_CHECKING:
    import faiss

Kind = Literal["flat", "hnsw", "ivfpq"]
Progress = Callable[[int, int], None]

CONFIG = "config.json"
FILES = {"index": "index.faiss", "ids": "ids.parquet"}
FORMAT = 1
RECALL_K = 10
_ADD_BATCH = 50_000
_QUERY_BATCH = 4_096
_LARGEST_EF = 2_048
_MOST_REFINING = 16
_REMEDY = "Build the index again: materialize `faiss_index` (`fashionrec run --select faiss_index`)."


class IndexFilesError(RuntimeError):
    """The saved index is missing, torn or damaged; the message says what to do."""


@dataclass(frozen=True)
class IndexConfig:
    """What an index is, as `config.json` beside it says.

    `parameters` holds what the kind was built and tuned with. `recall_at_10` is measured against exact search on
    `recall_queries` queries when the index is built.
    """

    kind: Kind
    dim: int
    items: int
    parameters: dict[str, int]
    recall_at_10: float
    recall_queries: int
    seed: int
    faiss: str
    metric: str = "inner_product"


def _quiet(done: int, total: int) -> None:
    """A progress listener that does not listen."""


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """`vectors` (n, d) with rows of length one; a row of zeros stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


@dataclass(frozen=True)
class ItemIndex:
    """Item ids (n,) and the FAISS index over their vectors: row r of the index is the item `ids[r]`."""

    ids: NDArray[np.str_]
    config: IndexConfig
    faiss_index: faiss.Index

    def __len__(self) -> int:
        return len(self.ids)

    def search(
        self, queries: NDArray[np.float32], k: int, exclude: Sequence[NDArray[np.int64]] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k rows with the highest inner product to each query, best first, ties by row.

        `queries`: float32 (m, d). `exclude`: for every query, the rows (any order, duplicates allowed) it must not be
        given. Returns rows int64 (m, k) and scores float32 (m, k). Where fewer than k items exist that are not
        excluded, the rest of the line is row -1 with score -inf; otherwise a line is always full, because a query for
        which an approximate index finds too few is answered exactly over the codes the index holds.

        Raises ValueError if `queries` has another width, holds a NaN, or `exclude` another length.
        """
        queries = _checked_vectors(queries, "queries")
        if queries.shape[1] != self.config.dim:
            raise ValueError(f"queries have {queries.shape[1]} dimensions, the index has {self.config.dim}")
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        m = len(queries)
        if exclude is not None and len(exclude) != m:
            raise ValueError(f"exclude has {len(exclude)} entries for {m} queries")
        rows = np.full((m, k), -1, np.int64)
        scores = np.full((m, k), -np.inf, np.float32)
        left_out = [np.unique(np.asarray(entry, np.int64)) for entry in exclude] if exclude is not None else None
        counts = np.array([len(entry) for entry in left_out], np.int64) if left_out else np.zeros(m, np.int64)
        # One user with thousands of purchases must not make every other query fetch thousands of rows.
        bands = np.where(counts > 0, 1 << np.ceil(np.log2(np.maximum(counts, 1))).astype(np.int64), 0)
        for band in np.unique(bands):
            of_band = np.flatnonzero(bands == band)
            for start in range(0, len(of_band), _QUERY_BATCH):
                at = of_band[start : start + _QUERY_BATCH]
                drop = [left_out[q] for q in at] if left_out else None
                rows[at], scores[at] = self._search(queries[at], k, int(counts[at].max()), drop)
        return rows, scores

    def _search(
        self, queries: NDArray[np.float32], k: int, most: int, drop: list[NDArray[np.int64]] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """`search` for queries that leave out at most `most` rows each; `drop` is sorted and free of duplicates."""
        fetch = min(len(self), k + most)
        scores, rows = self.faiss_index.search(queries, fetch)
        rows, scores = _best(rows, scores, drop, len(self), k)
        available = len(self) - np.array([len(entry) for entry in drop] if drop else [0] * len(queries))
        short = np.flatnonzero((rows >= 0).sum(axis=1) < np.minimum(k, available))
        if len(short):
            exact_scores, exact_rows = _search_everything(self.faiss_index, queries[short], fetch)
            rest = [drop[q] for q in short] if drop else None
            rows[short], scores[short] = _best(exact_rows, exact_scores, rest, len(self), k)
        return rows, scores

    def save(self, folder: Path) -> None:
        """Write `index.faiss`, `ids.parquet` and, last, `config.json` with the digests of both into `folder`.

        Into an empty folder that is renamed into place afterwards (`storage.artifacts`), this is atomic; elsewhere a
        kill leaves files whose digests do not match, which `load` refuses.
        """
        import faiss

        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self.faiss_index, str(folder / FILES["index"]))
        pq.write_table(pa.table({"item_id": pa.array(self.ids.tolist(), pa.string())}), folder / FILES["ids"])
        digests = {part: file_digest(folder / name) for part, name in FILES.items()}
        config = {"format": FORMAT, **asdict(self.config), "sha256": digests}
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, *, mmap: bool = False, verify: bool = True) -> ItemIndex:
        """The index saved in `folder`; with `mmap`, its vectors stay on disk and are paged in as they are searched.

        Raises IndexFilesError, with the remedy, if a file is missing, was changed since it was written (`verify`
        compares SHA-256 digests, which reads the files once), or does not fit the others.
        """
        import faiss

        path = folder / CONFIG
        if not path.is_file():
            raise IndexFilesError(f"There is no index in {folder} ({CONFIG} is missing). {_REMEDY}")
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            version, digests = stored.pop("format"), stored.pop("sha256")
            if version != FORMAT:
                raise IndexFilesError(f"{path} has format {version}, this version reads {FORMAT}. {_REMEDY}")
            config = IndexConfig(**stored)
            files = {part: folder / name for part, name in FILES.items()}
            expected = {part: str(digests[part]) for part in files}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IndexFilesError(f"{path} is damaged: {error}. {_REMEDY}") from error
        for part, file in files.items():
            if not file.is_file():
                raise IndexFilesError(f"{file} is missing. {_REMEDY}")
            if verify and file_digest(file) != expected[part]:
                raise IndexFilesError(f"{file} is damaged: its SHA-256 is not the one in {CONFIG}. {_REMEDY}")
        try:
            ids = np.array(pq.read_table(files["ids"]).column("item_id").to_pylist(), dtype=np.str_)
            index = faiss.read_index(str(files["index"]), faiss.IO_FLAG_MMAP_IFC if mmap else 0)
        except (RuntimeError, pa.ArrowException, OSError, KeyError) as error:
            raise IndexFilesError(f"The index in {folder} cannot be read: {error}. {_REMEDY}") from error
        if (index.ntotal, index.d, len(ids)) != (config.items, config.dim, config.items):
            raise IndexFilesError(
                f"The files in {folder} do not fit: {CONFIG} says {config.items} items of {config.dim} dimensions, the "
                f"index holds {index.ntotal} of {index.d}, and there are {len(ids)} ids. {_REMEDY}"
            )
        return cls(ids, config, index)


def choose_kind(items: int, settings: IndexSettings) -> Kind:
    """The kind of index for a catalog of `items`."""
    if items <= settings.flat_up_to:
        return "flat"
    return "hnsw" if items <= settings.hnsw_up_to else "ivfpq"


def build(
    ids: NDArray[np.str_],
    vectors: NDArray[np.float32],
    settings: IndexSettings,
    *,
    queries: NDArray[np.float32] | None = None,
    seed: int = 17,
    progress: Progress = _quiet,
) -> ItemIndex:
    """An index over `vectors` float32 (n, d), whose row r is the item `ids[r]`.

    The kind follows from n and `settings`. Approximate kinds are tuned on `settings.recall_sample` of `queries` (m, d)
    (user vectors; a sample of `vectors` if None) until recall@10 leaves half of what the target allows to miss, or the
    most thorough setting is reached: `config.recall_at_10` says what was reached, and meeting the target is for a check
    to enforce. Same input, same bytes, while `settings.build_threads` is 1.

    Raises ValueError if there are no items, ids repeat, lengths differ, or a vector is not finite.
    """
    import faiss

    vectors = _checked_vectors(vectors, "vectors")
    n, dim = vectors.shape
    if n == 0 or dim == 0:
        raise ValueError(
            "There are no item vectors to index. Is the catalog empty, or was every row of it rejected? See `rejects`."
        )
    if len(ids) != n:
        raise ValueError(f"{len(ids)} ids for {n} vectors")
    if len(np.unique(ids)) != n:
        raise ValueError("item ids repeat")
    kind = choose_kind(n, settings)
    with _threads(settings.build_threads):
        if kind == "flat":
            index, parameters = _flat(vectors, progress)
        elif kind == "hnsw":
            index, parameters = _hnsw(vectors, settings, progress)
        else:
            index, parameters = _ivfpq(vectors, settings, seed, progress)
    sample = _sample(vectors if queries is None else _checked_vectors(queries, "queries"), settings.recall_sample, seed)
    config = IndexConfig(kind, dim, n, parameters, 1.0, len(sample), seed, str(faiss.__version__))
    built = ItemIndex(np.asarray(ids, np.str_), config, index)
    tuned, recall = _tune(built, vectors, sample, 1 - (1 - settings.recall_target) / 2)
    return replace(built, config=replace(config, parameters=parameters | tuned, recall_at_10=recall))


def measure_recall(
    index: ItemIndex,
    vectors: NDArray[np.float32],
    *,
    k: int = RECALL_K,
    sample: int = 500,
    seed: int = 17,
    queries: NDArray[np.float32] | None = None,
) -> float:
    """Recall@k of `index` against exact search in `vectors` (n, d), from a seeded sample of `queries` (or vectors).

    A found item counts if its true score reaches the k-th best true score, so items with equal vectors are
    interchangeable. Raises ValueError if the index was not built over as many vectors.
    """
    vectors = _checked_vectors(vectors, "vectors")
    if vectors.shape != (len(index), index.config.dim):
        raise ValueError(f"the index is over {(len(index), index.config.dim)} vectors, not {vectors.shape}")
    pool = vectors if queries is None else _checked_vectors(queries, "queries")
    chosen = _sample(pool, sample, seed)
    return _recall(index, vectors, chosen, _exact_threshold(vectors, chosen, k), k)


def _exact_threshold(vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """float32 (m,): the k-th best inner product of every query, by brute force."""
    import faiss

    scores, _ = faiss.knn(queries, vectors, min(k, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(scores[:, -1], np.float32)


def _recall(
    index: ItemIndex, vectors: NDArray[np.float32], queries: NDArray[np.float32], threshold: NDArray[np.float32], k: int
) -> float:
    if len(queries) == 0:
        return 1.0
    k = min(k, len(index))
    rows, _ = index.search(queries, k)
    true_scores = np.einsum("md,mkd->mk", queries, vectors[rows])
    tolerance = 1e-5 * np.linalg.norm(queries, axis=1) * np.linalg.norm(vectors[rows[:, 0]], axis=1)
    return float(np.mean(true_scores >= (threshold - tolerance)[:, None]))


def _tune(
    built: ItemIndex, vectors: NDArray[np.float32], sample: NDArray[np.float32], target: float
) -> tuple[dict[str, int], float]:
    """Raise the search effort until `target` recall is reached; the effort set last stays set."""
    import faiss

    threshold = _exact_threshold(vectors, sample, RECALL_K) if len(sample) else np.empty(0, np.float32)
    index: Any = faiss.downcast_index(built.faiss_index)
    recall = 1.0
    if built.config.kind == "flat":
        return {}, _recall(built, vectors, sample, threshold, RECALL_K)
    if built.config.kind == "hnsw":
        effort = 0
        for effort in _doubling(32, min(_LARGEST_EF, max(32, built.config.items))):
            index.hnsw.efSearch = effort
            recall = _recall(built, vectors, sample, threshold, RECALL_K)
            if recall >= target:
                break
        return {"ef_search": effort}, recall
    parameters = built.config.parameters
    lists = faiss.extract_index_ivf(index)
    for factor in _doubling(parameters["refine_factor"], parameters["refine_factor"] * _MOST_REFINING):
        index.k_factor = factor
        before = 0.0
        for effort in _doubling(8, parameters["nlist"]):
            lists.nprobe = effort
            recall = _recall(built, vectors, sample, threshold, RECALL_K)
            if recall >= target:
                return {"nprobe": effort, "refine_factor": factor}, recall
            if recall < before + 0.001:
                # More lists find nothing new: the codes lose what is missing, and refining more of them brings it back.
                break
            before = recall
    return {"nprobe": int(lists.nprobe), "refine_factor": int(index.k_factor)}, recall


def _doubling(first: int, last: int) -> list[int]:
    """`first`, doubled up to and including `last`."""
    values = [min(first, last)]
    while values[-1] < last:
        values.append(min(values[-1] * 2, last))
    return values


def _flat(vectors: NDArray[np.float32], progress: Progress) -> tuple[faiss.Index, dict[str, int]]:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    _add(index, vectors, progress)
    return index, {}


def _hnsw(
    vectors: NDArray[np.float32], settings: IndexSettings, progress: Progress
) -> tuple[faiss.Index, dict[str, int]]:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], settings.hnsw_m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.hnsw_ef_construction
    _add(index, vectors, progress)
    return index, {"m": settings.hnsw_m, "ef_construction": settings.hnsw_ef_construction}


def _ivfpq(
    vectors: NDArray[np.float32], settings: IndexSettings, seed: int, progress: Progress
) -> tuple[faiss.Index, dict[str, int]]:
    import faiss

    n, dim = vectors.shape
    # FAISS wants 39 training points a centroid; a list it cannot train well is worse than a longer list.
    nlist = max(1, min(round(4 * n**0.5), n // 39))
    codes = dim // 2 if dim % 2 == 0 else dim
    index: Any = faiss.index_factory(dim, f"IVF{nlist},PQ{codes}x4fs,Refine(SQfp16)", faiss.METRIC_INNER_PRODUCT)
    index.k_factor = settings.ivf_refine_factor
    lists: Any = faiss.downcast_index(faiss.extract_index_ivf(index))
    for clustering in (lists.cp, lists.pq.cp):
        clustering.seed = seed
        clustering.min_points_per_centroid = 1
    index.train(_sample(vectors, max(nlist * settings.ivf_train_per_list, 10_000), seed))
    _add(index, vectors, progress)
    return index, {"nlist": nlist, "pq_codes": codes, "pq_bits": 4, "refine_factor": settings.ivf_refine_factor}


def _add(index: faiss.Index, vectors: NDArray[np.float32], progress: Progress) -> None:
    for start in range(0, len(vectors), _ADD_BATCH):
        index.add(vectors[start : start + _ADD_BATCH])
        progress(min(start + _ADD_BATCH, len(vectors)), len(vectors))


def _search_everything(
    index: faiss.Index, queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and rows over all that `index` holds, without its shortcuts."""
    import faiss

    inner: Any = faiss.downcast_index(index)
    if isinstance(inner, faiss.IndexHNSW):
        return inner.storage.search(queries, k)
    if isinstance(inner, faiss.IndexRefine):
        return faiss.downcast_index(inner.refine_index).search(queries, k)
    return inner.search(queries, k)


def _best(
    rows: NDArray[np.int64], scores: NDArray[np.float32], drop: list[NDArray[np.int64]] | None, n: int, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best k of the rows (m, f) found, without those to drop; missing ones are row -1 with score -inf."""
    m, fetched = rows.shape
    gone = rows < 0
    if drop is not None and any(len(entry) for entry in drop):
        # (query, row) as one integer: a single set membership for the whole batch.
        line = np.arange(m, dtype=np.int64)
        keys = np.concatenate([entry + q * n for q, entry in enumerate(drop)])
        gone |= np.isin(np.where(gone, 0, rows) + line[:, None] * n, keys) & ~gone
    scores = np.where(gone, -np.inf, scores).astype(np.float32)
    rows = np.where(gone, -1, rows)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    out_rows, out_scores = np.full((m, k), -1, np.int64), np.full((m, k), -np.inf, np.float32)
    width = min(k, fetched)
    out_rows[:, :width] = np.take_along_axis(rows, order, axis=1)
    out_scores[:, :width] = np.take_along_axis(scores, order, axis=1)
    return out_rows, out_scores


def _sample(vectors: NDArray[np.float32], size: int, seed: int) -> NDArray[np.float32]:
    if len(vectors) <= size:
        return vectors
    chosen = np.random.default_rng(seed).choice(len(vectors), size, replace=False)
    return np.ascontiguousarray(vectors[np.sort(chosen)])


def _checked_vectors(vectors: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    checked = np.ascontiguousarray(vectors, np.float32)
    if checked.ndim != 2:
        raise ValueError(f"{name} must be two-dimensional, not {checked.shape}")
    if not np.isfinite(checked).all():
        bad = np.flatnonzero(~np.isfinite(checked).all(axis=1))
        raise ValueError(f"{name} hold NaN or infinity in {len(bad)} rows, the first is row {bad[0]}")
    return checked


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
