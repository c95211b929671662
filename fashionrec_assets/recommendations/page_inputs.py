"""What a homepage is made from, read of the shop.

Belongs here: all that pages need beside the models, as arrays that can be sent to whoever makes them. Does not belong
here: making pages (`homepage.py`), opening models to do so (`work.py`), writing them (`assets.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.catalog.reading import cuts, launched
from fashionrec_assets.embeddings.reading import stored_vectors
from fashionrec_assets.recommendations.cosines import rounded_units
from fashionrec_assets.recommendations.explanations.homepage_facts import SHARED, Catalog
from fashionrec_assets.recommendations.homepage import batches
from fashionrec_assets.recommendations.popular import popular_items, trend_of
from fashionrec_assets.recommendations.rules import RuleSet, caps_on, item_columns, shown_items
from fashionrec_assets.recommendations.shelves import SHELVES, ShelfItems, new_items
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.reading import SERVED, VECTOR_STORE

if TYPE_CHECKING:
    from fashionrec_assets.ranking.knowledge import Knowledge


@dataclass(frozen=True)
class PageInputs:
    """What pages are made from beside the models.

    `known` is all that is known at the end of the log, without a tower; `vectors` float32 (n_items, d) are those that
    the served two-tower model gives its items. `popular` holds the rows of `POPULAR_ITEMS`.
    """

    known: Knowledge
    vectors: NDArray[np.float32]
    items: ShelfItems
    popular: pa.Table
    catalog: Catalog

    @classmethod
    def of(cls, shop: Shop) -> PageInputs:
        from fashionrec_assets.ranking.reading import RankingInputs
        from fashionrec_assets.towers.artifact import TwoTower

        inputs = RankingInputs.of(shop)
        known = inputs.knowledge(cuts(shop).end, None)
        model = TwoTower.load(shop.current("two_tower_model") / SERVED)
        vectors = model.item_vectors(inputs.features.take(inputs.features.rows(known.log.item_ids)))
        items, popular = _shelf_items(shop, known)
        return cls(known, vectors, items, popular, _catalog(shop, known))

    def users(self, user_ids: list[str]) -> list[NDArray[np.int64]]:
        """The rows of the log of `user_ids`, ascending, as many at a time as pages are made."""
        return batches(np.flatnonzero(np.isin(self.known.log.user_ids, user_ids)))


def _catalog(shop: Shop, known: Knowledge) -> Catalog:
    """What facts say of the items."""
    settings = shop.settings.recommendations
    with shop.warehouse.reader() as connection:
        rows = connection.execute(f"SELECT title, price, {', '.join(SHARED)} FROM items ORDER BY item_id").fetchall()
    return Catalog.of(
        known.log,
        [row[0] for row in rows],
        {name: [row[2 + at] for row in rows] for at, name in enumerate(SHARED)},
        [row[1] for row in rows],
        launched(shop),
        people=trend_of(known.log, settings),
        days=settings.popular_days,
    )


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
