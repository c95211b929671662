from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from fashionrec_assets.storage.buckets import BucketStore, bucket_of
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows, vectors_of


def store(tmp_path: Path, buckets: int = 4) -> BucketStore:
    return BucketStore(tmp_path / "store", buckets, VECTOR_COLUMNS)


def rows(keys: list[str], value: float = 1.0) -> pa.Table:
    return vector_rows(keys, np.full((len(keys), 3), value, dtype=np.float32))


def test_what_is_put_comes_back_sorted_whatever_the_order(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    keys = [f"k{number:02d}" for number in range(50)]
    shuffled = np.random.default_rng(1).permutation(50)
    made = store(tmp_path)
    made.put(vector_rows([keys[at] for at in shuffled], vectors[shuffled]))
    found, values = vectors_of(made.scan())
    assert found == keys
    np.testing.assert_array_equal(values, vectors)
    assert vectors_of(made.take(["k07", "k03", "absent"]))[0] == ["k03", "k07"]


def test_put_replaces_and_drops_and_touches_only_the_buckets_it_must(tmp_path: Path) -> None:
    made = store(tmp_path)
    keys = [f"k{number}" for number in range(20)]
    made.put(rows(keys))
    before = {path.name: path.stat().st_mtime_ns for path in made.root.glob("*.parquet")}
    made.put(rows(["k1"], 2.0), drop=["k2"])
    touched = {made.path(bucket_of(key, 4)).name for key in ("k1", "k2")}
    changed = {path.name for path in made.root.glob("*.parquet") if before[path.name] != path.stat().st_mtime_ns}
    assert changed == touched
    found, values = vectors_of(made.scan())
    assert set(found) == set(keys) - {"k2"}
    assert values[found.index("k1")].tolist() == [2.0, 2.0, 2.0]


def test_an_emptied_bucket_leaves_no_file(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.put(rows(["a"]))
    made.put(made.schema.empty_table(), drop=["a"])
    assert not list(made.root.glob("*.parquet"))
    assert made.keys() == set()


def test_the_number_of_buckets_is_what_the_store_was_created_with(tmp_path: Path) -> None:
    store(tmp_path, 4).put(rows(["a", "b", "c"]))
    later = store(tmp_path, 64)
    assert later.buckets == 4
    later.put(rows(["d"]), drop=["a"])
    assert later.keys() == {"b", "c", "d"}


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        made = BucketStore(tmp_path / name, 2, VECTOR_COLUMNS)
        if name == "two":
            made.put(rows(["b"], 9.0))
        made.put(rows(["a", "b", "c"]))
        files.append([path.read_bytes() for path in sorted(made.root.glob("*.parquet"))])
    assert files[0] == files[1]


def test_a_bucket_does_not_depend_on_the_process() -> None:
    assert [bucket_of(key, 64) for key in ("0108775044", "a", "汉")] == [61, 47, 6]
