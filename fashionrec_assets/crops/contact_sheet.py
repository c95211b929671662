"""Contact sheets: photo with its box beside the crop, so that a person sees in seconds whether grounding works.

Belongs here: drawing. Does not belong here: choosing which items to show.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from fashionrec_assets.crops.grounding import Box

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

PAPER = (250, 249, 246)
CARD = (255, 255, 255)
EDGE = (225, 222, 214)
INK = (38, 38, 42)
FAINT = (120, 118, 112)
BOX = (226, 61, 84)
WHOLE = (196, 112, 10)
GAP, PAD, TEXT, HEADING = 14, 8, 40, 26


@dataclass(frozen=True)
class SheetRow:
    """One card: the photo, the box found in it (None: none is drawn), the crop, two lines of text.

    A `fallback` is marked; its note should say the reason.
    """

    photo: Image
    box: Box | None
    crop: Image
    caption: str
    note: str = ""
    fallback: bool = False


@dataclass(frozen=True)
class SheetSection:
    """Cards under one heading."""

    heading: str
    rows: Sequence[SheetRow]


def contact_sheet(
    rows: Sequence[SheetRow], *, title: str = "", columns: int = 4, cell: tuple[int, int] = (132, 176)
) -> bytes:
    """A PNG with one card for each row, `columns` cards wide; `cell` is the (width, height) of photo and of crop.

    ValueError if there are no rows.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    columns = max(1, min(columns, len(rows)))
    return _encoded(_sheet([SheetSection("", rows)], title, columns, cell), "PNG")


def sectioned_sheet(
    sections: Sequence[SheetSection], *, title: str = "", columns: int = 4, cell: tuple[int, int] = (108, 144)
) -> bytes:
    """A JPEG with the cards of each section under its heading; sections without cards are left out.

    ValueError if there is no card at all.
    """
    filled = [section for section in sections if section.rows]
    if not filled:
        raise ValueError("a contact sheet needs at least one row")
    widest = max(len(section.rows) for section in filled)
    return _encoded(_sheet(filled, title, max(1, min(columns, widest)), cell), "JPEG")


def _sheet(sections: Sequence[SheetSection], title: str, columns: int, cell: tuple[int, int]) -> Image:
    from PIL import Image, ImageDraw

    card = (2 * cell[0] + 3 * PAD, cell[1] + 2 * PAD + TEXT)
    head = 46 if title else GAP
    heights = [
        (HEADING if section.heading else 0) + -(-len(section.rows) // columns) * (card[1] + GAP) for section in sections
    ]
    sheet = Image.new("RGB", (columns * (card[0] + GAP) + GAP, head + sum(heights)), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((GAP, 13), title, fill=INK, font=_font(18))
    top = head
    for section, height in zip(sections, heights, strict=True):
        below = top
        if section.heading:
            draw.text((GAP, top), _clip(draw, section.heading, sheet.width - 2 * GAP, 15), fill=INK, font=_font(15))
            below += HEADING
        for number, row in enumerate(section.rows):
            at = (GAP + (number % columns) * (card[0] + GAP), below + (number // columns) * (card[1] + GAP))
            _draw_card(sheet, row, at, card, cell)
        top += height
    return sheet


def _draw_card(sheet: Image, row: SheetRow, at: tuple[int, int], card: tuple[int, int], cell: tuple[int, int]) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    left, top = at
    edge, width = (WHOLE, 2) if row.fallback else (EDGE, 1)
    draw.rounded_rectangle((left, top, left + card[0], top + card[1]), 8, fill=CARD, outline=edge, width=width)
    photo, scale = _fit(row.photo, cell)
    corner = (left + PAD + (cell[0] - photo.width) // 2, top + PAD + (cell[1] - photo.height) // 2)
    sheet.paste(photo, corner)
    if row.box is not None:
        x0, y0, x1, y1 = (round(value * scale) for value in row.box)
        frame = (corner[0] + x0, corner[1] + y0, corner[0] + max(x0, x1 - 1), corner[1] + max(y0, y1 - 1))
        draw.rectangle(frame, outline=(255, 255, 255), width=3)
        draw.rectangle(frame, outline=BOX, width=2)
    crop, _ = _fit(row.crop, cell)
    second = left + 2 * PAD + cell[0]
    sheet.paste(crop, (second + (cell[0] - crop.width) // 2, top + PAD + (cell[1] - crop.height) // 2))
    room = card[0] - 2 * PAD
    foot = top + 2 * PAD + cell[1]
    draw.text((left + PAD, foot - 2), _clip(draw, row.caption, room, 13), fill=INK, font=_font(13))
    note = WHOLE if row.fallback else FAINT
    draw.text((left + PAD, foot + 16), _clip(draw, row.note, room, 11), fill=note, font=_font(11))


def _encoded(sheet: Image, kind: Literal["PNG", "JPEG"]) -> bytes:
    buffer = io.BytesIO()
    if kind == "PNG":
        sheet.save(buffer, format="PNG", optimize=False)
    else:
        sheet.save(buffer, format="JPEG", quality=88, subsampling=0)
    return buffer.getvalue()


@cache
def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _fit(image: Image, cell: tuple[int, int]) -> tuple[Image, float]:
    """`image` scaled to fit `cell` without distortion, and the scale."""
    from PIL.Image import Resampling

    scale = min(cell[0] / image.width, cell[1] / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Resampling.LANCZOS), scale


def _clip(draw: object, text: str, room: int, size: int) -> str:
    """`text` on one line of `room` pixels, with an ellipsis where it does not fit; other scripts become dots."""
    from PIL import ImageDraw

    assert isinstance(draw, ImageDraw.ImageDraw)
    line = " ".join(text.split())
    font = _font(size)
    if draw.textlength(line, font=font) <= room:
        return line
    while line and draw.textlength(line + "…", font=font) > room:
        line = line[:-1]
    return line.rstrip() + "…"
