from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.index.building import build
from fashionrec_assets.index.item_index import CONFIG, FILES, IndexFilesError, ItemIndex
from fashionrec_assets.index.kinds import choose_kind, make, memory_bytes
from fashionrec_assets.index.tuning import exact_threshold, measure_recall
from fashionrec_assets.index.vectors import unit_rows
from fashionrec_assets.settings import IndexSettings
from fashionrec_assets_tests.index.catalogs import FLAT, HNSW, IVFPQ, KINDS, catalog

EACH = pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS.keys())


def brute_force(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int, exclude: list[NDArray[np.int64]] | None = None
) -> NDArray[np.int64]:
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    for line, rows in enumerate(exclude or []):
        scores[line, rows] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize(
    ("items", "kind"),
    [(1, "flat"), (10, "flat"), (11, "hnsw"), (20, "hnsw"), (21, "ivf"), (3_000, "ivf"), (5_000, "ivfpq")],
)
def test_the_kind_follows_from_the_size_and_the_memory(items: int, kind: str) -> None:
    assert choose_kind(items, 64, IndexSettings(flat_up_to=10, hnsw_up_to=20, memory_limit_mib=1)) == kind


@pytest.mark.parametrize(
    ("items", "kind"),
    [(200_000, "flat"), (200_001, "hnsw"), (3_000_000, "hnsw"), (3_000_001, "ivfpq")],
)
def test_flat_then_a_graph_then_codes_can_be_had(items: int, kind: str) -> None:
    settings = IndexSettings(hnsw_up_to=3_000_000, ivf_up_to=0)
    assert choose_kind(items, 64, settings) == kind
    # A graph that does not fit the memory is not made, whatever its bound.
    tight = settings.model_copy(update={"memory_limit_mib": 100.0})
    assert choose_kind(items, 64, tight) == ("flat" if kind == "flat" else "ivfpq")


def test_each_kind_of_that_choice_is_what_is_built() -> None:
    settings = IndexSettings(flat_up_to=300, hnsw_up_to=600, ivf_up_to=0)
    assert [build(*catalog(n), settings).config.kind for n in (300, 301, 600, 601)] == ["flat", "hnsw", "hnsw", "ivfpq"]


def test_too_little_memory_compresses_even_a_small_catalog_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    tight = IndexSettings(memory_limit_mib=0.3)
    assert choose_kind(1_000, 64, tight) == "flat"
    assert choose_kind(2_000, 64, tight) == "ivfpq"
    assert build(*catalog(1_000), tight).config.kind == "flat"
    assert not caplog.records
    assert build(*catalog(1_000), IndexSettings(memory_limit_mib=0.01)).config.kind == "ivfpq"
    assert "more than index.memory_limit_mib" in caplog.text


@EACH
def test_memory_is_known_before_it_is_taken(settings: IndexSettings) -> None:
    import faiss

    vectors = catalog(4_000)[1]
    kind = choose_kind(4_000, 32, settings)
    index, _ = make(kind, vectors, settings, seed=1)
    assert faiss.serialize_index(index).nbytes == pytest.approx(memory_bytes(kind, 4_000, 32, settings), rel=0.05)


def test_flat_search_is_brute_force() -> None:
    ids, vectors = catalog(1_500)
    queries = np.random.default_rng(1).standard_normal((70, 32)).astype(np.float32)
    index = build(ids, vectors, FLAT)
    rows, scores = index.search(queries, 20)
    assert rows.dtype == np.int64
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(rows, brute_force(vectors, queries, 20))
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ vectors.T, rows, axis=1), rtol=1e-4)
    assert index.config.kind == "flat"
    assert index.config.recall_at_10 == 1.0


@EACH
def test_excluded_rows_never_come_back_and_pages_stay_full(settings: IndexSettings) -> None:
    n = 2_000
    ids, vectors = catalog(n)
    rng = np.random.default_rng(2)
    queries = vectors[:40]
    best = brute_force(vectors, queries, n)
    # From nothing to all but seven rows, always the very best ones.
    exclude = [best[q, : [0, 1, 5, 100, n - 7][q % 5]].astype(np.int64) for q in range(40)]
    exclude[1] = np.repeat(exclude[1], 3)
    for entry in exclude:
        rng.shuffle(entry)
    rows, scores = build(ids, vectors, settings).search(queries, 10, exclude)
    for q in range(40):
        found = rows[q][rows[q] >= 0]
        assert not set(found) & set(exclude[q])
        assert len(found) == len(set(found)) == min(10, n - len(set(exclude[q])))
        assert (scores[q][rows[q] < 0] == -np.inf).all()
        assert (np.diff(scores[q][: len(found)]) <= 0).all()
    if settings is FLAT:
        for q in range(40):
            np.testing.assert_array_equal(rows[q, : len(rows[q][rows[q] >= 0])], best[q, len(set(exclude[q])) :][:10])


