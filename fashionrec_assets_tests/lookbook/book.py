"""A lookbook's content written by hand: what the tests of its pages share."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from fashionrec_assets.crops.assets import CROP_COLUMNS
from fashionrec_assets.lookbook.content import Content
from fashionrec_assets.lookbook.rows import (
    Item,
    Look,
    Piece,
    Placed,
    Shelf,
    Shopper,
    Similar,
    Style,
    StyleAttribute,
    StyleShare,
    TurnedTo,
)
from fashionrec_assets.lookbook.why_not import Answer, Pull
from fashionrec_assets.recommendations.explanations.facts import Fact
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets_tests.catalog.shop import jpeg

HOSTILE = "<script>alert(1)</script> \"coat\" onload='x' & {{ 7 * 7 }} <img src=https://example.org/a.png>"
DAY = datetime(2024, 3, 31, 12)

_ITEMS = {
    "a": Item("a", "Red dress", "dress", "red", "Volt9", 20.0),
    "b": Item("b", HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0.0254),
    "c": Item("c", "Item c", None, None, None, None),
    "../d": Item("../d", "Blue bag", "bag", "blue", None, 10.0),
}
_FACTS = (
    Fact("f1", "history", "fav", HOSTILE, "b", DAY, 2, 3, 0.9),
    Fact("f2", "price", number=20.0, base=15.0, weight=-0.2),
    Fact("f3", "look", "fav", "Red dress", "a", None, 0.31, None, 0.4),
)
KNOWN = Shopper(
    "u<1>",
    "busy",
    7,
    2,
    (TurnedTo("b", "buy", DAY), TurnedTo("c", "pv", DAY)),
    (
        Shelf("for_you", "For you", (Placed("a", 0.2, f"You saved {HOSTILE}.", _FACTS), Placed("c", 0.1, "", ()))),
        Shelf("because", f"Because you bought “{HOSTILE}”", (Placed("../d", 0.1, "It is blue.", ()),)),
    ),
    (StyleShare(1, 0.5, 1),),
    (Placed("b", 0.3, "A change.", (), 2),),
)
STRANGER = Shopper("", "cold", 0, 0, (), (Shelf("popular", "Popular now", (Placed("a", 5, "Popular.", ()),)),), (), ())
_PULLS = (Pull("price", "its price", "2.0 times", -0.5), Pull("look", "its photo", "", 0.3))

CONTENT = Content(
    day=DAY,
    counts={"items": 1202, "shoppers": 3, "pages": 3, "explanations": 4, "styles": 2, "looks": 1},
    shoppers=(KNOWN, STRANGER),
    answers={
        "u<1>": (
            Answer("b", "bought", ("Already bought on 31 March; what was bought is not shown again.",)),
            Answer("a", "rank", (f"Place 30 of 90; the page shows “{HOSTILE}”.",), 30, 90, _PULLS),
        ),
        "": (Answer("../d", "unknown", ("Nothing is known.",)),),
    },
    looks=(Look("a", 1, 1.5, (Piece("footwear", Placed("b", 1.5, "It goes with it.", _FACTS), 0.5),)),),
    styles=(
        Style(1, HOSTILE, 3, 0.0, 0.0, (StyleAttribute("colour", (HOSTILE,), 0.9, 2.0),), ("a", "b")),
        Style(2, "Bags", 1, 1.0, 1.0, (), ("../d",)),
    ),
    points=((1, 0.1, 0.2), (2, 0.9, 0.8)),
    items=_ITEMS,
    paged=("a", "b", "../d"),
    similar={"a": {"both": (Similar("b", 0.9), Similar("c", 0.8)), "text": (Similar("b", 0.7),)}},
    complements={"a": ("../d",)},
    item_styles={"a": 1, "b": 1, "../d": 2},
    reports=(),
)
EMPTY = replace(
    CONTENT,
    counts=dict.fromkeys(CONTENT.counts, 0),
    shoppers=(replace(STRANGER, shelves=()),),
    answers={},
    looks=(),
    styles=(),
    points=(),
    items={},
    paged=(),
    similar={},
    complements={},
    item_styles={},
)
"""A shop of which no product has made anything."""


def crops(folder: Path, *ids: str) -> BucketStore:
    """A store with a crop for each of `ids`."""
    store = BucketStore(folder, 2, CROP_COLUMNS)
    rows = {"item_id": list(ids), "jpeg": [jpeg("red", (300, 400)) for _ in ids]}
    store.put(pa.table(rows, schema=store.schema))
    return store
