"""The outlines of garments, in body units, for a body that stands or for a flat lay.

Belongs here: one function per kind of garment, from attributes to a `Shape`. Does not belong here: colours, light,
pixels (`canvas`) or what surrounds the garment (`photos`).

Body units are heads: the crown is at y = 0, shoulders at 1.55, waist 3.1, crotch 4.3, knees 5.9, soles 7.9; x is 0 on
the middle line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fashionrec_assets.sample.canvas import Points, Shape, chaikin, ellipse, limb, mirrored, moved

HEM_TOP = {"cropped": 3.15, "regular": 4.0, "long": 4.55}
HEM_SKIRT = {"mini": 4.9, "midi": 6.1, "maxi": 7.4}
HEM_COAT = {"midi": 5.3, "maxi": 6.5}
HEM_TROUSERS = {"cropped": 6.7, "regular": 7.6}
HEM_SHORTS = {"short": 4.95, "knee": 5.8}
SLEEVE = {"sleeveless": 0.0, "short": 0.8, "three-quarter": 1.65, "long": 2.4}


@dataclass(frozen=True)
class Pose:
    """How arms and legs are held. `arm`, `bend`: radians from straight down, of the upper arm and the forearm.
    `stance`: half the distance between the feet. `worn`: a body fills the garment; holes show it."""

    arm: float = 0.3
    bend: float = 0.2
    stance: float = 0.42
    worn: bool = True

    def arm_at(self, length: float) -> tuple[float, float]:
        """The point of the right arm's centre line at a distance from the shoulder."""
        upper = min(length, 1.25)
        x, y = 0.86 + upper * np.sin(self.arm), 1.78 + upper * np.cos(self.arm)
        rest = length - upper
        return float(x + rest * np.sin(self.bend)), float(y + rest * np.cos(self.bend))


@dataclass(frozen=True)
class Design:
    """What a drawing needs to know of an item. `cut` in [0, 1) four times: ease, flare, details, variant."""

    kind: str
    neckline: str = "none"
    sleeve: str = "none"
    length: str = "none"
    cut: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5)


def _both(points: Points) -> list[Points]:
    return [points, mirrored(points)]


def _strip(*points: tuple[float, float]) -> Points:
    return np.array(points, float)


def _sleeves(pose: Pose, length: float, ease: float, flare: float) -> list[Points]:
    if length <= 0:
        return []
    at = [0.0, 0.35, min(length, 1.0), length] if length > 1.1 else [0.0, 0.35, length]
    line = [pose.arm_at(distance) for distance in at]
    line[0] = (0.66, 1.72)
    widths = [0.2 + ease * 0.5, 0.27 + ease, 0.24 + ease, 0.19 + ease * 0.8 + flare][: len(at)]
    if len(at) == 3:
        widths[2] = 0.27 + ease + flare
    return _both(limb(line, widths))


def _half_torso(hem: float, ease: float, shape: float, flare: float, *, sleeveless: bool) -> list[tuple[float, float]]:
    """The right half of a torso from the neck to the hem; `shape` 0 is boxy, 1 follows the waist."""
    shoulder = 0.74 if sleeveless else 0.98
    waist = (0.84 - 0.2 * shape) + ease
    hip = 0.88 + ease + flare
    outline = [(0.36, 1.36), (0.62, 1.45), (shoulder, 1.58), (0.82 + ease, 2.1), (0.83 + ease, 2.4)]
    if hem > 3.3:
        outline += [(waist, 3.05), (waist + 0.03, 3.2)]
        outline += [(hip, min(hem, 4.0))]
        if hem > 4.0:
            outline += [(hip + flare * (hem - 4.0), hem)]
    else:
        outline += [(waist + 0.02, hem)]
    return outline


def _closed(right: list[tuple[float, float]], dip: float = 0.12) -> Points:
    """Both halves as one outline with a softly sagging hem."""
    half = np.array(right, float)
    bottom = np.array([[0.0, half[-1, 1] + dip]])
    # Points beside the hem's corner keep the rounding from eating it.
    near = half[-1:] + (half[-2:-1] - half[-1:]) * 0.08
    inner = half[-1:] * (0.85, 1.0) + (0.0, dip * 0.2)
    half = np.concatenate([half[:-1], near, half[-1:], inner])
    outline = np.concatenate([half, bottom, mirrored(half)[::-1]])
    return chaikin(outline, 2)