@EACH
def test_ties_come_in_the_order_of_rows(settings: IndexSettings) -> None:
    _, vectors = catalog(600)
    twins = np.concatenate([vectors, vectors, vectors])
    index = build(np.array([f"{i:05d}" for i in range(1_800)]), twins, settings)
    for queries in (vectors[:1], vectors[:25]):
        for exclude in (None, [np.array([7])] * len(queries)):
            rows, scores = index.search(queries, 6, exclude)
            ties = scores[:, 1:] == scores[:, :-1]
            assert ties.sum() >= 3 * len(queries)
            assert (rows[:, 1:] > rows[:, :-1])[ties].all()


def test_an_exclusion_of_one_query_does_not_touch_another() -> None:
    ids, vectors = catalog(50)
    rows, _ = build(ids, vectors, FLAT).search(vectors[:2], 50, [np.array([3]), np.array([], np.int64)])
    assert 3 not in rows[0]
    assert 3 in rows[1]
    assert rows[0, -1] == -1


@EACH
def test_more_asked_than_there_are(settings: IndexSettings) -> None:
    ids, vectors = catalog(60)
    rows, scores = build(ids, vectors, settings).search(vectors[:3], 80)
    assert rows.shape == scores.shape == (3, 80)
    for line in rows:
        assert sorted(line[:60]) == list(range(60))
        assert (line[60:] == -1).all()
    one_id, one_vector = catalog(1)
    only, _ = build(one_id, one_vector, settings).search(one_vector, 3)
    assert only.tolist() == [[0, -1, -1]]


def test_hnsw_is_tuned_to_the_target_with_foreign_queries() -> None:
    ids, vectors = catalog(4_000)
    users = (np.random.default_rng(3).standard_normal((300, 32)) * 3).astype(np.float32)
    index = build(ids, vectors, HNSW, queries=users)
    assert index.config.kind == "hnsw"
    assert index.config.recall_at_10 >= HNSW.recall_target
    assert index.config.parameters["ef_search"] >= 32
    # Other queries than the tuning's.
    assert measure_recall(index, vectors, queries=users, size=150, seed=99) >= HNSW.recall_target - 0.02


@pytest.mark.parametrize("kind", ["ivf", "ivfpq"])
def test_lists_are_tuned_to_the_target(kind: str) -> None:
    ids, vectors = catalog(6_000)
    index = build(ids, vectors, KINDS[kind])
    assert index.config.kind == kind
    assert index.config.parameters["nlist"] == 6_000 // 39
    assert index.config.recall_at_10 >= IVFPQ.recall_target
    assert measure_recall(index, vectors, size=200, seed=5) >= IVFPQ.recall_target - 0.02


def test_the_threshold_of_exact_search_is_brute_force_however_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _, vectors = catalog(3_000)
    vectors = np.concatenate([vectors, vectors[:50], vectors[:50]])
    queries = vectors[::60]
    exact = np.sort(queries @ vectors.T, axis=1)[:, -10]
    parts = [vectors[:3], vectors[3:4], vectors[4:2_000], vectors[2_000:]]
    for scores, read in ((1 << 20, [vectors]), (1 << 10, [vectors]), (1 << 10, parts), (1 << 20, parts[::-1])):
        monkeypatch.setattr("fashionrec_assets.index.tuning._SCORES_AT_ONCE", scores)
        np.testing.assert_allclose(exact_threshold(read, queries, 10), exact, rtol=1e-5)
    assert exact_threshold([vectors], queries[:0], 10).shape == (0,)


def test_recall_sees_a_bad_index() -> None:
    ids, vectors = catalog(2_000)
    index = build(ids, vectors, FLAT)
    assert measure_recall(index, vectors) == 1.0
    shuffled = vectors[np.random.default_rng(4).permutation(len(vectors))]
    assert measure_recall(index, shuffled) < 0.05
    with pytest.raises(ValueError, match="not"):
        measure_recall(index, vectors[:-1])


def test_items_with_equal_vectors_are_interchangeable_for_recall() -> None:
    ids, _ = catalog(800)
    vectors = np.tile(catalog(40)[1], (20, 1))
    assert measure_recall(build(ids, vectors, FLAT), vectors[::-1].copy(), queries=vectors) < 1
    assert measure_recall(build(ids, vectors, FLAT), vectors, queries=vectors[::-1].copy()) == 1


@EACH
def test_same_input_same_bytes(settings: IndexSettings, tmp_path: Path) -> None:
    ids, vectors = catalog(1_500)
    for folder in ("a", "b"):
        build(ids, vectors, settings, seed=3).save(tmp_path / folder)
    for name in (CONFIG, *FILES.values()):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


