"""Tables of the crops room."""

from __future__ import annotations

from fashionrec_assets.storage.tables import Column, ForeignKey, Table

CROPS = Table(
    "crops",
    "Where the garment is in each readable photo",
    (
        Column("item_id", "VARCHAR", "the item"),
        Column("x0", "INTEGER", "left edge of the box, pixels of the upright photo", minimum=0),
        Column("y0", "INTEGER", "top edge of the box", minimum=0),
        Column("x1", "INTEGER", "right edge of the box, exclusive"),
        Column("y1", "INTEGER", "bottom edge of the box, exclusive"),
        Column("photo_width", "INTEGER", "width of the photo, pixels", minimum=1),
        Column("photo_height", "INTEGER", "height of the photo, pixels", minimum=1),
        Column("method", "VARCHAR", "how the box was found; `whole_image` is the fallback"),
        Column("reason", "VARCHAR", "why the whole photo was taken", nullable=True),
        Column("confidence", "DOUBLE", "the grounder's confidence, 0 to 1", minimum=0),
        Column("colours", "STRUCT(name VARCHAR, share DOUBLE)[]", "measured colours of the garment, largest first"),
    ),
    ("item_id",),
    (ForeignKey("item_id", "items", "item_id"),),
)

RATES = Table(
    "crop_rates",
    "Photos kept whole by type: now, of those the last run worked on, and before that run",
    (
        Column("kind", "VARCHAR", "product type, else category, else `(none)`"),
        Column("photos", "BIGINT", "photos with a crop", minimum=0),
        Column("whole", "BIGINT", "of these, kept whole", minimum=0),
        Column("fresh", "BIGINT", "photos the last run with work worked on", minimum=0),
        Column("fresh_whole", "BIGINT", "of these, kept whole", minimum=0),
        Column("before", "BIGINT", "photos with a crop before that run", minimum=0),
        Column("before_whole", "BIGINT", "of these, kept whole", minimum=0),
    ),
    ("kind",),
)

AT_WORK = Table(
    "crops_at_work",
    "Items a run has begun to ground; empty once a run is complete",
    (Column("item_id", "VARCHAR", "the item"),),
    ("item_id",),
)

TABLES = (CROPS, RATES, AT_WORK)
