"""What a homepage is made from, read of the shop.

Belongs here: opening the models, and what shelves and facts need to know of the items. Does not belong here: making
pages (`homepage.py`), writing them (`assets.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from fashionrec_assets.catalog.reading import cuts, launched
from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.recommendations.cosines import rounded_units
from fashionrec_assets.recommendations.homepage import Facts, pages
from fashionrec_assets.recommendations.popular import popular_items, trend_of
from fashionrec_assets.recommendations.rules import RuleSet, caps_on, item_columns, shown_items
from fashionrec_assets.recommendations.shelves import SHELVES, ShelfItems, new_items
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.reading import SERVED, VECTOR_STORE

if TYPE_CHECKING:
    from fashionrec_assets.ranking.knowledge import Knowledge
    from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
    from fashionrec_assets.ranking.reading import RankingInputs


@dataclass(frozen=True)
class PageInputs:
    """What pages are made from."""

    ranking: RankingInputs
    fusion: LateFusionRecommender
    items: ShelfItems
    popular: pa.Table
    facts: Facts

    @classmethod
    def of(cls, shop: Shop) -> PageInputs:
        from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
        from fashionrec_assets.ranking.ranker import Ranker
        from fashionrec_assets.ranking.reading import RankingInputs
        from fashionrec_assets.towers.artifact import TwoTower

        inputs = RankingInputs.of(shop)
        index = ItemIndex.load(shop.current("faiss_index"))
        model = TwoTower.load(shop.current("two_tower_model") / SERVED)
        known = inputs.knowledge(cuts(shop).end, model, index)
        ranker = Ranker.load(shop.current("late_fusion_model") / SERVED)
        fusion = LateFusionRecommender(ranker, known, shop.settings.ranking)
        items, popular = _shelf_items(shop, known)
        return cls(inputs, fusion, items, popular, _facts(shop, fusion))

    def pages(self, user_ids: list[str], progress: Callable[[int, int], None]) -> Iterator[tuple[list[str], pa.Table]]:
        """User ids, some at a time, and their rows of `HOMEPAGE`."""
        log = self.ranking.log
        chosen = np.flatnonzero(np.isin(log.user_ids, user_ids))
        settings = self.ranking.settings.recommendations
        made = pages(
            log,
            self.fusion.ranked,
            self.items,
            self.popular,
            settings,
            self.facts,
            strangers=self.fusion.strangers.score,
            only=chosen,
            progress=progress,
        )
        for users, table in made:
            yield log.user_ids[users].tolist(), table


def _facts(shop: Shop, fusion: LateFusionRecommender) -> Facts:
    """What finds the facts of the rows shown."""
    from fashionrec_assets.recommendations.explanations.homepage_facts import SHARED, Catalog, HomepageFacts

    known = fusion.known
    with shop.warehouse.reader() as connection:
        rows = connection.execute(f"SELECT title, price, {', '.join(SHARED)} FROM items ORDER BY item_id").fetchall()
    catalog = Catalog.of(
        known.log,
        [row[0] for row in rows],
        {name: [row[2 + at] for row in rows] for at, name in enumerate(SHARED)},
        [row[1] for row in rows],
        launched(shop),
        people=trend_of(known.log, shop.settings.recommendations),
        days=shop.settings.recommendations.popular_days,
    )
    found = HomepageFacts(known, fusion.ranker, catalog, shop.settings)
    return lambda block, shown: found.of(block, shown.pair)


def _shelf_items(shop: Shop, known: Knowledge) -> tuple[ShelfItems, pa.Table]:
    """What the shelves know of the items, and what is popular among those that may be shown."""
    settings, log = shop.settings.recommendations, known.log
    with shop.warehouse.reader() as connection:
        rules, columns = RuleSet.read(connection), item_columns(connection)
    kinds = [kind or broad or "" for kind, broad in zip(columns["product_type"], columns["category"], strict=True)]
    names, codes = np.unique(np.asarray(kinds, np.str_), return_inverse=True)
    _, item_vectors = stored_vectors(shop, VECTOR_STORE)
    items = ShelfItems(
        content=rounded_units(np.concatenate([known.text, known.image], axis=1)),
        taste=rounded_units(item_vectors),
        families=known.families.codes,
        kinds=codes + (0 if "" in names else 1),
        is_new=new_items(known.people, launched(shop), known.as_of, settings.new_days),
        trend=trend_of(log, settings),
        shown=np.stack([shown_items(rules, columns, known.as_of, shelf) for shelf in SHELVES]),
        caps=tuple(caps_on(rules, columns, known.as_of, shelf) for shelf in SHELVES),
    )
    return items, popular_items(log, settings, items.shown[SHELVES.index("popular")])
