"""Turning what a seller typed into plain words, without deciding what the words mean.

Belongs here: markup, entities, Unicode, links, emoji. Does not belong here: fashion (`lexicon.py`).
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

from ftfy import fix_text

_BLOCKS = re.compile(r"<\s*(script|style|iframe|noscript)\b.*?(?:<\s*/\s*\1\s*>|$)", re.IGNORECASE | re.DOTALL)
_COMMENTS = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
_TAGS = re.compile(r"<\s*[/!?]?\s*[a-zA-Z][^<>]*(?:>|$)")
_LINKS = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
_ROUNDS = 12
_NO_MARKUP = str.maketrans(dict.fromkeys("<>&:", " "))
_DECORATION = frozenset({"So", "Sk", "Cs", "Co", "Cn", "Cc", "Cf"})


@lru_cache(maxsize=4096)
def clean_text(text: str) -> str:
    """`text` in Unicode NFKC, on one line, without markup, entities, links, emoji and invisible characters.

    Text that was decoded wrongly on its way ("cafÃ©") is repaired. What becomes markup once an entity, a tag around it
    or a full-width letter is resolved is taken out too: cleaning a clean text changes nothing.
    """
    for _ in range(_ROUNDS):
        if text.isascii() and text.isprintable() and not re.search("[<&:]|www", text):
            return " ".join(text.split())
        before, text = text, _cleaned_once(text)
        if text == before:
            return text
    # Only a text made to be taken apart for ever gets here: nothing in it may be markup.
    return " ".join(text.translate(_NO_MARKUP).split())


def _cleaned_once(text: str) -> str:
    plain = text
    while (resolved := html.unescape(plain)) != plain:
        plain = resolved
    for pattern in (_COMMENTS, _BLOCKS, _TAGS, _LINKS):
        plain = pattern.sub(" ", plain)
    plain = fix_text(plain, unescape_html=False, remove_control_chars=False, normalization="NFKC")
    shown = ("" if unicodedata.category(char) == "Cf" else _visible(char) for char in plain)
    return " ".join("".join(shown).split())


def _visible(char: str) -> str:
    return " " if unicodedata.category(char) in _DECORATION else char


def sentences(text: str) -> list[str]:
    """`text` split after full stops, exclamation and question marks that end a sentence."""
    return [part.strip() for part in re.split(r"(?<=[.!?。！？])\s+", text) if part.strip()]
