"""What styles are made of, read from a shop.

Belongs here: gathering the items' vectors and attributes, and the styles in force. Does not belong here: clusters,
names, picks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, vectors
from fashionrec_assets.recommendations.styles.clusters import Content
from fashionrec_assets.recommendations.styles.labels import FACETS, Labels
from fashionrec_assets.resources.shop import Shop

_COLUMNS = {
    "type": "product_type",
    "category": "category",
    "gender": "gender",
    "section": "section",
    "pattern": "pattern",
    "colour": "colour",
    "brand": "brand",
}
"""The columns of `items` that stand in where the clarified description has no such attribute."""


def item_attributes(shop: Shop) -> list[tuple[str, str, str]]:
    """(item id, facet, value), sorted: what the clarified descriptions say, and where they are silent, the catalog."""
    given = " UNION ALL ".join(
        f"SELECT item_id, '{facet}' AS facet, {column} AS value FROM items" for facet, column in _COLUMNS.items()
    )
    with shop.warehouse.reader() as connection:
        return connection.execute(
            f"""
            WITH told AS (
                SELECT item_id, a.name AS facet, a.value AS value
                FROM (SELECT item_id, unnest(attributes) AS a FROM descriptions) WHERE a.name IN (SELECT unnest(?))
            ), given AS ({given})
            SELECT DISTINCT item_id, facet, lower(value) FROM (
                SELECT * FROM told UNION ALL SELECT * FROM given ANTI JOIN told USING (item_id, facet)
            ) WHERE value <> '' ORDER BY ALL
            """,
            [list(FACETS)],
        ).fetchall()


def style_content(shop: Shop) -> Content:
    """All items of the catalog as `clusters` reads them."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT item_id, coalesce(family_id, '') FROM items ORDER BY item_id").fetchall()
    ids = [row[0] for row in rows]
    place = {item_id: row for row, item_id in enumerate(ids)}
    labels = Labels.of(((place[item], facet, value) for item, facet, value in item_attributes(shop)), len(ids))
    text, image = vectors(shop, TEXT_STORE, ids), vectors(shop, IMAGE_STORE, ids)
    return Content(
        np.asarray(ids, np.str_),
        text.values,
        text.present,
        image.values,
        image.present,
        labels,
        np.asarray([row[1] for row in rows], np.str_),
    )


def family_codes(families: NDArray[np.str_]) -> NDArray[np.int64]:
    """int64 (n,): equal for equal names of families (n,); an item of none, '', is a family of its own."""
    _, codes = np.unique(families, return_inverse=True)
    alone = families == ""
    return np.where(alone, codes.max(initial=0) + 1 + np.arange(len(families)), codes).astype(np.int64)


@dataclass(frozen=True)
class ItemStyles:
    """The styles in force: `ids` (n,) of items, sorted, with the number of each one's style from 0, int64 (n,), and
    the names of the styles (k,)."""

    ids: NDArray[np.str_]
    style: NDArray[np.int64]
    names: tuple[str, ...]


def item_styles(shop: Shop) -> ItemStyles:
    """Raises LookupError if there are no styles yet."""
    with shop.warehouse.reader() as connection:
        names = connection.execute("SELECT name FROM styles ORDER BY style_id").fetchall()
        rows = connection.execute("SELECT item_id, style_id FROM item_styles ORDER BY item_id").fetchall()
    if not names:
        raise LookupError("there are no styles yet: materialize the asset `styles`")
    ids, style = np.asarray([row[0] for row in rows], np.str_), np.asarray([row[1] for row in rows], np.int64)
    return ItemStyles(ids, style - 1, tuple(row[0] for row in names))
