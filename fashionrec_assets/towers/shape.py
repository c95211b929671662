"""Sizes of the networks, as plain data.

Belongs here: what decides which parameters exist. Does not belong here: parameters (this module must not import torch).
"""

from __future__ import annotations

from dataclasses import dataclass, field

TASKS: tuple[str, ...] = ("cart_or_fav", "buy")
"""Heads that can exist, in the funnel's order: a user who turned to an item goes on to keep it in mind, or to buy."""


@dataclass(frozen=True)
class TowerShape:
    """`modalities`: name -> input width; `codes` and `profiles`: name -> number of codes beside 0, which is unknown.

    `dim` is the width of the served vectors: `dim - 1` learned coordinates and one for popularity, which is made of
    `popularity_terms` numbers an item. `tasks`: the heads that exist, of `TASKS`; `helpful`: whether the one for
    explanations does.
    """

    dim: int
    history: int
    layers: int
    heads: int
    dropout: float
    ids: int
    modalities: dict[str, int]
    codes: dict[str, int]
    reads_ids: bool = True
    fusion: str = "attention"
    session_aware: bool = True
    query_gap: bool = True
    popularity_terms: int = 1
    profiles: dict[str, int] = field(default_factory=dict[str, int])
    tasks: tuple[str, ...] = ()
    helpful: bool = False

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"two_tower.dim ({self.dim}) must be a multiple of two_tower.heads ({self.heads})")
        if not (self.modalities or self.codes or self.reads_ids):
            raise ValueError(
                "two_tower.modalities names nothing that this catalog has: there is no view of an item left"
            )
