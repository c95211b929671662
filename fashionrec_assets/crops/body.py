"""Where on a body a kind of garment is worn: the layout prior of the offline grounder.

Belongs here: the map from product-type words to a share of the standing figure. Heights follow drawing-school
proportions (a figure of 7.5 heads: chin 0.13, shoulders 0.18, waist 0.40, crotch and wrists 0.52, knees 0.72, ankles
0.95) and body-segment lengths (Drillis and Contini 1966); lengths are what tailors cut: a jacket covers the seat, a
coat, a dress and a skirt end about the knee, a shirt at the hips. Nothing is fitted on labelled photos. Does not
belong here: pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A share of a standing figure's height (0 the crown of the head, 1 the soles).

    `top_give` and `bottom_give` are how far the edges usually lie from there (standard deviations, same unit);
    `breadth` is the usual width as a share of the stature, sleeves included where there are any; `width` is how much
    of the silhouette in those rows counts as the garment's middle: 1 all of it, less for what is narrow. `carried`
    things hang beside the body, at one of its sides; of what is worn `apart` there are two with a gap between.
    """

    name: str
    top: float
    bottom: float
    width: float = 1.0
    top_give: float = 0.02
    bottom_give: float = 0.05
    breadth: float = 0.30
    carried: bool = False
    apart: bool = False


HEAD = Region("head", 0.0, 0.11, 0.8, 0.01, 0.02, 0.14)
NECK = Region("neck", 0.12, 0.32, 0.6, 0.02, 0.07, 0.20)
UPPER = Region("upper body", 0.16, 0.49, 1.0, 0.015, 0.05, 0.32)
CROPPED = Region("upper body, short", 0.16, 0.40, 1.0, 0.02, 0.03, 0.26)
SLEEVELESS = Region("trunk", 0.17, 0.47, 1.0, 0.02, 0.05, 0.28)
JACKET = Region("upper body to the seat", 0.16, 0.53, 1.0, 0.015, 0.05, 0.34)
OUTER = Region("upper body and thighs", 0.16, 0.68, 1.0, 0.015, 0.07, 0.34)
WAIST = Region("waist", 0.38, 0.46, 0.7, 0.02, 0.02, 0.22)
WRISTS = Region("hands and wrists", 0.46, 0.58, 1.0, 0.03, 0.03, 0.36)
HIPS = Region("hips to knees", 0.42, 0.70, 1.0, 0.03, 0.07, 0.27)
SHORT_LEGS = Region("hips to thighs", 0.43, 0.62, 1.0, 0.03, 0.04, 0.24)
LEGS = Region("legs", 0.44, 0.95, 0.9, 0.03, 0.02, 0.22)
HOSE = Region("legs below the hem", 0.60, 0.95, 0.9, 0.06, 0.02, 0.20)
FEET = Region("feet", 0.92, 1.0, 1.0, 0.015, 0.01, 0.22, apart=True)
BOOTS = Region("feet and shins", 0.82, 1.0, 1.0, 0.04, 0.01, 0.22, apart=True)
SOCKS = Region("ankles", 0.82, 0.97, 1.0, 0.04, 0.01, 0.20, apart=True)
DRESS = Region("dress", 0.17, 0.70, 1.0, 0.02, 0.07, 0.30)
FULL = Region("neck to ankles", 0.16, 0.95, 1.0, 0.02, 0.03, 0.32)
WHOLE = Region("whole figure", 0.0, 1.0, 1.0, 0.01, 0.01, 0.36)
CARRIED = Region("beside the hips", 0.39, 0.65, 1.0, 0.08, 0.08, 0.20, carried=True)

_WORDS: dict[Region, str] = {
    HEAD: "hat cap beanie headband alice glasses sunglasses headwear earring earrings hair helmet beret",
    NECK: "scarf necklace tie collar bowtie shawl snood",
    CROPPED: "bra bikini crop bustier",
    UPPER: "top t-shirt tshirt tee shirt blouse sweater jumper sweatshirt hoodie cardigan polo tunic bodysuit pullover "
    "knit tops upper knitwear",
    SLEEVELESS: "vest waistcoat tank camisole gilet",
    JACKET: "jacket blazer bomber",
    OUTER: "coat parka trench raincoat overcoat outerwear coats cape poncho",
    WAIST: "belt",
    WRISTS: "glove gloves mittens bracelet watch ring",
    HIPS: "skirt skirts",
    SHORT_LEGS: "shorts underwear briefs boxers panties trunks swimwear intimate",
    LEGS: "trousers pants jeans leggings tights jogger joggers chinos culottes bottoms lower slacks",
    HOSE: "stockings stocking hosiery",
    FEET: "shoes shoe sneakers sneaker sandals sandal heels pumps flats loafers loafer slippers ballerinas wedges "
    "clogs footwear mules trainers",
    BOOTS: "boots boot",
    SOCKS: "socks sock",
    DRESS: "dress dresses gown full robe nightgown",
    FULL: "jumpsuit overall overalls dungarees suit onesie pyjamas costume",
    CARRIED: "bag handbag purse backpack clutch tote satchel wallet",
}
_REGION = {word: region for region, words in _WORDS.items() for word in words.split()}
_REGION |= dict.fromkeys(("romper", "playsuit"), DRESS)


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
