"""Small drawn photos whose garments' boxes are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Scene = tuple[NDArray[np.uint8], tuple[int, int, int, int]]


def packshot(colour: tuple[int, int, int] = (180, 30, 40), background: tuple[int, int, int] = (240, 240, 238)) -> Scene:
    """A T-shirt shape on a plain wall with a slight gradient and sensor noise."""
    image = Image.new("RGB", (192, 256), background)
    draw = ImageDraw.Draw(image)
    right = [(132, 70), (160, 100), (145, 118), (132, 105), (132, 190)]
    left = [(60, 190), (60, 105), (47, 118), (32, 100), (60, 70)]
    draw.polygon(right + left, fill=colour)
    pixels = np.asarray(image).astype(np.float32)
    rng = np.random.default_rng(3)
    pixels += np.linspace(0, -14, 256)[:, None, None] + rng.normal(0, 1.5, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8), (32, 70, 161, 191)


def figure() -> dict[str, Scene]:
    """One standing figure in a red top, blue trousers and yellow shoes; the box of each."""
    image = Image.new("RGB", (192, 256), (205, 210, 214))
    draw = ImageDraw.Draw(image)
    boxes = {"t-shirt": (66, 52, 126, 126), "trousers": (74, 126, 118, 226), "shoes": (70, 226, 122, 240)}
    draw.ellipse((84, 16, 108, 46), fill=(214, 160, 126))
    draw.rectangle((91, 42, 101, 54), fill=(214, 160, 126))
    draw.rectangle((66, 52, 125, 125), fill=(196, 30, 40))
    for left in (74, 98):
        draw.rectangle((left, 126, left + 19, 225), fill=(40, 70, 160))
    for left in (70, 98):
        draw.rectangle((left, 226, left + 23, 239), fill=(240, 210, 40))
    pixels = np.asarray(image)
    return {name: (pixels, box) for name, box in boxes.items()}


def cluttered() -> Scene:
    """A green jumper between props that the frame cuts off, before a wall and a floor."""
    image = Image.new("RGB", (192, 256), (220, 206, 190))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 190, 192, 256), fill=(110, 84, 66))
    draw.rectangle((0, 30, 24, 90), fill=(60, 60, 140))
    draw.ellipse((165, 200, 215, 250), fill=(200, 60, 60))
    box = (58, 80, 138, 176)
    draw.rectangle((58, 80, 137, 175), fill=(30, 120, 70))
    return np.asarray(image), box


def street(
    *, hem: float = 0.70, bag: str | None = None, person: bool = True, seed: int = 5
) -> tuple[NDArray[np.uint8], dict[str, tuple[int, int, int, int]]]:
    """A person before house fronts and a paved road, in a dress that ends at `hem` of the stature, and the boxes.

    `bag`, "left" or "right" in the photo, hangs from a hand.
    """
    width, height = 220, 330
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for row in range(0, height, 6):
        for column in range(0, width, 10):
            level = 120 if row < 200 else 165
            shade = int(level + rng.normal(0, 40))
            tint = (shade, shade + 4, shade + 8) if row < 200 else (shade, shade, shade)
            draw.rectangle((column, row, column + 9, row + 5), fill=tint)
    crown, stature, middle = 14, 300, 110
    boxes: dict[str, tuple[int, int, int, int]] = {}

    def at(share: float) -> int:
        return round(crown + share * stature)

    if person:
        flesh = (214, 160, 126)
        for side in (-1, 1):
            foot = middle + side * 14
            draw.rectangle((foot - 9, at(0.5), foot + 9, at(0.95)), fill=flesh)
            draw.rectangle((foot - 12, at(0.945), foot + 12, at(1.0) - 1), fill=(20, 20, 24))
            arm = middle + side * 43
            draw.rectangle((arm - 6, at(0.19), arm + 6, at(0.53)), fill=flesh)
        draw.ellipse((middle - 17, at(0.0), middle + 17, at(0.135)), fill=(58, 36, 22))
        draw.ellipse((middle - 13, at(0.03), middle + 13, at(0.13)), fill=flesh)
        draw.rectangle((middle - 8, at(0.11), middle + 8, at(0.18)), fill=flesh)
        boxes["dress"] = (middle - 38, at(0.17), middle + 39, at(hem) + 1)
        draw.rectangle((middle - 38, at(0.17), middle + 38, at(hem)), fill=(190, 30, 60))
        boxes["shoes"] = (middle - 26, at(0.945), middle + 27, at(1.0))
        boxes["person"] = (middle - 49, crown, middle + 50, crown + stature)
    if bag is not None:
        left = middle - 90 if bag == "left" else middle + 38
        boxes["bag"] = (left, at(0.5), left + 53, at(0.68) + 1)
        draw.rectangle((left, at(0.5), left + 52, at(0.68)), fill=(240, 200, 40))
    pixels = np.asarray(image).astype(np.float32) + rng.normal(0, 4, (height, width, 1))
    return pixels.clip(0, 255).astype(np.uint8), boxes
