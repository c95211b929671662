"""What comes after the click: small networks over a user and an item.

Belongs here: heads, their labels' meaning and the weighing of their losses. Does not belong here: the ranking loss, and
where labels come from. Imports torch at the top: import this module inside functions.

The funnel is ESMM's (Ma et al. 2018): P(buy) = P(engaged) P(buy | engaged). P(engaged) comes from the ranking logits,
and a head is asked only about items that users did turn to, and answers for all by that product. Task weights are those
of homoscedastic uncertainty (Kendall et al. 2018) or all one; the ranking loss is the anchor and has weight one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fashionrec_assets.towers.shape import TowerShape

HELPFUL = "helpful"
HIDDEN = 32


class Heads(nn.Module):
    """One network per task of `shape.tasks`, and one for the helpfulness of explanations where there is feedback."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        width = shape.dim - 1
        names = (*shape.tasks, *((HELPFUL,) if shape.helpful else ()))
        self.of = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(3 * width, HIDDEN), nn.GELU(), nn.Dropout(shape.dropout), _last())
                for name in names
            }
        )
        self.log_variance = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in names})

    def logits(self, name: str, users: Tensor, items: Tensor) -> Tensor:
        """(n,): the log-odds of the task `name` for pairs of `users` and `items` (n, dim - 1)."""
        return self.of[name](torch.cat([users, items, users * items], dim=1)).squeeze(1)

    def loss(self, name: str, users: Tensor, items: Tensor, labels: Tensor) -> Tensor:
        """Mean binary cross-entropy of the task `name`."""
        return F.binary_cross_entropy_with_logits(self.logits(name, users, items), labels)

    def weighted(self, name: str, loss: Tensor, *, uncertainty: bool) -> Tensor:
        """The share of a task's `loss` in the total."""
        if not uncertainty:
            return loss
        return torch.exp(-self.log_variance[name]) * loss + 0.5 * self.log_variance[name]


def _last() -> nn.Linear:
    layer = nn.Linear(HIDDEN, 1)
    nn.init.zeros_(layer.weight)
    return layer