def _neck(design: Design, pose: Pose, shape: Shape) -> None:
    """Cut the neckline; in a flat lay the inside of the back shows instead of a neck."""
    opening = {
        "crew": ellipse(0, 1.36, 0.34, 0.24),
        "scoop": ellipse(0, 1.36, 0.46, 0.62),
        "v-neck": _strip((-0.36, 1.3), (0.36, 1.3), (0.0, 2.15)),
        "collar": _strip((-0.3, 1.3), (0.3, 1.3), (0.0, 1.85)),
        "hood": _strip((-0.3, 1.3), (0.3, 1.3), (0.12, 1.75), (-0.12, 1.75)),
    }.get(design.neckline)
    if opening is not None:
        if pose.worn:
            shape.holes.append(opening)
        else:
            shape.trims.append((opening, 0.62))
            shape.trims.append((_strip((-0.34, 1.28), (0.34, 1.28), (0.3, 1.42), (-0.3, 1.42)), 0.8))
            shape.parts.append(_strip((-0.38, 1.3), (0.38, 1.3), (0.5, 1.5), (-0.5, 1.5)))
        if design.neckline in ("crew", "scoop", "v-neck"):
            rim = opening[np.argsort(opening[:, 0], kind="stable")] if design.neckline == "v-neck" else opening
            rim = _strip((-0.36, 1.36), (0.0, 2.15), (0.36, 1.36)) if design.neckline == "v-neck" else rim
            shape.lines.append((rim, 0.8, 0.07))
    elif design.neckline == "high":
        neck = _strip((-0.4, 1.05), (0.4, 1.05), (0.44, 1.5), (-0.44, 1.5))
        shape.parts.append(chaikin(neck, 1))
        shape.lines.append((_strip((-0.42, 1.28), (0.42, 1.28)), 0.82, 0.05))
        shape.lines.append((_strip((-0.44, 1.5), (0.0, 1.58), (0.44, 1.5)), 0.75, 0.05))
    if design.neckline == "collar":
        for flap in _both(_strip((0.2, 1.22), (0.42, 1.36), (0.52, 1.72), (0.06, 1.84))):
            shape.parts.append(flap)
            shape.trims.append((flap, 1.08))
            shape.lines.append((np.concatenate([flap[1:], flap[:1]]), 0.72, 0.03))
    elif design.neckline == "hood":
        outer = _strip((0.1, 1.9), (0.3, 1.55), (0.32, 1.2), (0.62, 1.22), (0.72, 1.55), (0.45, 1.85))
        for side in _both(chaikin(outer, 2)):
            shape.parts.append(side)
            shape.trims.append((side, 0.92))
            shape.lines.append((side, 0.72, 0.04))
        for cord in _both(_strip((0.14, 1.85), (0.18, 2.2), (0.15, 2.5))):
            shape.lines.append((cord, 1.5, 0.05))


def _hem_line(hem: float, half_width: float, tone: float = 0.8, width: float = 0.04) -> tuple[Points, float, float]:
    return _strip((-half_width, hem), (0.0, hem + 0.1), (half_width, hem)), tone, width


def _cuffs(pose: Pose, shape: Shape, length: float, ease: float) -> None:
    if length <= 0.3:
        return
    near, far = np.array(pose.arm_at(length - 0.2)), np.array(pose.arm_at(length))
    along = (far - near) / np.linalg.norm(far - near)
    normal = np.array([-along[1], along[0]]) * (0.3 + ease)
    for line in _both(np.stack([near + normal, near - normal])):
        shape.lines.append((line, 0.78, 0.04))


