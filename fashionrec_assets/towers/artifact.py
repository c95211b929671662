"""A trained two-tower model: vectors and probabilities out of it, and items out of it.

Belongs here: `TwoTower` and its vocabulary. Does not belong here: training, metrics, its files (`model_files.py`).
torch is imported inside functions.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import ALWAYS
from fashionrec_assets.settings import SCHEDULING, TwoTowerSettings
from fashionrec_assets.towers.encoding import encode_users
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles, age_codes, lookup, price_codes
from fashionrec_assets.towers.sequences import SESSION_GAP, serving_batches
from fashionrec_assets.towers.shape import TowerShape

if TYPE_CHECKING:
    from fashionrec_assets.towers.item_tower import ItemTensors
    from fashionrec_assets.towers.two_tower import TwoTowerModule

ARCHITECTURE = "two-tower-2"
"""Changes whenever the same settings would make a different model."""

ENCODE_BATCH = 8192
ID_TABLES = ("items.id.weight", "items.unknown_then.weight")
"""Parameters with a row for every id of the vocabulary, after one for all others."""


def two_tower_id(settings: TwoTowerSettings, seed: int, data_digest: str) -> str:
    """16 hex digits that name a model by what it is made from: architecture, settings, seed and training data.

    Settings that say when to train or what else to make, not what comes out, are left out.
    """
    knobs = settings.model_dump(mode="json", exclude={*SCHEDULING, "refit", "warm_start"})
    recipe = json.dumps([ARCHITECTURE, knobs, seed, data_digest], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TwoTower:
    """A model with its vocabularies, and the numbers about items that training used and serving therefore uses.

    `item_ids` (v,): sorted ids of the items with training events, whose ID embeddings are rows 1..v of the module;
    `popularity` float32 (v, terms): their decayed log counts at the `cut` (UTC seconds); `first_seen` int64 (v,): their
    first event. `categories` and `profiles`: name -> sorted values; code = place + 1. `price_edges`: of the buckets, or
    None where the model reads no prices. `session_gap`: seconds.
    """

    module: TwoTowerModule
    settings: TwoTowerSettings
    model_id: str
    item_ids: NDArray[np.str_]
    popularity: NDArray[np.float32]
    first_seen: NDArray[np.int64]
    categories: dict[str, NDArray[np.str_]]
    cut: int
    profiles: dict[str, NDArray[np.str_]] = field(default_factory=dict[str, "NDArray[np.str_]"])
    price_edges: NDArray[np.float64] | None = None
    session_gap: int = SESSION_GAP

    @property
    def dim(self) -> int:
        """Width of item and user vectors."""
        return self.settings.dim

    @property
    def tasks(self) -> tuple[str, ...]:
        """The heads this model has, of `shape.TASKS`; none where the log has a single behaviour."""
        return self.module.shape.tasks

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
            for rows in torch.arange(len(features), device=self.module.device).split(ENCODE_BATCH):
                some = inputs.take(rows)
                bias = self.module.items.popularity(some.popularity, some.ids == 0)
                vectors = torch.cat([self.module.items(some), self.settings.temperature * bias[:, None]], dim=1)
                parts.append(vectors.cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)

    def user_vectors(
        self,
        log: EventLog,
        user_rows: NDArray[np.integer],
        item_vectors: NDArray[np.float32],
        *,
        as_of: int | None = None,
        profiles: UserProfiles | None = None,
        batch_size: int = 512,
    ) -> NDArray[np.float32]:
        """float32 (m, dim): a unit vector, and how much popularity counts for the user (about 1).

        `item_vectors` (log.n_items, dim) are this model's, in the order of `log.item_ids`. A user without history gets
        the vector learned for first encounters, moved by their row of `profiles`, if any. `as_of` (UTC seconds) is the
        moment of recommending; None: right after the log's newest event. Raises ValueError for vectors of another
        shape, and for a log that holds events after `as_of`: nobody is recommended to from their future.
        """
        import torch

        if item_vectors.shape != (log.n_items, self.dim):
            raise ValueError(f"item_vectors must be {(log.n_items, self.dim)}, got {item_vectors.shape}")
        newest = int(log.times.max(initial=0))
        if as_of is not None and len(log) and newest > as_of:
            raise ValueError("the log holds events after as_of; cut it with log.between(None, as_of)")
        self.module.eval()
        device = self.module.device
        table = torch.from_numpy(np.ascontiguousarray(item_vectors[:, :-1])).to(device)
        known = self.profile_codes(profiles, log.n_users)
        out = np.ones((len(user_rows), self.dim), np.float32)
        done = 0
        # Similar lengths share a batch; the result goes back in the caller's order.
        lengths = np.minimum(np.diff(log.offsets())[user_rows], self.settings.history)
        order = np.argsort(lengths, kind="stable")
        batches = serving_batches(
            log,
            np.asarray(user_rows)[order],
            history=self.settings.history,
            batch_size=batch_size,
            session_gap=self.session_gap,
            as_of=as_of,
        )
        with torch.inference_mode():
            for batch in batches:
                items = table[torch.from_numpy(np.maximum(batch.items, 0)).to(device)]
                vectors, strength = encode_users(self.module, batch, items, known)
                last = torch.arange(len(batch.lengths), device=device), torch.from_numpy(batch.lengths).to(device)
                rows = order[done : done + len(batch.lengths)]
                out[rows, :-1], out[rows, -1] = vectors[last].cpu().numpy(), strength[last].cpu().numpy()
                done += len(rows)
        return out

    def modality_weights(self, features: ItemFeatures) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Names of the item tower's views, and float32 (n, views): each one's share of an item's vector.

        A share is the length of the weighted view, scaled so that rows sum to 1.
        """
        import torch

        self.module.eval()
        with torch.inference_mode():
            return self.module.items.views, self.module.items.shares(self.tensors(features)).cpu().numpy()

    def conversion(
        self, user_vectors: NDArray[np.float32], item_vectors: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """P(behaviour | engaged) of m pairs of this model's user and item vectors, both (m, dim): task -> (m,).

        "cart_or_fav": the user goes on to put the item into the cart or among the favourites, or buys it; "buy": the
        user goes on to buy it. Only the tasks in `tasks`.
        """
        import torch

        self.module.eval()
        users, items = (torch.from_numpy(v[:, :-1].copy()).to(self.module.device) for v in (user_vectors, item_vectors))
        with torch.inference_mode():
            return {
                name: torch.sigmoid(self.module.heads.logits(name, users, items)).cpu().numpy() for name in self.tasks
            }

    def tensors(self, features: ItemFeatures) -> ItemTensors:
        """`features` in this model's codes, on its device.

        Raises ValueError where a modality, a category or the prices of training are absent.
        """
        import torch

        from fashionrec_assets.towers.item_tower import ItemTensors

        shape = self.module.shape
        wanted = {**shape.modalities, **dict.fromkeys(self.categories)}
        for name, width in wanted.items():
            given = features.modalities[name].values.shape[1] if name in features.modalities else None
            if (given != width) if name in shape.modalities else name not in features.categories:
                raise ValueError(f"the model was trained with {name!r} (width {width}), the features have {given}")
        if self.price_edges is not None and features.price is None:
            raise ValueError("the model was trained with prices, the features have none")
        rows = 1 + lookup(self.item_ids, features.item_ids)
        popularity = np.concatenate([np.zeros((1, self.popularity.shape[1]), np.float32), self.popularity])[rows]
        codes = {
            name: 1 + lookup(vocabulary, features.categories[name]) for name, vocabulary in self.categories.items()
        }
        if self.price_edges is not None and features.price is not None:
            codes["price"] = price_codes(features.price, self.price_edges)
        if "age" in shape.codes:
            codes["age"] = age_codes(self._on_shelf_since(features, rows), self.cut)
        device = self.module.device
        return ItemTensors(
            ids=torch.from_numpy(rows).to(device),
            popularity=torch.from_numpy(popularity).to(device),
            values={name: torch.from_numpy(features.modalities[name].values).to(device) for name in shape.modalities},
            present={name: torch.from_numpy(features.modalities[name].present).to(device) for name in shape.modalities},
            codes={name: torch.from_numpy(codes[name]).to(device) for name in shape.codes},
        )

    def _on_shelf_since(self, features: ItemFeatures, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The launch, else the first event in training, else `ALWAYS`."""
        seen = np.concatenate([[ALWAYS], self.first_seen])[rows]
        if features.launched_at is None:
            return seen
        return np.where(features.launched_at == ALWAYS, seen, features.launched_at)

    def profile_codes(self, profiles: UserProfiles | None, n_users: int) -> dict[str, NDArray[np.int64]]:
        """Column -> int64 (n_users,) in this model's codes; 0 is unknown. Raises ValueError for another length."""
        codes: dict[str, NDArray[np.int64]] = {}
        for name, vocabulary in self.profiles.items():
            values = None if profiles is None else profiles.columns.get(name)
            if values is not None and len(values) != n_users:
                raise ValueError(f"profiles have {len(values)} rows of {name!r}, the log has {n_users} users")
            codes[name] = np.zeros(n_users, np.int64) if values is None else 1 + lookup(vocabulary, values)
        return codes

    def forget(self, item_ids: NDArray[np.str_]) -> TwoTower:
        """The same model without any trace of `item_ids`: ids, popularity, first events and ID embeddings are gone.

        Every other item's vector and `model_id` stay; unknown ids are ignored.
        """
        import torch

        keep = ~np.isin(self.item_ids, item_ids)
        if keep.all():
            return self
        state = {name: value.clone() for name, value in self.module.state_dict().items()}
        rows = torch.from_numpy(np.flatnonzero(np.concatenate([[True], keep])))
        for name in ID_TABLES:
            if name in state:
                state[name] = state[name][rows].clone()
        return replace(
            self,
            module=loaded_module(replace(self.module.shape, ids=int(keep.sum())), state),
            item_ids=self.item_ids[keep],
            popularity=self.popularity[keep],
            first_seen=self.first_seen[keep],
        )

    def save(self, directory: Path) -> None:
        """Writes the files of `model_files` into `directory` (made if absent)."""
        from fashionrec_assets.towers.model_files import write_model

        write_model(self, directory)

    @classmethod
    def load(cls, directory: Path) -> TwoTower:
        """The model that `save` wrote. Raises FileNotFoundError, or ValueError for another architecture."""
        from fashionrec_assets.towers.model_files import read_model

        return read_model(directory)


def loaded_module(shape: TowerShape, state: dict[str, Any]) -> TwoTowerModule:
    """A module of that shape with the parameters `state`, ready to be asked, on the processor."""
    from fashionrec_assets.towers.two_tower import TwoTowerModule

    module = TwoTowerModule(shape)
    module.load_state_dict(state)
    module.eval()
    return module
