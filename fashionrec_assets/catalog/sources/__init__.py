"""Where a shop's rows are and what its columns mean: one small class per export format.

Belongs here: sources and their registry. Does not belong here: reading or checking rows.
"""

from fashionrec_assets.catalog.sources.base import RawFile, RowsFile, Source, open_source, source_names

__all__ = ["RawFile", "RowsFile", "Source", "open_source", "source_names"]
