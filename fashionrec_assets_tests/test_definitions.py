from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from fashionrec_assets.definitions import build_definitions
from fashionrec_assets.schema import TABLES
from fashionrec_assets.settings import Settings

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(Settings.load(home=tmp_path_factory.mktemp("home")))


GRAPH = {
    "raw_items": [],
    "raw_events": [],
    "raw_users": [],
    "raw_images": [],
    "items": ["raw_images", "raw_items"],
    "interactions": ["items", "raw_events"],
    "users": ["interactions", "raw_images", "raw_users"],
    "splits": ["interactions", "users"],
    "sessions": ["interactions", "users"],
    "grounded_crops": ["items"],
    "clarified_descriptions": ["grounded_crops", "items"],
    "clip_model": ["clarified_descriptions", "grounded_crops", "text_embeddings"],
    "image_embeddings": ["clip_model", "grounded_crops"],
    "clip_arms": ["clip_model", "items"],
    "text_embeddings": ["clarified_descriptions"],
    "text_tokens": ["clarified_descriptions"],
    "image_tokens": ["clip_model", "grounded_crops"],
    "avatar_vectors": ["clip_model", "users"],
    "vae_model": ["image_embeddings", "interactions", "items", "splits", "text_embeddings"],
    "vae_synthetic_samples": ["augmentation_sweep", "interactions", "items", "splits", "vae_model"],
    "two_tower_model": ["feedback", "image_embeddings", "interactions", "items", "splits", "text_embeddings", "users"],
    "item_vectors": ["image_embeddings", "items", "text_embeddings", "two_tower_model"],
    "augmentation_sweep": [
        "avatar_vectors",
        "image_embeddings",
        "image_tokens",
        "interactions",
        "items",
        "splits",
        "text_embeddings",
        "text_tokens",
        "users",
    ],
    "ncf_model": [
        "augmentation_sweep",
        "avatar_vectors",
        "image_embeddings",
        "image_tokens",
        "interactions",
        "items",
        "splits",
        "text_embeddings",
        "text_tokens",
        "users",
        "vae_synthetic_samples",
    ],
    "faiss_index": ["item_vectors"],
    "late_fusion_model": [
        "image_embeddings",
        "interactions",
        "items",
        "splits",
        "text_embeddings",
        "two_tower_model",
        "users",
    ],
    "homepage": [
        "business_rules",
        "faiss_index",
        "interactions",
        "item_vectors",
        "items",
        "late_fusion_model",
        "two_tower_model",
        "users",
    ],
    "similar_items": ["image_embeddings", "items", "text_embeddings"],
    "retrieval_report": ["clarified_descriptions", "clip_arms", "clip_model", "grounded_crops", "items"],
    "ncf_ablations": [
        "avatar_vectors",
        "image_embeddings",
        "image_tokens",
        "interactions",
        "items",
        "ncf_model",
        "splits",
        "text_embeddings",
        "text_tokens",
        "users",
        "vae_model",
    ],
    "ranking_ablations": ["interactions", "items", "splits", "two_tower_model", "users"],
    "ranking_report": [
        "interactions",
        "item_vectors",
        "items",
        "late_fusion_model",
        "ncf_model",
        "splits",
        "two_tower_model",
        "users",
    ],
    "assistant_report": [
        "business_rules",
        "clarified_descriptions",
        "clip_model",
        "image_embeddings",
        "interactions",
        "item_vectors",
        "items",
        "splits",
        "text_embeddings",
        "two_tower_model",
        "users",
    ],
    "business_rules": ["items", "splits"],
    "discovery_report": [
        "homepage",
        "interactions",
        "items",
        "late_fusion_model",
        "splits",
        "style_discovery",
        "styles",
        "two_tower_model",
        "users",
    ],
    "explanation_report": [
        "explanation_strategies",
        "explanations",
        "homepage",
        "items",
        "late_fusion_model",
        "outfits",
        "style_discovery",
    ],
    "explanation_strategies": ["feedback", "users"],
    "explanations": ["explanation_strategies", "homepage", "items", "outfits", "style_discovery"],
    "feedback": ["items", "raw_feedback", "users"],
    "feedback_exports": ["explanations", "feedback"],
    "lookbook": [
        "assistant_report",
        "business_rules",
        "discovery_report",
        "explanation_report",
        "explanations",
        "faiss_index",
        "grounded_crops",
        "homepage",
        "interactions",
        "items",
        "late_fusion_model",
        "outfit_report",
        "outfits",
        "ranking_report",
        "similar_items",
        "style_discovery",
        "styles",
        "two_tower_model",
    ],
    "outfit_report": ["image_embeddings", "interactions", "items", "outfits", "splits", "text_embeddings", "users"],
    "outfits": [
        "business_rules",
        "grounded_crops",
        "image_embeddings",
        "interactions",
        "items",
        "splits",
        "text_embeddings",
        "users",
    ],
    "raw_feedback": [],
    "style_discovery": [
        "business_rules",
        "faiss_index",
        "interactions",
        "item_vectors",
        "items",
        "styles",
        "two_tower_model",
        "users",
    ],
    "styles": ["clarified_descriptions", "image_embeddings", "interactions", "items", "text_embeddings", "users"],
    "release": [
        "business_rules",
        "explanations",
        "faiss_index",
        "homepage",
        "image_embeddings",
        "items",
        "late_fusion_model",
        "outfits",
        "ranking_report",
        "similar_items",
        "splits",
        "style_discovery",
        "styles",
        "text_embeddings",
        "two_tower_model",
        "withdrawn_items",
    ],
    "served_release": ["image_embeddings", "interactions", "items", "release", "splits", "text_embeddings", "users"],
    "withdrawn_items": ["items"],
}


def test_the_asset_graph_is_the_lineage(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    found = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }
    assert found == GRAPH


def test_every_asset_is_owned_described_grouped_and_versioned(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.group_name != "default", key
        assert node.code_version, key
        assert node.kinds, key


def test_every_table_has_a_blocking_contract_check(definitions: dg.Definitions) -> None:
    names = {key.name for key in definitions.resolve_asset_graph().asset_check_keys}
    declared = {f"{table.name}_keeps_its_contract" for table in TABLES if table.name != "ledger"}
    assert declared <= names


def test_jobs_and_the_schedule_exist(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    assert {"daily_refresh", "full_refresh", "checks_only", "observe_raw", "ablation_study"} <= set(
        repository.job_names
    )
    assert [schedule.name for schedule in repository.schedule_defs] == ["nightly", "weekly"]


def test_loading_the_code_location_imports_no_model_library() -> None:
    script = (
        "import sys, json, warnings; warnings.simplefilter('ignore');"
        "import fashionrec_assets.definitions as d; d.build_definitions().resolve_asset_graph();"
        "print(json.dumps(sorted(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    loaded = set(json.loads(printed))
    assert loaded.isdisjoint(
        {"torch", "open_clip", "transformers", "sentence_transformers", "matplotlib", "sklearn", "ray"}
    )


def test_the_rooms_keep_to_the_import_rules() -> None:
    checked = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_nothing_pickles() -> None:
    for path in (ROOT / "fashionrec_assets").rglob("*.py"):
        text = path.read_text("utf-8")
        for word in ("import pickle", "torch.load(", "joblib", "cloudpickle", "allow_pickle=True"):
            assert word not in text, f"{path.name}: {word}"
