from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from fashionrec_assets.recommendations import similar
from fashionrec_assets.recommendations.similar import SimilarityInput, affected, refresh, similar_items
from fashionrec_assets.recommendations.tables import SIMILAR_ITEMS, arrow_schema
from fashionrec_assets.settings import IndexSettings, RecommendationSettings

SETTINGS = RecommendationSettings(similar_size=5)


class Shop:
    """A catalog that can be edited, with vectors coarse enough that scores tie."""

    def __init__(self, n: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.rows: dict[str, tuple[NDArray[np.float32], bool, NDArray[np.float32], str | None]] = {}
        for number in range(n):
            self.put(f"i{number:04d}")

    def put(self, item_id: str) -> None:
        image = self.rng.integers(-1, 2, 4).astype(np.float32)
        text = self.rng.integers(-1, 2, 5).astype(np.float32)
        family = str(self.rng.choice(["", "red", "blue", "green", *map(str, range(12))]))
        self.rows[item_id] = (image, bool(self.rng.random() < 0.7), text, family or None)

    def input(self) -> SimilarityInput:
        ids = self.rng.permutation(sorted(self.rows))
        values = [self.rows[i] for i in ids]
        return SimilarityInput.of(
            ids,
            np.array([v[0] for v in values], np.float32).reshape(-1, 4),
            np.array([v[1] for v in values], bool),
            np.array([v[2] for v in values], np.float32).reshape(-1, 5),
            [v[3] for v in values],
        )


def brute_force(items: SimilarityInput, settings: RecommendationSettings) -> list[tuple[str, str, int, str]]:
    """The definition, item by item, in float64 on the rounded vectors (whose products are exact there as well)."""
    scale = 4_000.0**2
    out: list[tuple[str, str, int, str]] = []
    for a in range(len(items)):
        best: dict[str, dict[int, tuple[np.float32, int]]] = {"both": {}, "image": {}, "text": {}}
        for b in range(len(items)):
            if items.families[a] == items.families[b]:
                continue
            text = np.float32(np.float32(items.text[a].astype(float) @ items.text[b].astype(float)) / np.float32(scale))
            scores = {"both": text, "text": text}
            if items.has_image[a] and items.has_image[b]:
                product = np.float32(items.image[a].astype(float) @ items.image[b].astype(float))
                image = np.float32(product / np.float32(scale))
                scores["image"] = image
                scores["both"] = np.float32(np.float32((image - text) * np.float32(settings.image_weight)) + text)
            family = int(items.families[b])
            for by, score in scores.items():
                if family not in best[by] or score > best[by][family][0]:
                    best[by][family] = (score, b)
        for by, found in best.items():
            ranked = sorted(found.values(), key=lambda entry: (-entry[0], entry[1]))[: settings.similar_size]
            out += [(str(items.ids[a]), by, rank, str(items.ids[b])) for rank, (_, b) in enumerate(ranked, 1)]
    return out


def keys(table: pa.Table) -> list[tuple[str, str, int, str]]:
    return list(zip(*(table.column(name).to_pylist() for name in ("item_id", "by", "rank", "similar_id")), strict=True))


def by_both(table: pa.Table) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if row["by"] == "both"]


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_equals_the_definition_with_ties_families_and_missing_photos(weight: float) -> None:
    settings = RecommendationSettings(similar_size=5, image_weight=weight)
    items = Shop(120, seed=3).input()
    table = similar_items(items, settings)
    assert table.schema.equals(arrow_schema(SIMILAR_ITEMS))
    assert keys(table) == brute_force(items, settings)


def test_families_are_collapsed_and_the_own_family_left_out() -> None:
    vectors = np.array([[1, 0], [1, 0.1], [1, 0.2], [1, 0.3], [0, 1]], np.float32)
    ids = np.array(["a", "b", "c", "d", "e"])
    items = SimilarityInput.of(ids, vectors, np.ones(5, bool), vectors, ["x", "x", "y", "y", ""])
    table = similar_items(items, SETTINGS)
    lists: dict[str, list[str]] = {}
    for owner, by, _, other in keys(table):
        lists.setdefault(f"{owner} {by}", []).append(other)
    expected = {"a": ["c", "e"], "b": ["c", "e"], "c": ["b", "e"], "d": ["b", "e"], "e": ["d", "b"]}
    assert lists == {f"{owner} {by}": others for owner, others in expected.items() for by in ("both", "image", "text")}


