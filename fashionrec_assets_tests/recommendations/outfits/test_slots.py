import numpy as np
import pytest

from fashionrec_assets.descriptions.lexicon import TYPES
from fashionrec_assets.recommendations.outfits.slots import (
    AUDIENCES,
    BASES,
    CATEGORY_SLOTS,
    FURTHER,
    SLOTS,
    TYPE_SLOTS,
    audience_of,
    go_together,
    slot_of,
)


@pytest.mark.parametrize(
    ("category", "product_type", "title", "slot"),
    [
        ("Garment Upper body", "Vest top", "", "top"),
        ("Swimwear", "Bikini top", "", "swimwear"),
        ("Garment Upper body", "Cardigan", "", "outerwear"),
        ("Garment Lower body", "Leggings/Tights", "", "bottom"),
        ("Socks & Tights", "Underwear Tights", "", "legwear"),
        ("Garment Full body", "Garment Set", "", "dress"),
        ("Accessories", "Hair clip", "", "accessory"),
        ("Shoes", "Ballerinas", "", "footwear"),
        ("Items", "Dog wear", "", None),
        (None, None, "Kitsu rose sneakers", "footwear"),
        (None, "跑鞋", "black sneakers", None),
        ("Unknown", "Unknown", "", None),
    ],
)
def test_words_lead_to_a_slot(category: str | None, product_type: str | None, title: str, slot: str | None) -> None:
    assert slot_of(category, product_type, title) == slot


def test_every_type_of_the_lexicon_has_a_slot() -> None:
    known = {line.partition(":")[0].strip() for line in TYPES.strip().splitlines()}
    assert known == set(TYPE_SLOTS)
    assert set(TYPE_SLOTS.values()) <= set(SLOTS)
    assert {slot for _, slot in CATEGORY_SLOTS} - {""} <= set(SLOTS)
    assert {name for base in BASES for name in base} | set(FURTHER) <= set(SLOTS)


@pytest.mark.parametrize(
    ("gender", "section", "audience"),
    [
        ("Ladieswear", None, "women"),
        ("Menswear", "Womens Trend", "men"),
        ("Sport", "Men H&M Sport", "men"),
        ("Sport", "Kids Sports", "kids"),
        ("Divided", None, "women"),
        ("unisex", "Mens Casual", "anyone"),
        (None, "Womens Office", "women"),
        (None, None, "anyone"),
    ],
)
def test_words_lead_to_an_audience(gender: str | None, section: str | None, audience: str) -> None:
    assert audience_of(gender, section) == audience


def test_nobody_is_dressed_in_what_is_made_for_others() -> None:
    allowed = go_together()
    place = {name: position for position, name in enumerate(AUDIENCES)}
    assert not allowed[place["women"], place["men"]]
    assert not allowed[place["kids"], place["anyone"]]
    assert allowed[place["women"], place["anyone"]]
    assert bool(np.all(allowed == allowed.T))
