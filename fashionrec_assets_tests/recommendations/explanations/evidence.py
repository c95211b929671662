"""Evidence to write about: one piece with every kind of fact, and as many random ones as a test wants."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any, get_args

from fashionrec_assets.recommendations.explanations.facts import KINDS, Evidence, Fact, Kind, Surface

AT = datetime(2024, 3, 3, 18, 30)
NAMES = (
    "Kitsu rose mens breton",
    "Bellamy & Co “deluxe” tee",
    "O'Hara elegant ankle shoes",
    "",
    "TOP QUALITY Y2K COLLARED WOMENS SOLID OUTERWEAR korean style lilac hat winter warm scarf",
    "围巾 显瘦 女装",
    '3-pack "basic" socks 100 %. Best price!',
)
VALUES = {
    "colour": ("Dark Blue", "red", "Off White", "Bronze/Copper"),
    "pattern": ("stripes", "All over pattern", "Application/3D", "solid"),
    "product_type": ("Dress", "t-shirt", "Leggings/Tights"),
    "brand": ("Bellamy & Co", "Volt9", "H&M+", "Perfect. You will love it, whatever you do today"),
    "section": ("Womens Nightwear, Socks & Tigh", "Ladies H&M Sport"),
    "gender": ("women", "Baby/Children"),
    "neckline": ("v-neck",),
}
EVERYTHING = (
    Fact("f1", "history", "fav", "Kitsu breton", "i1", AT, 12, 80, 0.9),
    Fact("f2", "shared", "colour", "Dark Blue", number=5, base=7, weight=0.5),
    Fact("f3", "attribute", "pattern", "stripes"),
    Fact("f4", "look", "cart", "Aurelle jeans", "i2", None, 0.87),
    Fact("f5", "wording", "anchor", "Aurelle jeans", "i2", None, 0.81),
    Fact("f6", "price", number=24.99, base=30.0),
    Fact("f7", "popularity", number=34, base=7),
    Fact("f8", "new", at=AT, number=3, base=5),
    Fact("f9", "pairing", "people", "Aurelle jeans", "i2", None, 12, 80),
    Fact("f10", "kinds", "dress", "bag", number=120, base=80.4),
    Fact("f11", "style", "3", "Soft romantic", number=3, base=7),
    Fact("f12", "asked", "colour", "red"),
    Fact("f13", "asked", "price_below", number=30.0, base=24.99),
    Fact("f14", "history", "buy", "Northfjord bomber", "x", AT),
    Fact("f15", "pairing", "baskets", "Aurelle jeans", "i2", None, 3, 8),
    Fact("f16", "price", number=9.5, base=None),
    Fact("f17", "popularity", number=4, base=7),
    Fact("f18", "new", at=AT, number=90, base=5),
    Fact("f19", "look", "pv", "Aurelle jeans", "i2", None, 0.6),
    Fact("f20", "shared", "brand", "Volt9", number=4, base=4),
)


def about(*facts: Fact, surface: Surface = "homepage", subject: str = "u1") -> Evidence:
    """Evidence for the item "x"."""
    return Evidence(surface, subject, "x", "Northfjord bomber", facts)


ALL = about(*EVERYTHING)


def random_fact(rng: random.Random, kind: Kind, name: str) -> Fact:
    number = rng.randint(1, 30)
    base = number + rng.choice((0, 0, 1, 5, 60))
    at = datetime(2024, rng.randint(1, 12), rng.randint(1, 28), 5)
    other: dict[str, Any] = {"item": f"i{rng.randint(0, 400)}", "value": rng.choice(NAMES)}
    did = rng.choice(("pv", "fav", "cart", "buy"))
    what = rng.choice(tuple(VALUES))
    value = rng.choice(VALUES[what])
    weight = rng.random()
    if kind == "history":
        if rng.random() < 0.1:
            other = {"item": "x", "value": "Northfjord bomber"}
        return Fact(name, kind, did, at=at, number=number - 1, base=base, weight=weight, **other)
    if kind == "shared":
        return Fact(name, kind, what, value, number=number, base=base, weight=weight)
    if kind == "attribute":
        return Fact(name, kind, what, value, weight=weight)
    if kind in ("look", "wording"):
        return Fact(name, kind, rng.choice((did, "anchor")), number=rng.uniform(0.6, 1), weight=weight, **other)
    if kind == "price":
        price, usual = rng.choice((24.99, 0.067779, 120.0, 9.5, 1.0)), rng.choice((None, 25.0, 0.071, 30.123, 119.0))
        return Fact(name, kind, number=price, base=usual, weight=weight)
    if kind == "popularity":
        return Fact(name, kind, number=number, base=rng.choice((1, 7, 14)), weight=weight)
    if kind == "new":
        return Fact(name, kind, at=at, number=rng.choice((0, 3, 14, 50)), base=rng.choice((0, 1, 5)), weight=weight)
    if kind == "pairing":
        return Fact(name, kind, rng.choice(("people", "baskets")), number=number, base=base, weight=weight, **other)
    if kind == "kinds":
        types = rng.choice(("dress", "t-shirt")), rng.choice(("bag", "t-shirt", "Leggings/Tights"))
        return Fact(name, kind, *types, number=number, base=number * rng.choice((0.3, 0.7, 1.2)), weight=weight)
    if kind == "style":
        shares = rng.choice(((number, base), (0, 0), (None, None)))
        called = rng.choice(("Soft romantic, floral", "Street", "All over 3"))
        return Fact(name, kind, "3", called, number=shares[0], base=shares[1], weight=weight)
    limit, factor = rng.choice((30.0, 25.0)), rng.choice((1, 0.7))
    if rng.random() < 0.3:
        return Fact(name, kind, "price_below", number=limit, base=limit * factor, weight=weight)
    if rng.random() < 0.3:
        return Fact(name, kind, "price_above", number=limit * factor, base=limit, weight=weight)
    return Fact(name, kind, what, value, weight=weight)


def random_evidence(rng: random.Random, subject: str) -> Evidence:
    kinds = rng.sample(KINDS, rng.randint(1, 6))
    facts = tuple(random_fact(rng, kind, f"f{place}") for place, kind in enumerate(kinds, 1))
    return about(*facts, surface=rng.choice(get_args(Surface)), subject=subject)
