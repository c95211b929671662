"""How reports print figures, and the sentence a reader can act on.

Belongs here: formatting that every report shares. Does not belong here: what any report says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fashionrec_assets.evaluation.bootstrap import Interval

Tone = Literal["good", "bad", "undecided", "note"]


@dataclass(frozen=True)
class Verdict:
    """A sentence a reader can act on."""

    tone: Tone
    text: str


def number(value: float | None, digits: int = 4) -> str:
    """A figure as it is printed: `.1057`, `1.2500`, `–` for none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{abs(value):.{digits}f}"
    text = text.removeprefix("0") if digits else text
    return f"−{text}" if value < 0 and float(f"{value:.{digits}f}") != 0 else text


def signed(value: float) -> str:
    """A difference as it is printed: `+.0123`."""
    text = number(value)
    return text if text.startswith("−") else f"+{text}"


def paired(difference: Interval) -> str:
    """A difference with its interval: `+.0123, 95 % paired interval +.0040 to +.0206`."""
    return f"{signed(difference.value)}, 95 % paired interval {signed(difference.low)} to {signed(difference.high)}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
