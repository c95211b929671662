"""What the stages of pages and of similar items do to a batch, in the stage's process or in a worker of a cluster.

Belongs here: users or items in, rows of tables out. Does not belong here: what is read for it (`page_inputs.py`), how a
page or a list is made (`homepage.py`, `similar.py`), writing (`assets.py`).

Pages rest on what everybody did, not on the history of one user alone: what is known of all people and items is a
field of the work, and a batch names the users only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.recommendations.homepage import PageMaker
from fashionrec_assets.recommendations.page_inputs import PageInputs
from fashionrec_assets.recommendations.similar import Lists
from fashionrec_assets.resources.compute import Work
from fashionrec_assets.towers.reading import SERVED


@dataclass(frozen=True)
class Pages(Work[NDArray[np.int64], pa.Table]):
    """Rows of `HOMEPAGE` of users, given as rows of the log, ascending."""

    inputs: PageInputs
    models = ("two_tower_model", "faiss_index", "late_fusion_model")

    def start(self) -> Callable[[NDArray[np.int64]], pa.Table]:
        """See `Work.start`."""
        from fashionrec_assets.ranking.knowledge import Tower
        from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
        from fashionrec_assets.ranking.ranker import Ranker
        from fashionrec_assets.recommendations.explanations.homepage_facts import HomepageFacts
        from fashionrec_assets.towers.artifact import TwoTower
        from fashionrec_assets.towers.recommender import TwoTowerRecommender

        shop, inputs, known = self.shop, self.inputs, self.inputs.known
        model = TwoTower.load(shop.current("two_tower_model") / SERVED)
        users = TwoTowerRecommender(model, known.log, inputs.vectors, as_of=known.as_of, profiles=known.profiles)
        known = replace(known, tower=Tower(users, ItemIndex.load(shop.current("faiss_index"))))
        ranker = Ranker.load(shop.current("late_fusion_model") / SERVED)
        fusion = LateFusionRecommender(ranker, known, shop.settings.ranking)
        facts = HomepageFacts(known, ranker, inputs.catalog, shop.settings)
        return PageMaker.of(
            known.log,
            fusion.ranked,
            inputs.items,
            inputs.popular,
            shop.settings.recommendations,
            lambda block, shown: facts.of(block, shown.pair),
            strangers=fusion.strangers.score,
        ).pages


@dataclass(frozen=True)
class SimilarLists(Work[NDArray[np.int64], pa.Table]):
    """Rows of `SIMILAR_ITEMS` of items, given as rows of the catalog."""

    lists: Lists

    def start(self) -> Callable[[NDArray[np.int64]], pa.Table]:
        """See `Work.start`."""
        return self.lists.table
