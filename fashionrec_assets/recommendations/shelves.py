"""The shelves of a homepage: which candidates of a user stand on which, and in what order.

Belongs here: the shelves, what each may hold, and their titles. Does not belong here: where candidates and their scores
come from (`ranking`), how one list is made diverse (`diversity.py`), tables (`homepage.py`).

- `for_you`: the best candidates, varied by maximal marginal relevance.
- `because`: rests on one item of the user's, the anchor: of the candidates that the same people turn to (nearest in
  the two-tower space), the best. The anchor's own family of variants is left out.
- `new`: the best candidates that are new to the shop.
- `trending`: within the kinds of garment the user turns to most, what most people turned to lately.

An item stands on the first shelf that takes it. On the shelves after the first, a family of variants has one place.

Two spaces are used on purpose. What looks and reads alike is what a shopper sees as the same thing again, so `for_you`
is varied in the space of content; what the same people turn to need not look alike, so an anchor's company is found in
the two-tower space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.recommendations.cosines import SCALE
from fashionrec_assets.recommendations.diversity import Cap, mmr, places
from fashionrec_assets.settings import RecommendationSettings

if TYPE_CHECKING:
    from fashionrec_assets.ranking.late_fusion import RankedBlock

SHELVES: Final = ("for_you", "because", "new", "trending", "popular")
PERSONAL: Final = SHELVES[:-1]
"""The shelves that `arrange` fills; `popular` is for users about whom nothing is known."""

NEAREST = 5
"""So many times a shelf's size are the candidates nearest to the anchor, of which the best are shown."""

_DAY = 86_400
_BLOCK_NUMBERS = 16_000_000
_DONE = {"pv": "viewed", "fav": "saved", "buy": "bought"}
_TITLES = {
    "for_you": "For you",
    "new": "New in your style",
    "trending": "Trending in what you look for",
    "popular": "Popular now",
}


@dataclass(frozen=True)
class ShelfItems:
    """What the shelves know of the n items, by row of the log.

    `content`, `taste`: float32 (n, d), rounded by `cosines.rounded_units`: looks and wording, and the two-tower space.
    `families`: int64 (n,), equal for variants of one design. `kinds`: int64 (n,), the kind of garment, 0 unknown.
    `is_new`: bool (n,). `trend`: int64 (n,), people who turned to it lately. `shown`: bool (len(SHELVES), n), what may
    stand on each shelf. `caps`: the limits of each shelf, in the order of `SHELVES`.
    """

    content: NDArray[np.float32]
    taste: NDArray[np.float32]
    families: NDArray[np.int64]
    kinds: NDArray[np.int64]
    is_new: NDArray[np.bool_]
    trend: NDArray[np.int64]
    shown: NDArray[np.bool_]
    caps: tuple[tuple[Cap, ...], ...]

    def __post_init__(self) -> None:
        n = len(self.families)
        lengths = {len(self.content), len(self.taste), len(self.kinds), len(self.is_new), len(self.trend), n}
        if lengths != {n} or self.shown.shape != (len(SHELVES), n) or len(self.caps) != len(SHELVES):
            raise ValueError(f"the columns of {n} items do not fit together: lengths {sorted(lengths)}")


@dataclass(frozen=True)
class Shown:
    """Rows to be shown, sorted by owner then rank.

    `owner` int64 (r,): positions in the block's users. `shelf` int8 (r,): positions in `SHELVES`. `rank` int32 (r,): on
    the whole page, from 1. `shelf_rank` int32 (r,): on its shelf, from 1. `pair` int64 (r,): rows of the block's pairs.
    `anchors` int64 (r,): the item a row rests on, -1 for none.
    """

    owner: NDArray[np.int64]
    shelf: NDArray[np.int8]
    rank: NDArray[np.int32]
    shelf_rank: NDArray[np.int32]
    pair: NDArray[np.int64]
    anchors: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.owner)