def top(design: Design, pose: Pose) -> Shape:
    """T-shirts, shirts, sweaters and hoodies."""
    ease, flare = 0.03 + 0.16 * design.cut[0], 0.04 * design.cut[1]
    if design.kind in ("sweater", "hoodie"):
        ease += 0.08
    hem = HEM_TOP[design.length]
    length = SLEEVE[design.sleeve]
    shape = Shape()
    right = _half_torso(hem, ease, 0.7 * design.cut[1], flare, sleeveless=length <= 0)
    shape.parts = [_closed(right), *_sleeves(pose, length, ease * 0.6, 0.05 * design.cut[2])]
    edge = right[-1][0]
    if design.kind == "t-shirt":
        shape.lines.append(_hem_line(hem - 0.1, edge))
        _cuffs(pose, shape, min(length, 2.4), ease)
    elif design.kind == "shirt":
        shape.lines += [
            (_strip((0.07, 1.85), (0.07, hem + 0.1)), 0.8, 0.03),
            (_strip((-0.07, 1.85), (-0.07, hem + 0.1)), 0.86, 0.02),
        ]
        for y in np.arange(2.0, hem, 0.36):
            shape.trims.append((ellipse(0.0, float(y), 0.045, 0.045, 10), 0.55 if design.cut[2] < 0.5 else 1.6))
        if design.cut[3] > 0.4:
            pocket = _strip((0.25, 2.25), (0.62, 2.25), (0.62, 2.65), (0.43, 2.74), (0.25, 2.65), (0.25, 2.25))
            shape.lines.append((pocket, 0.8, 0.03))
        _cuffs(pose, shape, length, ease)
    elif design.kind == "sweater":
        shape.trims.append((_strip((-edge, hem - 0.3), (edge, hem - 0.3), (edge, hem + 0.2), (-edge, hem + 0.2)), 0.9))
        _cuffs(pose, shape, length, ease)
    else:
        shape.lines.append(_hem_line(hem - 0.3, edge, 0.78, 0.05))
        pocket = _strip((-0.5, 3.75), (-0.36, 3.1), (0.36, 3.1), (0.5, 3.75), (-0.5, 3.75))
        shape.lines.append((moved(pocket, 0.0, min(0.0, hem - 4.15)), 0.74, 0.04))
        _cuffs(pose, shape, length, ease)
    _neck(design, pose, shape)
    return shape


def outerwear(design: Design, pose: Pose) -> Shape:
    """Jackets and coats: a front that closes, lapels or a stand-up collar, pockets."""
    ease = 0.14 + 0.12 * design.cut[0]
    coat = design.kind == "coat"
    hem = HEM_COAT[design.length] if coat else HEM_TOP[design.length] + 0.1
    flare = 0.05 + 0.1 * design.cut[1] if coat else 0.0
    shape = Shape()
    right = _half_torso(hem, ease, 0.8 * design.cut[1] if coat else 0.2, flare, sleeveless=False)
    shape.parts = [_closed(right, 0.06), *_sleeves(pose, 2.45, ease * 0.7, 0.04)]
    edge = right[-1][0]
    if coat or design.cut[3] < 0.45:
        shape.lines.append((_strip((0.12, 2.4), (0.12, hem + 0.05)), 0.68, 0.05))
        columns = (-0.12,) if design.cut[2] < 0.5 else (-0.2, 0.3)
        for x in columns:
            for y in np.arange(2.55, min(hem, 4.3), 0.5):
                shape.trims.append((ellipse(x, float(y), 0.06, 0.06, 10), 0.45))
    else:
        shape.lines.append((_strip((0.0, 1.6), (0.0, hem + 0.05)), 0.55, 0.07))
        shape.lines.append((_strip((0.0, 1.6), (0.0, hem + 0.05)), 1.6, 0.03))
        shape.trims.append(
            (_strip((-edge, hem - 0.22), (edge, hem - 0.22), (edge, hem + 0.1), (-edge, hem + 0.1)), 0.8)
        )
    for pocket in _both(_strip((0.36, 3.3), (0.66, 3.62))):
        shape.lines.append((pocket, 0.65, 0.05))
    if coat and design.cut[0] > 0.55:
        shape.trims.append((_strip((-0.95, 3.0), (0.95, 3.0), (0.95, 3.2), (-0.95, 3.2)), 0.78))
    if coat:
        for lapel in _both(_strip((0.18, 1.28), (0.46, 1.38), (0.62, 1.95), (0.4, 2.05), (0.1, 2.6))):
            shape.parts.append(lapel)
            shape.trims.append((lapel, 1.1))
            shape.lines.append((lapel, 0.62, 0.04))
        opening = _strip((-0.3, 1.25), (0.3, 1.25), (0.06, 2.35))
        if pose.worn:
            shape.holes.append(opening)
        else:
            shape.trims.insert(0, (opening, 0.6))
            shape.parts.append(_strip((-0.38, 1.28), (0.38, 1.28), (0.5, 1.5), (-0.5, 1.5)))
    else:
        _neck(design, pose, shape)
    _cuffs(pose, shape, 2.45, ease)
    return shape


