from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from numpy.typing import NDArray

from fashionrec_assets.index import kinds, updating
from fashionrec_assets.index.building import build
from fashionrec_assets.index.item_index import CONFIG, FILES, ItemIndex
from fashionrec_assets.index.kinds import held_blocks, held_vectors
from fashionrec_assets.index.reading import NAME, current_index
from fashionrec_assets.index.tuning import measure_recall
from fashionrec_assets.index.updating import Refreshed, Wanted, refresh
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import IndexSettings
from fashionrec_assets.storage.artifacts import ArtifactMissingError, Artifacts
from fashionrec_assets_tests.index.catalogs import FLAT, HNSW, IVF, IVFPQ, KINDS, catalog

APPROXIMATE = pytest.mark.parametrize("config", [HNSW, IVF, IVFPQ], ids=["hnsw", "ivf", "ivfpq"])


class Items:
    """A catalog that changes: every item has a vector and the number of its latest change."""

    def __init__(self, n: int, dim: int = 16, seed: int = 0) -> None:
        ids, vectors = catalog(n, dim, seed)
        self.now = {item: (0, vector) for item, vector in zip(ids.tolist(), vectors, strict=True)}
        self.rng = np.random.default_rng(seed + 1)
        self.dim = dim
        self.fetched = 0

    def change(self, *, changed: int = 0, added: int = 0, removed: int = 0) -> None:
        known = sorted(self.now)
        for item in self.rng.choice(known, min(removed, len(known) - 1), replace=False).tolist():
            del self.now[item]
        known = sorted(self.now)
        for item in self.rng.choice(known, min(changed, len(known)), replace=False).tolist():
            number, vector = self.now[item]
            self.now[item] = (number + 1, vector + 0.3 * self.rng.standard_normal(self.dim).astype(np.float32))
        for _ in range(added):
            near = self.now[known[int(self.rng.integers(len(known)))]][1]
            vector = near + 0.3 * self.rng.standard_normal(self.dim)
            self.now[f"item-{self.rng.integers(10**12):012d}"] = (0, vector.astype(np.float32))

    def vectors(self, ids: NDArray[np.str_]) -> NDArray[np.float32]:
        self.fetched += len(ids)
        return np.stack([self.now[item][1] for item in ids.tolist()])

    def wanted(self, made_with: str = "code") -> Wanted:
        ids = np.array(sorted(self.now))
        outputs = pa.array([f"{item}@{self.now[item][0]}" for item in ids.tolist()], pa.string())
        return Wanted(ids, outputs, self.vectors, made_with)

    def fresh(self, config: IndexSettings) -> ItemIndex:
        wanted = self.wanted()
        return build(wanted.ids, self.vectors(wanted.ids), config, outputs=wanted.outputs, made_with=wanted.made_with)


def refreshed(items: Items, folder: Path, config: IndexSettings, made_with: str = "code") -> Refreshed:
    """The index in `folder` brought up to date there."""
    done = refresh(folder if folder.exists() else None, items.wanted(made_with), config)
    shutil.rmtree(folder, ignore_errors=True)
    done.index.save(folder)
    return done


STEPS = st.lists(
    st.fixed_dictionaries({kind: st.integers(0, 12) for kind in ("changed", "added", "removed")}), max_size=4
)


