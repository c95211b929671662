"""Few changed rows of a large bucket are written alone, and nobody who reads can tell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fashionrec_assets.storage import buckets
from fashionrec_assets.storage.bucket_files import HASHES, segment_name
from fashionrec_assets.storage.buckets import BucketStore, StoreDamagedError, bucket_of
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows, vectors_of

KEYS = [f"k{number:03d}" for number in range(200)]
ONE = [key for key in KEYS if bucket_of(key, 2) == 0]
"""The keys of the bucket that is changed, of two."""


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have buckets of these tests count as large."""
    monkeypatch.setattr(buckets, "SMALL", 8)


def store(folder: Path) -> BucketStore:
    return BucketStore(folder / "store", 2, VECTOR_COLUMNS)


def rows(keys: list[str], value: float) -> pa.Table:
    return vector_rows(keys, np.full((len(keys), 2), value, np.float32))


def values(made: BucketStore) -> dict[str, float]:
    keys, vectors = vectors_of(made.scan())
    return dict(zip(keys, vectors[:, 0].tolist(), strict=True))


def filled(folder: Path) -> BucketStore:
    """Three segments beside one base: k0 replaced and then deleted, k1 and k2 replaced, one key new."""
    made = store(folder)
    made.put(rows(KEYS, 0))
    made.put(rows(ONE[:2], 1))
    made.put(rows([ONE[2], fresh()], 2))
    made.put(rows([ONE[1]], 3), drop=[ONE[0]])
    return made


def fresh() -> str:
    return next(key for key in (f"new{number}" for number in range(99)) if bucket_of(key, 2) == 0)


def expected() -> dict[str, float]:
    found = dict.fromkeys(KEYS, 0.0) | {ONE[1]: 3.0, ONE[2]: 2.0, fresh(): 2.0}
    del found[ONE[0]]
    return found