def dress(design: Design, pose: Pose) -> Shape:
    ease, flare = 0.02 + 0.08 * design.cut[0], 0.06 + 0.34 * design.cut[1]
    hem, length = HEM_SKIRT[design.length], SLEEVE[design.sleeve]
    shape = Shape()
    upper = _half_torso(3.15, ease, 0.9, 0.0, sleeveless=length <= 0)
    waist = 0.64 + ease
    right = [*upper[:-1], (waist, 3.0), (waist, 3.15), (0.82 + flare * 0.8, 3.9), (0.86 + flare * (hem - 3.2), hem)]
    shape.parts = [_closed(right), *_sleeves(pose, length, ease * 0.6, 0.08 * design.cut[2])]
    if design.cut[3] > 0.5:
        belt = _strip((-waist, 3.0), (waist, 3.0), (waist, 3.18), (-waist, 3.18))
        shape.trims.append((belt, 0.72))
    else:
        shape.lines.append((_strip((-waist, 3.08), (0, 3.13), (waist, 3.08)), 0.75, 0.04))
    for x in np.linspace(-0.6, 0.6, 4):
        bottom = float(x) * (1 + flare * (hem - 3.2))
        shape.lines.append((_strip((float(x) * 0.7, 3.4), (bottom, hem)), 0.9, 0.05))
    shape.lines.append(_hem_line(hem - 0.1, right[-1][0], 0.82))
    _neck(design, pose, shape)
    return shape


def skirt(design: Design, pose: Pose) -> Shape:
    hem, flare = HEM_SKIRT[design.length], 0.05 + 0.4 * design.cut[1]
    edge = 0.88 + flare * (hem - 3.3)
    # Points beside a corner keep the rounding from eating it.
    right = [(0.62, 3.0), (0.64, 3.0), (0.68, 3.2), (0.88 + 0.3 * flare, 3.9), (edge - 0.015, hem - 0.15), (edge, hem)]
    right.append((edge * 0.8, hem + 0.06))
    half = np.array(right)
    outline = np.concatenate([half, [[0.0, hem + 0.14]], mirrored(half)[::-1]])
    shape = Shape(parts=[chaikin(outline, 2)])
    shape.trims.append((_strip((-0.75, 3.0), (0.75, 3.0), (0.75, 3.22), (-0.75, 3.22)), 0.82))
    pleats = 3 + int(design.cut[2] * 6)
    for x in np.linspace(-0.7, 0.7, pleats):
        shape.lines.append(
            (_strip((float(x) * 0.75, 3.25), (float(x) * (1.05 + flare * (hem - 3.3)), hem)), 0.85, 0.05)
        )
    return shape


