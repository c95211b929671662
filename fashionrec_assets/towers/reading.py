"""What later rooms read of the towers.

Belongs here: names of stores, and the features of items as the item tower reads them. Does not belong here: models.
"""

from __future__ import annotations

from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, vectors
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.features import ItemFeatures

CATEGORIES = ("product_type", "colour", "pattern", "section", "gender", "brand", "family_id")
"""The columns of `items` that the item tower embeds."""

VECTOR_STORE = "item_vectors"


def item_features(shop: Shop, item_ids: list[str]) -> ItemFeatures:
    """What the item tower reads of `item_ids` (sorted)."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(CATEGORIES)} FROM items WHERE item_id IN (SELECT unnest(?)) ORDER BY item_id",
            [item_ids],
        ).fetchall()
    text, image = vectors(shop, TEXT_STORE, item_ids), vectors(shop, IMAGE_STORE, item_ids)
    return ItemFeatures.build(
        item_ids,
        text=text.values,
        has_text=text.present,
        image=image.values,
        has_image=image.present,
        categories={name: [row[at] for row in rows] for at, name in enumerate(CATEGORIES)},
    )
