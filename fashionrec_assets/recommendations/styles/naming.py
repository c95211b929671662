"""Names of styles: the words that best tell a style's items from all others, and are true of most of them.

Belongs here: choosing and wording names. Does not belong here: which item is of which style (`clusters.py`).

A name says what its items are (a type of garment, or one of a few) and up to three further attributes. Of all such
descriptions that hold, as a whole, for at least the share `name_share` of the style's items, the one with the highest
F1 in telling the style's items from the rest of the catalog is taken: it holds for many items of the style and for few
others. One that names no kind of garment has to be better by a tenth. Where two styles would be called the same, the
smaller one takes its next best description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.recommendations.styles.labels import Label, Labels

MOST_OF = 0.5
"""A name is given up when it has become true of no more than this share of a style's items."""

_BEFORE = ("gender", "style", "fit", "colour", "pattern", "material", "neckline", "length")
"""Attributes that stand before the noun, in this order."""
_AFTER = {"sleeves": "with {}", "brand": "by {}", "section": "of “{}”"}
_FURTHER = 3
_NOUNS = ("type", "category")
_NOUN_CHOICES = 4
_NOUNLESS = 1 / 1.1
_GENDERS = {"women": "women's", "men": "men's", "girls": "girls'", "boys": "boys'", "kids": "kids'"}
_UNCHANGED = {"headwear", "footwear", "underwear", "outerwear", "swimwear", "nightwear", "knitwear", "jewellery"}


@dataclass(frozen=True)
class Part:
    """An attribute of a name: one of `values` of `facet` holds for the `share` of the style's items, `lift` times the
    share of the catalog."""

    facet: str
    values: tuple[str, ...]
    share: float = 0.0
    lift: float = 0.0


@dataclass(frozen=True)
class Naming:
    """A style's name; `truth`: the share of its items for which every part holds."""

    name: str
    parts: tuple[Part, ...]
    truth: float


def name_styles(
    labels: Labels,
    style: NDArray[np.int64],
    count: int,
    *,
    least: float,
    kept: Mapping[int, Naming] | None = None,
) -> list[Naming]:
    """The names of the styles 0 to count - 1, of which item row i has `style[i]`; all different.

    `least`: the share of a style's items for which its name must hold, more than one half. A name of `kept` stays as
    long as it holds for most of the style's items, however well another would do. A style for which no description
    holds for so many is called "Mixed pieces", which says nothing of an attribute.
    """
    if not MOST_OF < least <= 1:
        raise ValueError(f"a name must be true of most items: a share above {MOST_OF}, not {least}")
    sizes = np.bincount(style, minlength=count)
    out: dict[int, Naming] = {}
    for number, naming in sorted((kept or {}).items()):
        if number < count:
            again = _measured(labels, style == number, naming.parts, naming.name)
            if again.truth > MOST_OF or not naming.parts:
                out[number] = again
    taken = {naming.name for naming in out.values()}
    for number in np.argsort(-sizes, kind="stable").tolist():
        if number in out:
            continue
        mine = style == number
        for parts in _descriptions(labels, mine, least):
            name = worded(parts)
            if name not in taken:
                out[number] = _measured(labels, mine, parts, name)
                break
        else:
            plain = "Mixed pieces"
            name = next(one for one in (plain, *(f"{plain} {n}" for n in range(2, count + 2))) if one not in taken)
            out[number] = Naming(name, (), 1.0)
        taken.add(out[number].name)
    return [out[number] for number in range(count)]


def worded(parts: Sequence[Part]) -> str:
    """The parts as a noun phrase, such as "Women's floral dresses or skirts"."""
    by_facet = {part.facet: part for part in parts}
    words = [_either([_adjective(facet, v) for v in by_facet[facet].values]) for facet in _BEFORE if facet in by_facet]
    noun = next((by_facet[facet] for facet in _NOUNS if facet in by_facet), None)
    words.append("pieces" if noun is None else _either([_noun(noun.facet, v) for v in noun.values]))
    for facet, pattern in _AFTER.items():
        if facet in by_facet:
            words.append(pattern.format(_either([_titled(facet, value) for value in by_facet[facet].values])))
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def plural(noun: str) -> str:
    """The plural of an English noun phrase; what already ends in a single s stays."""
    last = noun.split()[-1] if noun.strip() else noun
    if last in _UNCHANGED or (last.endswith("s") and not last.endswith("ss")):
        return noun
    if last.endswith("scarf"):
        return noun[:-1] + "ves"
    if last.endswith(("ss", "sh", "ch", "x")):
        return noun + "es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def _noun(facet: str, value: str) -> str:
    """A category of several words is a heading of the catalog ("garment upper body"), and no word for its items."""
    return value if facet == "category" and " " in value else plural(value)


