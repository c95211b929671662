"""What an item is called where people read it.

Belongs here: that. Does not belong here: shortening a name, quotes around it, escaping (whatever shows it does).
"""

from __future__ import annotations

import html


def item_name(title: str | None, item_id: str) -> str:
    """The shop's title as plain text, entities decoded and white space folded; "item <id>" where there is none."""
    return " ".join(html.unescape(title or "").split()) or f"item {item_id}"
