"""Sums of money in a query: limits and ranges.

Belongs here: finding and reading them. Does not belong here: words about prices without a number (`vocabulary.py`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

ABOUT = 0.2
"""How far a price may be from one that was asked for with "about"."""

_CURRENCY = r"(?:[$€£¥]|usd|eur|gbp|rmb|cny|us\$)"
_UNIT = r"(?:[$€£¥]|dollars?|bucks|euros?|pounds?|quid|yuan|kuai|usd|eur|gbp|rmb|cny|元|块钱|块)"
_NUMBER = r"\d{1,3}(?:[,.'\s]\d{3})+(?:[.,]\d{1,2})?(?!\d)|\d+(?:[.,]\d{1,2})?(?!\d)"
_SUM = rf"(?:{_CURRENCY}\s*)?(?:{_NUMBER})(?:\s*{_UNIT}(?![a-z]))?"
_BELOW = (
    r"(?:(?:no|not|nothing|never)\s+(?:more|higher|dearer|over|above|beyond)(?:\s+than)?|spend(?:ing)?(?:\s+up\s+to)?|less\s+than|cheaper\s+than|lower\s+than|at\s+(?:the\s+)?most"
    r"|up\s+to|under|below|beneath|within|max(?:imum)?(?:\s+of)?|maximal|<=?|≤|budget(?:\s+of|\s+is)?|not\s+exceeding"
    r"|不超过|低于|少于|小于|最多)"
)
_ABOVE = (
    r"(?:(?:no|not|nothing|never)\s+(?:less|lower|under|below|cheaper)(?:\s+than)?|more\s+than|over|above|at\s+(?:the\s+)?least"
    r"|starting\s+(?:at|from)|min(?:imum)?(?:\s+of)?|from|>=?|≥|高于|超过|至少|大于)"
)
_LIMIT = r"\s*:?\s*(?:a\s+)?(?:price\s+of\s+)?"
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("range", re.compile(rf"\b(?:between|from)\s+(?P<low>{_SUM})\s*(?:-|–|—|~|\bto\b|\band\b)\s*(?P<high>{_SUM})")),
    ("range", re.compile(rf"(?P<low>{_SUM})\s*(?:-|–|—|~|\bto\b|到|至)\s*(?P<high>{_SUM})(?:\s*之间)?")),
    ("below", re.compile(rf"(?<![a-z]){_BELOW}{_LIMIT}(?P<high>{_SUM})")),
    ("above", re.compile(rf"(?<![a-z]){_ABOVE}{_LIMIT}(?P<low>{_SUM})")),
    (
        "below",
        re.compile(
            rf"(?P<high>{_SUM})\s*(?:or\s+(?:less|cheaper|below|under)|at\s+(?:the\s+)?most|(?:max(?:imum)?|tops)\b|以下|以内|之内)"
        ),
    ),
    ("above", re.compile(rf"(?P<low>{_SUM})\s*(?:or\s+(?:more|above|over)|and\s+(?:up|above)|以上|\+)")),
    ("about", re.compile(rf"(?<![a-z])(?:around|about|roughly|approximately|circa|~|大约|左右)\s*(?P<mid>{_SUM})")),
    ("below", re.compile(rf"(?P<high>{_CURRENCY}\s*(?:{_NUMBER})|(?:{_NUMBER})\s*{_UNIT}(?![a-z]))")),
)
_SIZE = re.compile(r"(?:size|eu|uk|us|no\.?|number|尺码)\s*$")


@dataclass(frozen=True)
class PriceRead:
    """`low` and `high` of what was asked for, both inclusive, and the span of the words in the text."""

    low: float | None
    high: float | None
    start: int
    end: int


def amount(text: str) -> float | None:
    """The number in a sum of money: "€1,299.50", "1.299,50", "40,5"; None if there is none that is finite.

    A separator before exactly three digits parts thousands, any other one is the decimal point.
    """
    found = re.search(_NUMBER, text)
    if found is None:
        return None
    digits = re.sub(r"[,.'\s](?=\d{3}(?!\d))", "", found.group())
    try:
        value = float(digits.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def prices_in(text: str) -> list[PriceRead]:
    """Every limit and range in folded `text`, in order; what overlaps an earlier kind of reading is left out.

    Numbers after a word that makes them a size are no prices; a sum with a currency and no word of comparison is a
    budget. Limits are inclusive: under 40 finds what costs 40.
    """
    found: list[PriceRead] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if any(start < one.end and one.start < end for one in found) or _SIZE.search(text[:start]):
                continue
            one = _read(kind, match)
            if one is not None:
                found.append(one)
    return sorted(found, key=lambda one: one.start)


def _read(kind: str, match: re.Match[str]) -> PriceRead | None:
    sums = {name: amount(words) for name, words in match.groupdict().items()}
    start, end = match.span()
    if any(value is None for value in sums.values()):
        return None
    if kind == "about":
        middle = sums["mid"] or 0.0
        return PriceRead(round(middle * (1 - ABOUT), 2), round(middle * (1 + ABOUT), 2), start, end)
    low, high = sums.get("low"), sums.get("high")
    if low is not None and high is not None and low > high:
        low, high = high, low
    return PriceRead(low, high, start, end)
