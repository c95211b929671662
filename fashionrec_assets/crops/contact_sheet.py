"""Contact sheets: photo with its box beside the crop, so that a person sees in seconds whether grounding works.

Belongs here: drawing. Does not belong here: choosing which items to show.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


@dataclass(frozen=True)
class SheetRow:
    """One card: the photo, the box found in it (None: fallback, drawn without a box), the crop, two lines of text."""

    photo: Image
    box: Box | None
    crop: Image
    caption: str
    note: str = ""


def contact_sheet(
    rows: Sequence[SheetRow], *, title: str = "", columns: int = 4, cell: tuple[int, int] = (132, 176)
) -> bytes:
    """A PNG with one card for each row, `columns` cards wide; `cell` is the (width, height) of photo and of crop.

    ValueError if there are no rows.
    """
    from PIL import Image, ImageDraw

    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    columns = max(1, min(columns, len(rows)))
    gap, pad, text = 14, 8, 40
    card = (2 * cell[0] + 3 * pad, cell[1] + 2 * pad + text)
    head = 46 if title else gap
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * (card[0] + gap) + gap, head + lines * (card[1] + gap)), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((gap, 13), title, fill=INK, font=_font(18))
    for number, row in enumerate(rows):
        left = gap + (number % columns) * (card[0] + gap)
        top = head + (number // columns) * (card[1] + gap)
        draw.rounded_rectangle((left, top, left + card[0], top + card[1]), 8, fill=CARD, outline=EDGE)
        photo, scale = _fit(row.photo, cell)
        at = (left + pad + (cell[0] - photo.width) // 2, top + pad + (cell[1] - photo.height) // 2)
        sheet.paste(photo, at)
        if row.box is not None:
            x0, y0, x1, y1 = (round(value * scale) for value in row.box)
            frame = (at[0] + x0, at[1] + y0, at[0] + max(x0, x1 - 1), at[1] + max(y0, y1 - 1))
            draw.rectangle(frame, outline=(255, 255, 255), width=3)
            draw.rectangle(frame, outline=BOX, width=2)
        crop, _ = _fit(row.crop, cell)
        second = left + 2 * pad + cell[0]
        sheet.paste(crop, (second + (cell[0] - crop.width) // 2, top + pad + (cell[1] - crop.height) // 2))
        room = card[0] - 2 * pad
        foot = top + 2 * pad + cell[1]
        draw.text((left + pad, foot - 2), _clip(draw, row.caption, room, 13), fill=INK, font=_font(13))
        draw.text((left + pad, foot + 16), _clip(draw, row.note, room, 11), fill=FAINT, font=_font(11))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


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