def _adjective(facet: str, value: str) -> str:
    return _GENDERS.get(value, value) if facet == "gender" else value


def _titled(facet: str, value: str) -> str:
    return value.title() if facet in ("brand", "section") else value


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _measured(labels: Labels, mine: NDArray[np.bool_], parts: Sequence[Part], name: str) -> Naming:
    holds = [labels.any_of(part.facet, part.values) for part in parts]
    size = max(int(mine.sum()), 1)
    shares = [float((mine & one).sum() / size) for one in holds]
    lifts = [share / max(float(one.mean()), 1e-9) for share, one in zip(shares, holds, strict=True)]
    whole = np.logical_and.reduce([mine, *holds])
    told = tuple(
        Part(p.facet, p.values, round(s, 4), round(x, 4)) for p, s, x in zip(parts, shares, lifts, strict=True)
    )
    return Naming(name, told, round(float(whole.sum() / size), 4))


def _descriptions(labels: Labels, mine: NDArray[np.bool_], least: float) -> Iterator[tuple[Part, ...]]:
    """Descriptions that hold for the share `least` of the items `mine` (n,), the best first."""
    size = int(mine.sum())
    if not size or not labels.names:
        return
    share = labels.holds[mine].mean(axis=0)
    further = [
        Part(facet, (value,))
        for column, (facet, value) in enumerate(labels.names)
        if facet not in _NOUNS and share[column] >= least and share[column] > labels.holds[:, column].mean()
    ]
    types, categories = _nouns(labels, share, "type"), _nouns(labels, share, "category")
    plain = [part for part in types if len(part.values) < 3] + [part for part in categories if len(part.values) == 1]
    lists = [part for part in (*types, *categories) if part not in plain]
    # A long list of garments only where nothing shorter is true of enough items.
    for choices in ([None, *plain], lists):
        ranked = _ranked(labels, mine, choices, further, least)
        yield from (parts for *_, parts in sorted(ranked, key=lambda one: one[:3]))


def _ranked(
    labels: Labels, mine: NDArray[np.bool_], nouns: Sequence[Part | None], further: Sequence[Part], least: float
) -> list[tuple[float, int, str, tuple[Part, ...]]]:
    """Less the F1, the parts, the words and the parts themselves of every description that holds for enough."""
    size = int(mine.sum())
    ranked: list[tuple[float, int, str, tuple[Part, ...]]] = []
    for noun in nouns:
        base = np.ones(len(mine), bool) if noun is None else labels.any_of(noun.facet, noun.values)
        if (mine & base).sum() < least * size:
            continue
        for length in range(0 if noun else 1, _FURTHER + 1):
            for more in combinations(further, length):
                if not _sensible(more):
                    continue
                holds = np.logical_and.reduce([base, *(labels.any_of(p.facet, p.values) for p in more)])
                hit = int((holds & mine).sum())
                if hit < least * size:
                    continue
                f1 = 2 * hit / (size + int(holds.sum())) * (1 if noun else _NOUNLESS)
                parts = (*([noun] if noun else []), *more)
                ranked.append((-round(f1, 6), len(parts), worded(parts), parts))
    return ranked


def _nouns(labels: Labels, share: NDArray[np.float64], facet: str) -> list[Part]:
    """The commonest values of a facet, alone, in pairs and in threes; the commonest first in each."""
    found: list[tuple[float, Label]] = sorted(
        (-float(share[column]), label)
        for column, label in enumerate(labels.names)
        if label[0] == facet and share[column]
    )
    values = [label[1] for _, label in found[:_NOUN_CHOICES]]
    return [Part(facet, chosen) for size in (1, 2, 3) for chosen in combinations(values, size)]


def _sensible(parts: Sequence[Part]) -> bool:
    """Whether attributes go together in a name: one value of each, and no section beside what it says itself."""
    facets = [part.facet for part in parts]
    return len(set(facets)) == len(facets) and not ("section" in facets and {"gender", "style"} & set(facets))
