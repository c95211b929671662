"""Boxes files are read with their faults, photos are found in folders and tars, and overlaps are added up."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashionrec_assets.crops.boxes import BoxScore, TrueBox, boxes_sheet, measure, read_boxes, summaries
from fashionrec_assets.crops.grounding import Found, Location, Photo, whole_image
from fashionrec_assets.settings import CatalogSettings

LIMITS = CatalogSettings()
HEADING = "image,width,height,label,x0,y0,x1,y1\n"


class Fixed:
    """Finds the same box in every photo, and nothing for a hat."""

    name = "fixed"
    version = "1"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def find_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Found]:
        raise NotImplementedError

    def locate_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Location]:
        self.asked.append(len(photos))
        return [
            whole_image(photo, "no hat") if kind == "hat" else Location((10, 10, 30, 30), "segmentation", None, 0.5)
            for photo, kind in zip(photos, product_types, strict=True)
        ]


def written(folder: Path, text: str) -> Path:
    path = folder / "boxes.csv"
    path.write_text(HEADING + text, "utf-8")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (40, 50), (40 * number, 90, 160)).save(folder / f"{number}.png")
    return folder


def test_faulty_rows_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "a.jpg,40,50,coat,1,2,30,40\n"
        ",40,50,coat,1,2,30,40\n"
        "b.jpg,,,hat,1,2,x,40\n"
        "b.jpg,,,hat,9,2,3,40\n"
        "b.jpg,,,hat,nan,2,3,40\n"
        "b.jpg,,,hat\n"
        "c.jpg,,,hat,1.4,2,3,40.0\n",
    )
    file = read_boxes(path)
    assert [(box.image, box.label, box.box, box.line, box.size) for box in file.boxes] == [
        ("a.jpg", "coat", (1, 2, 30, 40), 2, (40, 50)),
        ("c.jpg", "hat", (1, 2, 3, 40), 8, None),
    ]
    assert [problem.split(": ")[0] for problem in file.problems] == [f"{path}:{line}" for line in range(3, 8)]
    assert "x1 is 'x'" in file.problems[1]


def test_a_file_that_is_none_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        read_boxes(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("image,label,x0\n", "utf-8")
    with pytest.raises(ValueError, match="no column y0, x1, y1"):
        read_boxes(tmp_path / "other.csv")
    (tmp_path / "photo.csv").write_bytes(b"\xff\xd8\xff\xe0" * 20)
    with pytest.raises(ValueError, match="not a CSV file"):
        read_boxes(tmp_path / "photo.csv")


def test_overlaps_are_measured_and_what_cannot_be_is_listed(tmp_path: Path, photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    path = written(
        tmp_path,
        "0.png,40,50,coat,10,10,30,30\n"
        "1.png,,,coat,20,10,40,30\n"
        "0.png,40,50,hat,0,0,20,50\n"
        "9.png,,,coat,1,1,9,9\n"
        "2.png,80,50,coat,1,1,9,9\n"
        "2.png,,,coat,1,1,41,9\n"
        "3.png,,,coat,1,1,3,3\n"
        "broken.png,,,coat,1,1,3,3\n"
        "../boxes.csv,,,coat,1,1,3,3\n",
    )
    measured = measure(read_boxes(path), photos, Fixed(), LIMITS, min_area=0.05)
    assert [(score.truth.line, round(score.iou, 3)) for score in measured.scores] == [(2, 1.0), (3, 0.333), (4, 0.5)]
    assert measured.too_small == 1
    assert [int(problem.split(":")[1]) for problem in measured.problems] == [5, 6, 7, 9, 10]
    assert "not 80x50" in measured.problems[1]


@pytest.mark.parametrize("prefix", ["", "images/"])
def test_photos_in_a_tar_are_found_with_or_without_their_folder(tmp_path: Path, photos: Path, prefix: str) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        for photo in sorted(photos.iterdir()):
            tar.add(photo, f"{prefix}{photo.name}")
    path = written(tmp_path, "".join(f"{number}.png,,,coat,10,10,30,30\n" for number in range(6)))
    measured = measure(read_boxes(path), tmp_path / "photos.tar", Fixed(), LIMITS)
    assert len(measured.scores) == 6
    assert measured.problems == ()


def test_a_limit_spreads_over_the_file_and_batches_are_filled(tmp_path: Path, photos: Path) -> None:
    path = written(tmp_path, "".join(f"{number}.png,,,coat,10,10,30,30\n" * 9 for number in range(6)))
    heard: list[tuple[int, int]] = []
    grounder = Fixed()
    some = measure(read_boxes(path), photos, grounder, LIMITS, limit=3, progress=lambda *at: heard.append(at))
    assert {score.truth.image for score in some.scores} == {"0.png", "2.png", "5.png"}
    assert heard == [(1, 3), (2, 3), (3, 3)]
    assert grounder.asked == [18, 9]


def test_no_photos_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder or tar"):
        measure(read_boxes(written(tmp_path, "")), tmp_path / "nowhere", Fixed(), LIMITS)


def score(label: str, iou: float, *, found: bool = True) -> BoxScore:
    where = (
        Location((0, 0, 5, 5), "segmentation", None, 1.0) if found else whole_image(np.zeros((9, 9, 3), np.uint8), "x")
    )
    return BoxScore(TrueBox("0.png", label, (0, 0, 5, 5), 2), where, iou)


def test_summaries_add_up() -> None:
    rows = summaries([score("hat", 0.2, found=False), score("coat", 0.6), score("coat", 0.5), score("coat", 0.9)])
    assert [(row.label, row.n) for row in rows] == [("all", 4), ("coat", 3), ("hat", 1)]
    assert rows[0].mean_iou == pytest.approx(0.55)
    assert rows[0].good == 0.5
    assert rows[0].fallbacks == 0.25
    assert (rows[2].good, rows[2].fallbacks) == (0, 1)
    with pytest.raises(ValueError, match="no boxes"):
        summaries([])


def test_a_sheet_shows_truth_and_found(photos: Path) -> None:
    data = boxes_sheet([score("coat", 0.4), score("hat", 0.1, found=False)], photos, LIMITS)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert (np.abs(pixels - (40, 190, 70)).max(axis=2) < 40).sum() > 20
    with pytest.raises(ValueError, match="no boxes"):
        boxes_sheet([], photos, LIMITS)
