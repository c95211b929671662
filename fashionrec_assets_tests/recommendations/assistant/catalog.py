"""A catalog small enough to know by heart."""

from __future__ import annotations

from fashionrec_assets.recommendations.assistant.catalog import CatalogFrame

ROWS: tuple[tuple[str, str, float | None, dict[str, str], list[tuple[str, str]]], ...] = (
    (
        "a",
        "Red &amp; floral dress",
        30.0,
        {"type": "dress", "colour": "red", "pattern": "floral", "gender": "women"},
        [],
    ),
    ("b", "Navy dress", 50.0, {"type": "dress", "colour": "navy", "pattern": "solid", "gender": "women"}, []),
    ("c", "Blue tee", 15.0, {"type": "t-shirt", "colour": "blue", "gender": "unisex", "brand": "O'Hara"}, []),
    ("d", "", None, {"type": "boots"}, [("colour", "black"), ("material", "leather"), ("type", "sneakers")]),
    ("e", "Sneakers", 80.0, {"colour": "white", "gender": "men", "section": "Mens Street"}, [("type", "sneakers")]),
    ("f", "Thing", 20.0, {}, []),
    ("g", "Light blue striped shirt", 40.0, {"type": "shirt", "colour": "light blue", "pattern": "stripes"}, []),
)


def small_catalog() -> CatalogFrame:
    names = ("type", "colour", "pattern", "gender", "brand", "section")
    return CatalogFrame.of(
        [row[0] for row in ROWS],
        [row[1] for row in ROWS],
        [row[2] for row in ROWS],
        {name: [row[3].get(name) for row in ROWS] for name in names},
        [(row[0], name, value) for row in ROWS for name, value in row[4]],
    )
