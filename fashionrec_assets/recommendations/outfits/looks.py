"""What goes with an item, and whole looks around it.

Belongs here: choosing complements and looks by the model's scores. Does not belong here: the scores
(`compatibility.py`), what is said about a choice (`evidence.py`).

A look is a base, top and bottom or dress, and what is added to it, each slot once. Its score is the mean over its pairs
of items of the model's score, of the one that is filled in later beside the earlier, plus `coherence` times the mean
cosine of their photos and texts.
Slots are filled by a beam search that keeps the unfinished looks of the largest sums, those of the base first; a slot
with nothing to offer is left out, a base with a gap is no look. A further look has no item of the ones before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.recommendations.outfits.affinity import Affinity
from fashionrec_assets.recommendations.outfits.compatibility import QUERY_BLOCK, Compatibility, Progress, quiet
from fashionrec_assets.recommendations.outfits.slots import BASES, FURTHER, SLOTS
from fashionrec_assets.settings import OutfitSettings

_SLOT = {name: position for position, name in enumerate(SLOTS)}
_PHOTO, _TEXT = -2, -1
"""Columns of the cosines in `affinity.FEATURES`."""


@dataclass(frozen=True)
class Chosen:
    """Rows of items: `anchors` (p,), `places` (p,) from 1 (the rank, or the number of the look), `items` (p,),
    `scores` (p,) of the complement or of the look, `coherence` (p,): mean cosine of the item with the rest of the
    look."""

    anchors: NDArray[np.int64]
    places: NDArray[np.int64]
    items: NDArray[np.int64]
    scores: NDArray[np.float64]
    coherence: NDArray[np.float64]


def choose(
    model: Compatibility,
    affinity: Affinity,
    anchors: NDArray[np.int64],
    settings: OutfitSettings,
    *,
    allowed: NDArray[np.bool_] | None = None,
    progress: Progress = quiet,
) -> tuple[Chosen, Chosen]:
    """(complements, looks) of the items in rows `anchors` (a,); only items of `allowed` bool (n,) are chosen."""
    wardrobe, n = affinity.wardrobe, len(affinity.wardrobe)
    shown = np.ones(n, dtype=bool) if allowed is None else allowed
    listed: list[tuple[int, int, int, float, float]] = []
    dressed: list[tuple[int, int, int, float, float]] = []
    for start in range(0, len(anchors), QUERY_BLOCK):
        rows = anchors[start : start + QUERY_BLOCK]
        one_each = np.ones(len(rows), np.float32), (np.arange(len(rows)), rows)
        scores = np.round(model.score(affinity, sparse.csr_array(one_each, shape=(len(rows), n))), 3)
        pools = []
        for anchor, line in zip(rows.tolist(), scores, strict=True):
            line[~(wardrobe.matching(anchor) & shown)] = -np.inf
            best = _one_a_family(_best(line, 4 * settings.complements), wardrobe.families)[: settings.complements]
            listed += [(anchor, rank, item, float(line[item]), 0.0) for rank, item in enumerate(best, 1)]
            pools.append(_by_slot(line, wardrobe.slots, wardrobe.families, settings) if settings.looks else {})
        dressed += _looks_of(model, affinity, rows.tolist(), pools, settings)
        progress(min(start + QUERY_BLOCK, len(anchors)), len(anchors))
    complements = _rows(listed)
    alike = affinity.pairs(complements.anchors, complements.items)[:, [_PHOTO, _TEXT]].mean(axis=1)
    return (
        Chosen(complements.anchors, complements.places, complements.items, complements.scores, alike.astype(float)),
        _rows(dressed),
    )


def _looks_of(
    model: Compatibility,
    affinity: Affinity,
    anchors: Sequence[int],
    pools: Sequence[dict[int, list[int]]],
    settings: OutfitSettings,
) -> list[tuple[int, int, int, float, float]]:
    """The looks of a block of anchors; pairs of all that may be in one are scored in one go."""
    members = [
        np.array([anchor, *(item for items in pool.values() for item in items)], dtype=np.int64)
        for anchor, pool in zip(anchors, pools, strict=True)
    ]
    places = []
    for own in members:
        slots = affinity.wardrobe.slots[own]
        earlier, later = np.triu_indices(len(own), 1)
        differ = slots[earlier] != slots[later]
        places.append((earlier[differ], later[differ]))
    first = np.concatenate([own[earlier] for own, (earlier, _) in zip(members, places, strict=True)])
    second = np.concatenate([own[later] for own, (_, later) in zip(members, places, strict=True)])
    features = affinity.pairs(first, second)
    ways = (features @ model.weights.astype(np.float32)).astype(np.float64)
    alike = features[:, [_PHOTO, _TEXT]].mean(axis=1).astype(np.float64)
    found: list[tuple[int, int, int, float, float]] = []
    at = 0
    for anchor, pool, own, (earlier, later) in zip(anchors, pools, members, places, strict=True):
        size, part = len(own), slice(at, at + len(earlier))
        at += len(earlier)
        cosines, worth = np.zeros((size, size)), np.zeros((size, size))
        cosines[earlier, later] = cosines[later, earlier] = alike[part]
        worth[earlier, later] = worth[later, earlier] = ways[part] + settings.coherence * alike[part]
        slots = affinity.wardrobe.slots[own]
        used = np.zeros(size, dtype=bool)
        for number in range(1, settings.looks + 1):
            best = _best_look(worth, slots, used, affinity.wardrobe.families[own], settings.beam) if pool else None
            if best is None:
                break
            chosen, score = best
            for place in chosen[1:]:
                others = [other for other in chosen if other != place]
                found.append((anchor, number, int(own[place]), score, float(cosines[place, others].mean())))
            used[chosen[1:]] = True
    return found


def _best_look(
    worth: NDArray[np.float64],
    slots: NDArray[np.int8],
    used: NDArray[np.bool_],
    families: NDArray[np.int64],
    beam: int,
) -> tuple[list[int], float] | None:
    """(places, score) of the best look around place 0, without `used` places; None if there is none."""
    anchor = int(slots[0])
    best: tuple[list[int], float] | None = None
    based = {name for base in BASES for name in base}
    for base in BASES:
        slotted = SLOTS[anchor]
        if slotted not in (*base, *FURTHER) or (slotted in based and slotted not in base):
            continue
        totals, looks, complete = np.zeros(1), np.zeros((1, 1), dtype=np.int64), True
        for name in (one for one in (*base, *FURTHER) if one != slotted):
            offers = np.flatnonzero((slots == _SLOT[name]) & ~used)
            fresh = (families[offers][None, :, None] != families[looks][:, None, :]).all(axis=2)
            if not fresh.any():
                complete = complete and name not in base
                continue
            grown = totals[:, None] + worth[offers[None, :, None], looks[:, None, :]].sum(axis=2)
            grown = np.where(fresh, np.round(grown, 6), -np.inf).ravel()
            kept = np.argsort(-grown, kind="stable")[:beam]
            kept = kept[np.isfinite(grown[kept])]
            before, offer = np.divmod(kept, len(offers))
            totals, looks = grown[kept], np.column_stack([looks[before], offers[offer]])
        size = looks.shape[1]
        if not complete or size < 2:
            continue
        # Each pair was counted once; there are size (size - 1) / 2 pairs.
        score = round(float(2 * totals[0] / (size * (size - 1))), 3)
        if best is None or score > best[1]:
            best = looks[0].tolist(), score
    return best


def _best(line: NDArray[np.float32], most: int) -> list[int]:
    """The places of the largest finite values of `line`, best first; ties go to the smaller place."""
    keep = min(most, len(line))
    near = np.flatnonzero(line >= np.partition(line, len(line) - keep)[len(line) - keep]) if keep else np.empty(0, int)
    near = near[np.isfinite(line[near])]
    return near[np.lexsort((near, -line[near]))][:most].tolist()


def _one_a_family(items: Sequence[int], families: NDArray[np.int64]) -> list[int]:
    """`items` in their order, only the first of each family."""
    first: dict[int, int] = {}
    for item in items:
        first.setdefault(int(families[item]), item)
    return list(first.values())


def _by_slot(
    line: NDArray[np.float32], slots: NDArray[np.int8], families: NDArray[np.int64], settings: OutfitSettings
) -> dict[int, list[int]]:
    """The best items of each slot of a look, enough for all looks."""
    most = settings.slot_candidates + settings.looks - 1
    found: dict[int, list[int]] = {}
    for name in (*(name for base in BASES for name in base), *FURTHER):
        members = np.flatnonzero((slots == _SLOT[name]) & np.isfinite(line))
        best = _one_a_family(members[_best(line[members], 3 * most)].tolist(), families)[:most]
        if best:
            found[_SLOT[name]] = best
    return found


def _rows(found: list[tuple[int, int, int, float, float]]) -> Chosen:
    anchors, places, items, scores, coherence = zip(*found, strict=True) if found else ((), (), (), (), ())
    return Chosen(
        np.array(anchors, np.int64),
        np.array(places, np.int64),
        np.array(items, np.int64),
        np.array(scores, np.float64),
        np.array(coherence, np.float64),
    )
