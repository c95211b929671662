"""Photos that lie, end early or lead elsewhere, and ordinary ones from a folder and a tar."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from fashionrec_assets.catalog.photos import (
    PhotoError,
    PhotoFinding,
    PhotoStore,
    check_photo,
    decode_photo,
    inspect_photos,
    read_findings,
    write_findings,
)
from fashionrec_assets.settings import CatalogSettings
from fashionrec_assets_tests.catalog.shop import CATALOG, jpeg, png_of_size

LIMIT = 1_000_000


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes, kind: bytes = tarfile.REGTYPE, target: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(data), kind, target
    tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(jpeg("red"))
    (tmp_path / "secret.jpg").write_bytes(jpeg("green"))
    with tarfile.open(folder / "images.tar", "w") as tar:
        for number in range(50):
            add(tar, f"./images/0/{number}.jpg", jpeg((number, 0, 0)))  # type: ignore[arg-type]
        add(tar, "images/link.jpg", b"", tarfile.SYMTYPE, "/etc/passwd")
    return folder


def reason(store: PhotoStore, ref: str) -> str:
    with pytest.raises(PhotoError) as raised:
        store.read(ref)
    return raised.value.reason


class TestStore:
    def test_folder_and_tar_give_the_bytes(self, raw: Path) -> None:
        store = PhotoStore(raw, CATALOG)
        assert store.read("images/a.jpg") == jpeg("red")
        assert store.read("images.tar!images/0/7.jpg") == jpeg((7, 0, 0))  # type: ignore[arg-type]
        assert store.read("images/0/7.jpg") == store.read("images.tar!images/0/7.jpg")
        assert store.digest("images/a.jpg") == hashlib.sha256(jpeg("red")).hexdigest()

    @pytest.mark.parametrize(
        "ref",
        [
            "../secret.jpg",
            "images/../../secret.jpg",
            "/etc/passwd",
            "C:\\x.jpg",
            "C:x.jpg",
            "..\\secret.jpg",
            "\\\\server\\x.jpg",
            "a\0.jpg",
            "out/secret.jpg",
            "images/link.jpg",
            "../images.tar!images/0/1.jpg",
        ],
    )
    def test_nothing_outside_is_reached(self, raw: Path, ref: str) -> None:
        (raw / "out").symlink_to(raw.parent)
        (raw / "images" / "link.jpg").symlink_to(raw.parent / "secret.jpg")
        assert reason(PhotoStore(raw, CATALOG), ref) == "escaping"

    def test_links_inside_are_followed(self, raw: Path) -> None:
        (raw / "images" / "b.jpg").symlink_to("a.jpg")
        assert PhotoStore(raw, CATALOG).read("images/b.jpg") == jpeg("red")

    def test_a_raw_folder_reached_by_a_link_is_the_raw_folder(self, raw: Path) -> None:
        (raw.parent / "alias").symlink_to(raw)
        assert PhotoStore(raw.parent / "alias", CATALOG).read("images/a.jpg") == jpeg("red")

    @pytest.mark.parametrize(
        ("ref", "expected"),
        [
            ("images/none.jpg", "missing"),
            ("none/none.jpg", "missing"),
            ("images/a.jpg/x.jpg", "missing"),
            ("images.tar!images/none.jpg", "missing"),
            ("images.tar!images/link.jpg", "missing"),
            ("other.tar!x.jpg", "missing"),
            ("images", "unreadable"),
            ("images/" + "x" * 5000, "unreadable"),
            ("images/loop.jpg", "unreadable"),
            ("images/pipe.jpg", "unreadable"),
        ],
    )
    def test_what_is_not_there_has_a_reason(self, raw: Path, ref: str, expected: str) -> None:
        (raw / "images" / "loop.jpg").symlink_to("loop.jpg")
        os.mkfifo(raw / "images" / "pipe.jpg")
        assert reason(PhotoStore(raw, CATALOG), ref) == expected

    def test_large_files_are_refused_unread(self, raw: Path) -> None:
        store = PhotoStore(raw, CatalogSettings(max_image_bytes=100))  # pyright: ignore[reportCallIssue]
        assert reason(store, "images/a.jpg") == "oversized"
        assert reason(store, "images/0/7.jpg") == "oversized"

    def test_a_tar_that_was_cut_off_is_used_up_to_there(self, raw: Path) -> None:
        data = (raw / "images.tar").read_bytes()
        (raw / "images.tar").write_bytes(data[: len(data) // 2])
        store = PhotoStore(raw, CATALOG)
        assert store.read("images/0/0.jpg") == jpeg((0, 0, 0))  # type: ignore[arg-type]
        assert reason(store, "images/0/49.jpg") in {"missing", "unreadable"}

    def test_a_tar_that_is_none_makes_photos_unreadable(self, raw: Path) -> None:
        (raw / "images.tar").write_bytes(b"no tar at all" * 100)
        assert reason(PhotoStore(raw, CATALOG), "images/0/0.jpg") == "unreadable"
        assert PhotoStore(raw, CATALOG).read("images/a.jpg") == jpeg("red")

    def test_many_threads_read_the_right_bytes(self, raw: Path) -> None:
        store = PhotoStore(raw, CATALOG)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda n: store.read(f"images/0/{n % 50}.jpg"), range(400)))
        assert found == [jpeg((n % 50, 0, 0)) for n in range(400)]  # type: ignore[arg-type]


class TestDecode:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_formats(self, kind: str) -> None:
        image = decode_photo(encoded(Image.new("RGB", (20, 30), "blue"), kind), max_pixels=LIMIT)
        assert (image.mode, image.size) == ("RGB", (20, 30))
        assert image.getpixel((10, 10)) == pytest.approx((0, 0, 254), abs=2)

    @pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "CMYK", "1", "I;16"])
    def test_other_colour_modes_become_rgb(self, mode: str) -> None:
        kind = "JPEG" if mode == "CMYK" else "PNG"
        assert decode_photo(encoded(Image.new(mode, (20, 30)), kind), max_pixels=LIMIT).mode == "RGB"

    def test_transparent_pixels_become_white(self) -> None:
        image = decode_photo(encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG"), max_pixels=LIMIT)
        assert image.getpixel((0, 0)) == (255, 255, 255)

    def test_exif_turns_the_photo_upright(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
        assert decode_photo(data, max_pixels=LIMIT).size == (20, 40)

    def test_damaged_exif_does_not_cost_the_photo(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
        at = data.index(b"Exif\0\0") + 6
        damaged = data[:at] + b"\xff" * 12 + data[at + 12 :]
        assert decode_photo(damaged, max_pixels=LIMIT).size == (40, 20)

    @pytest.mark.parametrize("side", [20_000, 60_000, 2_000_000_000])
    def test_a_bomb_is_refused_from_its_header(self, side: int) -> None:
        for judge in (decode_photo, check_photo):
            with pytest.raises(PhotoError) as raised:
                judge(png_of_size(side, side), max_pixels=40_000_000)
            assert raised.value.reason == "oversized"

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
    def test_what_was_cut_off_is_unreadable(self, kind: str, share: float) -> None:
        noise = Image.effect_noise((120, 120), 90).convert("RGB")
        data = encoded(noise, kind)
        cut = data[: int(len(data) * share)]
        for judge in (decode_photo, check_photo):
            with pytest.raises(PhotoError) as raised:
                judge(cut, max_pixels=LIMIT)
            assert raised.value.reason == "unreadable"

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", "unreadable"),
            (b"<html>404</html>", "unreadable"),
            (b"GIF89a" + bytes(50), "unsupported"),
            (b"BM" + bytes(50), "unsupported"),
            (b"\0\0\0\x20ftypavif" + bytes(50), "unsupported"),
            (b"<svg xmlns='x'/>", "unsupported"),
            (b"\xff\xd8\xff", "unreadable"),
            (png_of_size(0, 5), "unreadable"),
        ],
    )
    def test_what_is_no_photo_has_a_reason(self, data: bytes, expected: str) -> None:
        for judge in (decode_photo, check_photo):
            with pytest.raises(PhotoError) as raised:
                judge(data, max_pixels=LIMIT)
            assert raised.value.reason == expected

    def test_any_damage_ends_in_a_photo_error_or_a_photo(self) -> None:
        rng = random.Random(3)
        noise = Image.effect_noise((40, 40), 90).convert("RGB")
        for kind in ("JPEG", "PNG", "WEBP"):
            data = encoded(noise, kind)
            for _ in range(150):
                damaged = bytearray(data)
                for _ in range(rng.randrange(1, 6)):
                    damaged[rng.randrange(len(damaged))] = rng.randrange(256)
                for judge in (decode_photo, check_photo):
                    # Any other exception fails the test.
                    with contextlib.suppress(PhotoError):
                        judge(bytes(damaged), max_pixels=LIMIT)


class TestInspect:
    def test_progress_and_duplicates(self, raw: Path) -> None:
        seen: list[tuple[int, int]] = []
        refs = ["images/a.jpg", "images/0/1.jpg", "images/a.jpg", "../x"]
        found = inspect_photos(PhotoStore(raw, CATALOG), refs, progress=lambda *at: seen.append(at))
        assert {ref: finding.status for ref, finding in found.items()} == {
            "images/a.jpg": "ok",
            "images/0/1.jpg": "ok",
            "../x": "escaping",
        }
        assert seen[-1] == (3, 3)

    def test_findings_are_kept_with_the_limits_they_depend_on(self, tmp_path: Path) -> None:
        findings = {"a.jpg": PhotoFinding("ok", "00ff", 5, 7), "b": PhotoFinding("escaping", None, 0, 0)}
        path = tmp_path / "cache" / "findings.parquet"
        assert read_findings(path, CATALOG) == {}
        write_findings(path, findings, CATALOG)
        assert read_findings(path, CATALOG) == findings
        other = CatalogSettings(max_image_pixels=7)  # pyright: ignore[reportCallIssue]
        assert read_findings(path, other) == {}
        path.write_bytes(path.read_bytes()[:50])
        assert read_findings(path, CATALOG) == {}
