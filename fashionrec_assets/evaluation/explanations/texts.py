"""How explanations read: variety, the catalog's features they name, readability and length.

Belongs here: figures of texts. Does not belong here: whether a text is true (`grounds.py`).

USR, FMR, FCR and DIV are those of Li, Zhang and Chen, "Generate Neural Template Explanations for Recommendation" (CIKM
2020, section 4.3) and "Personalized Transformer for Explainable Recommendation" (ACL 2021). There a feature is a word
that reviews have in common; here it is a value of an attribute of the catalog. Readability is Flesch's reading ease
("A new readability yardstick", Journal of Applied Psychology 32, 1948), for English: 206.835 − 1.015 words a sentence −
84.6 syllables a word. Syllables are counted as groups of vowels, a final silent e left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

FEATURE_KINDS = frozenset({"shared", "attribute", "asked", "style"})
"""Kinds of facts whose `value` is a feature; that of the others is a name."""

_WORD = re.compile(r"\w+(?:['’]\w+)?", re.UNICODE)
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")
_VOWELS = re.compile(r"[aeiouy]+")

Feature = tuple[str, ...]
"""The words of a feature, in lower case."""


def words(text: str) -> tuple[str, ...]:
    """The words of a text, in lower case; a hyphen parts words."""
    return tuple(_WORD.findall(text.casefold()))


def sentences(text: str) -> list[str]:
    """The sentences of a text, as they stand; an abbreviation's full stop before a space ends one too."""
    return [one.strip() for one in _SENTENCE.split(text.strip()) if one.strip()]


def unique_sentence_ratio(texts: Iterable[str]) -> float:
    """USR: different sentences among all sentences; 0 without any."""
    said = [one for text in texts for one in sentences(text)]
    return len(set(said)) / len(said) if said else 0.0


class Vocabulary:
    """The features of a catalog, and which of them a text names."""

    def __init__(self, values: Iterable[str]) -> None:
        self.features: frozenset[Feature] = frozenset(found for value in values if (found := words(value)))
        self._lengths = sorted({len(feature) for feature in self.features})

    def named(self, text: str) -> frozenset[Feature]:
        """The features whose words stand in `text` one after another."""
        said = words(text)
        found = {said[at : at + length] for length in self._lengths for at in range(len(said) - length + 1)}
        return self.features & found


def names(text: str, value: str) -> bool:
    """Whether the words of `value` stand in `text` one after another, the last of them perhaps in the plural."""
    wanted, said = words(value), words(text)
    if not wanted:
        return False
    forms = (wanted, (*wanted[:-1], f"{wanted[-1]}s"), (*wanted[:-1], f"{wanted[-1]}es"))
    return any(said[at : at + len(wanted)] in forms for at in range(len(said) - len(wanted) + 1))


def feature_coverage_ratio(named: Iterable[frozenset[Feature]], features: frozenset[Feature]) -> float:
    """FCR: features that some text names among all `features`; 0 if there are none."""
    return len(frozenset().union(*named) & features) / len(features) if features else 0.0


def feature_overlap(named: Sequence[frozenset[Feature]]) -> float:
    """DIV: features that two explanations have in common, mean over all pairs; lower is more varied.

    Computed from how many explanations name each feature, in linear time: a feature named by c of them is common to
    c(c − 1)/2 pairs. 0 for fewer than two explanations.
    """
    n = len(named)
    if n < 2:
        return 0.0
    counts = Counter(feature for one in named for feature in one)
    return sum(count * (count - 1) for count in counts.values()) / (n * (n - 1))


def reading_ease(text: str) -> float | None:
    """Flesch's reading ease, about 100 for very easy and 0 for very hard; None for a text without words."""
    said = words(text)
    if not said:
        return None
    return 206.835 - 1.015 * len(said) / max(len(sentences(text)), 1) - 84.6 * sum(map(syllables, said)) / len(said)


def syllables(word: str) -> int:
    """Groups of vowels, less a final silent e; one at the least."""
    groups = len(_VOWELS.findall(word))
    silent = word.endswith("e") and not word.endswith(("le", "ee", "oe", "ye"))
    return max(groups - silent, 1)
