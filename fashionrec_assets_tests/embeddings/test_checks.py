"""What a check found in a file stands while the file is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from fashionrec_assets.embeddings.checks import by_file
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows

KEYS = [f"i{number}" for number in range(20)]


def test_only_files_that_changed_are_read_again(tmp_path: Path) -> None:
    store, notes = BucketStore(tmp_path / "store", 4, VECTOR_COLUMNS), tmp_path / "notes.json"
    store.put(vector_rows(KEYS, np.ones((len(KEYS), 2), np.float32)))
    judged: list[int] = []

    def judge(table: pa.Table) -> list[int]:
        judged.append(len(table))
        return [len(table)]

    assert sum(numbers[0] for numbers in by_file(store, notes, judge)) == len(KEYS)
    files = len(judged)
    first = by_file(store, notes, judge)
    assert len(judged) == files, "nothing changed, nothing is read"

    store.put(vector_rows(["i0"], np.full((1, 2), np.nan, np.float32)))
    again = by_file(store, notes, judge)
    assert len(judged) == files + 1
    assert again == first

    store.put(store.schema.empty_table(), drop=KEYS)
    assert by_file(store, notes, judge) == []

    notes.write_text("{damaged")
    assert by_file(store, notes, judge) == []
