"""Every table of the lineage, gathered from the rooms that declare them.

Belongs here: the list. Does not belong here: declarations.
"""

from __future__ import annotations

from fashionrec_assets.catalog import tables as catalog
from fashionrec_assets.crops import tables as crops
from fashionrec_assets.descriptions import tables as descriptions
from fashionrec_assets.evaluation import tables as evaluation
from fashionrec_assets.recommendations import tables as recommendations
from fashionrec_assets.storage.ledger import LEDGER
from fashionrec_assets.storage.tables import Table
from fashionrec_assets.synthesis import tables as synthesis

TABLES: tuple[Table, ...] = (
    *catalog.TABLES,
    *crops.TABLES,
    *descriptions.TABLES,
    *synthesis.TABLES,
    *recommendations.TABLES,
    *evaluation.TABLES,
    LEDGER,
)
