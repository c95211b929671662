"""Product photos: packshots, figures that wear the item with other garments, and cluttered rooms.

Belongs here: scenes, framing, people and backgrounds. Does not belong here: outlines (`garments`) and how shapes
become pixels (`canvas`). Imports OpenCV, so it is imported only when photos are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.sample import garments
from fashionrec_assets.sample.attributes import COLOURS, LENGTHS, NECKLINES, PATTERNS, SLEEVES, Wardrobe
from fashionrec_assets.sample.canvas import (
    RGB,
    Canvas,
    Cloth,
    Shape,
    View,
    box_of,
    chaikin,
    ellipse,
    limb,
    mirrored,
    noise,
)
from fashionrec_assets.sample.garments import Design, Pose

WIDTH, HEIGHT = 192, 256
SQUARE = 208
JPEG_QUALITY = 88
SCENES = ("packshot", "worn", "cluttered")
SCENE_SHARES = (0.45, 0.33, 0.22)

_SKINS: tuple[RGB, ...] = (
    (243, 212, 190), (229, 188, 158), (205, 158, 124), (168, 118, 84), (125, 84, 60), (88, 58, 44),
)  # fmt: skip
_HAIRS: tuple[RGB, ...] = ((32, 26, 24), (66, 44, 32), (120, 80, 48), (190, 152, 96), (140, 60, 40), (150, 148, 146))
_WALLS: tuple[RGB, ...] = (
    (226, 222, 214), (204, 214, 216), (216, 202, 188), (178, 190, 182), (190, 178, 186), (150, 156, 166),
    (232, 226, 200),
)  # fmt: skip
_OBJECTS: tuple[RGB, ...] = (
    (92, 128, 84), (150, 108, 70), (70, 82, 110), (196, 150, 96), (60, 62, 66), (178, 84, 70),
    (208, 200, 190), (120, 96, 130),
)  # fmt: skip


@dataclass(frozen=True)
class Photo:
    """`image`: uint8 (H, W, 3) RGB. `mask`: bool (H, W), the item's visible pixels. `box`: tight around the mask,
    half-open pixels (x0, y0, x1, y1)."""

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    scene: str


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """JPEG bytes of an RGB image."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return data.tobytes()


def design_of(wardrobe: Wardrobe, row: int) -> Design:
    """The silhouette of an item; items of one family share it."""
    cut = np.random.default_rng(int(wardrobe.cuts[row])).random(4)
    return Design(
        kind=wardrobe.type_of(row).name,
        neckline=NECKLINES[int(wardrobe.necklines[row])],
        sleeve=SLEEVES[int(wardrobe.sleeves[row])],
        length=LENGTHS[int(wardrobe.lengths[row])],
        cut=(float(cut[0]), float(cut[1]), float(cut[2]), float(cut[3])),
    )


def _jittered(colour: tuple[int, int, int], rng: np.random.Generator, spread: float = 7.0) -> RGB:
    r, g, b = np.clip(np.array(colour) + rng.normal(0, spread, 3), 8, 248).tolist()
    return r, g, b


def cloth_of(wardrobe: Wardrobe, row: int, rng: np.random.Generator) -> Cloth:
    """Colour and pattern of an item."""
    kind = wardrobe.type_of(row).name
    family = np.random.default_rng(int(wardrobe.cuts[row]) + 1)
    pattern = PATTERNS[int(wardrobe.patterns[row])]
    vertical = kind in ("shirt", "trousers", "coat", "skirt") and family.random() < 0.7
    small = kind in ("hat", "bag", "sneakers", "boots", "scarf")
    return Cloth(
        colour=_jittered(COLOURS[int(wardrobe.colours[row])].rgb, rng),
        accent=_jittered(COLOURS[int(wardrobe.accents[row])].rgb, rng),
        pattern=pattern,
        texture=garments.TEXTURES.get(kind, "plain"),
        period=float(family.uniform(0.16, 0.4)) * (0.7 if small else 1.0),
        direction=float(np.pi / 2 if vertical else 0.0)
        if pattern in ("stripes", "check")
        else float(family.uniform(0, 1.5)),
        folds=0.5 if kind in ("bag", "sneakers", "boots", "hat") else 1.0,
        sheen=1.6 if kind in ("boots", "bag", "jacket") else 1.0,
        seed=int(wardrobe.cuts[row]),
    )


