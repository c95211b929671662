"""The kinds of FAISS index: which one a catalog gets, what it takes in memory, and how rows get in and out of it.

Belongs here: Flat, HNSW, IVF over whole vectors, and IVF-PQ, one row of FAISS at a time. Does not belong here: which
item a row stands for (`item_index.py`), how well an index finds (`tuning.py`).

A row of FAISS is called a place. Places are numbered as rows are added and never given again: what is taken out leaves
a dead place until the index is built anew. Flat has none, because it is laid out again instead.

IVF over whole vectors is what large catalogs get, not HNSW: on 100,000 clustered vectors of 64 dimensions and one core
it is built in 0.6 s (HNSW: 15 to 44 s) and finds 99.5 % at several times the queries a second, takes rows out for good,
and needs half the memory. On vectors without any structure HNSW finds as much at up to twice the queries a second, and
`hnsw_up_to` asks for it.

HNSW: Malkov & Yashunin, arXiv 1603.09320. IVF-PQ with fast scan: Jégou et al., TPAMI 2011, and André et al., arXiv
1812.09162, refined on half-precision copies of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.index.centres import dealt_out_by_groups, learn_centres
from fashionrec_assets.index.vectors import sample
from fashionrec_assets.settings import IndexSettings

if TYPE_CHECKING:
    import faiss

Kind = Literal["flat", "hnsw", "ivf", "ivfpq"]
Progress = Callable[[int, int], None]

_ADD_BATCH = 50_000
_READ_BATCH = 10_000
_FEW_POINTS = 39
"""Training points a centroid below which FAISS holds it to be badly trained."""


def quiet(done: int, total: int) -> None:
    """A progress listener that does not listen."""


def choose_kind(items: int, dim: int, settings: IndexSettings) -> Kind:
    """The kind for `items` vectors of `dim` dimensions: the first of Flat, HNSW, IVF that its size bound and the
    memory limit allow, else IVF-PQ. `hnsw_up_to` of 0, the default, leaves HNSW out; `ivf_up_to` of 0 leaves out IVF,
    which makes it Flat, HNSW, IVF-PQ."""
    bounds: tuple[tuple[Kind, bool], ...] = (
        ("flat", items <= settings.flat_up_to),
        ("hnsw", items <= settings.hnsw_up_to),
        ("ivf", settings.ivf_up_to is None or items <= settings.ivf_up_to),
    )
    for kind, allowed in bounds:
        if allowed and memory_bytes(kind, items, dim, settings) <= settings.memory_limit_mib * 2**20:
            return kind
    return "ivfpq"


def memory_bytes(kind: Kind, places: int, dim: int, settings: IndexSettings) -> int:
    """What the rows of an index and its structure over them take in memory, known before it is built."""
    whole = 4 * dim * places
    if kind == "flat":
        return whole
    if kind == "hnsw":
        # Twice M links at the bottom, M on each level above, which holds one node in M of the level below.
        links = 2 * settings.hnsw_m + settings.hnsw_m / (settings.hnsw_m - 1)
        return whole + round(places * (4 * links + 12))
    centroids = 4 * dim * _lists(places)
    if kind == "ivf":
        return whole + 8 * places + centroids
    # Codes lie in blocks of 32, the last of each list half full on average.
    codes = _codes(dim) // 2 * (places + 16 * _lists(places))
    return whole // 2 + codes + 8 * places + centroids


def make(
    kind: Kind, vectors: NDArray[np.float32], settings: IndexSettings, seed: int, progress: Progress = quiet
) -> tuple[faiss.Index, dict[str, int]]:
    """An index of `kind` over `vectors` float32 (n, d), row r at place r, and the parameters it was made with."""
    import faiss

    n, dim = vectors.shape
    with _threads(settings.build_threads):
        if kind == "flat":
            index: Any = faiss.IndexFlatIP(dim)
            parameters = {}
        elif kind == "hnsw":
            index = faiss.IndexHNSWFlat(dim, settings.hnsw_m, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = settings.hnsw_ef_construction
            parameters = {"m": settings.hnsw_m, "ef_construction": settings.hnsw_ef_construction}
        else:
            index, parameters = _lists_of(kind, n, dim, settings)
        with _trained(index, kind, vectors, settings, seed):
            for start in range(0, n, _ADD_BATCH):
                index.add(vectors[start : start + _ADD_BATCH])
                progress(min(start + _ADD_BATCH, n), n)
    return index, parameters


@contextmanager
def _trained(
    index: faiss.Index, kind: Kind, vectors: NDArray[np.float32], settings: IndexSettings, seed: int
) -> Iterator[None]:
    """IVF and IVF-PQ trained on some of `vectors`; while it lasts, all of them may be added quickly."""
    import faiss

    if kind not in ("ivf", "ivfpq"):
        yield
        return
    lists: Any = faiss.downcast_index(faiss.extract_index_ivf(index))
    some = sample(vectors, max(lists.nlist * settings.ivf_train_per_list, 10_000), seed)
    centres, groups = learn_centres(some, lists.nlist, seed)
    lists.quantizer.add(centres)
    if kind == "ivfpq":
        lists.pq.cp.seed = seed
        lists.pq.cp.min_points_per_centroid = 1
    index.train(some)
    with dealt_out_by_groups(lists, centres, groups):
        yield


def replace_rows(
    index: faiss.Index, gone: NDArray[np.int64], vectors: NDArray[np.float32], places: int, settings: IndexSettings
) -> None:
    """Take the rows at the places `gone` out of an HNSW, IVF or IVF-PQ index and add `vectors` (m, d) behind them.

    `places` is how many there were: the new rows get the places from there on. The rows of an HNSW graph stay, as do
    the half-precision copies of IVF-PQ: whoever searches must leave the places out (`ItemIndex` does).
    """
    import faiss

    inner: Any = faiss.downcast_index(index)
    numbers = np.arange(places, places + len(vectors), dtype=np.int64)
    with _threads(settings.build_threads):
        if isinstance(inner, faiss.IndexHNSW):
            inner.add(vectors)
            return
        lists: Any = faiss.downcast_index(faiss.extract_index_ivf(inner))
        if len(gone):
            lists.remove_ids(np.ascontiguousarray(gone))
        if len(vectors):
            lists.add_with_ids(vectors, numbers)
        if isinstance(inner, faiss.IndexRefine):
            refined: Any = inner.refine_index
            refined.add(vectors)
            inner.ntotal = refined.ntotal


def held_vectors(index: faiss.Index, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vectors (n, d) that an index holds at `places` (n,): to half precision from IVF-PQ, else exactly."""
    import faiss

    inner: Any = faiss.downcast_index(index)
    if isinstance(inner, faiss.IndexIVFFlat):
        row_of = np.full(int(places.max(initial=-1)) + 1, -1, np.int64)
        row_of[places] = np.arange(len(places))
        held = np.zeros((len(places), inner.d), np.float32)
        for numbers, vectors in _lists_in(inner):
            known = np.flatnonzero(numbers < len(row_of))
            rows = row_of[numbers[known]]
            held[rows[rows >= 0]] = vectors[known[rows >= 0]]
        return held
    if isinstance(inner, faiss.IndexHNSW):
        inner = faiss.downcast_index(inner.storage)
    elif isinstance(inner, faiss.IndexRefine):
        inner = faiss.downcast_index(inner.refine_index)
    if len(places) == inner.ntotal and np.array_equal(places, np.arange(len(places))):
        return inner.reconstruct_n(0, len(places))
    return inner.reconstruct_batch(places)