def test_a_missing_photo_means_text_alone() -> None:
    image = np.array([[1, 0], [1, 0], [np.nan, np.nan], [0, 0]], np.float32)
    text = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    flags = np.array([True, True, False, True])
    items = SimilarityInput.of(np.array(["a", "b", "c", "d"]), image, flags, text, [None] * 4)
    rows = {(r["item_id"], r["similar_id"]): r for r in by_both(similar_items(items, SETTINGS))}
    assert rows["a", "b"]["score"] == pytest.approx(0.5)
    assert rows["a", "b"]["image_similarity"] == pytest.approx(1)
    assert rows["a", "c"]["score"] == pytest.approx(1)
    assert rows["a", "c"]["image_similarity"] is None
    assert rows["a", "d"]["image_similarity"] is None, "a photo without a vector is no photo"
    by_image = {k[0]: k[3] for k in keys(similar_items(items, SETTINGS)) if k[1] == "image"}
    assert by_image == {"a": "b", "b": "a"}, "who has no photo neither has a list by image nor stands on one"


def test_blocks_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    n = 300
    items = SimilarityInput.of(
        np.array([f"{i:03d}" for i in range(n)]),
        rng.standard_normal((n, 128)).astype(np.float32),
        rng.random(n) < 0.8,
        rng.standard_normal((n, 384)).astype(np.float32),
        [f"{i % 70}" for i in range(n)],
    )
    whole = similar_items(items, SETTINGS)
    monkeypatch.setattr(similar, "_BLOCK_NUMBERS", 1)
    seen: list[tuple[int, int]] = []
    assert similar_items(items, SETTINGS, progress=lambda done, total: seen.append((done, total))).equals(whole)
    assert seen[-1] == (n, n)
    assert len(seen) == n
    some = similar_items(items, SETTINGS, only=["042", "007"])
    assert some.equals(whole.filter(pa.array(np.isin(whole["item_id"].to_pylist(), ["042", "007"]))).combine_chunks())


def test_scores_are_the_cosines() -> None:
    rng = np.random.default_rng(6)
    image, text = rng.standard_normal((40, 32)).astype(np.float32), rng.standard_normal((40, 48)).astype(np.float32)
    ids = np.array([f"{i:02d}" for i in range(40)])
    settings = RecommendationSettings(similar_size=39, image_weight=0.3)
    items = SimilarityInput.of(ids, image, np.ones(40, bool), text, [None] * 40)
    for row in by_both(similar_items(items, settings)):
        a, b = int(row["item_id"]), int(row["similar_id"])
        cosines = [float(v[a] @ v[b] / np.linalg.norm(v[a]) / np.linalg.norm(v[b])) for v in (image, text)]
        assert row["image_similarity"] == pytest.approx(cosines[0], abs=5e-4)
        assert row["text_similarity"] == pytest.approx(cosines[1], abs=5e-4)
        assert row["score"] == pytest.approx(0.3 * cosines[0] + 0.7 * cosines[1], abs=5e-4)


def test_lists_by_one_vector_follow_its_cosine() -> None:
    items = Shop(60, seed=4).input()
    for row in similar_items(items, SETTINGS).to_pylist():
        if row["by"] != "both":
            assert row["score"] == row[f"{row['by']}_similarity"]


