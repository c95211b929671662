"""Answers from the published tables: what an application would ask.

Belongs here: read-only look-ups. Does not belong here: computing recommendations, and which release is read
(`storage/releases.py`): `Releases.of(home).open()` gives the tables of the served one.
"""

from __future__ import annotations

import html
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fashionrec_assets.recommendations.rules import FIELDS
from fashionrec_assets.recommendations.shelves import shelf_title
from fashionrec_assets.storage.warehouse import Connection

UNKNOWN_USER_REASON = "Popular lately: nothing is known about this shopper yet."

_NAME_CHARS = 60


class Tables(Protocol):
    """Where published tables are read: a release (`ServedTables`), or the warehouse they are made in."""

    def reader(self) -> AbstractContextManager[Connection]: ...


def homepage_of(tables: Tables, user_id: str, k: int) -> list[dict[str, Any]]:
    """The first `k` rows of each shelf of a user's homepage, in order; an unknown user gets what is popular lately.

    Beside the columns of the table, a row has what the catalog says of the item, the `shelf_title`, and the
    `explanation`, None where none was published. Raises LookupError if no homepage was ever published.
    """
    with tables.reader() as connection:
        rows = _records(
            connection,
            f"""
            SELECT homepage.*, items.title, items.product_type, items.price, items.image_ref,
                   coalesce(nullif(anchor.title, ''), 'item ' || anchor_id) AS anchor_title, said.explanation
            FROM homepage JOIN items USING (item_id) LEFT JOIN items anchor ON anchor.item_id = anchor_id
            LEFT JOIN ({_explained(connection)}) said ON said.item_id = homepage.item_id
            WHERE user_id = ? AND shelf_rank <= ? ORDER BY rank
            """,
            [user_id, user_id, k],
        )
        if not rows:
            rows = _records(
                connection,
                f"""
                SELECT popular_items.*, ? AS user_id, 'popular' AS shelf, NULL AS anchor_id, NULL AS anchor_behaviour,
                       NULL AS anchor_title, CAST(users AS DOUBLE) AS score, 'popular' AS source, ? AS explanation,
                       {", ".join(FIELDS[1:])}, title, price, image_ref
                FROM popular_items JOIN items USING (item_id) ORDER BY rank
                """,
                [user_id, UNKNOWN_USER_REASON],
            )
            rows = _within_limits(connection, rows)[:k]
    if not rows:
        raise LookupError("No homepage has been published yet: run `fashionrec run` first.")
    return [
        {**row, "shelf_title": shelf_title(row["shelf"], called(row["anchor_title"]), row["anchor_behaviour"])}
        for row in rows
    ]


def similar_to(tables: Tables, item_id: str, k: int, by: str = "both") -> list[dict[str, Any]]:
    """The first `k` items similar to `item_id` by image, text or both, most similar first.

    Raises LookupError for an unknown item, and for an item without a photo where photos are to be compared.
    """
    with tables.reader() as connection:
        rows = _records(
            connection,
            "SELECT rank, similar_id AS item_id, score, image_similarity, text_similarity, title, price, image_ref "
            "FROM similar_items JOIN items ON items.item_id = similar_id "
            'WHERE similar_items.item_id = ? AND "by" = ? AND rank <= ? ORDER BY rank',
            [item_id, by, k],
        )
        if not rows and not connection.execute("SELECT 1 FROM items WHERE item_id = ?", [item_id]).fetchall():
            raise LookupError(f"There is no item {item_id!r} in the catalog.")
        if not rows and by == "image":
            raise LookupError(f"Item {item_id!r} has no list by image: ask for --by text.")
    return rows


def called(title: str | None) -> str | None:
    """A title as a sentence can hold it: entities decoded, on one line, cut at a word."""
    name = " ".join(html.unescape(title or "").split())
    if len(name) <= _NAME_CHARS:
        return name or None
    cut = name[:_NAME_CHARS]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip(" ,;:-") + "…"


def _within_limits(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one shelf of popular items that the limits in force allow, ranked anew."""
    limits = connection.execute(
        "SELECT field, value, number FROM business_rules "
        "WHERE in_force AND rule = 'cap' AND shelf IN ('', 'popular') ORDER BY line"
    ).fetchall()
    counts: Counter[tuple[int, str]] = Counter()
    kept: list[dict[str, Any]] = []
    for row in rows:
        limited = [
            (at, row[field])
            for at, (field, value, _) in enumerate(limits)
            if row[field] and value in (None, row[field])
        ]
        if all(counts[key] < limits[key[0]][2] for key in limited):
            counts.update(limited)
            kept.append({**row, "rank": len(kept) + 1, "shelf_rank": len(kept) + 1})
    return kept


def _explained(connection: Connection) -> str:
    """SQL of the published explanations of one user's homepage, by item; its parameter is the user."""
    there = "SELECT 1 FROM information_schema.tables WHERE table_name = 'explanations'"
    if not connection.execute(there).fetchall():
        return "SELECT '' AS item_id, CAST(NULL AS VARCHAR) AS explanation WHERE ? IS NULL"
    return "SELECT item_id, text AS explanation FROM explanations WHERE surface = 'homepage' AND subject = ?"


def _records(connection: Connection, sql: str, parameters: list[Any]) -> list[dict[str, Any]]:
    result = connection.execute(sql, parameters)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
