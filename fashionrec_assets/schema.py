"""Every table of the lineage, gathered from the rooms that declare them.

Belongs here: the list. Does not belong here: declarations.
"""

from __future__ import annotations

from fashionrec_assets.catalog import tables as catalog
from fashionrec_assets.crops import tables as crops
from fashionrec_assets.descriptions import tables as descriptions
from fashionrec_assets.evaluation import tables as evaluation
from fashionrec_assets.evaluation.discovery import tables as discovery
from fashionrec_assets.evaluation.explanations import tables as explanation_report
from fashionrec_assets.evaluation.outfits import tables as outfit_evaluation
from fashionrec_assets.recommendations import tables as recommendations
from fashionrec_assets.recommendations.explanations import tables as explanations
from fashionrec_assets.recommendations.feedback import tables as answers
from fashionrec_assets.recommendations.outfits import tables as outfits
from fashionrec_assets.recommendations.styles import tables as styles
from fashionrec_assets.storage.ledger import LEDGER
from fashionrec_assets.storage.tables import Table
from fashionrec_assets.synthesis import tables as synthesis

TABLES: tuple[Table, ...] = (
    *catalog.TABLES,
    *crops.TABLES,
    *descriptions.TABLES,
    *synthesis.TABLES,
    *recommendations.TABLES,
    *outfits.TABLES,
    *styles.TABLES,
    *explanations.TABLES,
    *answers.TABLES,
    *evaluation.TABLES,
    *discovery.TABLES,
    *outfit_evaluation.TABLES,
    *explanation_report.TABLES,
    LEDGER,
)
