"""The index at growing sizes: building it, bringing it up to date when 1 % of the items changed, searching it.

Every kind, size and part is a process of its own, on vectors of 64 dimensions that are generated: styles of fifty items
around two hundred types. Times are of the work and of writing its files; an update, and the build it is compared with,
read what they need from the bucket store, where the changed rows lie as a night leaves them. Peak memory is that of the
process, generated vectors and, of an update, the build after it included. Recall is measured on queries that the index
was not tuned with. `--quick` for some seconds.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets_tests.benchmarks.comparisons import (
    Comparison,
    Growth,
    Measured,
    command_line,
    in_a_process,
    tell,
)

DIM = 64
TYPES, STYLE, SPREAD = 200, 50, np.float32(0.5)
"""Types of product, items of a style within a type, and how far styles lie from their type, and items from their style,
in each dimension, beside 1 for the types from each other."""
SHARE = 0.01
LEAST_RECALL = 0.99
MOST_BYTES, BESIDE_MIB = 4, 400
"""What a build may hold at its peak: as many times what the vectors take, and this much of everything else."""
THREADS = {"OMP_NUM_THREADS": "2"}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "Flat": {"flat_up_to": 10**9},
    "IVF": {"flat_up_to": 1},
    "IVF-PQ": {"flat_up_to": 1, "memory_limit_mib": 0.01},
    "HNSW": {"flat_up_to": 1, "hnsw_up_to": 10**9},
}
SIZES: Mapping[str, Sequence[int]] = {
    "defaults": (10_000, 100_000, 1_000_000),
    "Flat": (10_000, 100_000, 200_000),
    "IVF": (10_000, 100_000, 1_000_000),
    "IVF-PQ": (100_000, 200_000, 400_000),
    "HNSW": (12_500, 25_000, 50_000),
}
QUICK_SIZES: Mapping[str, Sequence[int]] = dict.fromkeys(SIZES, (2000, 4000, 8000))


def styles(items: int) -> NDArray[np.float32]:
    """Float32 (items / 50, 64): the middles of the styles of a catalog of `items`, each around that of a type."""
    rng = np.random.default_rng(0)
    types = rng.standard_normal((TYPES, DIM), dtype=np.float32)
    count = max(1, items // STYLE)
    return types[rng.integers(0, TYPES, count)] + SPREAD * rng.standard_normal((count, DIM), dtype=np.float32)


def catalog(items: int) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """Ids (n,), sorted, and vectors float32 (n, 64)."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((items, DIM), dtype=np.float32)
    vectors *= SPREAD
    middles = styles(items)
    for start in range(0, items, 50_000):
        part = vectors[start : start + 50_000]
        part += middles[rng.integers(0, len(middles), len(part))]
    return np.array([f"{number:08d}" for number in range(items)]), vectors


def fresh_queries(items: int, count: int) -> NDArray[np.float32]:
    """Float32 (count, 64): vectors as those of `catalog`, none of them among them."""
    rng, middles = np.random.default_rng(3), styles(items)
    noise = SPREAD * rng.standard_normal((count, DIM), dtype=np.float32)
    return noise + middles[rng.integers(0, len(middles), count)]


@dataclass
class Runs:
    """What the processes showed so far: settings that lead to the same kind at a size share one."""

    folder: Path
    done: dict[tuple[str, str, int], Measured] = field(default_factory=dict)

    def of(self, part: str, name: str, size: int) -> Measured:
        from fashionrec_assets.index.kinds import choose_kind
        from fashionrec_assets.settings import IndexSettings

        kind = choose_kind(size, DIM, IndexSettings(**SETTINGS[name]))
        if (part, kind, size) not in self.done:
            self.done[part, kind, size] = in_a_process(
                "fashionrec_assets_tests.benchmarks.index_sizes",
                *("--part", part, "--settings", name, "--size", str(size), "--folder", str(self.folder / kind)),
                environment=THREADS,
            )
        return self.done[part, kind, size]


def measure(quick: bool) -> list[Comparison | Growth]:
    sizes = QUICK_SIZES if quick else SIZES
    found: list[Comparison | Growth] = []
    with tempfile.TemporaryDirectory(prefix="index-sizes-") as folder:
        runs = Runs(Path(folder))
        for name in SETTINGS:
            found += _kind(name, sizes[name], runs, least=0 if quick else LEAST_RECALL)
    return found


def _kind(name: str, sizes: Sequence[int], runs: Runs, *, least: float) -> list[Comparison | Growth]:
    """What one choice of settings shows at `sizes`."""

    def growth(part: str, what: str, bar: float | None, note: Callable[[Mapping[str, Any]], str]) -> Growth:
        each = [runs.of(part, name, size) for size in sizes]
        text = "; ".join(f"{size:,}: {note(run.said)}" for size, run in zip(sizes, each, strict=True))
        seconds, mib = [run.seconds for run in each], [run.mib for run in each]
        return Growth(f"index, {name}: {what}", "items", sizes, seconds, mib, bar, text)

    # Where the kind changes with the size, so does what a row costs: each kind has its own line with the bar.
    bar = 1.1 if name in ("Flat", "IVF", "IVF-PQ") else None
    built = growth(
        "build", "build and write", bar, lambda one: f"{one['kind']}, {one['memory']:,.0f} MiB, {one['parameters']}"
    )
    changed = growth("update", "update of 1 %", None, lambda one: f"{one['how']}, recall@10 {one['recall']:.4f}")
    searched = growth(
        "search",
        "a thousand queries, memory-mapped",
        None,
        lambda one: f"{one['speed']:,.0f} queries a second, recall@10 {one['recall']:.4f}",
    )
    if name in ("defaults", "IVF"):
        recalls = {size: runs.of("search", name, size).said["recall"] for size in sizes}
        if low := {size: recall for size, recall in recalls.items() if recall < least}:
            raise RuntimeError(f"recall@10 of {name} is below {least}: {low}")
    for size, peak in zip(sizes, built.mib, strict=True):
        if peak > (most := BESIDE_MIB + MOST_BYTES * 4 * DIM * size / 2**20):
            raise RuntimeError(f"building {name} of {size:,} items held {peak:,.0f} MiB, more than {most:,.0f}")
    updates = [runs.of("update", name, size) for size in sizes]
    shares = ", ".join(
        f"{run.seconds / run.said['anew']:.2f} at {size:,}" for size, run in zip(sizes, updates, strict=True)
    )
    ratios = Comparison(
        f"index, {name}: update of 1 %",
        "building it anew",
        [run.seconds for run in updates],
        [run.said["anew"] for run in updates],
        bar=1.0,
        note=f"one round at each number of items: {shares}; reading and writing by both",
    )
    return [built, changed, searched, ratios]


