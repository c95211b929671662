"""Worked examples as pictures: a query's five best images side by side, the right one marked.

Belongs here: drawing. Does not belong here: which queries are shown (`retrieval_report.py`).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fashionrec_assets.storage.files import write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

PAPER = (255, 255, 255)
EDGE = (214, 210, 202)
RIGHT = (31, 122, 77)
INK = (38, 38, 42)
FAINT = (98, 102, 114)
CELL = (128, 170)
_GAP, _PAD, _FOOT, _HEAD = 10, 4, 22, 26


@dataclass(frozen=True)
class Shown:
    """One image of a strip with its rank; `right`: the one that was asked for."""

    image: Image
    rank: int
    right: bool


def strip(shown: Sequence[Shown]) -> bytes:
    """A PNG of `shown` from left to right, the right one framed; what is not next in rank stands apart."""
    return _png(_strip(shown))


def sheet(strips: Sequence[tuple[str, Sequence[Shown]]]) -> bytes:
    """A PNG of several strips, each below its title. ValueError if there are none."""
    from PIL import Image, ImageDraw, ImageFont

    if not strips:
        raise ValueError("a sheet needs at least one strip")
    drawn = [(title, _strip(shown)) for title, shown in strips]
    width = max(image.width for _, image in drawn)
    page = Image.new("RGB", (width, sum(image.height + _HEAD for _, image in drawn)), PAPER)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    top = 0
    for title, image in drawn:
        line = " ".join(title.split())
        while line and draw.textlength(line, font=font) > width - 2 * _GAP:
            line = line[:-2].rstrip("…") + "…"
        draw.text((_GAP, top + 7), line, fill=INK, font=font)
        page.paste(image, (0, top + _HEAD))
        top += image.height + _HEAD
    return _png(page)


def write_sheet(path: Path, titles: Sequence[str], strips: Sequence[Sequence[Shown]]) -> None:
    """Write the `sheet` of `strips` with their `titles` to `path`, whole or not at all; without any, delete it."""
    if not strips:
        path.unlink(missing_ok=True)
        return
    write_bytes(path, sheet(list(zip(titles, strips, strict=True))))


def _strip(shown: Sequence[Shown]) -> Image:
    from PIL import Image, ImageDraw, ImageFont

    step = CELL[0] + 2 * _PAD + _GAP
    apart = [i for i in range(1, len(shown)) if shown[i].rank > shown[i - 1].rank + 1]
    width = _GAP + step * len(shown) + 2 * _GAP * len(apart)
    page = Image.new("RGB", (width, CELL[1] + 2 * _PAD + _GAP + _FOOT), PAPER)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    left = _GAP
    for number, one in enumerate(shown):
        if number in apart:
            draw.text((left, CELL[1] // 2), "…", fill=FAINT, font=font)
            left += 2 * _GAP
        frame = (left, _PAD, left + CELL[0] + 2 * _PAD - 1, _PAD + CELL[1] + 2 * _PAD - 1)
        draw.rectangle(frame, outline=RIGHT if one.right else EDGE, width=4 if one.right else 1)
        small = one.image.convert("RGB")
        small.thumbnail((CELL[0] - 4, CELL[1] - 4), Image.Resampling.LANCZOS)
        page.paste(small, (left + _PAD + (CELL[0] - small.width) // 2, 2 * _PAD + (CELL[1] - small.height) // 2))
        label = f"{one.rank}, the right one" if one.right else f"{one.rank}"
        draw.text((left + _PAD, frame[3] + 4), label, fill=RIGHT if one.right else FAINT, font=font)
        left += step
    return page


def _png(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()
