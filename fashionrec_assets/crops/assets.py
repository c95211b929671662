"""Assets of the crops room.

Belongs here: reading the ledger's plan, calling the room, writing, and what the UI shows. Does not belong here: how a
garment is found.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

import dagster as dg
import pyarrow as pa

from fashionrec_assets.catalog.photos import PhotoError, PhotoStore, decode_photo
from fashionrec_assets.crops.contact_sheet import SheetRow, contact_sheet
from fashionrec_assets.crops.grounding import make_grounder
from fashionrec_assets.crops.pipeline import GroundedCrop, ground_batch
from fashionrec_assets.crops.tables import CROPS
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture, table_of
from fashionrec_assets.resources.shop import Made, Shop
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.warehouse import one_row

STAGE = Stage(
    "grounded_crops",
    "item",
    version="1",
    rows="SELECT *, coalesce(product_type, category) AS kind FROM items WHERE image_status = 'ok'",
    reads=("image_digest", "kind"),
    settings=("crops",),
)

CROP_COLUMNS = pa.schema([pa.field("jpeg", pa.binary(), nullable=False)])
SHEET_ITEMS = 12


@dg.asset(**asset_spec(STAGE, group="crops", deps=["items"], kinds={"opencv", "parquet"}, tables=[CROPS]))
def grounded_crops(shop: ShopParam) -> dg.MaterializeResult:
    """The garment cut out of each readable photo, with its box, its measured colours, and the fallback counted."""
    settings = shop.settings
    with shop.stage(STAGE) as run:
        store = shop.store("crops", CROP_COLUMNS)
        grounder = make_grounder(settings.crops)
        plan = run.plan(present=store.keys(), grounder=f"{grounder.name}-{grounder.version}")
        photos = PhotoStore(settings.raw, settings.catalog)
        unreadable: list[str] = []

        def compute(keys: list[str]) -> Made:
            with shop.warehouse.reader() as connection:
                rows = connection.execute(
                    f"SELECT item_id, image_ref, kind FROM ({STAGE.rows}) "
                    "WHERE item_id IN (SELECT unnest(?)) ORDER BY 1",
                    [keys],
                ).fetchall()
            read: list[tuple[str, str | None, Any]] = []
            for item_id, ref, kind in rows:
                try:
                    photo = decode_photo(photos.read(ref), max_pixels=settings.catalog.max_image_pixels)
                    read.append((item_id, kind, photo))
                except PhotoError:
                    unreadable.append(item_id)
            crops = ground_batch([row[2] for row in read], [row[1] for row in read], grounder, settings.crops)
            return _made([(item_id, photo, crop) for (item_id, _, photo), crop in zip(read, crops, strict=True)])

        run.by_bucket(plan, store, compute, CROPS)
        shown = _shown(shop)
        return materialized(run, **shown, unreadable_since_validation=len(unreadable) or None)


def _made(crops: list[tuple[str, Any, GroundedCrop]]) -> Made:
    keys = [item_id for item_id, _, _ in crops]
    table_rows = pa.table(
        {
            "item_id": pa.array(keys, pa.string()),
            **{
                name: [crop.location.box[at] for _, _, crop in crops]
                for at, name in enumerate(("x0", "y0", "x1", "y1"))
            },
            "photo_width": [photo.width for _, photo, _ in crops],
            "photo_height": [photo.height for _, photo, _ in crops],
            "method": [crop.location.method for _, _, crop in crops],
            "reason": pa.array([crop.location.reason for _, _, crop in crops], pa.string()),
            "confidence": pa.array([crop.location.confidence for _, _, crop in crops], pa.float64()),
            "colours": pa.array(
                [[{"name": colour.name, "share": colour.share} for colour in crop.colours] for _, _, crop in crops],
                pa.list_(pa.struct([("name", pa.string()), ("share", pa.float64())])),
            ),
        }
    )
    jpegs = pa.table({"item_id": pa.array(keys, pa.string()), "jpeg": [crop.jpeg for _, _, crop in crops]})
    outputs = {item_id: hashlib.sha256(crop.jpeg).hexdigest() for item_id, _, crop in crops}
    return Made(jpegs, outputs, table_rows)


def _shown(shop: Shop) -> dict[str, Any]:
    """Fallbacks by type, and a contact sheet of a fixed sample."""
    from PIL import Image

    with shop.warehouse.reader() as connection:
        total = one_row(connection, "SELECT count(*) FROM crops")
        by_type = connection.execute(
            """
            SELECT coalesce(product_type, '(none)') AS type, count(*) AS photos,
                   round(avg((method = 'whole_image')::INT), 3) AS fallback_share,
                   round(median((x1 - x0) * (y1 - y0) / (photo_width * photo_height)), 3) AS median_box_area
            FROM crops JOIN items USING (item_id) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 40
            """
        ).fetch_df()
        reasons = connection.execute(
            "SELECT reason, count(*) AS photos FROM crops WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC"
        ).fetch_df()
        sample = connection.execute(
            """
            SELECT item_id, image_ref, product_type, method, [x0, y0, x1, y1] FROM crops JOIN items USING (item_id)
            ORDER BY sha256(item_id) LIMIT ?
            """,
            [SHEET_ITEMS],
        ).fetchall()
    photos = PhotoStore(shop.settings.raw, shop.settings.catalog)
    crops = dict(
        zip(*shop.store("crops", CROP_COLUMNS).take([row[0] for row in sample]).to_pydict().values(), strict=True)
    )
    rows: list[SheetRow] = []
    for item_id, ref, product_type, method, box in sample:
        try:
            photo = decode_photo(photos.read(ref), max_pixels=shop.settings.catalog.max_image_pixels)
        except PhotoError:
            continue
        crop = Image.open(io.BytesIO(crops[item_id])).convert("RGB")
        rows.append(SheetRow(photo, tuple(box), crop, f"{product_type or 'no type'} ({method})"))
    return {
        "rows": total[0],
        "contact_sheet": picture(contact_sheet(rows), "photos with the box found, and the crops") if rows else None,
        "by_type": table_of(by_type.to_dict("records")),
        "fallback_reasons": table_of(reasons.to_dict("records")),
    }
