"""Batches of sequences through the user tower.

Belongs here: from arrays to the tensors that the user tower reads. Does not belong here: parameters, vocabularies.
torch is imported inside functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fashionrec_assets.resources.models import moved
from fashionrec_assets.towers.sequences import Batch

if TYPE_CHECKING:
    import numpy as np
    import torch

    from fashionrec_assets.towers.two_tower import TwoTowerModule


def encode_users(
    module: TwoTowerModule, batch: Batch, vectors: Any, profiles: dict[str, NDArray[np.int64]]
) -> tuple[Any, Any]:
    """The user tower's outputs, (b, t, dim - 1) and (b, t), for `batch`, whose tokens hold `vectors` (b, t, dim - 1).

    `profiles`: column -> codes of every user of the log.
    """
    import torch

    from fashionrec_assets.towers.user_tower import UserTokens

    def on_device(values: NDArray[Any]) -> torch.Tensor:
        return moved(torch.from_numpy(values), module.device)

    return module.users(
        UserTokens(
            vectors=vectors,
            held=on_device(batch.items >= 0),
            behaviours=on_device(batch.behaviours),
            gap_before=on_device(batch.gap_before),
            gap_after=on_device(batch.gap_after),
            sessions=on_device(batch.sessions),
            profiles={name: on_device(codes[batch.users]) for name, codes in profiles.items()},
        )
    )
