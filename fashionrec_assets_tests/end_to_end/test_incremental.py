"""What a changed item costs: exactly the rows it touches, in exactly the stages that read it."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
from PIL import Image

from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets_tests.end_to_end.incremental import (
    ITEM_STAGES,
    RELEASED,
    TRAINED,
    keys_of,
    ledger_of,
    moved,
    work,
)
from fashionrec_assets_tests.end_to_end.place import Place

CATALOG_PAGES = (
    "retrieval_report",
    "ranking_report",
    "outfit_report",
    "discovery_report",
    "assistant_report",
    "explanation_report",
    "lookbook",
)


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


def test_four_changed_items_cost_what_was_changed_of_each(place: Place) -> None:
    """One has another title, one another photo, one another price, one another category: each in one run, told apart
    by the ledger's keys."""
    shown = [
        row
        for row in place.catalog()
        if row["colour"] and row["product_type"] and row["image"] and (place.raw / row["image"]).exists()
    ]
    titled, pictured, priced, moved_to = shown[0], shown[1], shown[2], shown[3]
    changes = {
        titled["item_id"]: {"title": "Velvet gala edition"},
        priced["item_id"]: {"price": "12.34"},
        moved_to["item_id"]: {"category": "accessories", "product_type": "scarf", "section": "Winter"},
    }

    def change(rows: list[list[str]]) -> list[list[str]]:
        head = rows[0]
        for row in rows[1:]:
            for name, value in changes.get(row[0], {}).items():
                row[head.index(name)] = value
        return rows

    shop = place.shop()
    before, models = ledger_of(shop), {name: shop.version(name) for name in TRAINED}
    place.edit_catalog(change)
    path = place.raw / pictured["image"]
    buffer = io.BytesIO()
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue())
    done = work(place.run())
    after = ledger_of(shop)

    title, photo, price, category = (row["item_id"] for row in (titled, pictured, priced, moved_to))
    assert {stage: moved(before, after, stage) for stage in ITEM_STAGES} == {
        "items": {title, photo, price, category},
        "clarified_descriptions": {title, category},
        "text_embeddings": {title, category},
        "text_tokens": {title, category},
        # The words that ground a crop name the type; what was cut out stayed the same, so it woke nothing.
        "grounded_crops": {photo, category},
        "image_embeddings": {photo},
        "image_tokens": {photo},
        # The item tower reads prices and categories; photos, texts and what was learned do not.
        "item_vectors": {title, photo, price, category},
        "similar_items": {title, photo, category},
    }
    per_item = {stage: len(moved(before, after, stage)) for stage in ITEM_STAGES}
    assert {name: done.pop(name) for name in ITEM_STAGES} == per_item
    # Texts about them, and to those who are shown them; what states the catalog is made again as a whole.
    assert done.pop("explanations") == len(moved(before, after, "explanations")) < len(keys_of(after, "explanations"))
    people = len(keys_of(after, "users"))
    whole = ("faiss_index", "vae_synthetic_samples", "feedback", "feedback_exports", *CATALOG_PAGES, *RELEASED)
    assert done == {
        "homepage": people,
        "style_discovery": people,
        "outfits": len(keys_of(after, "items")),
        **dict.fromkeys(whole, 1),
    }
    # Nothing was trained.
    assert {name: shop.version(name) for name in models} == models


def test_a_lost_file_is_made_again(place: Place) -> None:
    lost = next(iter(sorted((place.home / "stores" / "crops").glob("[0-9]*.parquet"))))
    count = len(pq.read_table(lost, columns=["item_id"]))
    lost.unlink()
    failed = place.run("checks_only").checks.failed
    assert any("ledger_matches_files" in name for name in failed)
    done = work(place.run())
    assert done == {"grounded_crops": count}


def test_other_settings_make_exactly_their_stages_stale(place: Place) -> None:
    items = 'key:"items" or key:"clarified_descriptions" or key:"text_embeddings" or key:"grounded_crops"'
    result = place.run(select=items, descriptions={"max_chars": 120})
    count = result.assets["items"].reused
    changed = result.assets["text_embeddings"].stale
    assert work(result) == {"clarified_descriptions": count, "text_embeddings": changed}
    assert 0 < changed < count
    fewer = work(place.run(select='key:"text_tokens" or key:"image_tokens"', tokens={"text_tokens": 8}))
    assert fewer == {"text_tokens": count}
