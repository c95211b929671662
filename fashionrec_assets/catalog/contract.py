"""What a raw shop export has to be: the error that says it is not, and the reasons a row is refused for.

Belongs here: names and limits that readers, sources and validation share. Does not belong here: reading anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MAX_ID_CHARS: Final = 128
"""Longer identifiers are refused."""

MAX_VALUE_CHARS: Final = 200
"""`rejects.value` is cut to this many characters."""

NOT_UTF8: Final = "not UTF-8 text"
NUL_BYTE: Final = "contains a NUL byte"
UNBALANCED_QUOTE: Final = "unbalanced quote"
MISSING_COLUMNS: Final = "missing columns"
TOO_MANY_COLUMNS: Final = "too many columns"
NOT_AN_OBJECT: Final = "not a JSON object"
EMPTY: Final = "empty"
TOO_LONG: Final = "too long"
UNKNOWN_BEHAVIOUR: Final = "unknown behaviour"
NOT_A_TIME: Final = "not a time"
IMPOSSIBLE_TIME: Final = "impossible time"
FUTURE_TIME: Final = "future time"
UNKNOWN_ITEM: Final = "unknown item"
UNKNOWN_USER: Final = "unknown user"
NOT_YES_OR_NO: Final = "neither yes nor no"
DUPLICATE: Final = "duplicate"
NOT_A_NUMBER: Final = "not a number"
NEGATIVE: Final = "negative"
IMPOSSIBLE_AGE: Final = "impossible age"
PHOTO: Final = "photo "
"""Prefix of a photo's reason; what follows is the photo's `image_status`."""


class ContractError(ValueError):
    """The export as a whole cannot be used. Says which file, what was expected of it, and what to do."""

    def __init__(self, file: Path | str, expected: str, remedy: str) -> None:
        super().__init__(f"{file}: {expected}. {remedy}")
        self.file = str(file)
        self.expected = expected
        self.remedy = remedy
