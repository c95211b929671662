"""Text from outside inside Markdown: shown as it is, doing nothing.

Belongs here: that. Does not belong here: HTML (Jinja2 escapes it) and terminals (`cli/app.py`).
"""

from __future__ import annotations

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MARKS = str.maketrans({character: f"\\{character}" for character in "\\|`*_[]~"})


def inert(text: object) -> str:
    """`text` on one line in which no tag, link, picture, emphasis, code or cell of a table begins or ends.

    An address that is written out stays one: a viewer that links such addresses shows where the link leads.
    """
    return " ".join(str(text).split()).translate(_ENTITIES).translate(_MARKS)
