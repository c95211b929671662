"""Assets of the crops room.

Belongs here: reading the ledger's plan, calling the room, writing, and what the UI shows. Does not belong here: how a
garment is found.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

import dagster as dg

from fashionrec_assets.catalog.photos import PhotoError, PhotoStore, decode_photo
from fashionrec_assets.crops import album, rates
from fashionrec_assets.crops.contact_sheet import SheetRow, SheetSection, sectioned_sheet
from fashionrec_assets.crops.grounding import VERSIONED, make_grounder
from fashionrec_assets.crops.tables import CROPS, RATES
from fashionrec_assets.crops.work import CROP_COLUMNS, GroundPhotos, PhotoRow
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, picture, table_of
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import CropSettings
from fashionrec_assets.storage.ledger import Stage

STAGE = Stage(
    "grounded_crops",
    "item",
    version="2",
    rows="SELECT * FROM items WHERE image_status = 'ok'",
    reads=("image_digest", "product_type", "category"),
    settings=tuple(f"crops.{name}" for name in CropSettings.model_fields if name not in VERSIONED),
)

SHEET, PLOT = "contact_sheet.jpg", "box_areas.png"


@dg.asset(**asset_spec(STAGE, group="crops", deps=["items"], kinds={"opencv", "parquet"}, tables=[CROPS, RATES]))
def grounded_crops(shop: ShopParam) -> dg.MaterializeResult:
    """The garment cut out of each readable photo, with its box, its measured colours, and the fallback counted."""
    with shop.stage(STAGE) as run:
        store = shop.store("crops", CROP_COLUMNS)
        grounder = make_grounder(shop.settings.crops)
        plan = run.plan(present=store.keys(), grounder=f"{grounder.name}-{grounder.version}")
        if plan.todo or plan.orphaned:
            with shop.warehouse.writer() as connection:
                rates.begin(connection, [*plan.todo, *plan.orphaned])

        unreadable = run.by_bucket(plan, store, GroundPhotos(shop), lambda keys: _photos(shop, keys), CROPS)
        if _unrecorded(shop):
            with shop.warehouse.writer() as connection:
                rates.record(connection)
        return materialized(
            run,
            grounder=f"{grounder.name} {grounder.version}",
            unreadable_since_validation=len(unreadable) or None,
            **_shown(shop),
        )


def _photos(shop: Shop, keys: Sequence[str]) -> list[PhotoRow]:
    """Those of `keys` whose photos can still be read."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT item_id, product_type, category, image_ref FROM ({STAGE.rows}) "
            "WHERE item_id IN (SELECT unnest(?)) ORDER BY 1",
            [keys],
        ).fetchall()
    photos = PhotoStore(shop.settings.raw, shop.settings.catalog)
    read: list[PhotoRow] = []
    for item_id, product_type, category, ref in rows:
        with suppress(PhotoError):
            read.append(PhotoRow(item_id, product_type, category, photos.read(ref)))
    return read


def _unrecorded(shop: Shop) -> bool:
    """Whether crops have changed since the rates were recorded: by this run, or by one that was killed."""
    with shop.warehouse.reader() as connection:
        return rates.unrecorded(connection)


def _shown(shop: Shop) -> dict[str, Any]:
    """Tables by type, and pictures, which are drawn only when what they show has changed."""
    with shop.warehouse.reader() as connection:
        types = album.by_type(connection)
        reasons = album.reasons(connection)
        wanted = album.fingerprint(connection, STAGE.name)

    def draw() -> dict[str, bytes]:
        sections = _sections(shop, {row.kind: row for row in types})
        return {SHEET: sectioned_sheet(sections), PLOT: album.area_plot(types)} if sections else {}

    pictures = album.drawn_once(shop.reports / "crops", wanted, draw)
    alts = {
        SHEET: "photos with the box found, and the crops, by type",
        PLOT: "box areas and photos kept whole, by type",
    }
    return {
        "rows": sum(row.photos for row in types),
        **{name.partition(".")[0]: picture(data, alts[name]) for name, data in pictures.items()},
        "by_type": table_of([row.as_dict() for row in types[: album.TABLE_TYPES]]),
        "fallback_reasons": table_of(reasons),
    }


def _sections(shop: Shop, types: dict[str, album.TypeRow]) -> list[SheetSection]:
    from PIL import Image

    with shop.warehouse.reader() as connection:
        chosen = album.examples(connection)
    photos = PhotoStore(shop.settings.raw, shop.settings.catalog)
    table = shop.store("crops", CROP_COLUMNS).take([example.item_id for example in chosen])
    crops = dict(zip(table.column("item_id").to_pylist(), table.column("jpeg").to_pylist(), strict=True))
    sections: list[SheetSection] = []
    for kind, some in groupby(chosen, key=lambda example: example.kind):
        rows: list[SheetRow] = []
        for one in some:
            try:
                photo = decode_photo(photos.read(one.image_ref), max_pixels=shop.settings.catalog.max_image_pixels)
            except PhotoError:
                continue
            crop = Image.open(io.BytesIO(crops[one.item_id]), formats=("JPEG",)).convert("RGB")
            whole = one.reason is not None
            note = f"kept whole: {one.reason}" if whole else f"{one.method} {one.confidence:.2f}"
            rows.append(SheetRow(photo, None if whole else one.box, crop, one.item_id, note, fallback=whole))
        sections.append(SheetSection(types[kind].heading, rows))
    return [section for section in sections if section.rows]
