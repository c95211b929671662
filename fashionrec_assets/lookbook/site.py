"""The lookbook as files: pages rendered, photos beside them, all put in place at once.

Belongs here: templates, writing. Does not belong here: what the pages say (`pages.py`), looking at what was written
(`inspection.py`).

Every text is escaped by the templates. Nothing runs and nothing is requested: the pages' security policy allows styles
and images of the site's own folder alone, and no script at all.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from fashionrec_assets.lookbook.content import Content
from fashionrec_assets.lookbook.pages import Pages
from fashionrec_assets.lookbook.pictures import Photo, sheet, write_photos
from fashionrec_assets.lookbook.reports import OWN
from fashionrec_assets.lookbook.style_map import HEIGHT, PEEK, WIDTH, style_map
from fashionrec_assets.lookbook.words import day_text
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.faults import reached
from fashionrec_assets.storage.files import write_text

INDEX = "index.html"
STYLE_SHEET = "lookbook.css"
COVER = "cover.jpg"
_HERO = 5
_INLINE_STYLES = " style-src-attr 'unsafe-inline';"
"""Drawings of reports carry their styles in attributes."""


@dataclass(frozen=True)
class Built:
    """What was written: number of HTML pages and of photos, bytes of all files, and a digest of their content."""

    pages: int
    photos: int
    size: int
    digest: str


def build(
    content: Content, crops: BucketStore, reports: Path, settings: Settings, progress: Callable[[int, int], None]
) -> Built:
    """Write the site to `reports`/lookbook, and a page `reports`/lookbook.html that leads there.

    The old site stays until the new one is complete.
    """
    draft = reports / f".{OWN}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        reached("before write", reports / OWN)
        photos = write_photos(crops, content.items, draft, settings.lookbook)
        (draft / STYLE_SHEET).write_text(_style_sheet(), "utf-8")
        pages = 0
        for path, text in rendered(content, photos, settings):
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_text(text, "utf-8", newline="\n")
            pages += 1
            progress(pages, len(content.paged) + len(content.shoppers) + 4)
        shown = [item for look in content.looks for item in (look.anchor_id, *(p.placed.item_id for p in look.pieces))]
        shown = [item for shopper in content.shoppers for item in shopper.shown[:8]] or shown
        reached("mid write", reports / OWN)
        (draft / COVER).write_bytes(sheet(photos, shown, draft))
        built = _built(draft, pages, len(photos))
        _put_in_place(draft, reports / OWN)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    write_text(reports / f"{OWN}.html", environment().get_template("doorway.html").render())
    return built


def rendered(content: Content, photos: Mapping[str, Photo], settings: Settings) -> Iterator[tuple[str, str]]:
    """(path from the site's root, HTML) of every page."""
    pages = Pages(content, photos, settings)
    shoppers, anchors, styles = pages.shoppers(), pages.anchors(), pages.styles()
    templates = environment()
    day = f"{day_text(content.day)} {content.day.year}"

    def page(name: str, **fields: object) -> str:
        return templates.get_template(name).render(day=day, **{"root": "", "here": "", **fields})

    faces = [tile for shopper in shoppers for tile in shopper.faces[:2] if tile.photo]
    strip = [
        tile for anchor in anchors[:2] for tile in (anchor.tile, *(card.tile for _, card in anchor.looks[0].pieces))
    ]
    yield (
        INDEX,
        page(
            "index.html",
            title="Lookbook",
            counts=content.counts,
            hero=list({tile.alt: tile for tile in faces}.values())[:_HERO],
            shoppers=shoppers,
            anchors=anchors,
            strip=strip[:6],
            styles=styles,
            reports=content.reports,
        ),
    )
    yield "looks.html", page("looks.html", title="Looks", here="looks", anchors=anchors)
    drawn = style_map(content.styles, content.points)
    peeks = {style.style_id: next((tile.photo for tile in style.examples if tile.photo), None) for style in styles}
    yield (
        "styles.html",
        page(
            "styles.html",
            title="Styles",
            here="styles",
            styles=styles,
            map=drawn,
            width=WIDTH,
            height=HEIGHT,
            peeks=peeks,
            peek_size=PEEK,
        ),
    )
    yield (
        "reports.html",
        page("reports.html", title="Reports", here="reports", reports=content.reports, csp=_INLINE_STYLES),
    )
    for shopper in shoppers:
        yield shopper.href, page("shopper.html", title=shopper.name, here="shoppers", root="../", shopper=shopper)
    for item in pages.items():
        yield item.href, page("item.html", title=item.tile.name, root="../", item=item)


def environment() -> Environment:
    """The templates of this room, escaping everything; an unknown variable is an error."""
    return Environment(
        loader=PackageLoader("fashionrec_assets.lookbook", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _style_sheet() -> str:
    return (files("fashionrec_assets.lookbook") / "templates" / STYLE_SHEET).read_text("utf-8")


def _built(folder: Path, pages: int, photos: int) -> Built:
    mix, size = hashlib.sha256(), 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        size += len(data)
        mix.update(f"{path.relative_to(folder).as_posix()}\0{len(data)}\0".encode())
        mix.update(data)
    return Built(pages, photos, size, mix.hexdigest())


def _put_in_place(draft: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    reached("before rename", final)
    if final.exists():
        final.replace(old)
    draft.replace(final)
    reached("after rename", final)
    shutil.rmtree(old, ignore_errors=True)
