"""Both towers and the heads as one torch module.

Belongs here: how the parts make a score. Does not belong here: the parts. Imports torch at the top: import this module
inside functions.
"""

from __future__ import annotations

import torch
from torch import nn

from fashionrec_assets.towers.heads import Heads
from fashionrec_assets.towers.item_tower import ItemTower
from fashionrec_assets.towers.shape import TowerShape
from fashionrec_assets.towers.user_tower import UserTower


class TwoTowerModule(nn.Module):
    """Score of an item: user vector · item vector / temperature + strength · popularity term."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.shape = shape
        self.items, self.users, self.heads = ItemTower(shape), UserTower(shape), Heads(shape)
        self.offset = nn.Parameter(torch.zeros(()))
        """Added to logits where a loss reads them as log-odds; ranks do not depend on it."""

    @property
    def device(self) -> torch.device:
        return self.offset.device
