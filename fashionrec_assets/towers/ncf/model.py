"""A trained NCF model: its vocabularies, vectors out of it, items out of it, and its files.

Belongs here: `Ncf`. Does not belong here: training, scores of people (`recommender.py`), items without events
(`cold_items.py`). torch is imported inside functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.resources.models import moved
from fashionrec_assets.settings import NcfSettings
from fashionrec_assets.towers.features import category_vocabulary, lookup
from fashionrec_assets.towers.ncf.inputs import NcfItems, NcfUsers, Reducer, Reducers
from fashionrec_assets.towers.popularity import PopularityHistory, cut_after

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fashionrec_assets.towers.ncf.cross_modal import TokenTensors
    from fashionrec_assets.towers.ncf.module import NcfModule, UserTensors

ARCHITECTURE = "ncf-1"
"""Changes whenever the same settings would make a different model."""

WEIGHTS, CONFIG = "model.safetensors", "config.json"
ENCODE_BATCH = 1024


@dataclass(frozen=True)
class UserInputs:
    """Of the users of a log: `ids` int64 (n,) rows of the ID table, profile `codes` (n,) by column, and avatars."""

    ids: NDArray[np.int64]
    codes: Mapping[str, NDArray[np.int64]]
    avatar: NDArray[np.float32] | None = None
    has_avatar: NDArray[np.bool_] | None = None

    def take(
        self,
        rows: NDArray[np.integer],
        history: NDArray[np.int64],
        held: NDArray[np.bool_],
        *,
        hidden: NDArray[np.bool_] | None = None,
        device: torch.device,
    ) -> UserTensors:
        """Users `rows` (b,) with their `history` (b, h); where `hidden` (b,), one looks like a stranger."""
        import torch

        from fashionrec_assets.towers.ncf.module import UserTensors

        def on(values: NDArray[Any]) -> Tensor:
            return moved(torch.from_numpy(values), device)

        shown = np.ones(len(rows), bool) if hidden is None else ~hidden
        return UserTensors(
            on(np.where(shown, self.ids[rows], 0)),
            on(history),
            on(held),
            {name: on(np.where(shown, codes[rows], 0)) for name, codes in self.codes.items()},
            None if self.avatar is None else on(self.avatar[rows]),
            None if self.has_avatar is None else on(self.has_avatar[rows] & shown),
        )


@dataclass(frozen=True)
class Ncf:
    """A model with its vocabularies, and the popularity that training used and recommending therefore uses.

    `item_ids` (v,) and `user_ids` (w,): sorted ids with training events, rows 1.. of the ID tables. `counts` int64
    (v,): how many of them. `popularity` float32 (v, terms) at the `cut` (UTC seconds). `profiles`: name -> sorted
    values; code = place + 1.
    """

    module: NcfModule
    settings: NcfSettings
    reducers: Reducers
    item_ids: NDArray[np.str_]
    user_ids: NDArray[np.str_]
    counts: NDArray[np.int64]
    popularity: NDArray[np.float32]
    profiles: Mapping[str, NDArray[np.str_]]
    cut: int

    @classmethod
    def untrained(
        cls,
        log: EventLog,
        items: NcfItems,
        users: NcfUsers,
        settings: NcfSettings,
        reducers: Reducers,
        history: PopularityHistory,
    ) -> Ncf:
        """A model for the items and users of `log`; torch's seed decides its parameters."""
        from fashionrec_assets.towers.ncf.module import NcfModule, NcfShape

        counts = np.bincount(log.items, minlength=log.n_items)
        warm, active = counts > 0, np.unique(log.users)
        profiles = {
            name: values
            for name, column in users.profiles.columns.items()
            if len(values := category_vocabulary(column[active]))
        }
        read = tuple(name for name in settings.modalities if name == "id" or name in items.views)
        shape = NcfShape(
            modalities=read or ("id",),
            fusion=settings.fusion,
            scorer=settings.scorer,
            dim=settings.dim,
            token_dim=settings.token_dim,
            layers=settings.layers,
            heads=settings.heads,
            mlp=settings.mlp,
            dropout=settings.dropout,
            patches=items.image.mask.shape[1],
            items=int(warm.sum()),
            users=len(active),
            history=settings.history,
            popularity_terms=len(settings.popularity_half_lives),
            profiles={name: len(values) for name, values in profiles.items()},
            avatar=0 if users.avatar is None else users.avatar.values.shape[1],
        )
        return cls(
            NcfModule(shape),
            settings,
            reducers,
            log.item_ids[warm],
            log.user_ids[active],
            counts[warm],
            history.now[warm],
            profiles,
            cut_after(log),
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model reads of an item: those of the settings that the shop has."""
        return self.module.shape.modalities

    def id_rows(self, item_ids: NDArray[np.str_]) -> Tensor:
        """int64 (n,): rows of the ID table, 0 for items without training events."""
        import torch

        return torch.from_numpy(lookup(self.item_ids, item_ids) + 1).to(self.module.device)

    def user_inputs(self, users: NcfUsers, user_ids: NDArray[np.str_]) -> UserInputs:
        """What the model reads of `user_ids` (n,), whose rows `users` speaks of."""
        codes = {
            name: lookup(self.profiles[name], column) + 1
            for name, column in users.profiles.columns.items()
            if name in self.profiles
        }
        reads = bool(self.module.shape.avatar) and users.avatar is not None
        avatar = users.avatar if reads else None
        return UserInputs(
            lookup(self.user_ids, user_ids) + 1,
            codes,
            None if avatar is None else avatar.values,
            None if avatar is None else avatar.present,
        )

    def item_views(
        self, states: TokenTensors, embeddings: Tensor, known: Tensor, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Views (n, v, d) and presence (n, v) of the items of `states`, or of their `rows` (n,), without gradients.

        `embeddings` (n, d) are those of their IDs, or stand for them, as far as `known` (n,) says.
        """
        import torch

        module = self.module
        reads_content = module.content is not None
        parts: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            for part in torch.arange(len(known)).split(ENCODE_BATCH):
                some = states.take(part if rows is None else rows[part]).to(module.device) if reads_content else None
                views, present, _ = module.items(some, embeddings[part], known[part])
                parts.append((views, present))
        views, present = zip(*parts, strict=True)
        return torch.cat(views), torch.cat(present)

    def learned_views(self, states: TokenTensors, ids: Tensor) -> tuple[Tensor, Tensor]:
        """`item_views` of the items whose rows `ids` (n,) of the ID table are above 0; zeros for the others, of which
        no history of the training log holds any."""
        import torch

        module = self.module
        views = torch.zeros((len(ids), len(module.views), module.shape.dim), device=module.device)
        present = torch.zeros(views.shape[:2], dtype=torch.bool, device=module.device)
        rows = ids.nonzero().squeeze(1)
        with torch.no_grad():
            table = module.item_ids(ids[rows])[:, :-1]
            views[rows], present[rows] = self.item_views(states, table, ids[rows] > 0, rows)
        return views, present

    def forget(self, item_ids: NDArray[np.str_], user_ids: NDArray[np.str_] | None = None) -> Ncf:
        """The model without `item_ids` and `user_ids` in its vocabularies; everyone else's vectors stay as they are."""
        import torch

        from fashionrec_assets.towers.ncf.module import NcfModule

        stays = ~np.isin(self.item_ids, item_ids)
        known = ~np.isin(self.user_ids, [] if user_ids is None else user_ids)
        state = self.module.state_dict()
        for table, kept in (("item_ids.weight", stays), ("user_ids.weight", known)):
            state[table] = state[table][torch.from_numpy(np.flatnonzero(np.append(True, kept)))]
        module = NcfModule(replace(self.module.shape, items=int(stays.sum()), users=int(known.sum())))
        module.load_state_dict(state)
        return replace(
            self,
            module=module.eval(),
            item_ids=self.item_ids[stays],
            user_ids=self.user_ids[known],
            counts=self.counts[stays],
            popularity=self.popularity[stays],
        )

    def save(self, directory: Path) -> None:
        """Writes `model.safetensors` (networks, reducers, popularity) and `config.json` into `directory`."""
        import torch
        from safetensors.torch import save_file

        directory.mkdir(parents=True, exist_ok=True)
        tensors = {f"module.{name}": value.cpu().contiguous() for name, value in self.module.state_dict().items()}
        for name, reducer in (("text", self.reducers.text), ("image", self.reducers.image)):
            tensors[f"{name}.mean"] = torch.from_numpy(reducer.mean)
            tensors[f"{name}.axes"] = torch.from_numpy(reducer.axes.copy())
        tensors["popularity"] = torch.from_numpy(self.popularity.copy())
        tensors["counts"] = torch.from_numpy(self.counts.copy())
        save_file(tensors, directory / WEIGHTS)
        config: dict[str, Any] = {
            "architecture": ARCHITECTURE,
            "settings": self.settings.model_dump(mode="json"),
            "shape": self.module.shape.json,
            "scales": {"text": self.reducers.text.scale, "image": self.reducers.image.scale},
            "item_ids": self.item_ids.tolist(),
            "user_ids": self.user_ids.tolist(),
            "profiles": {name: values.tolist() for name, values in self.profiles.items()},
            "cut": self.cut,
        }
        (directory / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Ncf:
        """The model that `save` wrote. Raises FileNotFoundError, or ValueError for another architecture."""
        from safetensors.torch import load_file

        from fashionrec_assets.towers.ncf.module import NcfModule, NcfShape

        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        if config["architecture"] != ARCHITECTURE:
            raise ValueError(
                f"{directory} holds a {config['architecture']} model, this version reads {ARCHITECTURE}; train it again"
            )
        tensors = load_file(directory / WEIGHTS)
        module = NcfModule(NcfShape.read(config["shape"]))
        module.load_state_dict(
            {name.removeprefix("module."): value for name, value in tensors.items() if name.startswith("module.")}
        )

        def reducer(name: str) -> Reducer:
            mean, axes = tensors[f"{name}.mean"].numpy(), tensors[f"{name}.axes"].numpy()
            return Reducer(mean, axes, config["scales"][name])

        return cls(
            module.eval(),
            NcfSettings(**config["settings"]),
            Reducers(reducer("text"), reducer("image")),
            np.asarray(config["item_ids"], dtype=np.str_),
            np.asarray(config["user_ids"], dtype=np.str_),
            tensors["counts"].numpy(),
            tensors["popularity"].numpy(),
            {name: np.asarray(values, dtype=np.str_) for name, values in config["profiles"].items()},
            config["cut"],
        )
