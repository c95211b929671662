"""The two towers as torch modules: items from content and ID, users from their recent sequence of events.

Belongs here: parameters and forward passes. Does not belong here: losses, the training loop, vocabularies, files.
Imports torch at the top: import this module inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fashionrec_assets.towers.sequences import GAPS, START_BEHAVIOUR


@dataclass(frozen=True)
class TowerShape:
    """Sizes of the networks. `modalities`: name -> input width; `categories`: name -> number of codes but 0.

    `dim` is the width of the served vectors: `dim - 1` learned coordinates and one for popularity.
    """

    dim: int
    history: int
    layers: int
    heads: int
    dropout: float
    ids: int
    modalities: dict[str, int]
    categories: dict[str, int]


@dataclass(frozen=True)
class ItemTensors:
    """Features of n items. `ids`, `categories`: int64 (n,) codes, 0 is cold or unknown. `popularity`: float (n,)."""

    ids: Tensor
    popularity: Tensor
    values: dict[str, Tensor]
    present: dict[str, Tensor]
    categories: dict[str, Tensor]

    def take(self, rows: Tensor) -> ItemTensors:
        return ItemTensors(
            self.ids[rows],
            self.popularity[rows],
            {name: v[rows] for name, v in self.values.items()},
            {name: p[rows] for name, p in self.present.items()},
            {name: c[rows] for name, c in self.categories.items()},
        )

    def hide_ids(self, hidden: Tensor) -> ItemTensors:
        """ID dropout (DropoutNet, Volkovs et al. 2017): where `hidden` (n,), the item looks like one never seen."""
        return ItemTensors(
            torch.where(hidden, 0, self.ids), self.popularity, self.values, self.present, self.categories
        )


def _small(rows: int, dim: int) -> nn.Embedding:
    """An embedding that starts small: content leads until behaviour says otherwise."""
    table = nn.Embedding(rows, dim)
    nn.init.normal_(table.weight, std=0.1)
    return table


class ItemTower(nn.Module):
    """Every view of an item becomes a vector of the same width; learned, input-dependent gates weigh their sum.

    Views: each modality (a linear map, or a learned vector where the modality is missing), each category, and the ID
    (code 0: a learned vector for items without behaviour). The output is the unit vector of the sum and, as a separate
    number, the log-odds that popularity adds: an inner product can carry both.
    """

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        dim = shape.dim - 1
        self.project = nn.ModuleDict({name: nn.Linear(width, dim) for name, width in shape.modalities.items()})
        self.missing = nn.ParameterDict({name: nn.Parameter(torch.zeros(dim)) for name in shape.modalities})
        for name, width in shape.modalities.items():
            self.register_buffer(f"mean_{name}", torch.zeros(width))
            self.register_buffer(f"scale_{name}", torch.ones(()))
        self.category = nn.ModuleDict({name: _small(size + 1, dim) for name, size in shape.categories.items()})
        self.id = _small(shape.ids + 1, dim)
        self.gate = nn.Linear(dim, 1)
        nn.init.zeros_(self.gate.weight)
        self.views = (*shape.modalities, *shape.categories, "id")
        self.view_bias = nn.Parameter(torch.zeros(len(self.views)))
        self.popularity_weight = nn.Parameter(torch.tensor(0.1))
        self.cold_prior = nn.Parameter(torch.tensor(0.0))

    def weights(self, items: ItemTensors) -> tuple[Tensor, Tensor]:
        """The views (n, views, dim) and their gates (n, views), in the order of `self.views`."""
        views = []
        for name in self.project:
            standard = (items.values[name] - self.get_buffer(f"mean_{name}")) / self.get_buffer(f"scale_{name}")
            mapped = self.project[name](standard)
            views.append(torch.where(items.present[name][:, None], mapped, self.missing[name]))
        views += [self.category[name](items.categories[name]) for name in self.category]
        views.append(self.id(items.ids))
        stacked = torch.stack(views, dim=1)
        gates = 2 * torch.sigmoid(self.gate(F.normalize(stacked, dim=-1)).squeeze(-1) + self.view_bias)
        return stacked, gates

    def forward(self, items: ItemTensors) -> tuple[Tensor, Tensor]:
        """Unit vectors (n, dim - 1) and popularity terms (n,), the latter in units of logits."""
        stacked, gates = self.weights(items)
        vectors = F.normalize((gates.unsqueeze(-1) * stacked).sum(dim=1), dim=-1)
        bias = torch.where(items.ids > 0, self.popularity_weight * items.popularity, self.cold_prior)
        return vectors, bias


class Block(nn.Module):
    """Pre-norm transformer block with causal attention."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim), nn.Dropout(dropout))
        for layer in (self.out, self.mlp[2]):
            nn.init.zeros_(layer.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        parts = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        q, k, v = (part.view(b, t, self.heads, d // self.heads).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.dropout(self.out(mixed.transpose(1, 2).reshape(b, t, d)), self.dropout, self.training)
        return x + self.mlp(self.norm2(x))


class UserTower(nn.Module):
    """SASRec (Kang & McAuley 2018) over item vectors of the item tower, with behaviour, position and time gaps.

    The transformer's output (intent) is added to the running mean of the item vectors seen so far (taste), so that an
    untrained tower already recommends what is similar to the history and training only has to improve on that.
    """

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        dim, width = shape.dim, shape.dim - 1
        self.start = nn.Parameter(torch.randn(width) * width**-0.5)
        self.enter = nn.Linear(width, dim)
        self.position, self.behaviour = _small(shape.history + 1, dim), _small(START_BEHAVIOUR + 1, dim)
        self.gap_before = _small(GAPS, dim)
        self.blocks = nn.ModuleList(Block(dim, shape.heads, shape.dropout) for _ in range(shape.layers))
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, width)
        self.taste_of_behaviour = _small(START_BEHAVIOUR + 1, 1)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, vectors: Tensor, held: Tensor, behaviours: Tensor, gap_before: Tensor) -> Tensor:
        """Unit vectors (b, t, dim - 1), one after each token.

        `vectors` (b, t, dim - 1): the item of each token; `held` (b, t): whether a token holds an item at all.
        """
        items = torch.where(held.unsqueeze(-1), vectors, self.start)
        place = torch.arange(items.shape[1], device=items.device)
        x = self.enter(items) * items.shape[-1] ** 0.5 + self.position(place)
        x = self.dropout(x + self.behaviour(behaviours) + self.gap_before(gap_before))
        for block in self.blocks:
            x = block(x)
        taste = F.normalize((torch.exp(self.taste_of_behaviour(behaviours)) * items).cumsum(1), dim=-1)
        return F.normalize(taste + self.out(self.norm(x)), dim=-1)


class TwoTowerModule(nn.Module):
    """Both towers. Score of an item: user vector · item vector / temperature + popularity term."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        if shape.dim % shape.heads:
            raise ValueError(f"two_tower.dim ({shape.dim}) must be a multiple of two_tower.heads ({shape.heads})")
        self.shape = shape
        self.items, self.users = ItemTower(shape), UserTower(shape)