def draw_photo(wardrobe: Wardrobe, row: int, seed: int) -> Photo:
    """The product photo of item `row`. The same wardrobe, row and seed give the same photo."""
    rng = np.random.default_rng([seed, row])
    scene = SCENES[int(rng.choice(len(SCENES), p=SCENE_SHARES))]
    design, cloth = design_of(wardrobe, row), cloth_of(wardrobe, row, rng)
    draw = {"packshot": _packshot, "worn": _worn, "cluttered": _cluttered}[scene]
    canvas = draw(design, cloth, rng)
    return Photo(_develop(canvas, rng), canvas.visible >= 0.5, box_of(canvas.visible), scene)


def _develop(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Exposure, white balance and sensor noise."""
    bank = noise()
    image = canvas.image * (rng.uniform(0.94, 1.05) * (1 + rng.normal(0, 0.012, 3))).astype(np.float32)
    grain = bank.cut(bank.grain, canvas.height, canvas.width, rng) * np.float32(rng.uniform(0.6, 2.2))
    image += grain[..., None]
    np.clip(image, 0, 255, out=image)
    return image.astype(np.uint8)


def _size(kind: str) -> tuple[int, int]:
    return (SQUARE, SQUARE) if kind in ("sneakers", "boots", "bag", "hat") else (HEIGHT, WIDTH)


def _fit(shape: Shape, height: int, width: int, fill: float, rng: np.random.Generator, angle: float = 0.0) -> View:
    """A view in which the shape fills `fill` of the frame, about its middle."""
    x0, y0, x1, y1 = shape.bounds()
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    turned = View(1.0, 0.0, 0.0, angle).apply(corners)
    low, high = turned.min(axis=0), turned.max(axis=0)
    scale = fill * float(min(width / (high[0] - low[0]), height / (high[1] - low[1])))
    middle = (low + high) / 2 * scale
    slack = (1 - fill) * 0.35
    dx, dy = rng.uniform(-slack, slack, 2) * (width, height)
    return View(scale, width / 2 - middle[0] + dx, height / 2 - middle[1] + dy, angle)


def _flat_pose(rng: np.random.Generator) -> Pose:
    arm = float(rng.uniform(0.25, 0.75))
    return Pose(arm=arm, bend=arm + float(rng.uniform(-0.25, 0.1)), stance=float(rng.uniform(0.42, 0.6)), worn=False)


def _place(canvas: Canvas, design: Design, cloth: Cloth, pose: Pose, view: View, rng: np.random.Generator, *,
           item: bool, shadow: float = 0.0) -> None:  # fmt: skip
    shape = garments.outline(design, pose)
    canvas.paint(
        shape, replace(cloth, emblem=garments.emblem_at(design.kind, shape)), view, rng, item=item, shadow=shadow
    )


def _gradient(height: int, width: int, top: RGB, bottom: RGB) -> NDArray[np.float32]:
    steps = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    line = np.array(top, np.float32) * (1 - steps) + np.array(bottom, np.float32) * steps
    return np.repeat(np.asarray(line, np.float32), width, axis=1)


def _packshot(design: Design, cloth: Cloth, rng: np.random.Generator) -> Canvas:
    height, width = _size(design.kind)
    tint = rng.normal(0, 2.5, 3)
    level = float(rng.uniform(238, 253))
    top: RGB = tuple(np.clip(level + tint, 0, 254).tolist())
    bottom: RGB = tuple(np.clip(level - rng.uniform(0, 16) + tint, 0, 254).tolist())
    canvas = Canvas(_gradient(height, width, top, bottom))
    pose = _flat_pose(rng)
    shape = garments.outline(design, pose)
    view = _fit(shape, height, width, float(rng.uniform(0.74, 0.9)), rng, float(rng.normal(0, 0.025)))
    _place(canvas, design, cloth, pose, view, rng, item=True, shadow=float(rng.uniform(0.12, 0.32)))
    return canvas


def _cluttered(design: Design, cloth: Cloth, rng: np.random.Generator) -> Canvas:
    height, width = _size(design.kind)
    canvas = Canvas(_room(height, width, rng))
    for _ in range(int(rng.integers(2, 6))):
        _object(canvas, rng)
    pose = _flat_pose(rng)
    shape = garments.outline(design, pose)
    view = _fit(shape, height, width, float(rng.uniform(0.58, 0.8)), rng, float(rng.normal(0, 0.16)))
    if (
        design.kind not in ("sneakers", "boots", "bag", "hat", "scarf", "trousers", "shorts", "skirt")
        and rng.random() < 0.5
    ):
        hanger = Shape(parts=[limb([(-0.9, 1.55), (0.0, 1.15), (0.9, 1.55)], [0.05, 0.05, 0.05]),
                              limb([(0.0, 1.15), (0.0, 0.85), (0.12, 0.72)], [0.03, 0.03, 0.03])])  # fmt: skip
        canvas.paint(hanger, Cloth(_OBJECTS[1], _OBJECTS[1], folds=0.2), view, rng)
    _place(canvas, design, cloth, pose, view, rng, item=True, shadow=float(rng.uniform(0.2, 0.45)))
    if rng.random() < 0.5:
        _object(canvas, rng, corner=True)
    _vignette(canvas, rng)
    return canvas


def _vignette(canvas: Canvas, rng: np.random.Generator) -> None:
    bank = noise()
    cloud = bank.cut(bank.clouds[int(rng.integers(2))], canvas.height, canvas.width, rng)
    canvas.image *= (1 + 0.06 * cloud)[..., None]


def _room(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A wall, a floor of boards, tiles, or a rug."""
    bank = noise()
    base = np.array(_WALLS[int(rng.integers(len(_WALLS)))]) + rng.normal(0, 6, 3)
    image = _gradient(height, width, tuple(base.tolist()), tuple((base * rng.uniform(0.72, 0.95)).tolist()))
    kind = int(rng.integers(4))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if kind == 0:  # boards
        board = float(rng.uniform(18, 40))
        wood = np.array(_OBJECTS[1 if rng.random() < 0.5 else 3], np.float32) * np.float32(rng.uniform(0.9, 1.35))
        tone = 1 + 0.08 * np.sin(np.floor(x / board) * 12.9898) + 0.06 * bank.cut(bank.grainwood, height, width, rng)
        image = np.clip(wood * tone[..., None], 0, 250)
        image *= (1 - 0.35 * (np.abs((x / board + 0.5) % 1 - 0.5) * board < 0.8))[..., None]
    elif kind == 1:  # wall and floor
        edge = int(height * rng.uniform(0.6, 0.85))
        image[edge:] = np.array(_OBJECTS[int(rng.integers(len(_OBJECTS)))], np.float32) * np.float32(1.1)
        image[edge : edge + 3] *= 0.8
    elif kind == 2:  # tiles
        tile = float(rng.uniform(24, 48))
        seam = (np.abs((x / tile) % 1 - 0.5) > 0.47) | (np.abs((y / tile) % 1 - 0.5) > 0.47)
        image *= (1 - 0.15 * seam)[..., None]
    else:  # a woven rug
        weave = np.sin(x * rng.uniform(0.5, 1.2)) * np.sin(y * rng.uniform(0.5, 1.2))
        image = image * (1 + 0.06 * weave)[..., None]
        image *= (1 + 0.05 * bank.cut(bank.grain, height, width, rng))[..., None]
    return np.ascontiguousarray(image, np.float32)


def _object(canvas: Canvas, rng: np.random.Generator, *, corner: bool = False) -> None:
    """A plant, a picture, a lamp, a box, a cushion: something that is not for sale."""
    w, h = canvas.width, canvas.height
    x, y = float(rng.uniform(0, w)), float(rng.uniform(0, h))
    if corner:
        x, y = float(rng.choice([0.02, 0.98])) * w, float(rng.choice([0.05, 0.97])) * h
    elif rng.random() < 0.7:  # mostly towards the sides, where the garment is not
        x = float(rng.choice([rng.uniform(0, 0.22), rng.uniform(0.78, 1)])) * w
    size = float(rng.uniform(0.1, 0.24)) * w * (0.8 if corner else 1.0)
    colour = _jittered((0, 0, 0), rng, 0.0)
    base = np.array(_OBJECTS[int(rng.integers(len(_OBJECTS)))]) + rng.normal(0, 12, 3)
    r, g, b = np.clip(base, 10, 245).tolist()
    colour = (r, g, b)
    view = View(size, x, y, float(rng.normal(0, 0.2)))
    kind = int(rng.integers(5))
    accent: RGB = (240.0, 236.0, 226.0)
    if kind == 0:  # a plant
        green: RGB = tuple((np.array(_OBJECTS[0]) * rng.uniform(0.8, 1.3)).tolist())
        leaves = []
        for turn in rng.uniform(-1.4, 1.4, 7):
            tip = np.array([np.sin(turn), -np.cos(turn)]) * rng.uniform(0.8, 1.4)
            side = np.array([tip[1], -tip[0]]) * 0.18
            leaves.append(chaikin(np.array([[0, 0.2], tip * 0.5 + side, tip, tip * 0.5 - side]), 2))
        canvas.paint(Shape(parts=leaves), Cloth(green, green, folds=1.2), view, rng, shadow=0.2)
        pot = Shape(parts=[np.array([[-0.4, 0.15], [0.4, 0.15], [0.3, 0.8], [-0.3, 0.8]])])
        canvas.paint(pot, Cloth(colour, colour, folds=0.2, sheen=2), view, rng)
    elif kind == 1:  # a picture
        frame = np.array([[-0.7, -0.9], [0.7, -0.9], [0.7, 0.9], [-0.7, 0.9]])
        shape = Shape(parts=[frame], accents=[frame * 0.82], trims=[])
        canvas.paint(shape, Cloth(colour, accent, folds=0.1), view, rng, shadow=0.25)
    elif kind == 2:  # a lamp
        shade = np.array([[-0.35, -0.7], [0.35, -0.7], [0.6, 0.1], [-0.6, 0.1]])
        canvas.paint(
            Shape(parts=[shade, limb([(0, 0), (0, 1.6)], [0.06, 0.06])]),
            Cloth(colour, accent, folds=0.3),
            view,
            rng,
            shadow=0.2,
        )
    elif kind == 3:  # a box or books
        parts = [np.array([[-0.8, at], [0.8 - 0.3 * (n % 2), at], [0.8 - 0.3 * (n % 2), at + 0.3], [-0.8, at + 0.3]])
                 for n, at in enumerate((-0.45, -0.13, 0.19))]  # fmt: skip
        canvas.paint(
            Shape(parts=parts), Cloth(colour, accent, "stripes", period=0.31, folds=0.2), view, rng, shadow=0.3
        )
    else:  # a cushion
        pattern = ("solid", "stripes", "dots", "check")[int(rng.integers(4))]
        pillow = chaikin(np.array([[-0.9, -0.8], [0.9, -0.75], [0.85, 0.8], [-0.85, 0.78]]), 2)
        canvas.paint(Shape(parts=[pillow]), Cloth(colour, accent, pattern, period=0.3), view, rng, shadow=0.3)


# What a figure wears, from the skin out; the item takes the place of its kind.
_SLOTS = ("boots", "bottom", "sneakers", "top", "outer", "scarf", "bag", "hat")
_SLOT_OF = {
    "t-shirt": "top", "shirt": "top", "sweater": "top", "hoodie": "top", "jacket": "outer", "coat": "outer",
    "dress": "top", "skirt": "bottom", "trousers": "bottom", "shorts": "bottom", "sneakers": "sneakers",
    "boots": "boots", "bag": "bag", "hat": "hat", "scarf": "scarf",
}  # fmt: skip
# Frames as (top, bottom) in body units, and how often each is chosen for the item's slot.
_FRAMES = {
    "top": ((-0.4, 8.4), (-0.3, 5.4)),
    "outer": ((-0.4, 8.4), (-0.3, 7.0)),
    "bottom": ((-0.4, 8.4), (1.6, 8.4)),
    "sneakers": ((3.9, 8.5), (5.4, 8.4)),
    "boots": ((3.4, 8.5), (4.6, 8.5)),
    "bag": ((-0.4, 8.4), (0.6, 6.2)),
    "hat": ((-0.9, 2.6), (-0.9, 4.0)),
    "scarf": ((-0.4, 4.9), (-0.4, 5.6)),
}


def _worn(design: Design, cloth: Cloth, rng: np.random.Generator) -> Canvas:
    if rng.random() < 0.5:
        base = np.array(_WALLS[int(rng.integers(len(_WALLS)))])
        canvas = Canvas(
            _gradient(HEIGHT, WIDTH, tuple(base.tolist()), tuple((base * rng.uniform(0.75, 0.95)).tolist()))
        )
    else:
        canvas = Canvas(_room(HEIGHT, WIDTH, rng))
        for _ in range(int(rng.integers(0, 4))):
            _object(canvas, rng)
        canvas.image = cv2.GaussianBlur(canvas.image, (0, 0), float(rng.uniform(0.6, 2.5))).astype(np.float32)
    slot = _SLOT_OF[design.kind]
    arm = float(rng.uniform(0.08, 0.32))
    pose = Pose(arm=arm, bend=arm + float(rng.uniform(-0.3, 0.1)), stance=float(rng.uniform(0.36, 0.62)))
    long = design.kind in ("dress", "coat", "skirt") and design.length == "maxi"
    low, high = _FRAMES[slot][0 if long else int(rng.integers(2))]
    scale = HEIGHT / (high - low)
    view = View(scale, WIDTH / 2 + float(rng.uniform(-0.06, 0.06)) * WIDTH, -low * scale, float(rng.normal(0, 0.015)))
    skin, hair = _SKINS[int(rng.integers(len(_SKINS)))], _HAIRS[int(rng.integers(len(_HAIRS)))]
    long_hair = design.kind in ("dress", "skirt") or rng.random() < 0.45
    _body(canvas, pose, skin, hair, view, rng, long_hair=long_hair)
    outfit = _outfit(design, rng)
    for place in _SLOTS:
        if place == slot:
            _place(canvas, design, cloth, pose, view, rng, item=True)
        elif place in outfit:
            other, fabric = outfit[place]
            _place(canvas, other, fabric, pose, view, rng, item=False)
        if place == "scarf":
            _head(canvas, skin, hair, view, rng, long_hair=long_hair)
    _hands(canvas, pose, skin, view, rng)
    return canvas


def _outfit(design: Design, rng: np.random.Generator) -> dict[str, tuple[Design, Cloth]]:
    """Other garments to go with the item, in colours that are not its own where chance will have it."""

    def fabric(kind: str) -> Cloth:
        colour = COLOURS[int(rng.integers(len(COLOURS)))].rgb
        accent = COLOURS[int(rng.integers(len(COLOURS)))].rgb
        pattern = "stripes" if kind == "top" and rng.random() < 0.15 else "solid"
        return Cloth(_jittered(colour, rng), _jittered(accent, rng), pattern, garments.TEXTURES.get(kind, "plain"))

    def cut() -> tuple[float, float, float, float]:
        a, b, c, d = rng.random(4).tolist()
        return a, b, c, d

    def one(kind: str, neckline: str = "none", sleeve: str = "none", length: str = "none") -> tuple[Design, Cloth]:
        return Design(kind, neckline, sleeve, length, cut()), fabric(kind)

    slot = _SLOT_OF[design.kind]
    outfit: dict[str, tuple[Design, Cloth]] = {}
    if design.kind != "dress":
        if slot != "top":
            outfit["top"] = one("t-shirt", "crew", ("short", "long")[int(rng.integers(2))], "regular")
        if slot != "bottom":
            outfit["bottom"] = (
                one("shorts", length="knee") if rng.random() < 0.12 else one("trousers", length="regular")
            )
    if slot not in ("sneakers", "boots"):
        if rng.random() < 0.3:
            outfit["boots"] = one("boots", length="ankle")
        else:
            outfit["sneakers"] = one("sneakers", length="low")
    if slot not in ("outer", "top", "scarf") and rng.random() < 0.2:
        outfit["outer"] = one("jacket", "collar", "long", "cropped")
    if slot not in ("bag", "bottom") and rng.random() < 0.15:
        outfit["bag"] = one("bag", length="small")
    if slot not in ("hat", "top") and rng.random() < 0.12:
        outfit["hat"] = one("hat")
    return outfit


def _body(
    canvas: Canvas, pose: Pose, skin: RGB, hair: RGB, view: View, rng: np.random.Generator, *, long_hair: bool
) -> None:
    if long_hair:
        back = chaikin(np.array([[-0.5, 0.3], [0.5, 0.3], [0.66, 1.5], [0.5, 2.0], [-0.5, 2.0], [-0.66, 1.5]]), 2)
        canvas.paint(Shape(parts=[back]), Cloth(hair, hair, folds=1.5), view, rng)
    arm = limb([(0.72, 1.66), pose.arm_at(0.4), pose.arm_at(1.25), pose.arm_at(2.4)], [0.2, 0.2, 0.15, 0.11])
    leg = limb(
        [(0.42, 3.8), (0.43, 4.6), (0.43 + 0.6 * (pose.stance - 0.42), 5.9), (pose.stance, 7.6)],
        [0.42, 0.38, 0.22, 0.13],
    )
    torso = chaikin(np.array([[-0.3, 1.3], [0.3, 1.3], [0.9, 1.6], [0.76, 2.4], [0.6, 3.1], [0.84, 3.9], [0.5, 4.3],
                              [-0.5, 4.3], [-0.84, 3.9], [-0.6, 3.1], [-0.76, 2.4], [-0.9, 1.6]]), 2)  # fmt: skip
    neck = np.array([[-0.22, 0.9], [0.22, 0.9], [0.27, 1.5], [-0.27, 1.5]])
    parts = [torso, neck, arm, mirrored(arm), leg, mirrored(leg)]
    canvas.paint(Shape(parts=parts), Cloth(skin, skin, folds=0.25, sheen=0.8), view, rng)


def _head(canvas: Canvas, skin: RGB, hair: RGB, view: View, rng: np.random.Generator, *, long_hair: bool) -> None:
    if view.apply(np.array([[0.0, 1.2]]))[0, 1] < 0:
        return
    face = Shape(parts=[ellipse(0, 0.6, 0.4, 0.52)])
    for eye in (-0.15, 0.15):
        face.trims.append((ellipse(eye, 0.58, 0.05, 0.035, 10), 0.25))
        face.lines.append((np.array([[eye - 0.08, 0.47], [eye + 0.08, 0.47]]), 0.5, 0.03))
    face.lines.append((np.array([[-0.1, 0.86], [0.0, 0.885], [0.1, 0.86]]), 0.6, 0.04))
    face.lines.append((np.array([[0.0, 0.6], [0.03, 0.73]]), 0.8, 0.03))
    canvas.paint(face, Cloth(skin, skin, folds=0.2, sheen=0.9), view, rng)
    cap = np.array([[-0.45, 0.62], [-0.5, 0.25], [-0.3, 0.0], [0.0, -0.06], [0.3, 0.0], [0.5, 0.25], [0.45, 0.62],
                    [0.34, 0.34], [0.0, 0.24], [-0.34, 0.34]])  # fmt: skip
    parts = [chaikin(cap, 2)]
    if long_hair:
        lock = chaikin(np.array([[0.36, 0.3], [0.5, 0.35], [0.6, 1.3], [0.44, 1.5], [0.4, 0.9]]), 2)
        parts += [lock, mirrored(lock)]
    canvas.paint(Shape(parts=parts), Cloth(hair, hair, folds=1.4), view, rng)


def _hands(canvas: Canvas, pose: Pose, skin: RGB, view: View, rng: np.random.Generator) -> None:
    x, y = pose.arm_at(2.52)
    hand = ellipse(x, y, 0.13, 0.19, 14)
    canvas.paint(Shape(parts=[hand, mirrored(hand)]), Cloth(skin, skin, folds=0.2), view, rng)