def one_part(part: str, name: str, size: int, folder: Path) -> dict[str, Any]:
    """What a process of its own does and says."""
    from fashionrec_assets.settings import IndexSettings

    settings = IndexSettings(**SETTINGS[name])
    ids, vectors = catalog(size)
    home = folder / f"{size}"
    return {"build": _build, "update": _update, "search": _search}[part](settings, ids, vectors, home)


def _build(settings: Any, ids: NDArray[np.str_], vectors: NDArray[np.float32], home: Path) -> dict[str, Any]:
    import faiss  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    from fashionrec_assets.index.building import build

    outputs = pa.array(ids.tolist(), pa.string())
    began = time.perf_counter()
    index = build(ids, vectors, settings, outputs=outputs)
    index.save(home)
    spent = time.perf_counter() - began
    config = index.config
    parameters = ", ".join(f"{key} {value}" for key, value in config.parameters.items()) or "exact"
    return {"seconds": spent, "kind": config.kind, "memory": config.memory_bytes / 2**20, "parameters": parameters}


def _update(settings: Any, ids: NDArray[np.str_], vectors: NDArray[np.float32], home: Path) -> dict[str, Any]:
    import faiss  # noqa: F401
    import pyarrow.compute  # noqa: F401

    from fashionrec_assets.index.updating import Wanted, refresh
    from fashionrec_assets.settings import StorageSettings
    from fashionrec_assets.storage.buckets import BucketStore
    from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, all_vectors, vector_rows, vectors_of

    store = BucketStore(home.with_name(f"{home.name}-store"), StorageSettings().buckets, VECTOR_COLUMNS)
    store.put(vector_rows(ids.tolist(), vectors))
    rng, count = np.random.default_rng(4), len(ids)
    moved = np.sort(rng.choice(count, max(4, round(SHARE * count)), replace=False))
    # Half of it has another vector, a quarter goes, a quarter comes: under the ids of others that are there no more.
    changed, gone, come = moved[::2], moved[1::4], moved[3::4]
    outputs = np.array(ids.tolist(), object)
    outputs[changed] = "changed"
    names = ids.astype("<U9")
    names[come] = np.char.add(ids[come], "n")
    new = np.concatenate([changed, come])
    fresh = np.concatenate([fresh_queries(count, len(changed)), vectors[come]])
    store.put(vector_rows(names[new].tolist(), fresh), drop=ids[np.concatenate([gone, come])].tolist())
    left = np.delete(np.arange(count), gone)
    names, outputs = names[left], outputs[left]
    del vectors

    def fetch(some: NDArray[np.str_]) -> NDArray[np.float32]:
        return (all_vectors(store) if len(some) == len(names) else vectors_of(store.take(some.tolist())))[1]

    wanted = Wanted(names, pa.array(outputs.tolist(), pa.string()), fetch)
    began = time.perf_counter()
    done = refresh(home, wanted, settings)
    done.index.save(home.with_name(f"{home.name}-updated"))
    spent = time.perf_counter() - began
    how = done.how + (f" ({done.why})" if done.why else "")
    recall = done.index.config.recall_at_10
    del done
    began = time.perf_counter()
    anew = refresh(None, wanted, settings)
    anew.index.save(home.with_name(f"{home.name}-anew"))
    return {
        "seconds": spent,
        "anew": time.perf_counter() - began,
        "how": how,
        "recall": recall,
    }


def _search(settings: Any, ids: NDArray[np.str_], vectors: NDArray[np.float32], home: Path) -> dict[str, Any]:
    from fashionrec_assets.index.item_index import ItemIndex
    from fashionrec_assets.index.tuning import measure_recall

    queries = fresh_queries(len(ids), 1_000)
    index = ItemIndex.load(home, mmap=True)
    index.search(queries, 10)
    began = time.perf_counter()
    index.search(queries, 10)
    spent = time.perf_counter() - began
    recall = measure_recall(index, vectors, queries=queries, size=500)
    return {"seconds": spent, "speed": len(queries) / spent, "recall": recall}


def main() -> None:
    asked = command_line(__doc__)
    asked.add_argument("--part", choices=["build", "update", "search"], help="one part in this process, as JSON")
    asked.add_argument("--settings", choices=list(SETTINGS), default="defaults")
    asked.add_argument("--size", type=int)
    asked.add_argument("--folder", type=Path)
    options = asked.parse_args()
    if options.part:
        print(json.dumps(one_part(options.part, options.settings, options.size, options.folder)))
        return
    tell("index_sizes", measure(options.quick), quick=options.quick)


if __name__ == "__main__":
    main()
