"""What the lookbook shows, as the published tables have it.

Belongs here: whom and what to show, and reading it as typed rows. Does not belong here: ranking (`why_not.py`),
pictures, wording, pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fashionrec_assets.catalog.event_log import BEHAVIOURS
from fashionrec_assets.catalog.names import item_name
from fashionrec_assets.lookbook.rows import (
    Item,
    Look,
    Piece,
    Placed,
    Role,
    Shelf,
    Shopper,
    Similar,
    Style,
    StyleAttribute,
    StyleShare,
    TurnedTo,
)
from fashionrec_assets.recommendations.explanations.facts import Fact, facts_of
from fashionrec_assets.recommendations.outfits.tables import LOOK_SLOTS
from fashionrec_assets.recommendations.serving import UNKNOWN_USER_REASON, called
from fashionrec_assets.recommendations.shelves import shelf_title
from fashionrec_assets.settings import LookbookSettings
from fashionrec_assets.storage.tables import literal
from fashionrec_assets.storage.warehouse import Connection, one_row

STRANGER = ""
"""The user id that stands for a visitor of whom nothing is known."""

_LIGHT = 3
"""Events up to which a shopper counts as light."""
_POPULAR = 20
_SLOTS = ("outerwear", *(slot for slot in LOOK_SLOTS if slot != "outerwear"))
"""The order in which a look is shown: from the outside in, and down to the feet."""
_HISTORY = 12


def chosen_users(connection: Connection, settings: LookbookSettings) -> list[tuple[str, Role]]:
    """The user ids to show, and why each: those named, a stranger, then busy, light and typical ones in turn.

    Which of many alike is decided by a hash of the id, so that tonight's choice is tomorrow's. A named user who has no
    page is shown as the stranger they are.
    """
    chosen: dict[str, Role] = dict.fromkeys(settings.users, "named")
    rows = connection.execute(
        """
        WITH people AS (
            SELECT user_id, events, percent_rank() OVER (ORDER BY events) AS place FROM users
            WHERE user_id IN (SELECT user_id FROM homepage)
        ), roles AS (
            SELECT user_id, CASE WHEN events = 0 THEN 'cold' WHEN events <= ? THEN 'light' WHEN place >= 0.9 THEN 'busy'
                WHEN place BETWEEN 0.4 AND 0.7 THEN 'typical' END AS role FROM people
        )
        SELECT user_id, role FROM roles WHERE role IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY role ORDER BY sha256(user_id), user_id) <= ?
        ORDER BY sha256(user_id), user_id
        """,
        [_LIGHT, settings.shoppers + len(chosen)],
    ).fetchall()
    by_role: dict[str, list[str]] = {}
    for user_id, role in rows:
        by_role.setdefault(role, []).append(user_id)
    strangers: list[str] = by_role.get("cold", [])[:1] or [STRANGER]
    turns: list[tuple[Role, list[str]]] = [
        (role, [one for one in by_role.get(role, []) if one not in chosen]) for role in ("busy", "light", "typical")
    ]
    wanted = max(settings.shoppers, len(chosen))
    added: list[tuple[str, Role]] = []
    if len(chosen) < wanted and strangers[0] not in chosen:
        added.append((strangers[0], "cold"))
    while len(chosen) + len(added) < wanted and any(left for _, left in turns):
        for role, left in turns:
            if left and len(chosen) + len(added) < wanted:
                added.append((left.pop(0), role))
    # Whoever is known makes the better first page; the stranger comes last.
    added.sort(key=lambda pair: pair[1] == "cold")
    return [*chosen.items(), *added]


def shoppers(connection: Connection, interactions: Path, settings: LookbookSettings) -> list[Shopper]:
    """Everything to show of each of `chosen_users`, in their order."""
    return [_shopper(connection, interactions, user, role) for user, role in chosen_users(connection, settings)]


def _shopper(connection: Connection, interactions: Path, user_id: str, role: Role) -> Shopper:
    history = connection.execute(
        f"""
        WITH log AS (
            SELECT item_id, list_position(?, behaviour) AS stage, ts FROM read_parquet({literal(str(interactions))})
            WHERE user_id = ?
        )
        SELECT item_id, max(stage), max(ts), count(*) FROM log GROUP BY 1 ORDER BY max(ts) DESC, item_id
        """,
        [list(BEHAVIOURS), user_id],
    ).fetchall()
    styles = connection.execute(
        "SELECT style_id, share, items FROM user_styles WHERE user_id = ? ORDER BY share DESC, style_id", [user_id]
    ).fetchall()
    return Shopper(
        user_id,
        role,
        sum(row[3] for row in history),
        len(history),
        tuple(TurnedTo(item, BEHAVIOURS[stage - 1], at) for item, stage, at, _ in history[:_HISTORY]),
        _shelves(connection, user_id),
        tuple(StyleShare(*row) for row in styles),
        _picks(connection, user_id),
    )


def _shelves(connection: Connection, user_id: str) -> tuple[Shelf, ...]:
    rows = connection.execute(
        f"""
        SELECT shelf, anchor.title, anchor_id, anchor_behaviour, homepage.item_id, score, {_text("homepage")}, facts
        FROM homepage LEFT JOIN items anchor ON anchor.item_id = anchor_id
        WHERE user_id = ? ORDER BY rank
        """,
        [user_id],
    ).fetchall()
    titles: dict[str, str] = {}
    placed: dict[str, list[Placed]] = {}
    for shelf, title, anchor, behaviour, *rest in rows:
        name = None if anchor is None else called(title) or f"item {anchor}"
        titles[shelf] = shelf_title(shelf, name, behaviour)
        placed.setdefault(shelf, []).append(_placed(*rest))
    if not rows:
        popular = connection.execute(
            "SELECT item_id, users, window_days FROM popular_items ORDER BY rank LIMIT ?", [_POPULAR]
        ).fetchall()
        titles["popular"] = shelf_title("popular")
        placed["popular"] = [
            Placed(item, people, UNKNOWN_USER_REASON, (Fact("f1", "popularity", number=people, base=days),))
            for item, people, days in popular
        ]
    return tuple(Shelf(name, titles[name], tuple(items)) for name, items in placed.items() if items)


def _picks(connection: Connection, user_id: str) -> tuple[Placed, ...]:
    rows = connection.execute(
        f"""
        SELECT item_id, score, {_text("style")}, facts, style_id FROM style_picks WHERE user_id = ? ORDER BY rank
        """,
        [user_id],
    ).fetchall()
    return tuple(_placed(*row) for row in rows)


def _text(surface: Literal["homepage", "style", "outfit"]) -> str:
    """SQL of the published explanation of a row."""
    table, subject, item = {
        "homepage": ("homepage", "user_id", "item_id"),
        "style": ("style_picks", "user_id", "item_id"),
        "outfit": ("outfits", "anchor_id", "item_id"),
    }[surface]
    return (
        f"(SELECT explanations.text FROM explanations WHERE surface = {literal(surface)} "
        f"AND subject = {table}.{subject} AND explanations.item_id = {table}.{item})"
    )


def _placed(item_id: str, score: float, text: str | None, facts: Any, style_id: int | None = None) -> Placed:
    return Placed(item_id, float(score), text or "", facts_of(facts), style_id)


def looks(connection: Connection, most: int, wanted: Sequence[str] = ()) -> list[Look]:
    """Every look around `most` items, one for each kind of garment: first around `wanted`, then the most turned to.

    Items without a photo, or with a look a piece of which has none, come after the others.
    """
    anchors = connection.execute(
        """
        WITH pictured AS (
            SELECT anchor_id, bool_and(outfits.item_id IN (SELECT item_id FROM crops))
                AND anchor_id IN (SELECT item_id FROM crops) AS whole FROM outfits GROUP BY 1
        )
        SELECT anchor_id FROM pictured JOIN items ON items.item_id = anchor_id
        LEFT JOIN popular_items ON popular_items.item_id = anchor_id
        QUALIFY row_number() OVER (PARTITION BY coalesce(product_type, category, '') ORDER BY NOT whole,
            coalesce(list_position($wanted, anchor_id), 1000000), coalesce(rank, 1000000), sha256(anchor_id)) = 1
        ORDER BY NOT whole, coalesce(list_position($wanted, anchor_id), 1000000), coalesce(rank, 1000000),
            sha256(anchor_id) LIMIT $most
        """,
        {"wanted": list(wanted), "most": most},
    ).fetchall()
    order = {row[0]: place for place, row in enumerate(anchors)}
    rows = connection.execute(
        f"""
        SELECT anchor_id, look, score, slot, item_id, {_text("outfit")}, facts, coherence FROM outfits
        WHERE anchor_id IN (SELECT unnest($anchors)) ORDER BY look, list_position($slots, slot)
        """,
        {"anchors": list(order), "slots": list(_SLOTS)},
    ).fetchall()
    pieces: dict[tuple[str, int, float], list[Piece]] = {}
    for anchor, number, score, slot, item, text, facts, coherence in rows:
        pieces.setdefault((anchor, number, score), []).append(Piece(slot, _placed(item, score, text, facts), coherence))
    found = [Look(*key, tuple(each)) for key, each in pieces.items()]
    return sorted(found, key=lambda look: (order[look.anchor_id], look.number))


def styles(connection: Connection) -> list[Style]:
    """Every style, the largest first."""
    rows = connection.execute(
        "SELECT style_id, name, size, x, y, attributes, examples FROM styles WHERE size > 0 "
        "ORDER BY size DESC, style_id"
    ).fetchall()
    return [
        Style(style_id, name, size, x, y, tuple(map(_attribute, attributes)), tuple(examples))
        for style_id, name, size, x, y, attributes, examples in rows
    ]


def _attribute(cell: Mapping[str, Any]) -> StyleAttribute:
    return StyleAttribute(cell["name"], tuple(cell["values"]), cell["share"], cell["lift"])


def style_points(connection: Connection, most: int) -> list[tuple[int, float, float]]:
    """(style, x, y) of up to `most` items of the map, always the same ones."""
    return connection.execute(
        "SELECT style_id, x, y FROM item_styles ORDER BY sha256(item_id), item_id LIMIT ?", [most]
    ).fetchall()


def items(connection: Connection, ids: Iterable[str]) -> dict[str, Item]:
    """The catalog's rows of `ids`."""
    rows = connection.execute(
        "SELECT item_id, title, coalesce(product_type, category), colour, brand, price FROM items "
        "WHERE item_id IN (SELECT unnest(?))",
        [sorted(set(ids))],
    ).fetchall()
    return {row[0]: Item(row[0], item_name(row[1], row[0]), *row[2:]) for row in rows}