def held_blocks(index: faiss.Index, places: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """All that `held_vectors` gives, in any order and in parts (m, d): quicker, and never all of it at once."""
    import faiss

    inner: Any = faiss.downcast_index(index)
    if isinstance(inner, faiss.IndexIVFFlat):
        some, count = [], 0
        for _, vectors in _lists_in(inner):
            some, count = [*some, vectors], count + len(vectors)
            if count >= _READ_BATCH:
                yield np.concatenate(some)
                some, count = [], 0
        if some:
            yield np.concatenate(some)
        return
    for start in range(0, len(places), _ADD_BATCH):
        yield held_vectors(index, places[start : start + _ADD_BATCH])


def _lists_in(index: faiss.IndexIVFFlat) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Places (m,) and vectors (m, d) of every list that has any, where FAISS has them: not to be kept or changed."""
    import faiss

    lists: Any = index.invlists
    for number in range(index.nlist):
        size = lists.list_size(number)
        if size:
            codes = faiss.rev_swig_ptr(lists.get_codes(number), size * index.code_size)
            yield faiss.rev_swig_ptr(lists.get_ids(number), size), codes.view(np.float32).reshape(size, index.d)


def search_everything(
    index: faiss.Index, queries: NDArray[np.float32], k: int, alive: faiss.IDSelector | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scores and places over all that `index` holds, without its shortcuts; `alive`: the places that count."""
    import faiss

    inner: Any = faiss.downcast_index(index)
    if isinstance(inner, faiss.IndexIVFFlat):
        every = faiss.SearchParametersIVF(nprobe=inner.nlist)  # pyright: ignore[reportCallIssue]
        return inner.search(queries, k, params=every)
    if isinstance(inner, faiss.IndexHNSW):
        inner = inner.storage
    elif isinstance(inner, faiss.IndexRefine):
        inner = faiss.downcast_index(inner.refine_index)
    return inner.search(queries, k) if alive is None else inner.search(queries, k, params=_selecting(alive))


def alive_only(index: faiss.Index, places: NDArray[np.int64]) -> tuple[faiss.IDSelector, Any] | tuple[None, None]:
    """What keeps a search to `places` (n,), and the parameters of a search for it; none where nothing is dead, or
    what is dead is not in the lists that are searched."""
    import faiss

    inner: Any = faiss.downcast_index(index)
    if isinstance(inner, faiss.IndexIVF) or len(places) == inner.ntotal:
        return None, None
    flags = np.zeros(-(-inner.ntotal // 8) * 8, np.uint8)
    flags[places] = 1
    selector: Any = faiss.IDSelectorBitmap(np.packbits(flags, bitorder="little"))  # pyright: ignore[reportCallIssue]
    if isinstance(inner, faiss.IndexRefine):
        return selector, None
    parameters: Any = faiss.SearchParametersHNSW  # pyright: ignore[reportAttributeAccessIssue]
    return selector, parameters(efSearch=inner.hnsw.efSearch, sel=selector)


def _selecting(alive: faiss.IDSelector) -> Any:
    import faiss

    return faiss.SearchParameters(sel=alive)  # pyright: ignore[reportCallIssue]


def _lists(n: int) -> int:
    # About 4 * sqrt(n) at 250,000, but slower growth: a search compares its query with every centroid. A list that
    # FAISS cannot train well is worse than a longer list.
    return max(1, min(round(14 * n**0.4), n // _FEW_POINTS))


def _codes(dim: int) -> int:
    """Parts of a vector that IVF-PQ codes with 4 bits each."""
    return dim // 2 if dim % 2 == 0 else dim


def _lists_of(kind: Kind, n: int, dim: int, settings: IndexSettings) -> tuple[faiss.Index, dict[str, int]]:
    import faiss

    count = _lists(n)
    if kind == "ivf":
        return faiss.index_factory(dim, f"IVF{count},Flat", faiss.METRIC_INNER_PRODUCT), {"nlist": count}
    codes, factor = _codes(dim), settings.ivf_refine_factor
    index: Any = faiss.index_factory(dim, f"IVF{count},PQ{codes}x4fs,Refine(SQfp16)", faiss.METRIC_INNER_PRODUCT)
    index.k_factor = factor
    return index, {"nlist": count, "pq_codes": codes, "pq_bits": 4, "refine_factor": factor}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
