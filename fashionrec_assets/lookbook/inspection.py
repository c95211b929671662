"""Whether a written site stands on its own.

Belongs here: reading pages back and following what they name. Does not belong here: writing them (`site.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_REACHING = frozenset({"src", "href", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href"})


@dataclass(frozen=True)
class Faults:
    """What is wrong with a site: addresses that reach outside and scripts, and links that lead nowhere."""

    reaching_out: list[str]
    broken: list[str]
    pages: int


def faults(site: Path) -> Faults:
    """Look at every page and style sheet under `site`, and follow every address in them."""
    pages = {os.path.normpath(path): _Addresses.of(path) for path in sorted(site.rglob("*.html"))}
    found = Faults([], [], len(pages))
    # An address is followed once, however many pages name it.
    there: dict[str, bool] = {}
    for path, page in pages.items():
        name = Path(path).relative_to(os.path.normpath(site)).as_posix()
        found.reaching_out.extend(f"{name}: a script" for _ in range(page.scripts))
        for address in sorted(page.found):
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                found.reaching_out.append(f"{name}: {address[:80]}")
                continue
            target = os.path.normpath(Path(path).parent / unquote(parts.path)) if parts.path else path
            if target not in there:
                there[target] = Path(target).is_file()
            # Of pages outside the site nothing but their being there is known.
            known = pages.get(target)
            if not there[target] or (parts.fragment and known is not None and parts.fragment not in known.ids):
                found.broken.append(f"{name}: {address[:80]}")
    for sheet in sorted(site.rglob("*.css")):
        text = sheet.read_text("utf-8")
        if "url(" in text or "@import" in text:
            found.reaching_out.append(f"{sheet.name}: an address")
    return found


def large_pages(site: Path, largest: int) -> list[str]:
    """The pages under `site` with more than `largest` bytes, and how many they have."""
    sizes = [(path.relative_to(site).as_posix(), path.stat().st_size) for path in sorted(site.rglob("*.html"))]
    return [f"{name}: {size:,} bytes" for name, size in sizes if size > largest]


class _Addresses(HTMLParser):
    """The addresses a page names, the ids it has, and how many scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: set[str] = set()
        self.ids: set[str] = set()
        self.scripts = 0

    @classmethod
    def of(cls, page: Path) -> _Addresses:
        parser = cls()
        parser.feed(page.read_text("utf-8"))
        parser.close()
        return parser

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in _REACHING and value:
                self.found.add(value)
            elif name.startswith("on"):
                self.scripts += 1
