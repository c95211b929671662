"""A trained two-tower model: vectors out of it, to disk and back, and items out of it.

Belongs here: `TwoTower`, its files and its vocabulary. Does not belong here: training, metrics, where the folder lies.
torch is imported inside functions.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.features import ItemFeatures, lookup
from fashionrec_assets.towers.sequences import Batch, serving_batches

if TYPE_CHECKING:
    from fashionrec_assets.towers.two_tower import ItemTensors, TwoTowerModule

ARCHITECTURE = "two-tower-1"
"""Changes whenever the same settings would make a different model."""

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "items.parquet"
ENCODE_BATCH = 8192


def two_tower_id(settings: TwoTowerSettings, seed: int, data_digest: str) -> str:
    """16 hex digits that name a model by what it is made from: architecture, settings, seed and training data.

    `retrain_share` says when to train, not what comes out, and is left out.
    """
    knobs = settings.model_dump(mode="json", exclude={"retrain_share"})
    recipe = json.dumps([ARCHITECTURE, knobs, seed, data_digest], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TwoTower:
    """A model with its vocabularies.

    `item_ids` (v,): sorted ids of the items with training events, whose ID embeddings are rows 1..v of the module;
    `popularity` float32 (v,): their log popularity, mean 0. `categories`: name -> sorted values; code = place + 1.
    """

    module: TwoTowerModule
    settings: TwoTowerSettings
    model_id: str
    item_ids: NDArray[np.str_]
    popularity: NDArray[np.float32]
    categories: dict[str, NDArray[np.str_]]

    @property
    def dim(self) -> int:
        """Width of item and user vectors."""
        return self.settings.dim

    def item_vectors(self, features: ItemFeatures) -> NDArray[np.float32]:
        """float32 (n, dim), in the order of `features`, for inner-product search with `user_vectors`.

        The last coordinate is popularity; the others are a unit vector (use them alone for item-item similarity). Items
        without training events are placed by their content only.
        """
        import torch

        self.module.eval()
        inputs = self.tensors(features)
        parts: list[NDArray[np.float32]] = []
        with torch.inference_mode():
            for rows in torch.arange(len(features)).split(ENCODE_BATCH):
                vectors, bias = self.module.items(inputs.take(rows))
                parts.append(torch.cat([vectors, self.settings.temperature * bias[:, None]], dim=1).numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)

    def user_vectors(
        self,
        log: EventLog,
        user_rows: NDArray[np.integer],
        item_vectors: NDArray[np.float32],
        *,
        as_of: int | None = None,
        batch_size: int = 512,
    ) -> NDArray[np.float32]:
        """float32 (m, dim): a unit vector and a 1 (which meets the items' popularity).

        `item_vectors` (log.n_items, dim) are this model's, in the order of `log.item_ids`. A user without history gets
        the vector learned for first encounters. Raises ValueError for vectors of another shape, and, where `as_of`
        (UTC seconds) is given, for a log that holds later events: nobody is recommended to from their future.
        """
        import torch

        if item_vectors.shape != (log.n_items, self.dim):
            raise ValueError(f"item_vectors must be {(log.n_items, self.dim)}, got {item_vectors.shape}")
        newest = int(log.times.max(initial=0))
        if as_of is not None and len(log) and newest > as_of:
            raise ValueError("the log holds events after as_of; cut it with log.between(None, as_of)")
        self.module.eval()
        table = torch.from_numpy(np.ascontiguousarray(item_vectors[:, :-1]))
        out = np.ones((len(user_rows), self.dim), np.float32)
        done = 0
        # Similar lengths share a batch; the result goes back in the caller's order.
        lengths = np.minimum(np.diff(log.offsets())[user_rows], self.settings.history)
        order = np.argsort(lengths, kind="stable")
        batches = serving_batches(
            log, np.asarray(user_rows)[order], history=self.settings.history, batch_size=batch_size
        )
        with torch.inference_mode():
            for batch in batches:
                outputs = encode_users(self.module, batch, table[torch.from_numpy(np.maximum(batch.items, 0))])
                last = outputs[torch.arange(len(batch.lengths)), torch.from_numpy(batch.lengths)]
                out[order[done : done + len(last)], :-1] = last.numpy()
                done += len(last)
        return out

    def modality_weights(self, features: ItemFeatures) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Names of the item tower's views, and float32 (n, views): each one's share of an item's vector.

        A share is the view's gate times its length, scaled so that rows sum to 1.
        """
        import torch

        self.module.eval()
        with torch.inference_mode():
            views, gates = self.module.items.weights(self.tensors(features))
            share = gates * views.norm(dim=-1)
            return self.module.items.views, (share / share.sum(dim=1, keepdim=True)).numpy()

    def tensors(self, features: ItemFeatures) -> ItemTensors:
        """`features` in this model's codes. Raises ValueError where a modality or category of training is absent."""
        import torch

        from fashionrec_assets.towers.two_tower import ItemTensors

        shape = self.module.shape
        wanted = {**shape.modalities, **dict.fromkeys(self.categories)}
        for name, width in wanted.items():
            given = features.modalities[name].values.shape[1] if name in features.modalities else None
            if (given != width) if name in shape.modalities else name not in features.categories:
                raise ValueError(f"the model was trained with {name!r} (width {width}), the features have {given}")
        codes = 1 + lookup(self.item_ids, features.item_ids)
        popularity = np.concatenate([np.zeros(1, np.float32), self.popularity])[codes]
        return ItemTensors(
            ids=torch.from_numpy(codes),
            popularity=torch.from_numpy(popularity),
            values={name: torch.from_numpy(features.modalities[name].values) for name in shape.modalities},
            present={name: torch.from_numpy(features.modalities[name].present) for name in shape.modalities},
            categories={
                name: torch.from_numpy(1 + lookup(vocabulary, features.categories[name]))
                for name, vocabulary in self.categories.items()
            },
        )

    def forget(self, item_ids: NDArray[np.str_]) -> TwoTower:
        """The same model without any trace of `item_ids`: their ids, popularity and ID embeddings are gone.

        Every other item's vector and `model_id` stay; unknown ids are ignored.
        """
        import torch

        keep = ~np.isin(self.item_ids, item_ids)
        if keep.all():
            return self
        state = {name: value.clone() for name, value in self.module.state_dict().items()}
        rows = torch.from_numpy(np.flatnonzero(np.concatenate([[True], keep])))
        state["items.id.weight"] = state["items.id.weight"][rows].clone()
        module = build_module(self.settings, int(keep.sum()), self.module.shape.modalities, self.categories)
        module.load_state_dict(state)
        module.eval()
        return TwoTower(
            module, self.settings, self.model_id, self.item_ids[keep], self.popularity[keep], self.categories
        )

    def save(self, directory: Path) -> None:
        """Writes `model.safetensors`, `config.json` and `items.parquet` into `directory` (made if absent)."""
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in self.module.state_dict().items()}, directory / WEIGHTS)
        table = pa.table({"item_id": pa.array(self.item_ids.tolist(), pa.string()), "popularity": self.popularity})
        pq.write_table(table, directory / VOCABULARY)
        config: dict[str, Any] = {
            "architecture": ARCHITECTURE,
            "model_id": self.model_id,
            "settings": self.settings.model_dump(mode="json"),
            "modalities": self.module.shape.modalities,
            "categories": {name: values.tolist() for name, values in self.categories.items()},
        }
        (directory / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> TwoTower:
        """The model that `save` wrote. Raises FileNotFoundError, or ValueError for another architecture."""
        from safetensors.torch import load_file

        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        if config["architecture"] != ARCHITECTURE:
            raise ValueError(
                f"{directory} holds a {config['architecture']} model, this version reads {ARCHITECTURE}; train it again"
            )
        settings = TwoTowerSettings(**config["settings"])
        table = pq.read_table(directory / VOCABULARY)
        item_ids = np.asarray(table.column("item_id").to_pylist(), dtype=np.str_)
        categories = {name: np.asarray(values, dtype=np.str_) for name, values in config["categories"].items()}
        module = build_module(settings, len(item_ids), config["modalities"], categories)
        module.load_state_dict(load_file(directory / WEIGHTS))
        module.eval()
        popularity = np.asarray(table.column("popularity").to_numpy(), dtype=np.float32)
        return cls(module, settings, config["model_id"], item_ids, popularity, categories)


def build_module(
    settings: TwoTowerSettings, ids: int, modalities: dict[str, int], categories: dict[str, NDArray[np.str_]]
) -> TwoTowerModule:
    """An untrained module of the sizes that `settings` and the vocabularies ask for."""
    from fashionrec_assets.towers.two_tower import TowerShape, TwoTowerModule

    return TwoTowerModule(
        TowerShape(
            dim=settings.dim,
            history=settings.history,
            layers=settings.layers,
            heads=settings.heads,
            dropout=settings.dropout,
            ids=ids,
            modalities=dict(modalities),
            categories={name: len(values) for name, values in categories.items()},
        )
    )


def encode_users(module: TwoTowerModule, batch: Batch, vectors: Any) -> Any:
    """The user tower's outputs (b, t, dim - 1) for `batch`, whose tokens hold `vectors` (b, t, dim - 1)."""
    import torch

    return module.users(
        vectors,
        torch.from_numpy(batch.items >= 0),
        torch.from_numpy(batch.behaviours),
        torch.from_numpy(batch.gap_before),
    )
