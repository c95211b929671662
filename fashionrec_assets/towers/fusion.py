"""Early fusion: several views of an item become one.

Belongs here: the ways to weigh views, behind one interface. Does not belong here: where views come from.
Imports torch at the top: import this module inside functions.

Every way maps views (n, v, d) to vectors (n, d), sums of weighted views; `lengths` (n, v) says how long these are: the
shares that reports and explanations show.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Fusion(nn.Module):
    """What the ways have in common: views, their number and width in; `forward` and `lengths` out."""

    def __init__(self, views: int, width: int) -> None:
        super().__init__()
        self.count, self.width = views, width

    def lengths(self, views: Tensor) -> Tensor:
        """(n, v): the length of each weighted view."""
        raise NotImplementedError


class AttentionFusion(Fusion):
    """Softmax over the views; a view's score depends on the view itself and on what the others say together.

    Starts as the plain sum, whatever the number of views.
    """

    def __init__(self, views: int, width: int) -> None:
        super().__init__(views, width)
        self.own = nn.Parameter(torch.zeros(width))
        self.context = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.context.weight)
        self.bias = nn.Parameter(torch.zeros(views))

    def weights(self, views: Tensor) -> Tensor:
        """(n, v): they sum to the number of views. Scores read directions, not lengths."""
        inverse = 1 / views.norm(dim=-1).clamp(min=1e-6)
        context = (inverse.unsqueeze(1) @ views).squeeze(1) / self.count
        asked = self.own + self.context(context)
        scores = (views @ asked.unsqueeze(2)).squeeze(2) * inverse + self.bias
        return torch.softmax(scores, dim=1) * self.count

    def forward(self, views: Tensor) -> Tensor:
        return (self.weights(views).unsqueeze(1) @ views).squeeze(1)

    def lengths(self, views: Tensor) -> Tensor:
        return self.weights(views) * views.norm(dim=-1)


class ConcatFusion(Fusion):
    """A linear map of the views side by side, which starts as their sum."""

    def __init__(self, views: int, width: int) -> None:
        super().__init__(views, width)
        self.maps = nn.Parameter(torch.eye(width).repeat(views, 1, 1))

    def forward(self, views: Tensor) -> Tensor:
        return views.flatten(1) @ self.maps.flatten(0, 1)

    def lengths(self, views: Tensor) -> Tensor:
        return torch.einsum("nvd,vde->nve", views, self.maps).norm(dim=-1)


class MeanFusion(Fusion):
    """The mean: no weights at all."""

    def forward(self, views: Tensor) -> Tensor:
        return views.mean(dim=1)

    def lengths(self, views: Tensor) -> Tensor:
        return views.norm(dim=-1) / self.count


FUSIONS: dict[str, type[Fusion]] = {"attention": AttentionFusion, "concat": ConcatFusion, "mean": MeanFusion}