@trials(max_examples=25, deadline=None, derandomize=True)
@given(steps=STEPS, n=st.integers(1, 120))
def test_an_updated_flat_index_is_the_same_bytes_as_one_built_anew(
    steps: list[dict[str, int]], n: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("flat")
    items = Items(n, dim=4, seed=n)
    refreshed(items, folder / "updated", FLAT)
    for step in steps:
        items.change(**step)
        refreshed(items, folder / "updated", FLAT)
    items.fresh(FLAT).save(folder / "anew")
    for name in (CONFIG, *FILES.values()):
        assert (folder / "updated" / name).read_bytes() == (folder / "anew" / name).read_bytes(), name


@APPROXIMATE
def test_an_updated_approximate_index_holds_what_one_built_anew_holds(config: IndexSettings, tmp_path: Path) -> None:
    items = Items(1_500)
    assert refreshed(items, tmp_path / "index", config).how == "built"
    for step in ({"changed": 20}, {"added": 30}, {"removed": 25}, {"changed": 9, "added": 8, "removed": 7}, {}):
        before = items.fetched
        items.change(**step)
        done = refreshed(items, tmp_path / "index", config)
        moved = step.get("changed", 0) + step.get("added", 0)
        assert (done.how, done.why) == ("updated", "")
        assert (done.added, done.removed) == (moved, step.get("changed", 0) + step.get("removed", 0))
        assert items.fetched - before == moved
        index = ItemIndex.load(tmp_path / "index", mmap=True)
        wanted = items.wanted()
        truth = items.vectors(wanted.ids)
        assert index.ids.tolist() == wanted.ids.tolist()
        assert index.outputs.to_pylist() == wanted.outputs.to_pylist()
        tolerance = 1e-2 if config is IVFPQ else 0
        np.testing.assert_allclose(held_vectors(index.faiss_index, index.places), truth, atol=tolerance)
        # Asked for everything, an approximate index answers in full: every item once, and none that is gone.
        rows, scores = index.search(truth[:5], len(index))
        assert (np.sort(rows, axis=1) == np.arange(len(index))).all()
        np.testing.assert_allclose(scores, np.einsum("mkd,md->mk", truth[rows], truth[:5]), rtol=2e-3, atol=2e-2)
        assert measure_recall(index, truth, seed=99) >= config.recall_target - 0.02


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "ivfpq"])
def test_an_update_is_measured_with_as_many_queries_as_its_size_allows(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, items = KINDS[kind].model_copy(update={"recall_sample": 300}), Items(1_000)
    refreshed(items, tmp_path / "index", config)
    monkeypatch.setattr(updating, "_MOST_SCORES", 120_000)
    items.change(changed=10)
    index = refreshed(items, tmp_path / "index", config).index
    assert index.config.recall_queries == 120
    vectors = items.vectors(items.wanted().ids)
    asked = vectors[np.sort(np.random.default_rng(17).choice(1_000, 120, replace=False))]
    seen = measure_recall(index, vectors, queries=asked)
    assert index.config.recall_at_10 == pytest.approx(seen, abs=0.02 if kind == "ivfpq" else 1e-9)
    monkeypatch.setattr(updating, "_MOST_SCORES", 1_000)
    items.change(changed=10)
    assert refreshed(items, tmp_path / "index", config).index.config.recall_queries == 100


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_index_holds_is_the_same_whole_and_in_parts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_READ_BATCH", 40)
    monkeypatch.setattr(kinds, "_ADD_BATCH", 40)
    index = Items(300).fresh(KINDS[kind])
    held = held_vectors(index.faiss_index, index.places)
    parts = list(held_blocks(index.faiss_index, index.places))
    assert len(parts) > 2
    order = [np.lexsort(whole.T) for whole in (held, np.concatenate(parts))]
    np.testing.assert_array_equal(np.concatenate(parts)[order[1]], held[order[0]])
    some = index.places[[250, 7, 8]]
    np.testing.assert_array_equal(held_vectors(index.faiss_index, some), held[[250, 7, 8]])


@APPROXIMATE
def test_what_was_taken_out_is_never_found(config: IndexSettings, tmp_path: Path) -> None:
    items = Items(800)
    refreshed(items, tmp_path / "index", config)
    gone = {item: items.now[item][1] for item in sorted(items.now)[100:180]}
    for item in gone:
        del items.now[item]
    assert refreshed(items, tmp_path / "index", config).how == "updated"
    index = ItemIndex.load(tmp_path / "index")
    queries = np.stack(list(gone.values()))
    left_out = [np.array([3, 4, 5])] * len(queries)
    for rows, _ in (index.search(queries, 10), index.search(queries, 10, left_out), index.search(queries[:1], 10)):
        assert (rows >= 0).all()
        assert not set(index.ids[rows].ravel().tolist()) & gone.keys()


def test_the_policy_builds_anew(tmp_path: Path) -> None:
    folder, items = tmp_path / "index", Items(1_000)
    assert refreshed(items, folder, IVF).why == "there was none"
    items.change(changed=150)
    assert refreshed(items, folder, IVF).how == "updated"
    items.change(changed=150)
    done = refreshed(items, folder, IVF)
    assert (done.how, done.index.config.places) == ("built", 1_000)
    assert done.why == "300 of 1300 places are dead or were given out since it was built"
    items.change(removed=190)
    assert refreshed(items, folder, IVF).how == "updated"
    items.change(removed=20)
    assert refreshed(items, folder, IVF).why.startswith("210 of 1000 places")
    assert refreshed(items, folder, IVF, made_with="other code").why == "code or settings changed"
    larger = IVF.model_copy(update={"flat_up_to": 900})
    assert refreshed(items, folder, larger, made_with="other code").why == "790 items ask for flat, not ivf"
    items.change(added=111)
    assert refreshed(items, folder, larger, made_with="other code").why == "901 items ask for ivf, not flat"
    items.change(changed=len(items.now))
    assert refreshed(items, folder, larger, made_with="other code").why == "no vector is as it was"


def test_vectors_of_another_width_are_a_rebuild(tmp_path: Path) -> None:
    folder, items = tmp_path / "index", Items(300, dim=16)
    refreshed(items, folder, FLAT)
    wider = Items(300, dim=24)
    wider.now = {item: (1, vector) for item, (_, vector) in wider.now.items()}
    done = refreshed(wider, folder, FLAT)
    assert (done.how, done.index.config.dim) == ("built", 24)


def test_recall_that_an_update_loses_is_built_up_again(tmp_path: Path) -> None:
    folder, items = tmp_path / "index", Items(3_000)
    eager = IVF.model_copy(update={"rebuild_share": 1.0})
    assert refreshed(items, folder, eager).index.config.recall_at_10 >= eager.recall_target
    # A new fashion: everything that comes now lies where the lists were not trained.
    for _ in range(2_500):
        vector = 6 + items.rng.standard_normal(16).astype(np.float32)
        items.now[f"new-{len(items.now):06d}"] = (0, vector)
    done = refreshed(items, folder, eager)
    assert done.how == "built"
    assert done.why.startswith("recall@10 after the update was 0.")
    assert done.index.config.recall_at_10 >= eager.recall_target


@pytest.mark.parametrize("name", [CONFIG, *FILES.values()])
def test_a_damaged_index_is_built_anew_not_carried_on(name: str, tmp_path: Path) -> None:
    folder, items = tmp_path / "index", Items(300)
    refreshed(items, folder, IVF)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 255
    (folder / name).write_bytes(data)
    items.change(changed=3)
    done = refreshed(items, folder, IVF)
    assert done.how == "built"
    assert "damaged" in done.why
    assert np.array_equal(ItemIndex.load(folder).ids, items.wanted().ids)


def test_an_update_leaves_the_files_it_starts_from_alone(tmp_path: Path) -> None:
    folder, items = tmp_path / "index", Items(500)
    refreshed(items, folder, HNSW)
    before = {name: (folder / name).read_bytes() for name in (CONFIG, *FILES.values())}
    items.change(changed=5, added=5, removed=5)
    assert refresh(folder, items.wanted(), HNSW).how == "updated"
    assert {name: (folder / name).read_bytes() for name in before} == before


class Versions:
    """What `current_index` needs of a shop: which version is in force, and the artifacts."""

    def __init__(self, root: Path) -> None:
        self.artifacts = Artifacts(root)
        self.now = ""

    def version(self, name: str) -> str:
        return self.now

    def switch(self, index: ItemIndex, version: str) -> None:
        with self.artifacts.write(NAME, version) as draft:
            index.save(draft)
        self.now = version
        self.artifacts.prune(NAME, [version])


@pytest.mark.parametrize("kind", KINDS)
def test_searches_go_on_while_versions_change(kind: str, tmp_path: Path) -> None:
    items, config = Items(400), KINDS[kind].model_copy(update={"recall_sample": 50})
    shop = Versions(tmp_path)
    shop.switch(items.fresh(config), "0")
    queries = items.vectors(items.wanted().ids[:40])
    answers: dict[str, list[list[str]]] = {}
    over = threading.Event()

    def answered(index: ItemIndex) -> list[list[str]]:
        return index.ids[index.search(queries, 5)[0]].tolist()

    answers["0"] = answered(current_index(cast(Shop, shop)))

    def reader() -> set[str]:
        seen = set()
        held = current_index(cast(Shop, shop), mmap=True)
        first = answered(held)
        while not over.is_set():
            found = answered(current_index(cast(Shop, shop), mmap=True))
            seen.add(json.dumps(found))
            # The index opened at the beginning, whose files are gone by now, answers as it did.
            assert answered(held) == first
        return seen

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(reader) for _ in range(3)]
        try:
            for number in range(1, 9):
                items.change(changed=6, added=3, removed=2)
                done = refresh(shop.artifacts.folder(NAME, shop.now), items.wanted(), config)
                answers[str(number)] = answered(done.index)
                shop.switch(done.index, str(number))
        finally:
            over.set()
        seen = set().union(*(each.result() for each in readers))
    assert len(seen) > 1
    assert seen <= {json.dumps(found) for found in answers.values()}
    assert [path.name for path in (tmp_path / NAME).iterdir()] == ["8"]


def test_an_index_that_is_gone_for_good_is_said_to_be(tmp_path: Path) -> None:
    shop = Versions(tmp_path)
    shop.switch(Items(50).fresh(FLAT), "0")
    (tmp_path / NAME / "0" / FILES["ids"]).unlink()
    with pytest.raises(ArtifactMissingError, match=r"ids.parquet is missing.*Run the asset faiss_index again"):
        current_index(cast(Shop, shop))
