"""What there is to see of the crops: tables by type, the pictures' content, and pictures kept until it changes.

Belongs here: the queries, the choice of photos to show, keeping pictures as files. Does not belong here: drawing
(`contact_sheet.py`, `plots.py`), reading photos, Dagster.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashionrec_assets.crops.grounding import Box
from fashionrec_assets.crops.rates import KIND
from fashionrec_assets.plots import Spread, box_plot
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.files import write_bytes, write_text
from fashionrec_assets.storage.tables import rows_digest
from fashionrec_assets.storage.warehouse import Connection, one_row

DRAWING = "1"
"""Raise when pictures of the same crops look different."""

TABLE_TYPES = 40
PLOT_TYPES = 24
SHEET_TYPES = 8
SHEET_EACH = 4

_FILES = "pictures.json"


@dataclass(frozen=True)
class TypeRow:
    """Photos of one type: how many, how many are kept whole, and where the areas of the boxes found lie.

    `areas` are the 5, 25, 50, 75 and 95 % quantiles of a box's share of its photo; None if no box was found.
    """

    kind: str
    photos: int
    whole: int
    areas: tuple[float, float, float, float, float] | None

    @property
    def heading(self) -> str:
        share = f"{self.whole / self.photos:.0%} kept whole" if self.whole else "none kept whole"
        return f"{self.kind} · {self.photos} photos · {share}"

    def as_dict(self) -> dict[str, Any]:
        """A row of the table in the UI; `area_…` are quantiles of the boxes found, fallbacks left out."""
        low, first, median, third, high = self.areas or (None,) * 5
        return {
            "type": self.kind,
            "photos": self.photos,
            "kept_whole": self.whole,
            "fallback_share": round(self.whole / self.photos, 3),
            "area_p05": low,
            "area_p25": first,
            "area_median": median,
            "area_p75": third,
            "area_p95": high,
        }


@dataclass(frozen=True)
class Example:
    """A photo to show."""

    item_id: str
    image_ref: str
    kind: str
    box: Box
    method: str
    reason: str | None
    confidence: float


def by_type(connection: Connection) -> list[TypeRow]:
    """Every type, the one with most photos first."""
    rows = connection.execute(
        f"""
        SELECT {KIND} AS kind, count(*), count(*) FILTER (method = 'whole_image'),
               quantile_cont((x1 - x0) * (y1 - y0) / (photo_width * photo_height), [0.05, 0.25, 0.5, 0.75, 0.95])
                   FILTER (method <> 'whole_image')
        FROM crops JOIN items USING (item_id) GROUP BY 1 ORDER BY 2 DESC, 1
        """
    ).fetchall()
    return [
        TypeRow(kind, photos, whole, None if areas is None else tuple(round(area, 3) for area in areas))  # pyright: ignore[reportArgumentType]
        for kind, photos, whole, areas in rows
    ]


def reasons(connection: Connection) -> list[dict[str, Any]]:
    """Why photos are kept whole, the commonest reason first."""
    rows = connection.execute(
        "SELECT reason, count(*) FROM crops WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    return [{"reason": reason, "photos": photos} for reason, photos in rows]


def examples(connection: Connection) -> list[Example]:
    """A few photos of each of the commonest types, always the same ones; of a type with fallbacks, one at least.

    By type, and within it the fallbacks last.
    """
    rows = connection.execute(
        f"""
        WITH shown AS (
            SELECT *, {KIND} AS kind, method = 'whole_image' AS whole, count(*) OVER (PARTITION BY kind) AS photos,
                   row_number() OVER (PARTITION BY kind, whole ORDER BY sha256(item_id)) AS place
            FROM crops JOIN items USING (item_id)
        ), commonest AS (
            SELECT kind FROM shown GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {SHEET_TYPES}
        ), chosen AS (
            SELECT * FROM shown WHERE kind IN (SELECT kind FROM commonest)
            QUALIFY row_number() OVER (
                PARTITION BY kind ORDER BY (whole AND place = 1) DESC, sha256(item_id)
            ) <= {SHEET_EACH}
        )
        SELECT item_id, image_ref, kind, [x0, y0, x1, y1], method, reason, confidence FROM chosen
        ORDER BY photos DESC, kind, whole, sha256(item_id)
        """
    ).fetchall()
    return [
        Example(item_id, ref, kind, (box[0], box[1], box[2], box[3]), *rest) for item_id, ref, kind, box, *rest in rows
    ]


def fingerprint(connection: Connection, stage: str) -> str:
    """Hash of everything the pictures show: types, boxes, reasons, and (by the outputs of `stage`) the crops."""
    parts = (
        "crops.item_id",
        KIND,
        "x0",
        "y0",
        "x1",
        "y1",
        "coalesce(image_digest, '')",
        "coalesce(reason, '')",
        "output_fp",
    )
    row = one_row(
        connection,
        f"SELECT {rows_digest(*parts)} FROM crops JOIN items USING (item_id) "
        "JOIN ledger ON ledger.stage = ? AND ledger.key = crops.item_id",
        [stage],
    )
    return digest([DRAWING, str(row[0])])


def area_plot(types: list[TypeRow]) -> bytes:
    """A PNG of where box areas lie and how often photos are kept whole, with Wilson's 95 % interval, by type."""
    from scipy.stats import binomtest

    groups: dict[str, Spread] = {}
    for row in types[:PLOT_TYPES]:
        interval = binomtest(row.whole, row.photos).proportion_ci(method="wilson")
        rate = (row.whole / row.photos, float(interval.low), float(interval.high))
        groups[f"{row.kind} · {row.photos}"] = Spread(row.areas, rate)
    return box_plot(groups, values="box area, share of the photo (5 to 95 %)", rates="photos kept whole, 95 % interval")


def drawn_once(folder: Path, wanted: str, draw: Callable[[], Mapping[str, bytes]]) -> dict[str, bytes]:
    """The pictures of the fingerprint `wanted` by file name: those kept in `folder`, or else drawn and kept there.

    The list of files is written last, so that a run killed in between draws again.
    """
    listed = folder / _FILES
    before: list[str] = []
    try:
        kept = json.loads(listed.read_text("utf-8"))
        before = list(kept["files"])
        if kept["fingerprint"] == wanted:
            return {name: (folder / name).read_bytes() for name in before}
    except (OSError, ValueError, KeyError, TypeError):
        # Nothing kept, or not all of it: drawing again is the remedy for either.
        pass
    listed.unlink(missing_ok=True)
    drawn = dict(draw())
    for name, data in drawn.items():
        write_bytes(folder / name, data)
    for name in set(before) - set(drawn):
        (folder / Path(name).name).unlink(missing_ok=True)
    write_text(listed, json.dumps({"fingerprint": wanted, "files": sorted(drawn)}))
    return drawn