@EACH
@pytest.mark.parametrize("mmap", [False, True])
def test_a_loaded_index_answers_as_the_saved_one(settings: IndexSettings, mmap: bool, tmp_path: Path) -> None:
    ids, vectors = catalog(1_500)
    index = build(ids, vectors, settings)
    index.save(tmp_path)
    loaded = ItemIndex.load(tmp_path, mmap=mmap)
    assert loaded.config == index.config
    np.testing.assert_array_equal(loaded.ids, ids)
    for before, after in zip(index.search(vectors[:30], 15), loaded.search(vectors[:30], 15), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", FILES.values())
@pytest.mark.parametrize("mmap", [False, True])
def test_one_flipped_bit_is_refused_with_the_remedy(name: str, mmap: bool, tmp_path: Path) -> None:
    ids, vectors = catalog(300)
    build(ids, vectors, FLAT).save(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(IndexFilesError, match=rf"{name} is damaged.*fashionrec run --select faiss_index"):
        ItemIndex.load(tmp_path, mmap=mmap)


def test_missing_torn_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    ids, vectors = catalog(300)
    build(ids, vectors, FLAT).save(whole)

    def broken(name: str, text: str | None) -> Path:
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(whole, folder)
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(text)
        return folder

    config = json.loads((whole / CONFIG).read_text())
    cases = [
        (broken(CONFIG, None), "There is no index"),
        (broken(FILES["index"], None), "index.faiss is missing"),
        (broken(CONFIG, "{"), "config.json is damaged"),
        (broken(CONFIG, "[]"), "config.json is damaged"),
        (broken(CONFIG, json.dumps({**config, "format": 99})), "format 99"),
        (broken(CONFIG, json.dumps({**config, "items": 299})), "do not fit"),
        (broken(CONFIG, json.dumps({**config, "format": 1})), "format 1, this version reads 2.*materialize"),
        (broken(CONFIG, json.dumps({**config, "surprise": 1})), "surprise"),
    ]
    for folder, message in cases:
        with pytest.raises(IndexFilesError, match=message):
            ItemIndex.load(folder)
    torn = broken(FILES["index"], "short")
    with pytest.raises(IndexFilesError, match="cannot be read"):
        ItemIndex.load(torn, verify=False)


def test_input_that_cannot_be_indexed_is_named() -> None:
    ids, vectors = catalog(5)
    with pytest.raises(ValueError, match="no item vectors"):
        build(ids[:0], vectors[:0], FLAT)
    with pytest.raises(ValueError, match="4 ids and 5 outputs for 5"):
        build(ids[:4], vectors, FLAT)
    with pytest.raises(ValueError, match="repeat"):
        build(np.array(["a", "b", "a", "c", "d"]), vectors, FLAT)
    with pytest.raises(ValueError, match="1 rows, the first is row 2"):
        build(ids, np.where(np.arange(5)[:, None] == 2, np.nan, vectors).astype(np.float32), FLAT)
    index = build(ids, vectors, FLAT)
    for wrong in (np.nan, np.inf, -np.inf):
        for m in (1, 4):
            queries = vectors[:m].copy()
            queries[-1, 2] = wrong
            with pytest.raises(ValueError, match=f"1 rows, the first is row {m - 1}"):
                index.search(queries, 2)
    with pytest.raises(ValueError, match="dimensions"):
        index.search(vectors[:, :3], 2)
    with pytest.raises(ValueError, match="exclude"):
        index.search(vectors, 2, [])
    for row in (-1, 5):
        with pytest.raises(ValueError, match="exclude holds rows"):
            index.search(vectors[:1], 2, [np.array([row])])
    with pytest.raises(ValueError, match="k must"):
        index.search(vectors, 0)
    assert index.search(vectors[:0], 2)[0].shape == (0, 2)


def test_unit_rows_make_inner_products_cosines() -> None:
    _, vectors = catalog(20)
    vectors[3] = 0
    units = unit_rows(vectors)
    assert not units[3].any()
    np.testing.assert_allclose(np.linalg.norm(np.delete(units, 3, axis=0), axis=1), 1, rtol=1e-6)


def test_building_leaves_the_thread_count_alone() -> None:
    import faiss

    before = faiss.omp_get_max_threads()
    build(*catalog(100), IndexSettings(build_threads=before + 1))
    assert faiss.omp_get_max_threads() == before


def test_ivfpq_refines_more_when_the_codes_lose_too_much() -> None:
    ids, vectors = catalog(6_000)
    users = np.random.default_rng(6).standard_normal((300, 32)).astype(np.float32)
    coarse = IVFPQ.model_copy(update={"ivf_refine_factor": 1})
    index = build(ids, vectors, coarse, queries=users)
    assert index.config.parameters["refine_factor"] > 1
    assert index.config.recall_at_10 >= coarse.recall_target
