"""Items that left the catalog while a release that shows them is still kept.

Belongs here: finding and writing them down. Does not belong here: leaving their rows out (`storage/served.py`).

A release goes on being served for as long as newer ones are blocked; what is no longer for sale must not be. The list
follows the catalog at once, not the release that is made of it hours later, and stands beside the releases.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from fashionrec_assets.promotion.content import ITEM_FILE
from fashionrec_assets.storage.parquet import write_atomically
from fashionrec_assets.storage.releases import Releases
from fashionrec_assets.storage.tables import literal


def write_withdrawn(releases: Releases, catalog: Path) -> int:
    """Write down the items of any retained release that are not in `catalog` (Parquet, `item_id`); how many."""
    kept = [releases.folder(release.version) / ITEM_FILE for release in releases.all()]
    there = [str(path) for path in kept if path.exists()]
    shown = (
        f"SELECT item_id FROM read_parquet([{', '.join(map(literal, there))}])" if there else "SELECT '' WHERE false"
    )
    with duckdb.connect() as connection:
        rows = connection.sql(
            f"SELECT DISTINCT CAST(item_id AS VARCHAR) AS item_id FROM ({shown}) shown(item_id) "
            f"WHERE item_id NOT IN (SELECT item_id FROM read_parquet({literal(str(catalog))})) ORDER BY 1"
        ).to_arrow_table()
    write_atomically(releases.withdrawn, rows)
    return len(rows)


def withdrawn(releases: Releases) -> list[str]:
    """The items that were written down, in order."""
    return pq.read_table(releases.withdrawn, columns=["item_id"]).column("item_id").to_pylist()
