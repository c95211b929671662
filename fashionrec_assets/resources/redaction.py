"""Secrets out of whatever is said: logs, errors, notifications, the terminal.

Belongs here: telling what is secret and blotting it out. Does not belong here: reading a secret for use (`llm.py` and
`notifications.py` do, from the environment, where they need it).

Secret are the values of environment variables whose names say so, an `Authorization` header, a bearer token, a password
inside an address, and a parameter of an address that is called a key, token, secret, password or signature. A value of
fewer than `SHORTEST` characters is not looked for: it would blot out ordinary words.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus, urlsplit

BLOT: Final = "[redacted]"
SHORTEST: Final = 6

_NAMES: Final = re.compile(
    r"(?:^|_)(?:API_?KEY|ACCESS_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|WEBHOOK(?:_URL)?)$",
    re.IGNORECASE,
)
_PATTERNS: Final = (
    (re.compile(r"(\bauthorization\b[\"']?\s*[:=]\s*[\"']?)[^\s\"',;]+(?:[ \t]+[^\s\"',;]+)?", re.IGNORECASE), r"\1"),
    (re.compile(r"(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), r"\1"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#\"'<>]+(?=@)", re.IGNORECASE), r"\1"),
    (
        re.compile(r"([?&;][\w.-]*(?:key|token|secret|password|signature|sig)=)[^&;#\s\"'<>]+", re.IGNORECASE),
        r"\1",
    ),
)


def is_secret_name(name: str) -> bool:
    """Whether a variable called `name` holds a secret, as OPENAI_API_KEY and FASHIONREC_WEBHOOK_URL do."""
    return _NAMES.search(name) is not None


def redacted(text: str) -> str:
    """`text` with `BLOT` in place of every secret."""
    secrets = _pattern_of(_values(os.environ))
    if secrets is not None:
        text = secrets.sub(BLOT, text)
    for pattern, kept in _PATTERNS:
        text = pattern.sub(rf"{kept}{BLOT}", text)
    return text


def harmless(error: BaseException) -> BaseException:
    """`error` with the secrets in its messages, notes and causes blotted out, in place.

    An error whose text cannot be changed is given up for a RuntimeError that says the same; a cause of that kind is
    left out.
    """
    seen: set[int] = set()
    last, link = None, error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if not _blotted(link):
            if last is None:
                return RuntimeError(f"{type(link).__name__}: {redacted(str(link))}")
            last.__cause__ = last.__context__ = None
            break
        last, link = link, link.__cause__ or link.__context__
    return error


def install() -> None:
    """From now on, no log record of this process holds a secret, whichever logger and handler it goes through."""
    before = logging.getLogRecordFactory()
    if getattr(before, "redacts", False):
        return

    def record(*args: object, **named: object) -> logging.LogRecord:
        made = before(*args, **named)
        try:
            message = made.getMessage()
        except (TypeError, ValueError):
            # A log call with the wrong arguments is reported by the handler, as without this.
            return made
        blotted = redacted(message)
        if blotted != message:
            made.msg, made.args = blotted, ()
        if made.exc_info and made.exc_info[0] is not None and not made.exc_text:
            text = "".join(traceback.format_exception(*made.exc_info)).rstrip("\n")
            if redacted(text) != text:
                made.exc_text, made.exc_info = redacted(text), None
        return made

    record.redacts = True  # pyright: ignore[reportFunctionMemberAccess]
    logging.setLogRecordFactory(record)


def _values(environment: Mapping[str, str]) -> frozenset[str]:
    return frozenset(value for name, value in environment.items() if value and is_secret_name(name))


@lru_cache(maxsize=8)
def _pattern_of(values: frozenset[str]) -> re.Pattern[str] | None:
    spellings = sorted({one for value in values for one in _spellings(value)}, key=lambda one: (-len(one), one))
    return re.compile("|".join(map(re.escape, spellings))) if spellings else None


def _spellings(value: str) -> Iterable[str]:
    """The ways in which a value may stand in a text: as it is, in an address, in a literal, as an address's path."""
    found = {value, value.strip(), quote(value, safe=""), quote_plus(value), repr(value)[1:-1]}
    if "://" in value:
        try:
            address = urlsplit(value)
        except ValueError:
            pass
        else:
            found |= {address.path, f"{address.path}?{address.query}", address.query, address.password or ""}
    return (one for one in found if len(one) >= SHORTEST)


def _blotted(error: BaseException) -> bool:
    """Blots out the secrets of one error, without its causes; False if some stay."""
    changed = tuple(redacted(one) if isinstance(one, str) else one for one in error.args)
    if changed != error.args:
        error.args = changed
    if getattr(error, "__notes__", None):
        error.__notes__ = [redacted(note) for note in error.__notes__]
    said = str(error)
    return redacted(said) == said
