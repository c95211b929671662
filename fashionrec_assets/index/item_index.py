"""A FAISS index over item vectors, by inner product: search with exclusions, and its files.

Belongs here: which item a row of FAISS stands for, search, saving and loading. Does not belong here: FAISS's kinds
(`kinds.py`), building and updating (`building.py`, `updating.py`), what the vectors mean, and Dagster.

Inner product is the only metric. Two-tower vectors are scored by it as they are; for cosine, give the index and its
queries rows of unit length (`unit_rows`).

An index is never changed once it is there, and several threads may search it at once: an update makes another one in
another folder, and whoever holds the old one goes on searching it, memory-mapped or not, after its files are deleted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fashionrec_assets.index.exclusions import Exclusions, best_rows, order_ties
from fashionrec_assets.index.ids import strings
from fashionrec_assets.index.kinds import Kind, alive_only, search_everything
from fashionrec_assets.index.vectors import checked_vectors
from fashionrec_assets.storage.files import file_digest, remembered_digest

if TYPE_CHECKING:
    import faiss

CONFIG = "config.json"
FILES = {"index": "index.faiss", "ids": "ids.parquet"}
FORMAT = 2
_QUERY_BATCH = 4_096
_INFINITY = float("inf")
_NO_SCORE = float(np.finfo(np.float32).min) / 2
"""FAISS fills a line that it cannot fill with less than this."""
_REMEDY = "Build the index again: materialize `faiss_index` (`fashionrec run --select faiss_index`)."


class IndexFilesError(RuntimeError):
    """The saved index is missing, torn or damaged; the message says what to do."""


@dataclass(frozen=True)
class IndexConfig:
    """What an index is, as `config.json` beside it says.

    `places` counts the rows of FAISS ever given out since it was built over `built_items` vectors; those that no item
    stands at are dead. `parameters` holds what the kind was built and tuned with. `recall_at_10` is measured against
    exact search on `recall_queries` queries when the index is built or updated. `memory_bytes` is what its rows and its
    structure take, and `made_with` says with what code and settings it was built.
    """

    kind: Kind
    dim: int
    items: int
    places: int
    built_items: int
    parameters: dict[str, int]
    recall_at_10: float
    recall_queries: int
    memory_bytes: int
    seed: int
    faiss: str
    made_with: str = ""
    metric: str = "inner_product"


@dataclass(frozen=True)
class ItemIndex:
    """Item ids (n,) and the FAISS index over their vectors.

    What `search` calls row r is the item `ids[r]`, whatever its `places[r]` int64 (n,) in FAISS. `outputs`, strings
    (n,), says of which vector each row is (the ledger's `output_fp`; null: nobody asked).
    """

    ids: NDArray[np.str_]
    config: IndexConfig
    faiss_index: faiss.Index
    places: NDArray[np.int64] = field(repr=False)
    outputs: pa.Array = field(repr=False)

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

        Raises ValueError if `queries` has another width, holds a NaN, or `exclude` another length or an unknown row.
        """
        found = self._plain(queries, k) if exclude is None else None
        if found is not None:
            return found
        queries = checked_vectors(queries, "queries")
        if queries.shape[1] != self.config.dim:
            raise ValueError(f"queries have {queries.shape[1]} dimensions, the index has {self.config.dim}")
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        left_out = Exclusions.of(exclude, len(queries), len(self))
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        # One user with thousands of purchases must not make every other query fetch thousands of rows.
        bands = np.where(left_out.counts > 0, 1 << np.ceil(np.log2(np.maximum(left_out.counts, 1))).astype(np.int64), 0)
        for band in np.unique(bands):
            of_band = np.flatnonzero(bands == band)
            for start in range(0, len(of_band), _QUERY_BATCH):
                at = of_band[start : start + _QUERY_BATCH]
                rows[at], scores[at] = self._careful(queries[at], k, left_out.take(at))
        return rows, scores

    def _plain(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """`search` where there is nothing to look after: one that FAISS answers in full. None where there is.

        A fast index answers a query in some twenty microseconds, and every look at an array takes one. So what FAISS
        answers is looked at instead of the queries, whose NaN or infinity shows in the scores; and FAISS is called
        past its Python wrapper, whose checks are made here.
        """
        shape = queries.shape
        if (
            len(shape) != 2
            or shape[1] != self.config.dim
            or queries.dtype != np.float32
            or not (shape[0] and 0 < k <= len(self.ids) and queries.flags.c_contiguous)
        ):
            return None
        scores, rows = np.empty((shape[0], k), np.float32), np.empty((shape[0], k), np.int64)
        point, search, parameters, row_of = self._ready
        search(shape[0], point(queries), k, point(scores), point(rows), parameters)
        if shape[0] == 1:
            line = scores[0].tolist()
            sound, ties = line[-1] > _NO_SCORE and line[0] < _INFINITY, len(set(line)) < k
        else:
            sound = scores[:, -1].min() > _NO_SCORE and scores[:, 0].max() < _INFINITY
            ties = (scores[:, 1:] == scores[:, :-1]).any()
        if not sound:
            return None
        if row_of is not None:
            rows = row_of[rows]
        if ties:
            order_ties(rows, scores)
        return rows, scores

    def _careful(
        self, queries: NDArray[np.float32], k: int, left_out: Exclusions
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """`search` for queries that leave out about as many rows each."""
        fetch = min(len(self), k + int(left_out.counts.max(initial=0)))
        scores, places = self._nearest(queries, fetch)
        rows, scores = best_rows(self._rows(places), scores, left_out, k)
        short = np.flatnonzero((rows >= 0).sum(axis=1) < np.minimum(k, len(self) - left_out.counts))
        if len(short):
            exact, places = search_everything(self.faiss_index, queries[short], fetch, self._alive[0])
            rows[short], scores[short] = best_rows(self._rows(places), exact, left_out.take(short), k)
        return rows, scores

    def _nearest(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and places (m, k) as FAISS gives them."""
        parameters = self._alive[1]
        if parameters is None:
            return self.faiss_index.search(queries, k)
        return self.faiss_index.search(queries, k, params=parameters)

    def _rows(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row at each place, -1 for none."""
        return places if self._row_of is None else np.where(places < 0, -1, self._row_of[places])

    @cached_property
    def _row_of(self) -> NDArray[np.int64] | None:
        """int64 (places,): the row at each place, -1 where it is dead; None where both are the same."""
        if len(self) == self.config.places and np.array_equal(self.places, np.arange(len(self))):
            return None
        rows = np.full(self.config.places, -1, np.int64)
        rows[self.places] = np.arange(len(self))
        return rows

    @cached_property
    def _ready(self) -> tuple[Any, Any, Any, NDArray[np.int64] | None]:
        """What `_plain` calls: the address of an array, FAISS's search, its parameters; and `_row_of`."""
        import faiss

        index: Any = self.faiss_index
        return faiss.swig_ptr, index.search_c, self._alive[1], self._row_of

    @cached_property
    def _alive(self) -> tuple[faiss.IDSelector, Any] | tuple[None, None]:
        return alive_only(self.faiss_index, self.places)

    def save(self, folder: Path) -> None:
        """Write `index.faiss`, `ids.parquet` and, last, `config.json` with the digests of both into `folder`.

        Into an empty folder that is renamed into place afterwards (`storage.artifacts`), this is atomic; elsewhere a
        kill leaves files whose digests do not match, which `load` refuses.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / name for name in FILES.values()]
        with ThreadPoolExecutor(len(files)) as pool:
            writing = [pool.submit(_written, write, file) for write, file in zip(self._writers(), files, strict=True)]
        digests = dict(zip(FILES, (one.result() for one in writing), strict=True))
        config = {"format": FORMAT, **asdict(self.config), "sha256": digests}
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def _writers(self) -> tuple[Callable[[Path], None], Callable[[Path], None]]:
        """What writes each of `FILES`."""
        import faiss

        columns = {"item_id": pa.array(self.ids, pa.string()), "output_fp": self.outputs, "place": self.places}
        return (
            lambda file: faiss.write_index(self.faiss_index, str(file)),
            lambda file: pq.write_table(pa.table(columns), file),
        )

    @classmethod
    def load(cls, folder: Path, *, mmap: bool = False, verify: bool = True) -> ItemIndex:
        """The index saved in `folder`; with `mmap`, its vectors stay on disk and are paged in as they are searched.

        Raises IndexFilesError, with the remedy, if a file is missing, was changed since it was written (`verify`
        compares SHA-256 digests, for which a process reads a file once), does not fit the others, or is of an earlier
        format.
        """
        import faiss

        config, digests = _config(folder / CONFIG)
        files = [folder / name for name in FILES.values()]
        for file in files:
            if not file.is_file():
                raise IndexFilesError(f"{file} is missing. {_REMEDY}")
        with ThreadPoolExecutor(len(files)) as pool:
            found = pool.map(remembered_digest, files) if verify else digests.values()
            for file, digest, expected in zip(files, found, digests.values(), strict=True):
                if digest != expected:
                    raise IndexFilesError(f"{file} is damaged: its SHA-256 is not the one in {CONFIG}. {_REMEDY}")
            try:
                reading = pool.submit(faiss.read_index, str(files[0]), faiss.IO_FLAG_MMAP_IFC if mmap else 0)
                table = pq.read_table(files[1], memory_map=False)
                ids = strings(table.column("item_id"))
                outputs = table.column("output_fp").combine_chunks()
                places = table.column("place").to_numpy()
                index: Any = reading.result()
            except (RuntimeError, pa.ArrowException, OSError, KeyError) as error:
                raise IndexFilesError(f"The index in {folder} cannot be read: {error}. {_REMEDY}") from error
        # IVF lets go of dead rows, the others keep them.
        rows = config.items if config.kind == "ivf" else config.places
        if (
            (index.ntotal, index.d, len(ids)) != (rows, config.dim, config.items)
            or not (places.min() >= 0 and places.max() < config.places)
            or np.bincount(places).max() > 1
        ):
            raise IndexFilesError(
                f"The files in {folder} do not fit: {CONFIG} says {config.items} items of {config.dim} dimensions in "
                f"{config.places} places, the index holds {index.ntotal} rows of {index.d}, and there are {len(ids)} "
                f"ids. {_REMEDY}"
            )
        return cls(ids, config, index, places, outputs)


def _written(write: Callable[[Path], None], file: Path) -> str:
    """The digest of `file`, once it is written."""
    write(file)
    return file_digest(file)


def read_config(folder: Path) -> IndexConfig:
    """What the index saved in `folder` is, without loading it. Raises IndexFilesError if `config.json` is damaged."""
    return _config(folder / CONFIG)[0]


def _config(path: Path) -> tuple[IndexConfig, dict[str, str]]:
    """What `path` says, and the digests of the files beside it."""
    if not path.is_file():
        raise IndexFilesError(f"There is no index in {path.parent} ({CONFIG} is missing). {_REMEDY}")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        version, digests = stored.pop("format"), stored.pop("sha256")
        if version != FORMAT:
            raise IndexFilesError(f"{path} has format {version}, this version reads {FORMAT}. {_REMEDY}")
        return IndexConfig(**stored), {part: str(digests[part]) for part in FILES}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexFilesError(f"{path} is damaged: {error}. {_REMEDY}") from error