def test_what_changed_is_written_and_nothing_else(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.put(rows(KEYS, 0))
    assert made.written.rows == len(KEYS)
    before = {path.name: path.read_bytes() for path in made.files()}
    made = filled(tmp_path)
    changed = BucketStore(made.root, 2, VECTOR_COLUMNS)
    changed.put(rows([ONE[5]], 4), drop=[ONE[6]])
    assert (changed.written.rows, changed.written.files) == (2, 1)
    assert changed.written.bytes < len(before["0000.parquet"]) / 2 or changed.written.bytes < 2500
    assert before.items() <= {path.name: path.read_bytes() for path in made.files()}.items()


def test_of_each_key_the_newest_row_is_read_however_it_is_asked_for(tmp_path: Path) -> None:
    made = filled(tmp_path)
    assert [path.name for path in made.files()][1:4] == [segment_name(0, number) for number in (1, 2, 3)]
    assert values(made) == expected()
    assert made.keys() == store(tmp_path).keys() == set(expected())
    assert made.read(0).column("item_id").to_pylist() == sorted({*ONE, fresh()} - {ONE[0]})
    assert vectors_of(made.take([ONE[0], ONE[1], KEYS[-1], fresh()]))[1][:, 0].tolist() == [3.0, 0.0, 2.0]
    assert len(made.any_row()) == 1


def test_what_was_written_lately_is_read_without_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, read = filled(tmp_path), list[str]()
    whole = buckets.files.read_part

    def watched(path: Path, schema: pa.Schema) -> buckets.Part:
        read.append(path.name)
        return whole(path, schema)

    monkeypatch.setattr(buckets.files, "read_part", watched)
    assert vectors_of(made.take([ONE[1], ONE[2]]))[1][:, 0].tolist() == [3.0, 2.0]
    assert read == [segment_name(0, number) for number in (1, 2, 3)]
    # One that went, and one that never changed, are looked for everywhere.
    assert vectors_of(made.take([ONE[0], ONE[1]]))[1][:, 0].tolist() == [3.0]
    assert "0000.parquet" in read
    read.clear()
    assert vectors_of(made.take([ONE[1], ONE[9]]))[1][:, 0].tolist() == [3.0, 0.0]
    assert "0000.parquet" in read


def test_deleting_what_is_not_there_writes_nothing(tmp_path: Path) -> None:
    made = filled(tmp_path)
    before = made.written.files
    made.put(made.schema.empty_table(), drop=[ONE[0], "nobody", "never"])
    assert made.written.files == before


def test_any_history_of_writes_reads_as_if_it_had_been_written_at_once(tmp_path: Path) -> None:
    for seed in range(2):
        draw = np.random.default_rng(seed)
        made, truth = store(tmp_path / str(seed)), dict[str, float]()
        most = 0
        for turn in range(40):
            size = int(draw.choice([1, 3, 10, 120], p=[0.5, 0.3, 0.15, 0.05]))
            some = draw.permutation(KEYS)[: 2 * size].tolist()
            made.put(rows(some[:size], turn), drop=some[size:])
            truth = {key: value for key, value in truth.items() if key not in some[size:]}
            truth |= dict.fromkeys(some[:size], float(turn))
            most = max(most, len(made.files()))
            if turn % 10 == 5:
                made = store(tmp_path / str(seed))
            if turn % 20 == 19:
                assert values(made) == truth, (seed, turn)
                for asked in (some, KEYS[::7]):
                    taken, vectors = vectors_of(made.take(asked))
                    assert dict(zip(taken, vectors[:, 0].tolist(), strict=True)) == {
                        key: truth[key] for key in asked if key in truth
                    }
                assert made.keys() == set(truth)
        assert most > 6, "without segments this says nothing"
        made.fold()
        assert len(made.files()) == 2 and values(made) == truth


def test_segments_are_taken_into_the_base_before_they_are_many_or_large(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.put(rows(KEYS, 0))
    for turn in range(40):
        made.put(rows([ONE[0]], turn))
        assert len(made.files()) <= 2 + buckets._MOST_SEGMENTS
    assert 40 < made.written.rows - len(KEYS) < 40 + 4 * len(ONE)
    made.fold()
    made.put(rows(ONE[: len(ONE) // 2], 9))
    assert len(made.files()) == 2


def test_folding_leaves_no_deleted_row_in_any_file(tmp_path: Path) -> None:
    made = filled(tmp_path)
    assert ONE[0].encode() in made.path(0).read_bytes()
    made.fold()
    assert values(made) == expected()
    assert not [path for path in made.root.iterdir() if ONE[0].encode() in path.read_bytes()]
    # What comes later is newer than what was folded, whatever its number.
    made.put(rows([ONE[1]], 7))
    assert len(made.files()) == 3 and values(made) == expected() | {ONE[1]: 7.0}


def test_an_emptied_bucket_leaves_no_file(tmp_path: Path) -> None:
    made = filled(tmp_path)
    made.put(made.schema.empty_table(), drop=list(expected()))
    assert made.files() == [] and made.keys() == set()


def damaged(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x00\xff\x13")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 20),
    "altered": damaged,
}


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("kind", DAMAGE)
def test_the_rows_that_a_lost_segment_replaced_do_not_come_back(kind: str, number: int, tmp_path: Path) -> None:
    made = filled(tmp_path)
    DAMAGE[kind](made.files()[number])
    elsewhere = {key: value for key, value in expected().items() if bucket_of(key, 2) == 1}
    if kind != "altered":
        shutil.copytree(tmp_path, tmp_path / "read")
        with pytest.raises(StoreDamagedError, match="Run again"):
            store(tmp_path / "read").take([ONE[3]])
        with pytest.raises(StoreDamagedError, match="Run again"):
            made.put(rows([ONE[4]], 5), drop=[ONE[5]])
            made.scan()
    assert store(tmp_path).keys() == set(elsewhere)
    assert values(store(tmp_path)) == elsewhere
    made.put(rows(ONE, 8))
    made.put(rows([ONE[1]], 9))
    assert values(store(tmp_path)) == elsewhere | dict.fromkeys(ONE, 8.0) | {ONE[1]: 9.0}
    assert store(tmp_path).keys() == set(KEYS)
    assert not list(made.root.glob("*.damaged"))


def test_a_store_without_notes_of_its_files_reads_them_all_the_same(tmp_path: Path) -> None:
    made = filled(tmp_path)
    (made.root / HASHES).unlink()
    assert values(store(tmp_path)) == expected()
    made.put(rows([ONE[9]], 5))
    assert values(store(tmp_path)) == expected() | {ONE[9]: 5.0}
