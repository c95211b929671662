"""Recommendations and their facts as the products' tables have them.

Belongs here: the one SQL relation of all recommendations that are explained, and reading it as evidence. Does not
belong here: wording, checking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any, cast

from fashionrec_assets.catalog.names import item_name
from fashionrec_assets.recommendations.explanations.facts import Evidence, Fact, Kind, Surface
from fashionrec_assets.recommendations.outfits.tables import LOOK_SLOTS
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.tables import literal, rows_digest

SEPARATOR = "|"
"""Between surface and subject in a key of the ledger."""


@cache
def query(name: str) -> str:
    """`sql/<name>.sql`."""
    return (files("fashionrec_assets.recommendations.explanations") / "sql" / f"{name}.sql").read_text("utf-8")


def recommended(wanted: str = "true") -> str:
    """SQL of surface, subject, item_id, place and facts of every recommendation for which `wanted` (SQL) holds."""
    slots = ", ".join(map(literal, LOOK_SLOTS))
    return query("recommended").format(slots=f"[{slots}]", wanted=wanted)


def subjects(orders: Mapping[str, Sequence[Kind]]) -> str:
    """SQL of every `<surface>|<subject>` with a fingerprint of all that its texts are made of.

    `orders`: of users, the kinds of facts their texts had best lead with.
    """
    wanted = ", ".join(f"({literal(user)}, {literal(' '.join(kinds))})" for user, kinds in orders.items())
    known = f"(VALUES {wanted})" if wanted else "(SELECT NULL::VARCHAR, NULL::VARCHAR)"
    facts = rows_digest("item_id", "place", "coalesce(CAST(to_json(facts) AS VARCHAR), '')", "coalesce(title, '')")
    return (
        f"SELECT surface || {literal(SEPARATOR)} || subject AS subject_key, {facts} AS facts, "
        "coalesce(any_value(lead_order), '') AS lead_order "
        f"FROM ({recommended()}) JOIN items USING (item_id) LEFT JOIN {known} AS asked(user_id, lead_order) "
        "ON user_id = subject AND surface <> 'outfit' GROUP BY surface, subject"
    )


def evidence_of(shop: Shop, keys: Sequence[str]) -> list[Evidence]:
    """The evidence of all recommendations to the subjects `keys`, subject after subject, each in the order shown."""
    made: list[Evidence] = []
    by_surface = groupby(sorted(key.split(SEPARATOR, 1) for key in keys), key=lambda pair: pair[0])
    with shop.warehouse.reader() as connection:
        for surface, pairs in by_surface:
            chosen = recommended(f"surface = {literal(surface)} AND subject IN (SELECT unnest($subjects))")
            rows = connection.sql(
                f"SELECT subject, item_id, title, facts FROM ({chosen}) JOIN items USING (item_id) "
                "ORDER BY subject, place, item_id",
                params={"subjects": [subject for _, subject in pairs]},
            ).to_arrow_table()
            made += _evidence(cast("Surface", surface), rows)
    return made


def _evidence(surface: Surface, rows: Any) -> list[Evidence]:
    """Rows of subject, item_id, title and facts; facts are made from columns, not from a dict each."""
    lists = rows.column("facts").combine_chunks()
    flat = lists.flatten()
    columns = [flat.field(place).to_pylist() for place in range(flat.type.num_fields)]
    facts = [Fact(*values) for values in zip(*columns, strict=True)]
    sizes = [size or 0 for size in lists.value_lengths().to_pylist()]
    made, at = [], 0
    names: dict[str, str] = {}
    told = zip(*(rows.column(name).to_pylist() for name in ("subject", "item_id", "title")), sizes, strict=True)
    for subject, item_id, title, size in told:
        name = names.get(item_id)
        if name is None:
            name = names[item_id] = item_name(title, item_id)
        made.append(Evidence(surface, subject, item_id, name, tuple(facts[at : at + size])))
        at += size
    return made