def similar(connection: Connection, ids: Iterable[str], most: int) -> dict[str, dict[str, list[Similar]]]:
    """For each of `ids`: what is compared (`both`, `image`, `text`) -> its `most` most similar items."""
    rows = connection.execute(
        'SELECT item_id, "by", similar_id, score FROM similar_items '
        'WHERE item_id IN (SELECT unnest(?)) AND rank <= ? ORDER BY item_id, "by", rank',
        [sorted(set(ids)), most],
    ).fetchall()
    found: dict[str, dict[str, list[Similar]]] = {}
    for item, by, other, score in rows:
        found.setdefault(item, {}).setdefault(by, []).append(Similar(other, score))
    return found


def complements(connection: Connection, ids: Iterable[str], most: int) -> dict[str, list[str]]:
    """For each of `ids` the first items that go with it."""
    rows = connection.execute(
        "SELECT anchor_id, list(item_id ORDER BY rank) FROM complements "
        "WHERE anchor_id IN (SELECT unnest(?)) AND rank <= ? GROUP BY 1",
        [sorted(set(ids)), most],
    ).fetchall()
    return dict(rows)


def styles_of(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    rows = connection.execute(
        "SELECT item_id, style_id FROM item_styles WHERE item_id IN (SELECT unnest(?))", [sorted(set(ids))]
    ).fetchall()
    return dict(rows)


def asked_about(connection: Connection, shopper: Shopper, most: int) -> list[str]:
    """Items that a shopper might miss: half what is popular, half what is most turned to of their styles.

    None of them is on the page.
    """
    shown = list(shopper.shown)
    popular = connection.execute(
        "SELECT item_id FROM popular_items WHERE NOT list_contains(?, item_id) ORDER BY rank LIMIT ?",
        [shown, most],
    ).fetchall()
    mine = [share.style_id for share in shopper.styles[:3]]
    own = connection.execute(
        "SELECT item_id FROM item_styles LEFT JOIN popular_items USING (item_id) "
        "WHERE list_contains(?, style_id) AND NOT list_contains(?, item_id) "
        "ORDER BY coalesce(rank, 1000000), closeness DESC, item_id LIMIT ?",
        [mine, shown, most],
    ).fetchall()
    first = [row[0] for row in popular[: most - most // 2]]
    rest = [row[0] for row in [*own, *popular] if row[0] not in first]
    return [*first, *dict.fromkeys(rest)][:most]


def counts(connection: Connection) -> dict[str, int]:
    """How much there is of everything, for the cover."""
    names = ("items", "shoppers", "pages", "explanations", "styles", "looks")
    row = one_row(
        connection,
        "SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM users WHERE NOT is_bot), "
        "(SELECT count(DISTINCT user_id) FROM homepage), (SELECT count(*) FROM explanations), "
        "(SELECT count(*) FROM styles WHERE size > 0), (SELECT count(DISTINCT (anchor_id, look)) FROM outfits)",
    )
    return dict(zip(names, row, strict=True))
