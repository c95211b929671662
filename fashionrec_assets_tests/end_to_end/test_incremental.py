"""What a change costs: exactly the rows it touches, in exactly the stages that read it."""

from __future__ import annotations

import io
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from fashionrec_assets.index.vectors_index import ItemIndex
from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.towers.ncf.model import Ncf
from fashionrec_assets_tests.end_to_end.place import Place

ITEM_STAGES = (
    "items",
    "grounded_crops",
    "clarified_descriptions",
    "image_embeddings",
    "text_embeddings",
    "text_tokens",
    "image_tokens",
    "item_vectors",
    "similar_items",
)


STATE_THE_CATALOG = (
    "homepage",
    "outfits",
    "style_discovery",
    "explanations",
    "feedback",
    "feedback_exports",
    "ranking_report",
    "ranking_ablations",
    "outfit_report",
    "discovery_report",
    "assistant_report",
    "explanation_report",
    "lookbook",
)
"""What is made again when any row of the catalog changed: it shows prices, names items, or lists all of them."""


def work(result: RunResult) -> dict[str, int]:
    """Units computed or deleted, by asset, where there were any."""
    assert result.success, result.errors
    done = {name: asset.new + asset.stale + asset.orphaned for name, asset in result.assets.items()}
    return {name: count for name, count in done.items() if count}


def test_the_first_run_makes_everything_and_passes_every_check(first_run: tuple[Place, RunResult]) -> None:
    _, result = first_run
    assert result.success, result.errors
    assert result.checks.failed == []
    assert result.checks.missing == []
    assert result.assets["items"].new == result.assets["text_embeddings"].new > 80
    assert result.assets["grounded_crops"].new == result.assets["image_embeddings"].new > 70
    assert result.assets["text_tokens"].new == result.assets["text_embeddings"].new
    assert result.assets["image_tokens"].new == result.assets["image_embeddings"].new
    assert result.assets["avatar_vectors"].new == 0
    assert all(asset.stale == asset.orphaned == asset.reused == 0 for asset in result.assets.values())


def test_an_unchanged_shop_costs_nothing(place: Place) -> None:
    result = place.run()
    assert work(result) == {}
    assert result.assets["items"].reused > 80


def test_a_changed_title_recomputes_one_description_and_one_text_vector(place: Place) -> None:
    chosen = next(row for row in place.catalog() if row["colour"] and row["product_type"])

    def retitle(rows: list[list[str]]) -> list[list[str]]:
        title = rows[0].index("title")
        return [
            [*row[:title], "Velvet gala edition", *row[title + 1 :]] if row[0] == chosen["item_id"] else row
            for row in rows
        ]

    place.edit_catalog(retitle)
    done = work(place.run())
    assert done["items"] == done["clarified_descriptions"] == done["text_embeddings"] == done["item_vectors"] == 1
    assert done["text_tokens"] == 1
    for untouched in (
        "grounded_crops",
        "image_embeddings",
        "image_tokens",
        "clip_model",
        "two_tower_model",
        "interactions",
        "users",
    ):
        assert untouched not in done


def test_a_new_photo_recomputes_one_crop_and_one_image_vector(place: Place) -> None:
    chosen = next(
        row for row in place.catalog() if row["colour"] and row["image"] and (place.raw / row["image"]).exists()
    )
    path = place.raw / chosen["image"]
    buffer = io.BytesIO()
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue())
    done = work(place.run())
    assert done["items"] == done["grounded_crops"] == done["image_embeddings"] == done["item_vectors"] == 1
    assert done["image_tokens"] == 1
    for untouched in ("clarified_descriptions", "text_embeddings", "text_tokens", "clip_model", "two_tower_model"):
        assert untouched not in done


def test_a_changed_price_moves_one_item_vector_and_trains_nothing(place: Place) -> None:
    """The item tower reads prices of the catalog; photos, texts and what was learned do not."""
    chosen = place.catalog()[0]
    shop = place.shop()
    trained = ("two_tower_model", "late_fusion_model", "clip_model", "augmentation_sweep", "vae_model", "ncf_model")
    models = {name: shop.version(name) for name in trained}

    def reprice(rows: list[list[str]]) -> list[list[str]]:
        price = rows[0].index("price")
        return [[*row[:price], "12.34", *row[price + 1 :]] if row[0] == chosen["item_id"] else row for row in rows]

    place.edit_catalog(reprice)
    done = work(place.run())
    assert done.pop("items") == done.pop("item_vectors") == done.pop("faiss_index") == 1
    # Synthetic rows are drawn again once the catalog has changed, from the same model.
    assert set(done) <= {"vae_synthetic_samples", *STATE_THE_CATALOG}
    assert {name: shop.version(name) for name in models} == models