def test_a_graph_serves_a_catalog_beyond_the_exact_index() -> None:
    rng = np.random.default_rng(9)
    n = 400
    image, text = rng.standard_normal((n, 16)).astype(np.float32), rng.standard_normal((n, 16)).astype(np.float32)
    items = SimilarityInput.of(np.array([f"{i:03d}" for i in range(n)]), image, rng.random(n) < 0.9, text, [None] * n)
    exact = set(keys(similar_items(items, SETTINGS)))
    approximate = set(keys(similar_items(items, SETTINGS, index=IndexSettings(flat_up_to=100))))
    assert len(approximate) == len(exact)
    assert len(exact & approximate) > 0.95 * len(exact)


def test_two_hundred_random_edits_equal_a_full_recomputation() -> None:
    shop = Shop(90, seed=11)
    table = similar_items(shop.input(), SETTINGS)
    spared = 0
    for step in range(200):
        changed: set[str] = set()
        for _ in range(int(shop.rng.integers(1, 4))):
            kind, names = shop.rng.random(), sorted(shop.rows)
            if kind < 0.3 and len(names) > 40:
                del shop.rows[str(shop.rng.choice(names))]
            else:
                name = f"i{shop.rng.integers(9999):04d}" if kind < 0.6 else str(shop.rng.choice(sorted(shop.rows)))
                shop.put(name)
                changed.add(name)
        items = shop.input()
        table, again = refresh(table, items, changed, SETTINGS)
        spared += len(items) - len(again)
        assert table.equals(similar_items(items, SETTINGS)), f"edit {step}"
    assert spared > 1_000, "a refresh that recomputes everything proves nothing"


def test_refresh_of_nothing_recomputes_nothing() -> None:
    items = Shop(50, seed=2).input()
    table = similar_items(items, SETTINGS)
    fresh, again = refresh(table, items, [], SETTINGS)
    assert fresh.equals(table)
    assert len(again) == 0


def test_one_new_item_touches_few_rows_of_a_large_catalog() -> None:
    rng = np.random.default_rng(8)
    n = 2_000
    ids = np.array([f"{i:05d}" for i in range(n)])
    image, text = rng.standard_normal((n, 32)).astype(np.float32), rng.standard_normal((n, 32)).astype(np.float32)
    flags = np.ones(n, bool)
    before = similar_items(SimilarityInput.of(ids[:-1], image[:-1], flags[:-1], text[:-1], [None] * (n - 1)), SETTINGS)
    after = SimilarityInput.of(ids, image, flags, text, [None] * n)
    again = affected(before, after, [ids[-1]], SETTINGS)
    assert ids[-1] in again
    assert len(again) < 40


def test_tiny_catalogs() -> None:
    empty = np.empty((0, 3), np.float32)
    nothing = SimilarityInput.of(np.empty(0, np.str_), empty, np.empty(0, bool), empty, [])
    assert len(similar_items(nothing, SETTINGS)) == 0
    alone = SimilarityInput.of(
        np.array(["a"]), np.ones((1, 3), np.float32), np.ones(1, bool), np.ones((1, 3), np.float32), [None]
    )
    assert len(similar_items(alone, SETTINGS)) == 0
    grown, again = refresh(similar_items(nothing, SETTINGS), alone, ["a"], SETTINGS)
    assert len(grown) == 0
    assert list(again) == ["a"]
    shrunk, again = refresh(grown, nothing, [], SETTINGS)
    assert len(shrunk) == 0
    assert len(again) == 0


def test_bad_input_is_named() -> None:
    ones = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="repeat"):
        SimilarityInput.of(np.array(["a", "a"]), ones, np.ones(2, bool), ones, [None, None])
    with pytest.raises(ValueError, match="1 families"):
        SimilarityInput.of(np.array(["a", "b"]), ones, np.ones(2, bool), ones, [None])
    with pytest.raises(ValueError, match="NaN or infinity in 1 rows"):
        SimilarityInput.of(np.array(["a", "b"]), ones, np.ones(2, bool), ones * [[1], [np.inf]], [None, None])
    items = SimilarityInput.of(np.array(["a", "b"]), ones, np.ones(2, bool), ones, [None, None])
    with pytest.raises(KeyError, match="no item z"):
        similar_items(items, SETTINGS, only=["z"])
