"""Figures and days as the lookbook writes them.

Belongs here: formatting that several of its modules share. Does not belong here: sentences.
"""

from __future__ import annotations

import math
from datetime import datetime

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def day_text(at: datetime) -> str:
    """A day without its year: `31 March`."""
    return f"{at.day} {_MONTHS[at.month - 1]}"


def times(ratio: float) -> str:
    """A ratio in a sentence: `0.46`, `1.7`, `12`."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 0.95 else f"{ratio:.2f}"


def factor(weight: float) -> str:
    """Natural log units as the factor they stand for: `×2.5`, `×0.82`."""
    found = math.exp(weight)
    return f"×{found:.1f}" if found >= 1.95 else f"×{found:.2f}"
