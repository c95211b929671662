"""What matching recommendations read of a shop, and what is read of them.

Belongs here: gathering inputs. Does not belong here: models, features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, vectors
from fashionrec_assets.recommendations.outfits.compatibility import Compatibility
from fashionrec_assets.recommendations.outfits.wardrobe import Wardrobe
from fashionrec_assets.recommendations.rules import RuleSet, item_columns, shown_items
from fashionrec_assets.resources.shop import Shop

MODEL = "outfit_model"
"""The artifact that holds the weights."""

_COLUMNS = "item_id, title, category, product_type, family_id, brand, colour, pattern, section, gender, price"


def wardrobe(shop: Shop) -> Wardrobe:
    """The whole catalog, in the order of item ids."""
    with shop.warehouse.reader() as connection:
        rows = connection.sql(f"SELECT {_COLUMNS} FROM items ORDER BY item_id").to_arrow_table().to_pylist()
    ids = [row["item_id"] for row in rows]
    return Wardrobe.of(rows, vectors(shop, IMAGE_STORE, ids).values, vectors(shop, TEXT_STORE, ids).values)


def shown(shop: Shop, as_of: int) -> NDArray[np.bool_]:
    """bool (n_items,): the items that the business rules in force at `as_of` (UTC seconds) let be shown."""
    with shop.warehouse.reader() as connection:
        return shown_items(RuleSet.read(connection), item_columns(connection), as_of)


def basket_behaviours(shop: Shop) -> tuple[str, ...]:
    """What put an item into a basket when the outfits in force were learned. Raises LookupError if there are none."""
    return Compatibility.load(shop.current(MODEL)).behaviours
