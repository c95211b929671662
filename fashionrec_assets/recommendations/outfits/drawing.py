"""Looks as a picture: an item, and beside it what is worn with it.

Belongs here: drawing. Does not belong here: which looks are shown.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fashionrec_assets.crops.contact_sheet import CARD, EDGE, FAINT, INK, PAPER

if TYPE_CHECKING:
    from PIL.Image import Image

CELL = (96, 128)
_GAP, _HEAD = 10, 22
_LINE = 70
"""Letters of a title at the most."""


def looks_sheet(looks: Sequence[tuple[str, Sequence[Image | None]]]) -> bytes:
    """A PNG with a row for each look: its title, the anchor first, what is worn with it apart; None: no photo.

    Raises ValueError without looks.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not looks:
        raise ValueError("a sheet needs at least one look")
    step, height = CELL[0] + _GAP, CELL[1] + _HEAD + _GAP
    widest = max(len(images) for _, images in looks)
    sheet = Image.new("RGB", (max(2 * _GAP + step * widest + _GAP, 480), height * len(looks) + _GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, (title, images) in enumerate(looks):
        # The built-in font has no glyphs for other scripts.
        words = "".join(letter if ord(letter) < 0x250 else "·" for letter in " ".join(title.split()))
        draw.text((_GAP, row * height + 5), words[:_LINE], fill=INK, font=font)
        for place, image in enumerate(images):
            left, top = _GAP + place * step + (2 * _GAP if place else 0), row * height + _HEAD
            draw.rectangle((left, top, left + CELL[0] - 1, top + CELL[1] - 1), fill=CARD, outline=EDGE)
            if image is None:
                draw.text((left + 18, top + CELL[1] // 2 - 8), "no photo", fill=FAINT, font=font)
                continue
            small = image.copy()
            small.thumbnail((CELL[0] - 4, CELL[1] - 4))
            sheet.paste(small, (left + (CELL[0] - small.width) // 2, top + (CELL[1] - small.height) // 2))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()
