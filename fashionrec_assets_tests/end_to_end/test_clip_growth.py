"""When enough of the catalog changed, CLIP goes on from the model in force; for new settings it starts anew."""

from __future__ import annotations

import json

from fashionrec_assets.embeddings.ablation import available_arms, held_out_items
from fashionrec_assets.embeddings.arms import FULL
from fashionrec_assets.embeddings.clip_split import FamilySplit
from fashionrec_assets.embeddings.model_stage import TRAINING, training_rows
from fashionrec_assets_tests.end_to_end.place import SMALL, Place

CONTENT = " or ".join(
    f'key:"{name}"'
    for name in ("items", "grounded_crops", "clarified_descriptions", "text_embeddings", "clip_model", "clip_arms")
)

ABLATIONS = {"clip": {**SMALL["clip"], "ablations": True}}


def rename(place: Place, share: float) -> None:
    """Another colour in the titles of a share of the items."""

    def change(rows: list[list[str]]) -> list[list[str]]:
        title = rows[0].index("title")
        for number, row in enumerate(rows[1:]):
            if len(row) == len(rows[0]) and number % 100 < 100 * share:
                row[title] = f"turquoise sequin {row[title]}"
        return rows

    place.edit_catalog(change)


def test_a_changed_catalog_is_trained_on_from_the_model_in_force(place: Place) -> None:
    shop = place.shop()
    first = shop.version("clip_model")
    assert place.run(select=CONTENT, **ABLATIONS).success
    assert shop.version("clip_model") == first, "what the report compares is nothing to the model"
    arms = shop.version("clip_arms")
    assert len(available_arms(shop)) == 8
    split, held_out = FamilySplit.load(shop.current("clip_model")), held_out_items(shop)
    assert not set(held_out) & training_rows(shop, split).keys()

    rename(place, 0.1)
    assert place.run(select=CONTENT, **ABLATIONS).success
    assert shop.version("clip_model") == first, "a tenth of the pairs is below clip.retrain_share"

    rename(place, 0.9)
    result = place.run(select=CONTENT, **ABLATIONS)
    assert result.success, result.errors
    folder = shop.current("clip_model")
    assert folder.name != first
    assert json.loads((folder / TRAINING).read_text())["start"] == f"clip_model {first}"
    assert FamilySplit.load(folder) == split
    assert set(held_out_items(shop)) == set(held_out)
    assert shop.version("clip_arms") != arms
    assert len(available_arms(shop)) == 8

    other = {"clip": {**SMALL["clip"], "embed_dim": 32}}
    result = place.run(select=CONTENT.replace(' or key:"clip_arms"', ""), **other)
    assert result.success, result.errors
    assert json.loads((shop.current("clip_model") / TRAINING).read_text())["start"] == "scratch"
    assert available_arms(shop) == (FULL,), "arms that stand beside another model are not compared with this one"


def test_an_item_whose_family_was_renamed_is_not_measured(place: Place) -> None:
    shop = place.shop()
    version, split = shop.version("clip_model"), FamilySplit.load(shop.current("clip_model"))
    seen = training_rows(shop, split)
    held_out = set(held_out_items(shop))
    other = next(name for name in map(str, range(1000)) if split.parts([name])[0] == "test")

    def change(rows: list[list[str]]) -> list[list[str]]:
        family, item = rows[0].index("family_id"), rows[0].index("item_id")
        learned = [row for row in rows[1:] if len(row) == len(rows[0]) and row[item] in seen]
        for row in learned[:3]:
            row[family] = other
        return rows

    place.edit_catalog(change)
    assert place.run(select=CONTENT).success
    assert shop.version("clip_model") == version, "three items do not retrain it"
    assert set(held_out_items(shop)) == held_out