def arrange(
    block: RankedBlock,
    items: ShelfItems,
    anchors: NDArray[np.int64],
    kinds: NDArray[np.int64],
    settings: RecommendationSettings,
) -> Shown:
    """The pages of the block's users, in which no item stands twice.

    `anchors` int64 (b,): the item row each user's `because` rests on, -1 for none. `kinds` int64 (b, k): the kinds of
    garment each turns to most, 0 for none. A further shelf with fewer than `shelf_least` items is left out. A user's
    page depends on nothing but their own rows.
    """
    owner, item = block.owner, block.items
    left = np.ones(len(owner), bool)
    shelves: list[NDArray[np.int64]] = []
    for shelf, name in enumerate(PERSONAL):
        open_to = left & items.shown[shelf][item]
        scores: NDArray[np.floating] = block.scores
        if name == "because":
            open_to &= anchors[owner] >= 0
            open_to[open_to] = _near(owner[open_to], item[open_to], anchors, items, NEAREST * settings.shelf_size)
        elif name == "new":
            open_to &= items.is_new[item]
        elif name == "trending":
            open_to &= (items.trend[item] > 0) & (items.kinds[item] > 0)
            open_to &= (kinds[owner] == items.kinds[item][:, None]).any(axis=1)
            # Equal crowds are told apart by what suits the user.
            scores = items.trend[item] + block.chances.astype(np.float64) / 2
        rows = np.flatnonzero(open_to)
        main = name == "for_you"
        chosen = mmr(
            owner[rows],
            item[rows],
            scores[rows],
            items.content,
            settings.homepage_size if main else settings.shelf_size,
            settings.diversity if main else 0.0,
            items.caps[shelf] if main else (*items.caps[shelf], Cap(items.families + 1, 1)),
        )
        found = rows[chosen]
        if not main:
            found = found[np.bincount(owner[found], minlength=len(block.users))[owner[found]] >= settings.shelf_least]
        left[found] = False
        shelves.append(found)
    return _on_pages(block, shelves, anchors)


def _near(
    owner: NDArray[np.int64], item: NDArray[np.int64], anchors: NDArray[np.int64], items: ShelfItems, size: int
) -> NDArray[np.bool_]:
    """bool (p,): the `size` pairs of each owner nearest to their anchor, of other families and on its side of it."""
    step = max(1, _BLOCK_NUMBERS // max(1, items.taste.shape[1]))
    cosines = np.zeros(len(owner), np.float32)
    for at in range(0, len(owner), step):
        part = slice(at, at + step)
        products = np.einsum("pd,pd->p", items.taste[item[part]], items.taste[anchors[owner[part]]])
        cosines[part] = products / SCALE
    fits = np.flatnonzero((items.families[item] != items.families[anchors[owner]]) & (cosines > 0))
    order = fits[np.lexsort((item[fits], -cosines[fits], owner[fits]))]
    near = np.zeros(len(owner), bool)
    near[order[places(owner[order]) < size]] = True
    return near


def _on_pages(block: RankedBlock, shelves: list[NDArray[np.int64]], anchors: NDArray[np.int64]) -> Shown:
    """One page of each user's shelves; the pairs of a shelf come sorted by owner, best first."""
    pair = np.concatenate(shelves)
    shelf = np.repeat(np.arange(len(shelves)), [len(rows) for rows in shelves])
    shelf_rank = np.concatenate([places(block.owner[rows]) for rows in shelves]) + 1
    order = np.lexsort((shelf_rank, shelf, block.owner[pair]))
    pair, shelf, shelf_rank = pair[order], shelf[order], shelf_rank[order]
    owner = block.owner[pair]
    return Shown(
        owner=owner,
        shelf=shelf.astype(np.int8),
        rank=(places(owner) + 1).astype(np.int32),
        shelf_rank=shelf_rank.astype(np.int32),
        pair=pair,
        anchors=np.where(shelf == PERSONAL.index("because"), anchors[owner], -1),
    )


def new_items(people: NDArray[np.number], launched: NDArray[np.int64], end: int, days: int) -> NDArray[np.bool_]:
    """bool (n,): items launched within `days` before `end` (UTC seconds), and those nobody (`people` (n,)) turned to.

    `launched` int64 (n,): UTC seconds; what is launched after `end` is not new yet.
    """
    recent = (launched >= end - days * _DAY) & (launched < end)
    return recent | ((people == 0) & (launched < end))


def shelf_title(shelf: str, anchor_name: str | None = None, behaviour: str | None = None) -> str:
    """What stands above a shelf: of `because`, what the user did (`behaviour`) with the item called `anchor_name`.

    Raises KeyError for an unknown shelf.
    """
    if shelf != "because":
        return _TITLES[shelf]
    if not anchor_name:
        return "Inspired by your activity"
    if behaviour is None:
        return f"Inspired by “{anchor_name}”"
    if behaviour == "cart":
        return f"Because you put “{anchor_name}” in your cart"
    return f"Because you {_DONE[behaviour]} “{anchor_name}”"
