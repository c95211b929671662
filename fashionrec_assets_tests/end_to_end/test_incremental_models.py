"""What another prompt, another model and a full refresh cost."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets_tests.descriptions.server import KEY, serving
from fashionrec_assets_tests.embeddings.tiny import sentence_model
from fashionrec_assets_tests.end_to_end.incremental import (
    ITEM_STAGES,
    TRAINED,
    UP_TO_THE_REPORTS,
    keys_of,
    ledger_of,
    work,
)
from fashionrec_assets_tests.end_to_end.place import Place

WRITER = {
    "provider": "openai",
    "model": "m",
    "backoff_s": 0.001,
    "max_attempts": 2,
    "batch_api": "never",
    "concurrency": 8,
}


def test_another_prompt_asks_about_every_item_and_moves_the_texts_that_changed(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = 'key:"items" or key:"clarified_descriptions" or key:"text_embeddings" or key:"grounded_crops"'
    prompts = tmp_path / "prompts"
    shutil.copytree(Path(str(files("fashionrec_assets.descriptions") / "prompts" / "v1")), prompts)
    with serving() as (server, url):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        first = work(place.run(select=texts, descriptions={**WRITER, "prompts": str(prompts)}))
        count = first["clarified_descriptions"]
        assert count > 80
        asked = len(server.calls)
        assert asked >= count
        # The folder may be called anything: what counts is what it says.
        prompts = prompts.rename(tmp_path / "elsewhere")
        assert work(place.run(select=texts, descriptions={**WRITER, "prompts": str(prompts)})) == {}
        assert len(server.calls) == asked
        shop = place.shop()
        before = ledger_of(shop)
        rules = prompts / "rules.jinja"
        rules.write_text(rules.read_text("utf-8") + "\nKeep it short.\n", "utf-8")
        done = work(place.run(select=texts, descriptions={**WRITER, "prompts": str(prompts)}))
        after = ledger_of(shop)
    rewritten = sum(
        before[entry][2] != made[2] for entry, made in after.items() if entry[0] == "clarified_descriptions"
    )
    assert len(server.calls) >= asked + count
    expected = {"clarified_descriptions": count} | ({"text_embeddings": rewritten} if rewritten else {})
    assert done == expected


def test_another_sentence_model_recomputes_what_it_reads_and_what_is_learned_from_it(
    place: Place, tmp_path: Path
) -> None:
    model = {"text": {"model": str(sentence_model(tmp_path / "sentences"))}}
    count = len(ItemIndex.load(place.shop().current("faiss_index")).ids)
    done = work(place.run(select=UP_TO_THE_REPORTS, **model))
    encoded = ("text_embeddings", "text_tokens", "item_vectors", "similar_items", "outfits")
    assert {name: done.pop(name, 0) for name in encoded} == dict.fromkeys(encoded, count)
    # The compact image model of this preset learns from sentence vectors, and so its vectors are others too.
    learned = ("clip_model", "clip_arms", "styles", "faiss_index", *(name for name in TRAINED if name != "clip_model"))
    assert {name: done.pop(name, 0) for name in learned} == dict.fromkeys(learned, 1)
    assert done.pop("image_embeddings", 0) == done.pop("image_tokens", 0) > 70
    # That is all: neither what is read, nor photos, nor descriptions look at sentences.
    ledger = ledger_of(place.shop())
    assert done == {
        **{name: len(keys_of(ledger, name)) for name in ("homepage", "style_discovery", "explanations")},
        **dict.fromkeys(("vae_synthetic_samples", "feedback_exports", "release", "served_release"), 1),
    }
    assert work(place.run(select=UP_TO_THE_REPORTS, **model)) == {}


def test_a_full_refresh_reuses_nothing_and_ends_the_same(place: Place) -> None:
    before = np.sort(ItemIndex.load(place.shop().current("faiss_index")).ids)
    versions = {name: place.shop().digest(name) for name in ITEM_STAGES}
    result = place.run("full_refresh")
    assert result.success, result.errors
    assert all(asset.reused == 0 for asset in result.assets.values()), result.assets
    assert {name: place.shop().digest(name) for name in ITEM_STAGES} == versions
    assert np.array_equal(np.sort(ItemIndex.load(place.shop().current("faiss_index")).ids), before)
