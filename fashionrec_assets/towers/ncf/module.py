"""The networks of NCF: what an item is, what a user is, and how likely one turns to the other.

Belongs here: parameters and forward passes. Does not belong here: the loop, vocabularies, files. Imports torch at the
top: import this module inside functions.

An item is one vector of its fused content and its ID (early and intermediate fusion), or one vector of each modality
and of its ID (late fusion), all of them of one length. A user is the same number of vectors: their ID, their profile,
their picture where there is one, and the weighted mean of the items they turned to last, each as that item's vector.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fashionrec_assets.towers.item_tower import small_embedding
from fashionrec_assets.towers.ncf.cross_modal import Fused, TokenTensors, content_encoder
from fashionrec_assets.towers.ncf.scorers import scorer

SHARPNESS = 10.0
"""What a dot product of two vectors is at the most, in logits: 1 / the temperature."""


@dataclass(frozen=True)
class NcfShape:
    """What decides the sizes of all parameters; JSON by `asdict`."""

    modalities: tuple[str, ...]
    fusion: str
    scorer: str
    dim: int
    token_dim: int
    layers: int
    heads: int
    mlp: tuple[int, ...]
    dropout: float
    patches: int
    items: int
    users: int
    history: int
    popularity_terms: int
    profiles: dict[str, int]
    avatar: int = 0

    @property
    def json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, values: dict[str, Any]) -> NcfShape:
        return cls(**{**values, "modalities": tuple(values["modalities"]), "mlp": tuple(values["mlp"])})


@dataclass(frozen=True)
class UserTensors:
    """Of b users: `ids` (b,) rows of the ID table, 0 for strangers; `history` (b, h) rows of items, newest first, with
    `held` bool (b, h); `profiles` codes (b,) by column; `avatar` (b, a) with `has_avatar` (b,), or None."""

    ids: Tensor
    history: Tensor
    held: Tensor
    profiles: dict[str, Tensor]
    avatar: Tensor | None = None
    has_avatar: Tensor | None = None


class NcfModule(nn.Module):
    """`items` and `users` give vectors, `match` and `match_all` logits of them; `bias` is the item's own logit."""

    def __init__(self, shape: NcfShape) -> None:
        super().__init__()
        self.shape = shape
        dim = shape.dim
        self.content = content_encoder(
            shape.fusion,
            shape.modalities,
            width=shape.token_dim,
            dim=dim,
            patches=shape.patches,
            layers=shape.layers,
            heads=shape.heads,
            dropout=shape.dropout,
        )
        content_views = () if self.content is None else self.content.views
        reads_ids = "id" in shape.modalities
        apart = shape.fusion == "late" and bool(content_views)
        self.views: tuple[str, ...] = (*content_views, *(("id",) if reads_ids and (apart or not content_views) else ()))
        # The last column is the item's own logit: what is left of it when popularity at the time is known.
        self.item_ids = _short(shape.items + 1, dim + 1)
        self.reads_ids, self.apart = reads_ids, apart
        self.user_ids = _short(shape.users + 1, dim)
        self.profiles = nn.ModuleDict({name: _short(size + 1, dim) for name, size in shape.profiles.items()})
        self.avatar = nn.Linear(shape.avatar, dim) if shape.avatar else None
        self.taste = nn.ModuleList([nn.Linear(dim, dim) for _ in self.views])
        for layer in self.taste:
            assert isinstance(layer, nn.Linear)
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.nobody = nn.Parameter(torch.zeros(len(self.views), dim))
        self.recency = nn.Parameter(-0.1 * torch.arange(shape.history, dtype=torch.float32))
        self.view_weights = nn.Parameter(torch.zeros(len(self.views)))
        self.scorer = scorer(shape.scorer, dim, shape.mlp)
        self.popularity = nn.Parameter(torch.full((shape.popularity_terms,), 0.1 / shape.popularity_terms))

    @property
    def device(self) -> torch.device:
        return self.recency.device

    def items(
        self, states: TokenTensors | None, embeddings: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor, Fused | None]:
        """Views (n, v, d) of unit length, which are present (n, v), and the fused content.

        `embeddings` (n, d): of the items' IDs, or what stands for them, as far as `known` (n,) says.
        """
        fused = None if self.content is None or states is None else self.content(states)
        ids, known = embeddings.unsqueeze(1), known.unsqueeze(1)
        if fused is None:
            return F.normalize(ids, dim=-1), known, None
        # Content starts with unit length and IDs with next to none, whatever the scale of the tokens.
        views, present = F.normalize(fused.views, dim=-1), fused.present
        if self.reads_ids and self.apart:
            views, present = torch.cat([views, ids], dim=1), torch.cat([present, known], dim=1)
        elif self.reads_ids:
            views, present = views + ids, present | known
        return F.normalize(views, dim=-1), present, fused

    def users(self, users: UserTensors, views: Tensor, present: Tensor) -> Tensor:
        """(b, v, d): of unit length. `views` (n, v, d) and `present` (n, v) are those of the items `history` names."""
        held = users.held.unsqueeze(2) & present[users.history]
        weights = (self.recency[: held.shape[1]].exp()[None, :, None] * held).transpose(1, 2)
        # (b, v, 1, h) @ (b, v, h, d)
        summed = (weights.unsqueeze(2) @ views[users.history].transpose(1, 2)).squeeze(2)
        mean = summed / weights.sum(dim=2, keepdim=True).clamp(min=1e-6)
        anything = held.any(dim=1)
        taste = torch.stack([layer(mean[:, v]) for v, layer in enumerate(self.taste)], dim=1)
        found = torch.where(anything.unsqueeze(2), taste, self.nobody)
        own = self.user_ids(users.ids)
        for name, codes in users.profiles.items():
            own = own + self.profiles[name](codes)
        if self.avatar is not None and users.avatar is not None and users.has_avatar is not None:
            own = own + self.avatar(users.avatar) * users.has_avatar.unsqueeze(1)
        return F.normalize(found + own.unsqueeze(1), dim=-1)

    def shares(self, present: Tensor) -> Tensor:
        """(n, v): how much each view of an item counts; the present ones add up to 1."""
        weights = torch.softmax(self.view_weights, dim=0) * present
        return weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-6)

    def match_all(self, users: Tensor, views: Tensor, present: Tensor) -> Tensor:
        """Logits (b, n) of users (b, v, d) and items (n, v, d), without the items' own."""
        shares, width = self.shares(present), SHARPNESS**0.5
        total = None
        for v in range(len(self.views)):
            part = self.scorer.all(users[:, v] * width, views[:, v] * width) * shares[:, v]
            total = part if total is None else total + part
        assert total is not None
        return total

    def match(self, users: Tensor, views: Tensor, present: Tensor) -> Tensor:
        """Logits (b,) of users (b, v, d) and an item of each (b, v, d)."""
        width = SHARPNESS**0.5
        return (self.scorer.pairs(users * width, views * width) * self.shares(present)).sum(dim=1)


def _short(rows: int, dim: int) -> nn.Embedding:
    """An embedding next to nothing beside content, whose vectors have length 1."""
    return small_embedding(rows, dim, std=0.1 / dim**0.5)
