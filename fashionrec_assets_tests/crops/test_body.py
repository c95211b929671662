"""Every usual kind of garment has its place, and every place is one on a body."""

from __future__ import annotations

import pytest

from fashionrec_assets.crops import body
from fashionrec_assets.crops.body import Region, region_of

REGIONS = [value for value in vars(body).values() if isinstance(value, Region)]


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: region.name)
def test_a_place_lies_on_the_body_and_has_some_give(region: Region) -> None:
    assert 0 <= region.top < region.bottom <= 1
    assert 0 < region.width <= 1
    assert 0 < region.breadth < 0.5
    assert region.top_give > 0 and region.bottom_give > 0
    assert not (region.carried and region.apart)


def test_from_head_to_foot() -> None:
    kinds = ["hat", "scarf", "skirt", "stockings", "shoes"]
    tops = [found.top for found in map(region_of, kinds) if found]
    assert len(tops) == len(kinds)
    assert tops == sorted(tops)
    short_to_long = [found.bottom for found in map(region_of, ["bra", "blouse", "jacket", "coat", "jumpsuit"]) if found]
    assert len(short_to_long) == 5
    assert short_to_long == sorted(short_to_long)


@pytest.mark.parametrize(
    ("kind", "region"),
    [
        ("Shirt dress", "dress"),
        ("T-shirt", "upper body"),
        ("Leggings/Tights", "legs"),
        ("Ankle boots", "feet and shins"),
        ("Hat/beanie", "head"),
        ("Trench coat", "upper body and thighs"),
        ("denim jackets", "upper body to the seat"),
        ("shoulder bag", "beside the hips"),
        ("romper", "dress"),
        ("umbrella", None),
        ("", None),
        (None, None),
    ],
)
def test_the_head_of_a_product_type_names_its_place(kind: str | None, region: str | None) -> None:
    found = region_of(kind)
    assert (found.name if found else None) == region


def test_words_of_a_street_photo_vocabulary_are_known() -> None:
    words = """bag belt blazer blouse bodysuit boots bra bracelet cape cardigan clogs coat dress earrings flats glasses
    gloves hat heels hoodie jacket jeans jumper leggings loafers necklace panties pants pumps purse ring romper sandals
    scarf shirt shoes shorts skirt sneakers socks stockings suit sunglasses sweater sweatshirt swimwear t-shirt tie
    tights top vest wallet watch wedges"""
    assert [word for word in words.split() if region_of(word) is None] == []