def bottoms(design: Design, pose: Pose) -> Shape:
    """Trousers and shorts."""
    shorts = design.kind == "shorts"
    hem = HEM_SHORTS[design.length] if shorts else HEM_TROUSERS[design.length]
    wide = 0.02 + 0.2 * design.cut[0] + (0.1 if shorts else 0.0)
    stance = pose.stance
    flare = 0.12 * design.cut[1]
    if shorts:
        width = 0.4 + 0.3 * wide + 0.4 * flare
        at = [(0.45, 3.9), (0.47, 4.4), (width + 0.06, hem)]
        widths = [0.46, 0.42, width]
    else:
        width = 0.2 + wide * 1.1 + flare
        at = [(0.45, 3.9), (0.46 + 0.3 * (stance - 0.42), 4.6), (0.43 + 0.6 * (stance - 0.42), 5.9)]
        at.append((max(0.43 + (stance - 0.42) * (hem - 4) / 3.6, width + 0.07), hem))
        widths = [0.46, 0.42 + wide * 0.2, 0.29 + wide, width]
    hips = _strip(
        (-0.64, 3.0), (0.64, 3.0), (0.9, 3.7), (0.92, 4.15), (0.1, 4.45), (-0.1, 4.45), (-0.92, 4.15), (-0.9, 3.7)
    )
    shape = Shape(parts=[hips, *_both(limb(at, widths))])
    shape.trims.append((_strip((-0.72, 3.0), (0.72, 3.0), (0.74, 3.2), (-0.74, 3.2)), 0.84))
    shape.lines.append((_strip((0.0, 3.05), (0.02, 4.4)), 0.72, 0.04))
    for pocket in _both(_strip((0.3, 3.22), (0.5, 3.5), (0.8, 3.6))):
        shape.lines.append((pocket, 0.74, 0.04))
    for line in _both(np.array([(x, y) for x, y in at[1:]])):
        shape.lines.append((line, 0.93 if design.cut[2] < 0.6 else 1.12, 0.03))
    return shape


def shoes(design: Design, pose: Pose) -> Shape:
    """A pair: seen from the front when worn, from the side when not."""
    boots = design.kind == "boots"
    shaft = {"ankle": 0.75, "knee": 2.0, "low": 0.0, "high": 0.35}[design.length]
    if pose.worn:
        x = pose.stance
        top_y = 7.45 - shaft * 0.85
        foot = chaikin(
            _strip(
                (x - 0.2, 7.4), (x + 0.2, 7.4), (x + 0.36, 7.75), (x + 0.36, 7.98), (x - 0.16, 7.98), (x - 0.24, 7.7)
            ),
            2,
        )
        leg = limb([(x - 0.02 * shaft, top_y), (x, 7.6)], [0.23 + 0.05 * shaft, 0.22])
        shape = Shape(parts=_both(foot) + _both(leg))
        for sole in _both(_strip((x - 0.3, 7.88), (x + 0.42, 7.88), (x + 0.42, 8.05), (x - 0.3, 8.05))):
            if boots:
                shape.trims.append((sole, 0.5))
            else:
                shape.accents.append(sole)
        for y in (7.48, 7.58, 7.68) if not boots else ():
            for lace in _both(_strip((x - 0.1, y), (x + 0.14, y))):
                shape.lines.append((lace, 1.7, 0.05))
        return shape
    shape = Shape()
    for dx, dy in ((-0.28, -0.62), (0.22, 0.55)):
        move = np.array([dx, dy])
        side = _strip(
            (-1.1, -0.5),
            (-0.42, -0.5),
            (-0.2, -0.22),
            (0.45, -0.02),
            (1.02, 0.1),
            (1.18, 0.3),
            (1.15, 0.48),
            (-1.15, 0.48),
            (-1.2, 0.1),
        )
        shape.parts.append(chaikin(side, 2) + move)
        if shaft:
            height = -0.45 - shaft * 0.9
            tube = _strip((-1.1, height), (-0.34, height), (-0.32, -0.35), (-0.05, -0.1), (-1.1, 0.1))
            shape.parts.append(chaikin(tube, 1) + move)
            shape.lines.append((_strip((-1.1, height + 0.18), (-0.36, height + 0.18)) + move, 0.75, 0.04))
        sole = _strip((-1.2, 0.34), (1.18, 0.34), (1.2, 0.52), (-1.2, 0.52)) + move
        if boots:
            shape.parts.append(
                _strip(
                    (-1.14, 0.4),
                    (-0.66, 0.4),
                    (-0.68, 0.72 + 0.25 * design.cut[1]),
                    (-1.06, 0.72 + 0.25 * design.cut[1]),
                )
                + move
            )
            shape.trims.append((sole, 0.5))
            shape.lines.append((_strip((-0.15, 0.33), (-0.1, -0.1), (-0.35, -0.4)) + move, 0.72, 0.04))
        else:
            shape.accents.append(sole)
            stripe = _strip((-0.45, 0.3), (0.0, -0.05), (0.16, -0.02), (-0.25, 0.32)) + move
            shape.accents.append(stripe)
            for at in (0.0, 0.14, 0.28):
                shape.lines.append(
                    (_strip((-0.28 + at, -0.28 + at * 0.75), (-0.02 + at, -0.12 + at * 0.2)) + move, 1.7, 0.05)
                )
            shape.lines.append(
                (chaikin(_strip((0.55, 0.34), (0.6, 0.1), (0.95, 0.06)), 1, closed=False) + move, 0.75, 0.04)
            )
    return shape


