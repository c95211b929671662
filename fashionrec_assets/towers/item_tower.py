"""The item tower: content, numbers and ID of an item become one vector.

Belongs here: its parameters and forward pass, and the tensors it reads. Does not belong here: users, losses,
vocabularies. Imports torch at the top: import this module inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fashionrec_assets.towers.fusion import FUSIONS
from fashionrec_assets.towers.shape import TowerShape


@dataclass(frozen=True)
class ItemTensors:
    """Features of n items. `ids` int64 (n,): row of the ID embedding, 0 is an item without behaviour.

    `values` (n, d) and `present` (n,) by modality; `codes` int64 (n,) by category and number, 0 is unknown;
    `popularity` (n, terms) at the model's cut.
    """

    ids: Tensor
    popularity: Tensor
    values: dict[str, Tensor]
    present: dict[str, Tensor]
    codes: dict[str, Tensor]

    def take(self, rows: Tensor) -> ItemTensors:
        return ItemTensors(
            self.ids[rows],
            self.popularity[rows],
            {name: v[rows] for name, v in self.values.items()},
            {name: p[rows] for name, p in self.present.items()},
            {name: c[rows] for name, c in self.codes.items()},
        )

    def hide_ids(self, hidden: Tensor) -> ItemTensors:
        """ID dropout (DropoutNet, Volkovs et al. 2017): where `hidden` (n,), the item looks like one never seen."""
        codes = {name: torch.where(hidden, 0, code) if name == "age" else code for name, code in self.codes.items()}
        return replace(self, ids=torch.where(hidden, 0, self.ids), codes=codes)

    def hide_views(self, hidden: Mapping[str, Tensor]) -> ItemTensors:
        """Modality dropout: views that are missing where their mask (n,) says so. Unknown names are an error."""
        unknown = hidden.keys() - self.values.keys() - self.codes.keys()
        if unknown:
            raise KeyError(f"the item tower has no views {sorted(unknown)} to hide")
        present = {name: p & ~hidden[name] if name in hidden else p for name, p in self.present.items()}
        codes = {name: torch.where(hidden[name], 0, c) if name in hidden else c for name, c in self.codes.items()}
        return replace(self, present=present, codes=codes)


def small_embedding(rows: int, dim: int, *, std: float = 0.1) -> nn.Embedding:
    """An embedding that starts small: content leads until behaviour says otherwise."""
    table = nn.Embedding(rows, dim)
    nn.init.normal_(table.weight, std=std)
    return table


class ItemTower(nn.Module):
    """Every view of an item becomes a vector of one width, and a fusion of them the item's unit vector.

    Views: each modality (a linear map, or a learned vector where it is missing), each category and number (an embedding
    of its code, code 0 where it is missing), and the ID (code 0: a learned vector for items without behaviour).
    Popularity is a separate number, in units of logits: an inner product can carry both. In training it is what was
    known at the time; `unknown_then` takes up what was not yet known of an item, lest its vector does, and is left
    out of what is served.
    """

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        width = shape.dim - 1
        self.project = nn.ModuleDict({name: nn.Linear(size, width) for name, size in shape.modalities.items()})
        self.missing = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name in shape.modalities})
        for name, size in shape.modalities.items():
            self.register_buffer(f"mean_{name}", torch.zeros(size))
            self.register_buffer(f"scale_{name}", torch.ones(()))
        self.codes = nn.ModuleDict({name: small_embedding(size + 1, width) for name, size in shape.codes.items()})
        self.id = small_embedding(shape.ids + 1, width) if shape.reads_ids else None
        self.views = (*shape.modalities, *shape.codes, *(("id",) if shape.reads_ids else ()))
        self.fusion = FUSIONS[shape.fusion](len(self.views), width)
        terms = shape.popularity_terms
        self.popularity_weight = nn.Parameter(torch.full((terms,), 0.1 / terms))
        self.cold_prior = nn.Parameter(torch.tensor(0.0))
        self.unknown_then = nn.Embedding(shape.ids + 1, 1)
        nn.init.zeros_(self.unknown_then.weight)

    def read(self, items: ItemTensors) -> Tensor:
        """The views (n, views, dim - 1), in the order of `self.views`."""
        views = []
        for name in self.project:
            standard = (items.values[name] - self.get_buffer(f"mean_{name}")) / self.get_buffer(f"scale_{name}")
            mapped = self.project[name](standard)
            views.append(torch.where(items.present[name][:, None], mapped, self.missing[name].to(mapped.dtype)))
        views += [self.codes[name](items.codes[name]) for name in self.codes]
        if self.id is not None:
            views.append(self.id(items.ids))
        return torch.stack([view.float() for view in views], dim=1)

    def forward(self, items: ItemTensors) -> Tensor:
        """Unit vectors (n, dim - 1)."""
        return F.normalize(self.fusion(self.read(items)).float(), dim=-1)

    def shares(self, items: ItemTensors) -> Tensor:
        """(n, views): the length of each weighted view, scaled so that rows sum to 1."""
        lengths = self.fusion.lengths(self.read(items))
        return lengths / lengths.sum(dim=1, keepdim=True)

    def popularity(self, terms: Tensor, cold: Tensor) -> Tensor:
        """(..., n): what popularity adds to the logits of items with `terms` (..., n, t); `cold` (n,) have a prior."""
        return torch.where(cold, self.cold_prior, terms @ self.popularity_weight)
