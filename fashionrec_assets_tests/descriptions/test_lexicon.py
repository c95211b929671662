"""The lexicon is consistent with itself and with the palette of measured colours."""

from __future__ import annotations

from fashionrec_assets.crops.colours import PALETTE
from fashionrec_assets.descriptions.lexicon import (
    COLOUR_FAMILY,
    NEIGHBOURS,
    TABLES,
    canonical,
    colours_agree,
    entries,
    key_of,
    meanings,
)


def test_every_value_means_itself() -> None:
    for attribute, table in TABLES.items():
        for line in table.strip().splitlines():
            value = line.partition(":")[0].strip()
            assert entries()[key_of(value)][1] == value, (attribute, value)


def test_no_word_stands_in_two_lines_of_a_table() -> None:
    for attribute, table in TABLES.items():
        lines = [{key_of(word) for word in line.replace(":", "|").split("|")} - {""} for line in table.splitlines()]
        keys = [key for line in lines for key in line]
        assert len(keys) == len(set(keys)), attribute


def test_measured_colours_have_a_family() -> None:
    assert set(PALETTE) <= set(COLOUR_FAMILY)
    assert {family for pair in NEIGHBOURS for family in pair} <= set(COLOUR_FAMILY.values())


def test_look_up_forgives_spelling() -> None:
    assert canonical("type", "T-Shirt") == "t-shirt"
    assert canonical("type", "tee") == "t-shirt"
    assert canonical("colour", "tee") is None
    assert meanings("红色") == {"red"}
    assert meanings("spaceship") == set()


def test_colours_agree_across_names_and_lights() -> None:
    assert colours_agree("navy", "blue")
    assert colours_agree("off white", "beige")
    assert colours_agree("Dusty Light", "red")
    assert not colours_agree("red", "green")
    assert not colours_agree("black", "yellow")
