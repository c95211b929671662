"""Answers from the published tables: what an application would ask.

Belongs here: read-only look-ups. Does not belong here: computing recommendations.
"""

from __future__ import annotations

from typing import Any

from fashionrec_assets.storage.warehouse import Connection, Warehouse

UNKNOWN_USER_REASON = "Popular lately: nothing is known about this shopper yet."


def homepage_of(warehouse: Warehouse, user_id: str, k: int) -> list[dict[str, Any]]:
    """The first `k` rows of a user's homepage, best first; an unknown user gets what is popular lately.

    Raises LookupError if no homepage was ever published.
    """
    with warehouse.reader() as connection:
        rows = _records(
            connection,
            "SELECT homepage.*, title, product_type, price, image_ref FROM homepage JOIN items USING (item_id) "
            "WHERE user_id = ? AND rank <= ? ORDER BY rank",
            [user_id, k],
        )
        if rows:
            return rows
        popular = _records(
            connection,
            "SELECT popular_items.*, title, product_type, price, image_ref "
            "FROM popular_items JOIN items USING (item_id) WHERE rank <= ? ORDER BY rank",
            [k],
        )
    if not popular:
        raise LookupError("No homepage has been published yet: run `fashionrec run` first.")
    return [
        {**row, "user_id": user_id, "score": row["users"], "source": "popular", "reason": UNKNOWN_USER_REASON}
        for row in popular
    ]


def similar_to(warehouse: Warehouse, item_id: str, k: int) -> list[dict[str, Any]]:
    """The first `k` items similar to `item_id`, most similar first. Raises LookupError for an unknown item."""
    with warehouse.reader() as connection:
        rows = _records(
            connection,
            "SELECT rank, similar_id AS item_id, score, image_similarity, text_similarity, title, price, image_ref "
            "FROM similar_items JOIN items ON items.item_id = similar_id "
            "WHERE similar_items.item_id = ? AND rank <= ? ORDER BY rank",
            [item_id, k],
        )
        if not rows and not connection.execute("SELECT 1 FROM items WHERE item_id = ?", [item_id]).fetchall():
            raise LookupError(f"There is no item {item_id!r} in the catalog.")
    return rows


def _records(connection: Connection, sql: str, parameters: list[Any]) -> list[dict[str, Any]]:
    result = connection.execute(sql, parameters)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
