"""Measuring a grounder against boxes that people drew: intersection over union for any file of boxes.

Belongs here: reading such a file, finding its photos, comparing, adding up. Does not belong here: any way of finding a
garment, printing (`cli.py`).

The file is CSV with a heading: `image, label, x0, y0, x1, y1` in pixels, half-open, and, if they are there, `width` and
`height` of the photo, against which the photo is checked. Other columns are ignored. What cannot be used is listed with
file and line, and the rest is measured.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fashionrec_assets.catalog.photos import TAR_SEPARATOR, PhotoError, PhotoStore, decode_photo
from fashionrec_assets.crops.grounding import Box, Grounder, Location, Photo, intersection_over_union
from fashionrec_assets.settings import CatalogSettings

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = ("image", "label", "x0", "y0", "x1", "y1")
OVERALL = "all"
GOOD = 0.5
"""A box overlapping more than this counts as found, as in the PASCAL VOC challenge (Everingham et al. 2010)."""
BATCH = 16
"""Boxes handed to a grounder at once, at the least, unless there are no more."""


@dataclass(frozen=True)
class TrueBox:
    """A drawn box: which photo, what it shows, where; `size` is the photo's (width, height) if the file says it."""

    image: str
    label: str
    box: Box
    line: int
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class BoxFile:
    """The rows of a file that can be used, in its order, and what is wrong with each other row (`file:line: why`)."""

    path: Path
    boxes: tuple[TrueBox, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class BoxScore:
    """A drawn box, what the grounder found for its label, and their intersection over union in [0, 1]."""

    truth: TrueBox
    found: Location
    iou: float


@dataclass(frozen=True)
class Measured:
    """The scores, in the file's order; what could not be measured and why; boxes under the least area."""

    scores: tuple[BoxScore, ...]
    problems: tuple[str, ...]
    too_small: int


@dataclass(frozen=True)
class BoxSummary:
    """`n` boxes of one label (or of all): mean IoU, share over `GOOD`, share for which the whole photo was taken."""

    label: str
    n: int
    mean_iou: float
    good: float
    fallbacks: float


def read_boxes(path: Path) -> BoxFile:
    """The boxes of a CSV file (UTF-8, with a heading).

    ValueError if it is no such file or lacks a column; rows that cannot be used are in `problems`.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    boxes: list[TrueBox] = []
    problems: list[str] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise ValueError(f"{path}: no column {', '.join(missing)}; a boxes file has {', '.join(COLUMNS)}")
            for row in rows:
                try:
                    boxes.append(_true_box(row, rows.line_num))
                except ValueError as error:
                    problems.append(f"{path}:{rows.line_num}: {error}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    return BoxFile(path, tuple(boxes), tuple(problems))


def measure(
    file: BoxFile,
    images: Path,
    grounder: Grounder,
    limits: CatalogSettings,
    *,
    min_area: float = 0.0,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """What `grounder` finds in the file's photos for its labels, against its boxes.

    `images` is a folder or an uncompressed tar with the photos, by the names in the file or below `images/`. Boxes of
    less than `min_area` of their photo are left out. `limit` takes that many photos, evenly spread over the file.
    `progress` hears of photos done and in total. ValueError if there is nothing at `images`.
    """
    shelf = _Shelf(images, limits)
    by_image: dict[str, list[TrueBox]] = {}
    for box in file.boxes:
        by_image.setdefault(box.image, []).append(box)
    names = list(by_image)
    if limit is not None and limit < len(names):
        names = [names[round(at)] for at in np.linspace(0, len(names) - 1, max(1, limit))]
    scores: list[BoxScore] = []
    problems: list[str] = []
    waiting: list[tuple[Photo, TrueBox]] = []
    too_small = 0
    for done, name in enumerate(names, start=1):
        try:
            photo = np.asarray(shelf.photo(name))
        except PhotoError as error:
            problems += [f"{file.path}:{truth.line}: {error}" for truth in by_image[name]]
        else:
            for truth in by_image[name]:
                wrong = _misfit(truth, photo)
                if wrong:
                    problems.append(f"{file.path}:{truth.line}: {wrong}")
                elif _area(truth.box) / (photo.shape[0] * photo.shape[1]) < min_area:
                    too_small += 1
                else:
                    waiting.append((photo, truth))
        if len(waiting) >= BATCH or done == len(names):
            scores += _scored(waiting, grounder)
            waiting = []
        if progress is not None:
            progress(done, len(names))
    return Measured(tuple(sorted(scores, key=lambda score: score.truth.line)), tuple(problems), too_small)


def summaries(scores: Sequence[BoxScore]) -> list[BoxSummary]:
    """One for all, then one for each label, most boxes first; ValueError if there are no scores."""
    if not scores:
        raise ValueError("there are no boxes to add up")
    by_label: dict[str, list[BoxScore]] = {}
    for score in scores:
        by_label.setdefault(score.truth.label, []).append(score)
    labels = sorted(by_label.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return [_summary(OVERALL, scores), *(_summary(label, some) for label, some in labels)]


def boxes_sheet(scores: Sequence[BoxScore], images: Path, limits: CatalogSettings, *, most: int = 40) -> bytes:
    """A PNG of `most` scores, evenly spread from the worst to the best: truth in green, what was found in red.

    Beside each photo is what would be cut out. ValueError if there are no scores.
    """
    from PIL import ImageDraw

    from fashionrec_assets.crops.contact_sheet import SheetRow, contact_sheet

    if not scores:
        raise ValueError("there are no boxes to draw")
    shelf = _Shelf(images, limits)
    ranked = sorted(scores, key=lambda score: (score.iou, score.truth.line))
    places = np.linspace(0, len(ranked) - 1, min(most, len(ranked)))
    rows: list[SheetRow] = []
    for score in (ranked[round(place)] for place in places):
        photo = shelf.photo(score.truth.image)
        crop = photo.crop(score.found.box)
        thick = max(2, photo.width // 70)
        ImageDraw.Draw(photo).rectangle(score.truth.box, outline=(40, 190, 70), width=thick)
        whole = score.found.reason is not None
        note = score.found.reason or f"{score.truth.image}, confidence {score.found.confidence:.2f}"
        caption = f"{score.truth.label}  {score.iou:.2f}"
        rows.append(SheetRow(photo, None if whole else score.found.box, crop, caption, note, fallback=whole))
    return contact_sheet(rows, title="Boxes: drawn green, found red; worst first", columns=5)


class _Shelf:
    """The photos of a folder or a tar, by the names a boxes file gives them."""

    def __init__(self, images: Path, limits: CatalogSettings) -> None:
        if not images.exists():
            raise ValueError(f"{images}: no such folder or tar")
        self._limits = limits
        self._prefix = "" if images.is_dir() else f"{images.name}{TAR_SEPARATOR}"
        self._store = PhotoStore(images if images.is_dir() else images.parent, limits)

    def photo(self, name: str) -> Image:
        """The photo, upright RGB. Raises PhotoError."""
        return decode_photo(self._bytes(name), max_pixels=self._limits.max_image_pixels)

    def _bytes(self, name: str) -> bytes:
        try:
            return self._store.read(self._prefix + name)
        except PhotoError as error:
            if error.reason != "missing":
                raise
            try:
                return self._store.read(f"{self._prefix}images/{name}")
            except PhotoError as second:
                raise (error if second.reason == "missing" else second) from None


def _true_box(row: Mapping[str, str | None], line: int) -> TrueBox:
    image, label = (row["image"] or "").strip(), (row["label"] or "").strip()
    if not image or not label:
        raise ValueError("a row needs an image and a label")
    x0, y0, x1, y1 = (_pixels(row, column) for column in COLUMNS[2:])
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        raise ValueError(f"a box needs 0 <= x0 < x1 and 0 <= y0 < y1, but this one is {(x0, y0, x1, y1)}")
    size = (_pixels(row, "width"), _pixels(row, "height")) if row.get("width") and row.get("height") else None
    return TrueBox(image, label, (x0, y0, x1, y1), line, size)


def _pixels(row: Mapping[str, str | None], column: str) -> int:
    text = (row[column] or "").strip()
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{column} is {text!r}, not a number of pixels") from None
    if not math.isfinite(value):
        raise ValueError(f"{column} is {text!r}, not a number of pixels")
    return round(value)


def _misfit(truth: TrueBox, photo: Photo) -> str | None:
    """Why a drawn box cannot belong to `photo`, if it cannot."""
    height, width = photo.shape[:2]
    if truth.size is not None and truth.size != (width, height):
        return f"{truth.image} has {width}x{height} pixels, not {truth.size[0]}x{truth.size[1]}"
    if truth.box[2] > width or truth.box[3] > height:
        return f"the box {truth.box} is not inside {truth.image} with its {width}x{height} pixels"
    return None


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _scored(pairs: Sequence[tuple[Photo, TrueBox]], grounder: Grounder) -> Iterator[BoxScore]:
    if not pairs:
        return
    found = grounder.locate_batch([photo for photo, _ in pairs], [truth.label for _, truth in pairs])
    for (_, truth), location in zip(pairs, found, strict=True):
        yield BoxScore(truth, location, intersection_over_union(location.box, truth.box))


def _summary(label: str, scores: Sequence[BoxScore]) -> BoxSummary:
    overlaps = np.array([score.iou for score in scores])
    fallbacks = np.mean([score.found.method == "whole_image" for score in scores])
    return BoxSummary(label, len(scores), float(overlaps.mean()), float((overlaps > GOOD).mean()), float(fallbacks))