def bag(design: Design, pose: Pose) -> Shape:
    size = {"small": 0.62, "large": 0.95}[design.length]
    x, y = (1.3, 4.25) if pose.worn else (0.0, 4.25)
    w, h = size * (0.9 + 0.3 * design.cut[0]), size * (0.75 + 0.4 * design.cut[1])
    body = _strip((-w * 0.88, -h), (w * 0.88, -h), (w, h * 0.8), (w * 0.9, h), (-w * 0.9, h), (-w, h * 0.8))
    shape = Shape(parts=[moved(chaikin(body, 1), x, y)])
    if pose.worn:
        strap = limb([(0.55, 1.5), (0.95, 2.6), (x - w * 0.5, y - h * 0.9)], [0.05, 0.05, 0.05])
        shape.parts.append(strap)
    else:
        for sign in (-1, 1):
            turn = np.linspace(0, np.pi, 12)
            rise = (0.55 + 0.5 * design.cut[2]) * size
            arc = np.stack([w * 0.55 * np.cos(turn), -h * 0.95 - rise * np.sin(turn)], axis=1)
            shape.parts.append(moved(limb(arc, [0.05 * size / 0.7] * 12), x, y + 0.06 * sign))
    if design.cut[3] < 0.5:
        flap = _strip((-w * 0.9, -h), (w * 0.9, -h), (w * 0.86, h * 0.05), (0.0, h * 0.3), (-w * 0.86, h * 0.05))
        flap = moved(flap, x, y)
        shape.trims.append((flap, 0.9))
        shape.lines.append((flap[1:], 0.65, 0.04))
        shape.accents.append(ellipse(x, y + h * 0.2, 0.09, 0.09, 12))
    else:
        shape.lines.append((moved(_strip((-w * 0.86, -h * 0.72), (w * 0.86, -h * 0.72)), x, y), 0.65, 0.04))
        pocket = _strip(
            (-w * 0.55, -h * 0.3),
            (w * 0.55, -h * 0.3),
            (w * 0.55, h * 0.65),
            (-w * 0.55, h * 0.65),
            (-w * 0.55, -h * 0.3),
        )
        shape.lines.append((moved(pocket, x, y), 0.75, 0.04))
    return shape


def hat(design: Design, pose: Pose) -> Shape:
    """A cap, a beanie or a wide brim."""
    variant = int(design.cut[3] * 3)
    shape = Shape()
    if variant == 0:
        crown = chaikin(
            _strip((-0.52, 0.48), (-0.56, 0.1), (-0.34, -0.16), (0.34, -0.16), (0.56, 0.1), (0.52, 0.48)), 2
        )
        peak = chaikin(_strip((-0.5, 0.36), (0.5, 0.36), (0.86, 0.56), (0.5, 0.62), (-0.3, 0.56)), 2)
        shape.parts = [crown, peak]
        shape.trims.append((peak, 0.82))
        shape.lines += [(_strip((0.0, -0.14), (0.02, 0.4)), 0.8, 0.03), (_strip((-0.5, 0.4), (0.5, 0.4)), 0.7, 0.03)]
    elif variant == 1:
        shape.parts = [
            chaikin(_strip((-0.54, 0.5), (-0.58, 0.1), (-0.3, -0.28), (0.3, -0.28), (0.58, 0.1), (0.54, 0.5)), 2),
            ellipse(0, -0.24, 0.17, 0.15, 16),
        ]
        shape.trims.append((_strip((-0.62, 0.26), (0.62, 0.26), (0.62, 0.6), (-0.62, 0.6)), 0.86))
        for x in np.linspace(-0.4, 0.4, 7):
            shape.lines.append((_strip((float(x) * 0.8, -0.2), (float(x), 0.5)), 0.88, 0.03))
    else:
        brim = 0.85 + 0.3 * design.cut[0]
        shape.parts = [
            ellipse(0, 0.42, brim, 0.2),
            chaikin(_strip((-0.48, 0.46), (-0.46, -0.08), (-0.2, -0.26), (0.2, -0.26), (0.46, -0.08), (0.48, 0.46)), 2),
        ]
        shape.accents.append(_strip((-0.5, 0.2), (0.5, 0.2), (0.5, 0.36), (-0.5, 0.36)))
    return shape


