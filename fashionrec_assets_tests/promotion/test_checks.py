from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashionrec_assets.promotion.checks import CHECKS, _strangers, release_is_whole
from fashionrec_assets.storage.parquet import write_atomically
from fashionrec_assets.storage.releases import Releases
from fashionrec_assets_tests.storage.release_maker import publish


def test_parts_of_different_nights_are_found_before_anybody_is_served(tmp_path: Path) -> None:
    releases, made = Releases.of(tmp_path), publish(tmp_path)
    assert _strangers(releases, made) == []
    tables = releases.folder(made.version) / "tables"
    for name, rows in (
        ("items", pq.read_table(tables / "items.parquet").slice(0, 3)),
        ("popular_items", pq.read_table(tables / "popular_items.parquet").slice(0, 0)),
    ):
        write_atomically(tables / f"{name}.parquet", rows)
    # Item d, which is gone, was the anchor of a shelf of both shoppers, and similar to b.
    assert _strangers(releases, made) == [
        "homepage: 2 rows whose anchor_id is no item of the release",
        "similar_items: 1 rows whose similar_id is no item of the release",
        "popular_items is empty: shoppers nobody knows would see nothing",
    ]


def test_only_a_whole_release_is_decided_about() -> None:
    (spec,) = release_is_whole.check_specs
    assert spec.blocking
    assert [key.name for check in CHECKS for key in check.check_keys] == [
        "release_is_whole",
        "served_release_is_whole",
        "challenger_is_not_worse",
    ]


@pytest.mark.parametrize("table", ["homepage", "items"])
def test_a_release_does_not_change_with_the_file_it_was_made_from(tmp_path: Path, table: str) -> None:
    releases, made = Releases.of(tmp_path), publish(tmp_path)
    write_atomically(tmp_path / "exports" / f"{table}.parquet", pa.table({"item_id": ["z"]}))
    assert releases.problems(made.version) == []
