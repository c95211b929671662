from __future__ import annotations

import re
from collections import Counter

import numpy as np

from fashionrec_assets.sample import titles
from fashionrec_assets.sample.attributes import COLOURS, draw_wardrobe


def test_titles_are_a_soup() -> None:
    rng = np.random.default_rng(5)
    wardrobe = draw_wardrobe(900, rng)
    texts = [titles.title(wardrobe, row, rng) for row in range(len(wardrobe))]
    seen: Counter[str] = Counter()
    names_own_type = names_own_colour = 0
    for row, text in enumerate(texts):
        seen["empty"] += text == ""
        seen["chinese"] += bool(re.search(r"[\u4e00-\u9fff]", text))
        seen["entity"] += bool(re.search(r"&(amp|#x27|lt|gt|quot);", text))
        seen["capitals"] += len(text) > 8 and text.isupper()
        seen["year"] += "2024" in text
        product, colour = wardrobe.type_of(row), COLOURS[int(wardrobe.colours[row])]
        lowered = text.lower()
        names_own_type += any(word in lowered for word in (product.name, product.chinese, *product.synonyms))
        names_own_colour += any(word in lowered for word in (colour.name, colour.chinese, *colour.synonyms))
    for kind in ("empty", "chinese", "entity", "capitals", "year"):
        assert 0.004 < seen[kind] / len(texts) < 0.5, (kind, seen[kind])
    # Words help, but often miss the point: the clean fields must be the better source.
    assert 0.6 < names_own_type / len(texts) < 0.95
    assert 0.35 < names_own_colour / len(texts) < 0.75


def test_half_of_the_descriptions_are_blank() -> None:
    rng = np.random.default_rng(6)
    wardrobe = draw_wardrobe(400, rng)
    blank = np.mean([titles.description(wardrobe, row, rng) == "" for row in range(len(wardrobe))])
    assert 0.4 < blank < 0.6
