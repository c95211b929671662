"""Contact sheets are valid pictures that show the box and the crop."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fashionrec_assets.crops.contact_sheet import BOX, WHOLE, SheetRow, SheetSection, contact_sheet, sectioned_sheet


def opened(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def test_a_card_shows_the_box_and_the_crop() -> None:
    photo = Image.new("RGB", (192, 256), (200, 210, 220))
    crop = Image.new("RGB", (50, 60), (12, 200, 34))
    with_box = opened(contact_sheet([SheetRow(photo, (20, 30, 100, 200), crop, "dress")]))
    without = opened(contact_sheet([SheetRow(photo, None, crop, "dress")]))
    frame = np.all(with_box == BOX, axis=2)
    assert frame.sum() > 300
    assert not np.all(without == BOX, axis=2).any()
    assert np.all(with_box == (12, 200, 34), axis=2).sum() > 5000


def test_a_sheet_grows_by_lines_and_takes_any_text() -> None:
    row = SheetRow(Image.new("RGB", (10, 300)), None, Image.new("RGB", (1, 1)), "x" * 500 + "\n连衣裙", "note\x00 é")
    one, five = opened(contact_sheet([row])), opened(contact_sheet([row] * 5, title="Crops"))
    assert five.shape[0] > 1.8 * one.shape[0]
    assert five.shape[1] > 3 * one.shape[1]


def test_the_same_rows_give_the_same_bytes_and_no_row_is_an_error() -> None:
    rows = [SheetRow(Image.new("RGB", (20, 20)), (0, 0, 20, 20), Image.new("RGB", (9, 9)), "hat")]
    assert contact_sheet(rows, title="Crops") == contact_sheet(rows, title="Crops")
    with pytest.raises(ValueError, match="at least one row"):
        contact_sheet([])


def test_sections_have_headings_and_fallbacks_a_mark() -> None:
    photo, crop = Image.new("RGB", (192, 256), (200, 210, 220)), Image.new("RGB", (50, 60), (12, 200, 34))
    found = SheetRow(photo, (20, 30, 100, 200), crop, "1")
    kept = SheetRow(photo, None, crop, "2", "kept whole: no foreground", fallback=True)

    def sheet(*sections: SheetSection) -> np.ndarray:
        image = Image.open(io.BytesIO(sectioned_sheet(sections)))
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB")).astype(int)

    def marked(pixels: np.ndarray) -> int:
        return int((np.abs(pixels - WHOLE).sum(axis=2) < 60).sum())

    one = sheet(SheetSection("shirt", [found, found]))
    two = sheet(SheetSection("shirt", [found, found]), SheetSection("empty", []), SheetSection("hat", [kept]))
    assert two.shape[1] == one.shape[1]
    assert two.shape[0] > 1.8 * one.shape[0]
    assert marked(one) < 50 < 300 < marked(two)
    with pytest.raises(ValueError, match="at least one row"):
        sectioned_sheet([SheetSection("empty", [])])
