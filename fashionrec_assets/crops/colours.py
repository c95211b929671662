"""The colours of a garment, measured on its own pixels and given names.

Belongs here: the palette, and k-means over the foreground of a crop. Does not belong here: colours that somebody
wrote in a title or a field (`descriptions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.crops.clustering import colour_clusters
from fashionrec_assets.crops.grounding import Mask, Photo

SAMPLE = 3000
"""Pixels that are looked at, spread evenly over the garment."""

PALETTE: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((18, 18, 20), (38, 38, 42)),
    "white": ((250, 250, 250), (232, 232, 232)),
    "off white": ((244, 239, 226),),
    "grey": ((128, 128, 128), (100, 100, 104), (156, 156, 158)),
    "light grey": ((198, 198, 200), (180, 180, 184)),
    "dark grey": ((72, 72, 76),),
    "beige": ((215, 195, 165), (226, 210, 186)),
    "tan": ((192, 150, 102),),
    "brown": ((112, 74, 46), (139, 94, 60)),
    "dark brown": ((64, 44, 34),),
    "red": ((196, 30, 40), (220, 50, 47)),
    "burgundy": ((112, 24, 44), (90, 20, 36)),
    "pink": ((236, 140, 170), (226, 90, 140)),
    "light pink": ((244, 200, 208),),
    "orange": ((236, 120, 34), (250, 150, 70)),
    "coral": ((246, 120, 100),),
    "yellow": ((246, 214, 50), (250, 230, 120)),
    "mustard": ((206, 156, 40),),
    "green": ((46, 140, 70), (90, 170, 90)),
    "dark green": ((24, 70, 48),),
    "light green": ((176, 216, 170), (190, 220, 190)),
    "olive": ((108, 112, 56), (128, 124, 78)),
    "teal": ((22, 124, 128), (60, 160, 156)),
    "turquoise": ((84, 202, 204),),
    "light blue": ((160, 198, 232), (186, 212, 236)),
    "blue": ((44, 98, 190), (70, 130, 200)),
    "dark blue": ((28, 40, 84), (40, 56, 104)),
    "purple": ((118, 60, 150), (140, 90, 170)),
    "lilac": ((198, 174, 222),),
}
"""Colour name to sRGB examples; a colour takes the name of the nearest example (CIE 1976 distance in Lab)."""


@dataclass(frozen=True)
class ColourShare:
    """A named colour and the share of the garment's pixels, in (0, 1], that carry it."""

    name: str
    share: float


def dominant_colours(photo: Photo, mask: Mask, *, clusters: int = 5, least: float = 0.12) -> tuple[ColourShare, ...]:
    """The colours of `photo` (height, width, 3) where `mask` (height, width) is True, largest share first.

    Clusters of one name are added up; names under `least` of the garment are dropped, so the shares may sum to less
    than 1. Deterministic. ValueError if the mask is empty or of another size.
    """
    import cv2

    if mask.shape != photo.shape[:2] or not mask.any():
        raise ValueError(f"a mask of {mask.shape} with {int(mask.sum())} pixels does not mark {photo.shape[:2]}")
    # Pixels at the edge of the mask mix the garment with the background.
    core = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2).astype(np.bool_)
    pixels = photo[core if core.sum() >= 24 else mask]
    if len(pixels) > SAMPLE:
        pixels = pixels[np.linspace(0, len(pixels) - 1, SAMPLE).astype(np.int64)]
    colours = _to_lab(pixels)
    centres, sizes = colour_clusters(colours, clusters, rounds=12)
    shares: dict[str, float] = {}
    for centre, size in zip(centres, sizes, strict=True):
        name = colour_name(centre)
        shares[name] = shares.get(name, 0.0) + float(size)
    ranked = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    kept = [pair for pair in ranked if pair[1] >= least] or ranked[:1]
    return tuple(ColourShare(name, round(share, 3)) for name, share in kept)


def colour_name(lab: NDArray[np.float32]) -> str:
    """The palette's name for one colour in CIE Lab (L in 0 to 100)."""
    names, examples = _examples()
    return names[int(np.argmin(np.linalg.norm(examples - lab[None], axis=1)))]


def _examples() -> tuple[list[str], NDArray[np.float32]]:
    names = [name for name, colours in PALETTE.items() for _ in colours]
    return names, _to_lab(np.array([c for colours in PALETTE.values() for c in colours], dtype=np.uint8))


def _to_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rows of sRGB bytes as rows of CIE Lab."""
    import cv2

    return cast(
        NDArray[np.float32],
        cv2.cvtColor(np.ascontiguousarray(rgb[None]).astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)[0],
    )