def traces(home: Path, item_id: str) -> list[str]:
    """Every table and Parquet or JSON file under `home`, Dagster's own history aside, that still names the item."""
    found: list[str] = []
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            rows = connection.execute(
                f'SELECT count(*) FROM "{table}" AS t WHERE contains(CAST(t AS VARCHAR), ?)', [item_id]
            ).fetchall()
            if rows[0][0] and table != "rejects":
                found.append(table)
    for path in home.rglob("*.parquet"):
        text = pq.read_table(
            path, columns=[name for name in pq.read_schema(path).names if name not in ("vector", "jpeg", "states")]
        )
        if any(item_id in str(value) for column in text.columns for value in column.to_pylist()):
            found.append(str(path.relative_to(home)))
    for path in home.rglob("*.json"):
        if "dagster" not in path.parts and item_id in path.read_text("utf-8"):
            found.append(str(path.relative_to(home)))
    return found


def test_a_deleted_item_is_gone_from_every_table_file_and_index(place: Place) -> None:
    shop = place.shop()
    ids = ItemIndex.load(shop.current("faiss_index")).ids
    events = duckdb.execute(
        "SELECT item_id FROM read_parquet(?) GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
        [str(shop.current("interactions_file") / "interactions.parquet")],
    ).fetchall()
    chosen = events[0][0]
    assert chosen in ids
    assert traces(place.home, chosen)
    model_before = shop.model_id("two_tower_model")
    ncf_before, sweep_before = Ncf.load(shop.current("ncf_model")), shop.version("augmentation_sweep")
    assert chosen in ncf_before.item_ids

    place.edit_catalog(lambda rows: [row for row in rows if row[0] != chosen])
    result = place.run(two_tower={"epochs": 1, "negatives": 64, "dim": 16, "retrain_share": 0.2})
    assert result.success, result.errors
    for name in ITEM_STAGES:
        if name != "grounded_crops" or result.assets[name].orphaned:
            assert result.assets[name].orphaned == 1, name
    assert traces(place.home, chosen) == []
    assert chosen not in ItemIndex.load(shop.current("faiss_index")).ids
    assert shop.model_id("two_tower_model") == model_before
    # Nothing was trained again: the item was taken out, and everybody else stayed as they were.
    ncf = Ncf.load(shop.current("ncf_model"))
    assert ncf.item_ids.tolist() == [name for name in ncf_before.item_ids.tolist() if name != chosen]
    assert shop.version("augmentation_sweep") == sweep_before
    kept = np.append(True, ncf_before.item_ids != chosen)
    before, after = (model.module.state_dict() for model in (ncf_before, ncf))
    before["item_ids.weight"] = before["item_ids.weight"][kept]
    assert all(np.array_equal(before[name].numpy(), value.numpy()) for name, value in after.items())
    assert result.checks.failed == []


def test_a_lost_file_is_made_again(place: Place) -> None:
    lost = next(iter(sorted((place.home / "stores" / "crops").glob("[0-9]*.parquet"))))
    count = len(pq.read_table(lost, columns=["item_id"]))
    lost.unlink()
    failed = place.run("checks_only").checks.failed
    assert any("ledger_matches_files" in name for name in failed)
    done = work(place.run())
    assert done == {"grounded_crops": count}


def test_other_settings_make_exactly_their_stages_stale(place: Place) -> None:
    result = place.run(descriptions={"max_chars": 120})
    assert result.assets["clarified_descriptions"].stale == result.assets["items"].reused
    assert result.assets["grounded_crops"].stale == 0
    assert result.assets["text_embeddings"].stale < result.assets["items"].reused
    fewer = work(place.run(select='key:"text_tokens" or key:"image_tokens"', tokens={"text_tokens": 8}))
    assert set(fewer) == {"text_tokens"}
    assert fewer["text_tokens"] == result.assets["items"].reused


def test_a_full_refresh_reuses_nothing_and_ends_the_same(place: Place) -> None:
    before = np.sort(ItemIndex.load(place.shop().current("faiss_index")).ids)
    versions = {name: place.shop().digest(name) for name in ITEM_STAGES}
    result = place.run("full_refresh")
    assert result.success, result.errors
    assert all(asset.reused == 0 for asset in result.assets.values()), result.assets
    assert {name: place.shop().digest(name) for name in ITEM_STAGES} == versions
    assert np.array_equal(np.sort(ItemIndex.load(place.shop().current("faiss_index")).ids), before)


def test_new_events_reach_the_models_and_the_pages(place: Place) -> None:
    users = {line.split(",")[0] for line in (place.raw / "UserBehavior.csv").read_text("utf-8").splitlines()}
    item = place.catalog()[0]["item_id"]
    with (place.raw / "UserBehavior.csv").open("a", encoding="utf-8") as file:
        for number in range(30):
            file.write(f"newcomer{number},{item},4001,pv,{1711843200 + number}\n")
    result = place.run()
    assert result.success, result.errors
    assert result.assets["users"].new == 30
    assert result.assets["interactions"].stale == 1
    assert result.assets["grounded_crops"].reused > 0
    assert result.assets["grounded_crops"].stale == result.assets["image_embeddings"].stale == 0
    assert "newcomer0" not in users
    with duckdb.connect(str(place.home / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT count(*) FROM homepage WHERE user_id = 'newcomer0'").fetchall()
    assert rows[0][0] > 0
