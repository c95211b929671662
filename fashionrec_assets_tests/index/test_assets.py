"""The asset over a shop that has only item vectors: what it reads, makes and says, night after night."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.index.assets import faiss_index
from fashionrec_assets.index.checks import CHECKS, index_holds_the_catalog
from fashionrec_assets.index.item_index import CONFIG, FILES, ItemIndex
from fashionrec_assets.index.reading import current_index
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.ledger import LEDGER
from fashionrec_assets.storage.tables import Column, Table
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows
from fashionrec_assets.storage.warehouse import upsert_rows
from fashionrec_assets.towers.reading import VECTOR_STORE
from fashionrec_assets_tests.index.catalogs import FLAT, IVF, catalog

ITEMS = Table("items", "The catalog", (Column("item_id", "VARCHAR", "its id"),), ("item_id",))
KINDS = pytest.mark.parametrize("index", [FLAT, IVF], ids=["flat", "ivf"])


def shop_of(home: Path, index: Any, *, rebuild: bool = False) -> Shop:
    settings = Settings.load(raw=home / "raw", home=home, index=index.model_dump(), storage={"buckets": 4})
    return Shop(settings, (LEDGER, ITEMS), rebuild=rebuild)


def give(shop: Shop, ids: NDArray[np.str_], vectors: NDArray[np.float32]) -> None:
    """The catalog is `ids`, and `item_vectors` has made `vectors` of them."""
    store = shop.store(VECTOR_STORE, VECTOR_COLUMNS)
    store.put(vector_rows(ids.tolist(), vectors), drop=sorted(store.keys() - set(ids.tolist())))
    outputs = [hashlib.sha256(vector.tobytes()).hexdigest() for vector in vectors]
    said = {"stage": [VECTOR_STORE] * len(ids), "key": ids.tolist(), "input_fp": [""] * len(ids)}
    with shop.warehouse.writer() as connection:
        connection.execute("DELETE FROM ledger WHERE stage = ?", [VECTOR_STORE])
        upsert_rows(connection, LEDGER, pa.table({**said, "code_fp": [""] * len(ids), "output_fp": outputs}))
        connection.execute("DELETE FROM items")
        upsert_rows(connection, ITEMS, pa.table({"item_id": ids.tolist()}))


def made(shop: Shop) -> dict[str, Any]:
    """What the asset said, its checks having passed."""
    told = cast(dg.MaterializeResult, faiss_index(shop))
    assert all(cast(dg.AssetCheckResult, check(shop)).passed for check in CHECKS)
    return dict(told.metadata or {})


def by_two_ways(folder: Path, index: Any) -> tuple[Shop, Shop]:
    """Two shops with the same catalog: the index of the first was updated to it, that of the second built of it."""
    ids, vectors = catalog(300)
    updated, anew = shop_of(folder / "a", index), shop_of(folder / "b", index)
    give(updated, ids[:280], vectors[:280])
    made(updated)
    for shop in (updated, anew):
        give(shop, ids[7:], vectors[7:])
    assert (made(updated)["how"], made(anew)["how"]) == ("updated", "built")
    return updated, anew


@KINDS
def test_a_night_reads_and_adds_only_what_changed(index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, vectors = catalog(400)
    shop = shop_of(tmp_path, index)
    give(shop, ids[:390], vectors[:390])
    first = made(shop)
    assert (first["how"], first["why"], first["dagster/row_count"]) == ("built", "there was none", 390)
    assert first["kind"] == ("flat" if index is FLAT else "ivf")
    assert first["recall_at_10"] >= index.recall_target
    assert min(first[name] for name in ("queries_per_second", "memory_bytes", "disk_bytes")) > 0
    assert first["dead_places"] == 0

    read: list[Any] = []

    def watched(shop: Shop, store: str, some: list[str] | None = None) -> Any:
        read.append(some)
        return stored_vectors(shop, store, some)

    monkeypatch.setattr("fashionrec_assets.index.assets.stored_vectors", watched)
    # One item goes, ten come, one has another vector.
    tomorrow, changed = ids[1:], vectors[1:].copy()
    changed[4] += 0.01
    give(shop, tomorrow, changed)
    held, before = current_index(shop, mmap=True), shop.version("faiss_index")
    answers = held.search(vectors[:20], 5)
    second = made(shop)
    assert (second["how"], second["rows_added"], second["rows_removed"]) == ("updated", 11, 2)
    assert read == [[ids[5], *ids[390:]]]
    assert second["stale"] == 1
    assert shop.version("faiss_index") != before
    assert [path.name for path in (shop.artifacts.root / "faiss_index").iterdir()] == [shop.version("faiss_index")]
    for was, still in zip(answers, held.search(vectors[:20], 5), strict=True):
        np.testing.assert_array_equal(was, still)
    assert ItemIndex.load(shop.current("faiss_index")).ids.tolist() == tomorrow.tolist()

    read.clear()
    # Nothing changed: the index is not even opened, and says of itself what it said before.
    monkeypatch.setattr(ItemIndex, "load", None)
    third = dict(cast(dg.MaterializeResult, faiss_index(shop)).metadata or {})
    assert (third["reused"], third.get("how"), read) == (1, None, [])
    assert {"kind", "recall_at_10", "memory_bytes", "disk_bytes", "dagster/row_count"} <= third.keys()
    assert {name: third[name] for name in third if name in ("recall_at_10", "dead_places", "dagster/row_count")} == {
        name: second[name] for name in ("recall_at_10", "dead_places", "dagster/row_count")
    }


def test_a_flat_index_has_one_version_whatever_way_it_came(tmp_path: Path) -> None:
    updated, anew = by_two_ways(tmp_path, FLAT)
    assert updated.version("faiss_index") == anew.version("faiss_index")
    for name in FILES.values():
        assert (updated.current("faiss_index") / name).read_bytes() == (anew.current("faiss_index") / name).read_bytes()


def test_an_updated_approximate_index_is_another_version_and_a_full_refresh_forgets_its_way(tmp_path: Path) -> None:
    updated, anew = by_two_ways(tmp_path, IVF)
    assert updated.version("faiss_index") != anew.version("faiss_index")
    assert made(shop_of(tmp_path / "a", IVF, rebuild=True))["how"] == "built"
    assert updated.version("faiss_index") == anew.version("faiss_index")


def test_a_damaged_index_is_made_again(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, IVF)
    give(shop, *catalog(300))
    made(shop)
    for name in (*FILES.values(), CONFIG):
        path = shop.current("faiss_index") / name
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert made(shop)["how"] == "built"
        assert path.read_bytes() == whole


def test_the_check_sees_a_vector_that_is_no_longer_the_newest(tmp_path: Path) -> None:
    ids, vectors = catalog(50)
    shop = shop_of(tmp_path, FLAT)
    give(shop, ids, vectors)
    made(shop)
    give(shop, ids, vectors + np.float32(0.5))
    found = cast(dg.AssetCheckResult, index_holds_the_catalog(shop))
    assert not found.passed
    assert found.metadata["outdated"].value == 50
    give(shop, np.array([*ids[3:].tolist(), "new"]), vectors[2:])
    found = cast(dg.AssetCheckResult, index_holds_the_catalog(shop))
    assert not found.passed
    assert [found.metadata[name].value for name in ("indexed", "missing", "stray", "outdated")] == [50, 1, 3, 47]


def test_a_store_that_does_not_hold_what_the_ledger_says_is_an_error(tmp_path: Path) -> None:
    ids, vectors = catalog(50)
    shop = shop_of(tmp_path, FLAT)
    give(shop, ids, vectors)
    store = shop.store(VECTOR_STORE, VECTOR_COLUMNS)
    store.put(store.schema.empty_table(), drop=[ids[3]])
    with pytest.raises(LookupError, match="fashionrec run --select item_vectors"):
        made(shop)
