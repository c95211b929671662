"""Where on a body a kind of garment is worn: the layout prior of the offline grounder.

Belongs here: the map from product-type words to a share of the standing figure, from drawing-school proportions (a
figure is about 7.5 heads tall) and not fitted on any labelled photos. Does not belong here: pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A share of a standing figure's height (0 the crown of the head, 1 the soles).

    `width` is how much of the figure's silhouette in those rows counts: 1 all of it, less for what is narrow.
    """

    name: str
    top: float
    bottom: float
    width: float = 1.0


HEAD = Region("head", 0.0, 0.11, 0.8)
NECK = Region("neck", 0.12, 0.32, 0.6)
UPPER = Region("upper body", 0.15, 0.52)
CROPPED = Region("upper body, short", 0.15, 0.42)
OUTER = Region("upper body and thighs", 0.15, 0.66)
WAIST = Region("waist", 0.38, 0.46, 0.7)
HIPS = Region("hips to knees", 0.42, 0.70)
SHORT_LEGS = Region("hips to thighs", 0.42, 0.62)
LEGS = Region("legs", 0.42, 0.95, 0.9)
FEET = Region("feet", 0.92, 1.0)
BOOTS = Region("feet and shins", 0.78, 1.0)
SOCKS = Region("ankles", 0.82, 0.97)
DRESS = Region("dress", 0.15, 0.70)
FULL = Region("neck to ankles", 0.15, 0.95)

_WORDS: dict[Region, str] = {
    HEAD: "hat cap beanie headband alice glasses sunglasses headwear earring earrings hair helmet beret",
    NECK: "scarf necklace tie collar bowtie shawl snood",
    CROPPED: "bra bikini crop bustier",
    UPPER: "top t-shirt tshirt tee shirt blouse sweater jumper sweatshirt hoodie cardigan vest waistcoat polo tank "
    "tunic bodysuit jacket blazer pullover knit camisole tops upper cape knitwear poncho",
    OUTER: "coat parka trench raincoat overcoat outerwear coats",
    WAIST: "belt",
    HIPS: "skirt skirts",
    SHORT_LEGS: "shorts underwear briefs boxers panties trunks swimwear",
    LEGS: "trousers pants jeans leggings tights jogger joggers chinos culottes bottoms lower stockings slacks",
    FEET: "shoes shoe sneakers sneaker sandals sandal heels pumps flats loafers loafer slippers ballerinas wedges "
    "clogs footwear mules trainers",
    BOOTS: "boots boot",
    SOCKS: "socks sock",
    DRESS: "dress dresses gown full robe nightgown",
    FULL: "jumpsuit romper overall overalls dungarees playsuit suit onesie pyjamas costume",
}
_REGION = {word: region for region, words in _WORDS.items() for word in words.split()}


def region_of(product_type: str | None) -> Region | None:
    """The region of the last word of `product_type` that names one, or None.

    The last word wins because English puts the head of a compound there: "shirt dress" is a dress.
    """
    if not product_type:
        return None
    for word in reversed(re.findall(r"[a-z]+(?:-[a-z]+)?", product_type.lower())):
        region = _REGION.get(word)
        if region is None and word.endswith("s"):
            region = _REGION.get(word[:-1])
        if region is not None:
            return region
    return None
