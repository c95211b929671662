"""Published claims looked up again in the warehouse, knowing nothing of how their facts were found.

Belongs here: for each kind of fact the one SQL (in `sql/`) that computes it anew for a sample of published claims, and
the cosines, computed from the stored vectors. Does not belong here: whether a text says what its facts say
(`verifier.py`).

Counts, dates, prices and words are compared exactly; medians and the expectation of `kinds` to nine digits and to 0.001
(it is published with three decimals), cosines to `COSINE_SLACK`. What makes a basket was chosen from the log by the
outfits (`outfits/baskets.py`), and is read of their model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.catalog.names import item_name
from fashionrec_assets.catalog.reading import interactions_file
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE, vectors
from fashionrec_assets.recommendations.explanations.facts import KINDS
from fashionrec_assets.recommendations.explanations.reading import query, recommended
from fashionrec_assets.recommendations.outfits.reading import basket_behaviours
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.tables import literal
from fashionrec_assets.storage.warehouse import Connection

COSINE_SLACK = 1e-3
_STORES = {"look": IMAGE_STORE, "wording": TEXT_STORE}
_BY_SQL = ("history", "shared", "attribute", "price", "popularity", "new", "style")


@dataclass(frozen=True)
class LookedUp:
    """How many of the sampled claims of a kind there are, how many of them the warehouse contradicts, and one that it
    does."""

    kind: str
    claims: int
    wrong: int
    example: str = ""


def look_up(shop: Shop, sample: int) -> list[LookedUp]:
    """Every kind that is claimed in a sample of `sample` explanations, in the order of `KINDS`.

    Kind "none" stands for claims whose fact is not in the table of their product any more.
    """
    with shop.warehouse.reader() as connection:
        _prepare(connection, shop, sample)
        kinds = dict(connection.execute("SELECT claim_id, coalesce(kind, 'none') FROM claims").fetchall())
        said = dict(connection.execute('SELECT claim_id, "text" FROM claims').fetchall())
        asked = set(kinds.values())
        wrong = {claim for claim, kind in kinds.items() if kind == "none" or kind not in (*_BY_SQL, *_STORES, *_PAIRED)}
        for name in _BY_SQL:
            if name in asked:
                wrong |= _failed(connection, name)
        if asked & set(_PAIRED):
            connection.execute(query("baskets"), {"behaviours": list(basket_behaviours(shop))})
            wrong |= _failed(connection, "pairing") | _failed(connection, "kinds")
        if asked & set(_STORES):
            wrong |= _failed(connection, "alike")
        wrong |= _misnamed(connection)
        cosines = connection.execute(
            "SELECT claim_id, kind, item_id, item, number FROM claims WHERE kind IN ('look', 'wording')"
        ).fetchall()
    wrong |= _unlike(shop, cosines)
    return _counted(kinds, said, wrong)


_PAIRED = ("pairing", "kinds")


def _prepare(connection: Connection, shop: Shop, sample: int) -> None:
    behaviours = _list(BEHAVIOURS)
    parts = {
        "recommended": recommended("(surface, subject, item_id) IN (SELECT (surface, subject, item_id) FROM told)"),
        "interactions": literal(str(interactions_file(shop))),
        "behaviours": behaviours,
    }
    for statement in query("claims").format(**parts).split(";"):
        if statement.strip():
            connection.execute(statement, {"sample": sample} if "$sample" in statement else {})


def _failed(connection: Connection, name: str) -> set[int]:
    sql = query(name).replace("{behaviours}", _list(BEHAVIOURS))
    return {claim for claim, holds in connection.execute(sql).fetchall() if not holds}


def _misnamed(connection: Connection) -> set[int]:
    """Claims that call an item by another name than the catalog's."""
    rows = connection.execute(query("names")).fetchall()
    return {claim for claim, value, item, title in rows if title is None or value != item_name(title, item)}


def _unlike(shop: Shop, rows: Iterable[tuple[int, str, str, str, float]]) -> set[int]:
    """Claims whose cosine is not that of the stored vectors."""
    failed: set[int] = set()
    for kind, store in _STORES.items():
        told = [row for row in rows if row[1] == kind]
        if not told:
            continue
        ids = sorted({row[2] for row in told} | {row[3] for row in told})
        found = vectors(shop, store, ids)
        norms = np.linalg.norm(found.values, axis=1, keepdims=True)
        units = np.divide(found.values, norms, out=np.zeros_like(found.values), where=norms > 0)
        place = {item: row for row, item in enumerate(ids)}
        for claim, _, item, other, number in told:
            cosine = float(units[place[item]] @ units[place[other]])
            if abs(cosine - number) > COSINE_SLACK:
                failed.add(claim)
    return failed


def _counted(kinds: dict[int, str], said: dict[int, str], wrong: set[int]) -> list[LookedUp]:
    claims, bad = Counter(kinds.values()), Counter(kinds[claim] for claim in wrong)
    example = {kinds[claim]: said[claim] for claim in sorted(wrong, reverse=True)}
    order = [*KINDS, "none"]
    return [LookedUp(kind, claims[kind], bad[kind], example.get(kind, "")) for kind in order if claims[kind]]


def _list(words: Iterable[str]) -> str:
    return "[" + ", ".join(map(literal, words)) + "]"
