"""The catalog as outfits see it: words as codes, families, slots and vectors, in the order of item ids.

Belongs here: turning columns of the catalog into arrays. Does not belong here: reading tables (`reading.py`), the log
(`baskets.py`), anything learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.names import item_name
from fashionrec_assets.recommendations.outfits.slots import AUDIENCES, SLOTS, audience_of, codes, go_together, slot_of

ATTRIBUTES: tuple[str, ...] = ("type", "category", "section", "audience", "brand", "colour", "pattern", "price band")
"""What pairs of values are counted for; `type` is the shop's product type."""
PRICE_BANDS = 8

Rows = Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Wardrobe:
    """n items, sorted by id; build it with `of`.

    `names` (n,): how a text calls an item. `families` int64 (n,), equal for variants of one design. `slots` int8 (n,),
    positions in `slots.SLOTS`, -1 unknown. `audiences` int8 (n,), positions in `slots.AUDIENCES`. `values`: for each
    of `ATTRIBUTES` its distinct words, the first of which, "", stands for unknown; `attributes` int32 (n, attributes):
    positions in them. `prices` float64 (n,), NaN unknown. `image` float32 (n, d1), `text` float32 (n, d2): unit
    vectors, zeros where there is none.
    """

    ids: NDArray[np.str_]
    names: tuple[str, ...]
    families: NDArray[np.int64]
    slots: NDArray[np.int8]
    audiences: NDArray[np.int8]
    values: tuple[tuple[str, ...], ...]
    attributes: NDArray[np.int32]
    prices: NDArray[np.float64]
    image: NDArray[np.float32]
    text: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, rows: Rows, image: NDArray[np.float32], text: NDArray[np.float32]) -> Wardrobe:
        """From rows of the table `items` in the order of their ids, and vectors (n, d) in the same order.

        A price belongs to one of `PRICE_BANDS` bands of equally many items. An item without a family is one alone.
        Raises ValueError if lengths differ or ids are not sorted.
        """
        if not len(rows) == len(image) == len(text):
            raise ValueError(f"{len(rows)} items, {len(image)} image and {len(text)} text vectors")
        ids = np.array([str(row["item_id"]) for row in rows], dtype=np.str_)
        if len(ids) > 1 and not bool(np.all(ids[:-1] < ids[1:])):
            raise ValueError("items must be sorted by id, and free of duplicates")

        def texts(name: str) -> list[str | None]:
            return [str(row[name]) if row[name] not in (None, "") else None for row in rows]

        categories, types, titles = texts("category"), texts("product_type"), texts("title")
        genders, sections = texts("gender"), texts("section")
        audiences = [audience_of(gender, section) for gender, section in zip(genders, sections, strict=True)]
        prices = np.array([np.nan if row["price"] is None else float(str(row["price"])) for row in rows])
        columns = [
            _coded(column)
            for column in (
                types,
                categories,
                sections,
                audiences,
                texts("brand"),
                texts("colour"),
                texts("pattern"),
                _bands(prices),
            )
        ]
        # Prefixes keep a family called like an item apart from that item's own family of one.
        families = [f"f{family}" if family else f"i{own}" for family, own in zip(texts("family_id"), ids, strict=True)]
        slots = [slot_of(*words) for words in zip(categories, types, (title or "" for title in titles), strict=True)]
        return cls(
            ids,
            tuple(item_name(title, own) for title, own in zip(titles, ids.tolist(), strict=True)),
            np.unique(np.array(families, dtype=np.str_), return_inverse=True)[1].astype(np.int64),
            codes(slots, SLOTS),
            codes(audiences, AUDIENCES),
            tuple(words for words, _ in columns),
            np.stack([places for _, places in columns], axis=1) if len(ids) else np.zeros((0, len(columns)), np.int32),
            prices,
            _units(image),
            _units(text),
        )

    def words(self, attribute: str, item: int) -> str:
        """The word for an attribute of the item in row `item`, "" if unknown."""
        column = ATTRIBUTES.index(attribute)
        return self.values[column][self.attributes[item, column]]

    def column(self, attribute: str) -> NDArray[np.int32]:
        """The codes (n,) of one attribute."""
        return self.attributes[:, ATTRIBUTES.index(attribute)]

    @cached_property
    def has_image(self) -> NDArray[np.bool_]:
        return np.asarray(self.image.any(axis=1))

    def matching(self, item: int) -> NDArray[np.bool_]:
        """bool (n,): what could be worn with the item in row `item`: another slot and family, a fitting audience.

        Nothing goes with an item of unknown slot.
        """
        if self.slots[item] < 0:
            return np.zeros(len(self), dtype=bool)
        fits = go_together()[self.audiences[item]][self.audiences]
        return fits & (self.slots >= 0) & (self.slots != self.slots[item]) & (self.families != self.families[item])


def _coded(column: Sequence[str | None]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The distinct words, "" (unknown) first, and each row's position in them."""
    words = ("", *sorted({word for word in column if word}))
    place = {word: position for position, word in enumerate(words)}
    return words, np.array([place[word or ""] for word in column], dtype=np.int32)


def _bands(prices: NDArray[np.float64]) -> list[str | None]:
    known = np.isfinite(prices)
    if not known.any():
        return [None] * len(prices)
    bounds = np.quantile(prices[known], np.linspace(0, 1, PRICE_BANDS + 1)[1:-1])
    found = np.searchsorted(bounds, np.where(known, prices, 0.0))
    return [f"{band + 1}" if there else None for band, there in zip(found.tolist(), known.tolist(), strict=True)]


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    values = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)
