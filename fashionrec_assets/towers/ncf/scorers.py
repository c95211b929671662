"""How well a user and an item match: NeuMF, its two halves, and a plain dot product.

Belongs here: scorers as functions of two vectors. Does not belong here: where the vectors come from. Imports torch at
the top: import this module inside functions.

NeuMF: He et al., "Neural Collaborative Filtering", WWW 2017, sections 3.2 to 3.4. The dot product stands beside it
because a well-trained one often wins (Rendle et al., "Neural Collaborative Filtering vs. Matrix Factorization
Revisited", RecSys 2020).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

PAIRS_AT_ONCE = 16_384
"""Pairs that a processor takes through all layers of an MLP before the next: one layer's values stay in its cache."""


class Scorer(nn.Module):
    """Of users (b, d) and items: `pairs` with items (b, d) gives (b,), `all` with items (c, d) gives (b, c)."""

    def pairs(self, users: Tensor, items: Tensor) -> Tensor:
        raise NotImplementedError

    def all(self, users: Tensor, items: Tensor) -> Tensor:
        raise NotImplementedError


class Dot(Scorer):
    def pairs(self, users: Tensor, items: Tensor) -> Tensor:
        return (users * items).sum(dim=-1)

    def all(self, users: Tensor, items: Tensor) -> Tensor:
        return users @ items.T


class Gmf(Scorer):
    """Generalised matrix factorisation: h . (user * item) (equation 9), which is the dot product where h is ones."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.output = nn.Parameter(torch.ones(dim))

    def pairs(self, users: Tensor, items: Tensor) -> Tensor:
        return (users * items) @ self.output

    def all(self, users: Tensor, items: Tensor) -> Tensor:
        return (users * self.output) @ items.T


class Mlp(Scorer):
    """A tower over [user; item] with ReLU (equation 10).

    The first layer of a concatenation is a sum of two maps, so that a block of users meets all items without a copy of
    the pairs.
    """

    def __init__(self, dim: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.of_user, self.of_item = nn.Linear(dim, widths[0]), nn.Linear(dim, widths[0], bias=False)
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])
        self.output = nn.Parameter(torch.randn(widths[-1]) * widths[-1] ** -0.5)

    def hidden(self, first: Tensor) -> Tensor:
        # In place: what comes in, and what a layer gives, is read by nobody else.
        values = torch.relu_(first)
        for layer in self.layers:
            values = torch.relu_(layer(values))
        return values

    def pairs(self, users: Tensor, items: Tensor) -> Tensor:
        return self.hidden(self.of_user(users) + self.of_item(items)) @ self.output

    def all(self, users: Tensor, items: Tensor) -> Tensor:
        of_users, of_items = self.of_user(users), self.of_item(items)
        size = max(1, len(users) if users.is_cuda else PAIRS_AT_ONCE // max(len(items), 1))
        return torch.cat([self.hidden(some[:, None] + of_items) @ self.output for some in of_users.split(size)])


class NeuMf(Scorer):
    """GMF and MLP side by side under one output layer (equation 12).

    Begins as the dot product: the MLP's part of the output layer starts at zero, unless both were trained before.
    """

    def __init__(self, dim: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.gmf, self.mlp = Gmf(dim), Mlp(dim, widths)
        nn.init.zeros_(self.mlp.output)

    def pairs(self, users: Tensor, items: Tensor) -> Tensor:
        return self.gmf.pairs(users, items) + self.mlp.pairs(users, items)

    def all(self, users: Tensor, items: Tensor) -> Tensor:
        return self.gmf.all(users, items) + self.mlp.all(users, items)

    def start_from(self, gmf: Gmf, mlp: Mlp, share: float = 0.5) -> None:
        """Both halves as trained alone, their output layers weighted `share` and 1 - `share` (equation 13)."""
        self.gmf.load_state_dict(gmf.state_dict())
        self.mlp.load_state_dict(mlp.state_dict())
        with torch.no_grad():
            self.gmf.output.mul_(share)
            self.mlp.output.mul_(1 - share)


def scorer(name: str, dim: int, widths: Sequence[int]) -> Scorer:
    """neumf, gmf, mlp or dot. Raises KeyError for another name."""
    makers = {"neumf": lambda: NeuMf(dim, widths), "gmf": lambda: Gmf(dim), "mlp": lambda: Mlp(dim, widths), "dot": Dot}
    return cast(Scorer, makers[name]())
