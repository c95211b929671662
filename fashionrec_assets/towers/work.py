"""What the stage of item vectors does to a batch, in the stage's process or in a worker of a cluster.

Belongs here: features in, rows of vectors out. Does not belong here: reading and writing (`assets.py`), the model,
training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from fashionrec_assets.resources.compute import Made, Work
from fashionrec_assets.storage.vectors import vector_rows
from fashionrec_assets.towers.features import ItemFeatures
from fashionrec_assets.towers.reading import SERVED


class ItemVectors(Work[ItemFeatures, Made]):
    """Vectors of items by the item tower of the served model."""

    models = ("two_tower_model",)
    at_once = 4_096

    @property
    def on_gpu(self) -> bool:
        """See `Work.on_gpu`."""
        return True

    def start(self) -> Callable[[ItemFeatures], Made]:
        """See `Work.start`."""
        from fashionrec_assets.towers.artifact import TwoTower

        model = TwoTower.load(self.shop.current("two_tower_model") / SERVED)

        def make(features: ItemFeatures) -> Made:
            keys, vectors = features.item_ids.tolist(), model.item_vectors(features)
            outputs = {
                key: hashlib.sha256(vector.tobytes()).hexdigest() for key, vector in zip(keys, vectors, strict=True)
            }
            return Made(vector_rows(keys, vectors), outputs)

        return make
