"""The table of explanations.

Belongs here: the declaration, and rows of it as Arrow. Does not belong here: how a text comes about.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from fashionrec_assets.recommendations.explanations.facts import KINDS, Evidence
from fashionrec_assets.recommendations.explanations.texts import WRITERS, Explanation
from fashionrec_assets.storage.tables import Column, ForeignKey, Table

PUBLISHED_SURFACES = ("homepage", "outfit", "style")
CLAIMS_SQL = 'STRUCT("text" VARCHAR, cites VARCHAR)[]'
CLAIMS_ARROW = pa.list_(pa.struct([pa.field("text", pa.string()), pa.field("cites", pa.string())]))

EXPLANATIONS = Table(
    name="explanations",
    meaning="Why each recommendation is made, in words every one of which is held by a fact of its row.",
    columns=(
        Column("surface", "VARCHAR", "where the recommendation is shown", values=PUBLISHED_SURFACES),
        Column("subject", "VARCHAR", "to whom it is made: the user; of an outfit the item it is around"),
        Column("item_id", "VARCHAR", "the item recommended"),
        Column("text", "VARCHAR", "one to three sentences: the claims, joined by words that claim nothing"),
        Column("claims", CLAIMS_SQL, "each clause of the text and the id of the fact it states; may be empty"),
        Column(
            "lead", "VARCHAR", "kind of fact the text begins with; null without claims", nullable=True, values=KINDS
        ),
        Column("writer", "VARCHAR", "fallback: rules wrote what the first writer could not", values=WRITERS),
        Column("rejected", "INTEGER", "claims the verifier refused on the way to this text", minimum=0),
    ),
    key=("surface", "subject", "item_id"),
    foreign_keys=(ForeignKey("item_id", "items", "item_id"),),
)

TABLES = (EXPLANATIONS,)


def explanation_rows(evidence: Sequence[Evidence], made: Sequence[Explanation]) -> pa.Table:
    """`EXPLANATIONS` rows of texts and the evidence they are about, in the same order."""
    sizes = [0]
    for one in made:
        sizes.append(sizes[-1] + len(one.claims))
    texts = pa.array([claim.text for one in made for claim in one.claims], pa.string())
    cites = pa.array([claim.cites for one in made for claim in one.claims], pa.string())
    claims = pa.StructArray.from_arrays([texts, cites], fields=list(CLAIMS_ARROW.value_type))
    columns = {
        "surface": pa.array([one.surface for one in evidence], pa.string()),
        "subject": pa.array([one.subject for one in evidence], pa.string()),
        "item_id": pa.array([one.item_id for one in evidence], pa.string()),
        "text": pa.array([one.text for one in made], pa.string()),
        "claims": pa.ListArray.from_arrays(pa.array(sizes, pa.int32()), claims).cast(CLAIMS_ARROW),
        "lead": pa.array([one.lead for one in made], pa.string()),
        "writer": pa.array([one.writer for one in made], pa.string()),
        "rejected": pa.array([one.rejected for one in made], pa.int32()),
    }
    return pa.table(columns)
