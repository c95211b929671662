"""The files of a two-tower model.

Belongs here: writing and reading them, without pickle. Does not belong here: what the model can do (`artifact.py`),
where its folder lies (`storage.artifacts`). torch is imported inside functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.artifact import ARCHITECTURE, TwoTower, loaded_module
from fashionrec_assets.towers.shape import TowerShape

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "items.parquet"


def write_model(model: TwoTower, directory: Path) -> None:
    """Writes `model.safetensors`, `config.json` and `items.parquet` into `directory` (made if absent)."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    state = model.module.state_dict()
    save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, directory / WEIGHTS)
    table = pa.table(
        {
            "item_id": pa.array(model.item_ids.tolist(), pa.string()),
            "popularity": pa.array(model.popularity.tolist(), pa.list_(pa.float32())),
            "first_seen": model.first_seen,
        }
    )
    pq.write_table(table, directory / VOCABULARY)
    config: dict[str, Any] = {
        "architecture": ARCHITECTURE,
        "model_id": model.model_id,
        "settings": model.settings.model_dump(mode="json"),
        "shape": asdict(model.module.shape),
        "categories": {name: values.tolist() for name, values in model.categories.items()},
        "profiles": {name: values.tolist() for name, values in model.profiles.items()},
        "price_edges": None if model.price_edges is None else model.price_edges.tolist(),
        "cut": model.cut,
        "session_gap": model.session_gap,
    }
    (directory / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")


def read_model(directory: Path) -> TwoTower:
    """The model that `save` wrote. Raises FileNotFoundError, or ValueError for another architecture."""
    from safetensors.torch import load_file

    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    if config["architecture"] != ARCHITECTURE:
        raise ValueError(
            f"{directory} holds a {config['architecture']} model, this version reads {ARCHITECTURE}; train it again"
        )
    shape = TowerShape(**{**config["shape"], "tasks": tuple(config["shape"]["tasks"])})
    table = pq.read_table(directory / VOCABULARY)
    popularity = np.asarray(table.column("popularity").to_pylist(), dtype=np.float32)
    edges = config["price_edges"]
    return TwoTower(
        module=loaded_module(shape, load_file(directory / WEIGHTS)),
        settings=TwoTowerSettings(**config["settings"]),
        model_id=config["model_id"],
        item_ids=np.asarray(table.column("item_id").to_pylist(), dtype=np.str_),
        popularity=popularity.reshape(len(table), shape.popularity_terms),
        first_seen=np.asarray(table.column("first_seen").to_numpy(), dtype=np.int64),
        categories=_texts(config["categories"]),
        cut=config["cut"],
        profiles=_texts(config["profiles"]),
        price_edges=None if edges is None else np.asarray(edges, dtype=np.float64),
        session_gap=config["session_gap"],
    )


def _texts(columns: Mapping[str, Sequence[str]]) -> dict[str, NDArray[np.str_]]:
    return {name: np.asarray(values, dtype=np.str_) for name, values in columns.items()}
