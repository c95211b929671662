"""The user tower: a user's recent events, and who they are, become a vector after every event.

Belongs here: its parameters and forward pass. Does not belong here: items, losses, how logs are cut into sequences.
Imports torch at the top: import this module inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fashionrec_assets.towers.item_tower import small_embedding
from fashionrec_assets.towers.sequences import GAPS, START_BEHAVIOUR
from fashionrec_assets.towers.shape import TowerShape


@dataclass(frozen=True)
class UserTokens:
    """b sequences of t tokens: see `sequences.Batch`.

    `vectors` (b, t, dim - 1): the item of each token; `held` (b, t): whether it holds an item; `profiles` int64 (b,)
    by column.
    """

    vectors: Tensor
    held: Tensor
    behaviours: Tensor
    gap_before: Tensor
    gap_after: Tensor
    sessions: Tensor
    profiles: dict[str, Tensor]


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


class SessionIntent(nn.Module):
    """Short-term intent: attention over the events of the current session alone.

    What is attended to are the item vectors themselves, asked by the state after the last event; it starts as their
    mean.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(dim, width), nn.Linear(width, width)
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        self.out = nn.Linear(dim, width)

    def forward(self, state: Tensor, items: Tensor, sessions: Tensor) -> Tensor:
        """(b, t, width) from `state` (b, t, dim), `items` (b, t, width) and the session (b, t) of each token."""
        t = items.shape[1]
        earlier = torch.ones(t, t, dtype=torch.bool, device=items.device).tril()
        together = (sessions[:, :, None] == sessions[:, None, :]) & earlier
        scores = self.query(state) @ self.key(items).transpose(1, 2) * items.shape[-1] ** -0.5
        weights = torch.softmax(scores.masked_fill(~together, -torch.inf), dim=-1)
        return F.normalize(weights @ items, dim=-1) + self.out(state)


class UserTower(nn.Module):
    """SASRec (Kang & McAuley 2018) over item vectors of the item tower, with behaviour, session, position and time.

    Long-term taste: the running mean of the item vectors seen so far, moved by the transformer's output, so that an
    untrained tower already recommends what is similar to the history and training only has to improve on that.
    Short-term intent (`SessionIntent`) takes its place as far as a gate says.

    A sequence begins with a token for the user before the first event: a learned vector, plus what the profile adds.
    It is one of the vectors of the mean: all that there is without a history, and less with every event. So it is with
    the weight of popularity, which depends on the number of events, and on how long ago the last one was.
    """

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        dim, width = shape.dim, shape.dim - 1
        self.start = nn.Parameter(torch.randn(width) * width**-0.5)
        self.profile = nn.ModuleDict({name: small_embedding(size + 1, width) for name, size in shape.profiles.items()})
        self.enter = nn.Linear(width, dim)
        self.position, self.behaviour = (
            small_embedding(shape.history + 1, dim),
            small_embedding(START_BEHAVIOUR + 1, dim),
        )
        self.gap_before, self.boundary = small_embedding(GAPS, dim), small_embedding(2, dim)
        self.blocks = nn.ModuleList(Block(dim, shape.heads, shape.dropout) for _ in range(shape.layers))
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, width)
        self.gap_after = small_embedding(GAPS, dim) if shape.query_gap else None
        self.taste_of_behaviour = small_embedding(START_BEHAVIOUR + 1, 1)
        self.intent = SessionIntent(dim, width) if shape.session_aware else None
        self.gate = nn.Linear(dim, 1) if shape.session_aware else None
        if self.gate is not None:
            nn.init.zeros_(self.gate.weight)
            nn.init.constant_(self.gate.bias, -1.0)
        self.trust, self.trust_after = nn.Embedding(COUNTS, 1), nn.Embedding(GAPS, 1) if shape.query_gap else None
        for table in (self.trust, self.trust_after):
            if table is not None:
                nn.init.zeros_(table.weight)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, tokens: UserTokens) -> tuple[Tensor, Tensor]:
        """Unit vectors (b, t, dim - 1), one after each token, and how much popularity counts there (b, t)."""
        start = self.start + sum(self.profile[name](code) for name, code in tokens.profiles.items())
        start = torch.broadcast_to(start, (len(tokens.held), self.start.shape[0])).unsqueeze(1)
        items = torch.where(tokens.held.unsqueeze(-1), tokens.vectors, start)
        place = torch.arange(items.shape[1], device=items.device)
        boundary = torch.ones_like(tokens.sessions)
        boundary[:, 1:] = (tokens.sessions[:, 1:] != tokens.sessions[:, :-1]).long()
        x = self.enter(items) * items.shape[-1] ** 0.5 + self.position(place)
        x = x + self.behaviour(tokens.behaviours) + self.gap_before(tokens.gap_before) + self.boundary(boundary)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        if self.gap_after is not None:
            x = x + self.gap_after(tokens.gap_after)
        state = self.norm(x)
        weight = torch.exp(self.taste_of_behaviour(tokens.behaviours))
        user = F.normalize((weight * items).cumsum(1), dim=-1) + self.out(state)
        if self.intent is not None and self.gate is not None:
            gate = torch.sigmoid(self.gate(state))
            user = (1 - gate) * user + gate * self.intent(state, items, tokens.sessions)
        trust = self.trust(count_codes(place)).expand(len(items), -1, 1)
        if self.trust_after is not None:
            trust = trust + self.trust_after(tokens.gap_after)
        return F.normalize(user.float(), dim=-1), torch.exp(trust.float()).squeeze(-1)


COUNTS = 8


def count_codes(counts: Tensor) -> Tensor:
    """0 for none, then 1 + the binary logarithm of the number of events, at most `COUNTS` - 1."""
    return torch.log2(counts.float() + 0.5).floor().add(1).clamp(0, COUNTS - 1).long()