def scarf(design: Design, pose: Pose) -> Shape:
    drop = {"short": 3.0, "long": 4.2}[design.length]
    loop = chaikin(_strip((-0.42, 1.12), (0.42, 1.12), (0.66, 1.45), (0.4, 1.8), (-0.4, 1.8), (-0.66, 1.45)), 2)
    ends = [limb([(0.12, 1.6), (0.24, 2.2), (0.3, drop)], [0.22, 0.25, 0.3])]
    ends.append(limb([(-0.1, 1.6), (-0.22, 2.1), (-0.3, drop - 0.4)], [0.22, 0.25, 0.28]))
    shape = Shape(parts=[loop, *ends])
    if not pose.worn:
        shape.trims.append((ellipse(0, 1.28, 0.3, 0.13), 0.6))
    shape.lines.append((chaikin(_strip((-0.5, 1.4), (0.0, 1.72), (0.5, 1.4)), 2, closed=False), 0.75, 0.05))
    shape.lines.append((_strip((-0.36, 1.7), (0.1, 1.62), (0.42, 1.7)), 0.72, 0.05))
    for x, y in ((0.3, drop), (-0.3, drop - 0.4)):
        for dx in np.linspace(-0.24, 0.24, 6):
            shape.parts.append(limb([(x + float(dx), y - 0.02), (x + float(dx) * 1.08, y + 0.22)], [0.022, 0.022]))
        shape.trims.append(
            (_strip((x - 0.35, y - 0.3), (x + 0.35, y - 0.3), (x + 0.35, y - 0.2), (x - 0.35, y - 0.2)), 0.8)
        )
    return shape


_DRAW: dict[str, Callable[[Design, Pose], Shape]] = {
    "t-shirt": top, "shirt": top, "sweater": top, "hoodie": top, "jacket": outerwear, "coat": outerwear, "dress": dress,
    "skirt": skirt, "trousers": bottoms, "shorts": bottoms, "sneakers": shoes, "boots": shoes, "bag": bag, "hat": hat,
    "scarf": scarf,
}  # fmt: skip

TEXTURES = {"sweater": "knit", "scarf": "knit", "hat": "weave", "coat": "weave", "trousers": "denim", "shorts": "denim"}


def outline(design: Design, pose: Pose) -> Shape:
    """The shape of a design in a pose. Raises KeyError for an unknown kind."""
    return _DRAW[design.kind](design, pose)


def emblem_at(kind: str, shape: Shape) -> tuple[float, float, float]:
    """Where a logo goes: centre x, y and half size, body units."""
    x0, y0, x1, y1 = shape.bounds()
    if kind in ("t-shirt", "shirt", "sweater", "hoodie", "dress", "jacket", "coat"):
        return (0.0, 2.45, 0.42) if kind != "jacket" else (0.45, 2.3, 0.2)
    if kind in ("trousers", "shorts", "skirt"):
        return 0.5, 4.1, 0.24
    if kind == "hat":
        return 0.0, 0.1, 0.2
    if kind in ("bag", "sneakers", "boots"):
        return (x0 + x1) / 2, y1 - (y1 - y0) * 0.3, 0.3
    return (x0 + x1) / 2, (y0 + y1) / 2, 0.3
