"""Raw files and photos: nothing outside the raw folder is read, nothing hangs, nothing fills the memory."""

from __future__ import annotations

import ast
import gzip
import io
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

import fashionrec_assets
from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.drop_folder import look_at
from fashionrec_assets.catalog.photos import PhotoError, PhotoStore, check_photo, decode_photo, inspect_photos
from fashionrec_assets.catalog.sources import open_source
from fashionrec_assets.catalog.sources.base import inside
from fashionrec_assets.settings import CatalogSettings
from fashionrec_assets_tests.catalog.shop import CATALOG, RawShop, jpeg, png_of_size, rejects, rows
from fashionrec_assets_tests.security.hostile import any_texts, examples, mutated

PACKAGE = Path(str(fashionrec_assets.__file__)).parent


def within(seconds: float, work: Callable[[], object]) -> object:
    """What `work` gives or raises; a failure if it takes longer, as reading a pipe nobody writes to does."""
    done: list[object] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:
            done.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert done, "it hangs"
    return done[0]


@pytest.fixture
def shop(tmp_path: Path) -> RawShop:
    made = RawShop(tmp_path)
    made.write_catalog(["a"])
    made.write("UserBehavior.csv", "u1,a,c,pv,1709510400\n")
    made.write("images/a.jpg", jpeg())
    (tmp_path / "secret.jpg").write_bytes(jpeg("blue"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "b.jpg").write_bytes(jpeg("blue"))
    return made


def reason(store: PhotoStore, ref: str) -> str:
    found = inspect_photos(store, [ref], threads=1)[ref]
    return found.status


def test_no_reference_leads_out_of_the_raw_folder(shop: RawShop, tmp_path: Path) -> None:
    raw = shop.raw
    (raw / "images" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (raw / "images" / "far").symlink_to(tmp_path / "outside")
    (raw / "images" / "deep").mkdir()
    (raw / "images" / "deep" / "up").symlink_to("../../../outside")
    (raw / "images" / "twice").symlink_to("far")
    (raw / "stolen.tar").symlink_to(tmp_path / "stolen.tar")
    with tarfile.open(tmp_path / "stolen.tar", "w") as tar:
        tar.add(tmp_path / "secret.jpg", "secret.jpg")
    store = PhotoStore(raw, CATALOG)
    for ref in (
        "../secret.jpg",
        str(tmp_path / "secret.jpg"),
        "images/../../secret.jpg",
        "images/link.jpg",
        "images/far/b.jpg",
        "images/deep/up/b.jpg",
        "images/twice/b.jpg",
        "stolen.tar!secret.jpg",
        "..\\secret.jpg",
        "C:\\secret.jpg",
        "/proc/self/environ",
        "images/a.jpg\0.png",
    ):
        assert reason(store, ref) == "escaping", ref
    assert reason(store, "images/a.jpg") == "ok"


def test_members_of_a_tar_lead_nowhere(shop: RawShop, tmp_path: Path) -> None:
    with tarfile.open(shop.raw / "images.tar", "w") as tar:
        tar.add(tmp_path / "secret.jpg", "images/good.jpg")
        for name, kind, target in (
            ("images/soft.jpg", tarfile.SYMTYPE, str(tmp_path / "secret.jpg")),
            ("images/hard.jpg", tarfile.LNKTYPE, "../secret.jpg"),
            ("images/pipe.jpg", tarfile.FIFOTYPE, ""),
            ("images/zero.jpg", tarfile.CHRTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
        huge = tarfile.TarInfo("images/huge.jpg")
        huge.size = 10**15
        tar.addfile(huge)
    store = PhotoStore(shop.raw, CATALOG)
    assert reason(store, "images/good.jpg") == "ok"
    assert reason(store, "images/huge.jpg") == "oversized"
    for name in ("soft", "hard", "pipe", "zero"):
        assert reason(store, f"images/{name}.jpg") == "missing"


@pytest.mark.parametrize("ref", ["images/pipe.jpg", "images", "images/none/x.jpg", "images/loop.jpg", "x" * 5_000])
def test_what_is_no_file_is_no_photo_and_nothing_waits_for_it(shop: RawShop, ref: str) -> None:
    os.mkfifo(shop.raw / "images" / "pipe.jpg")
    (shop.raw / "images" / "loop.jpg").symlink_to("loop.jpg")
    found = within(10, lambda: reason(PhotoStore(shop.raw, CATALOG), ref))
    assert found in ("missing", "unreadable", "escaping")


@pytest.mark.parametrize("name", ["catalog.csv", "UserBehavior.csv", "users.csv", "feedback.csv"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_raw_file_is_a_file_in_the_raw_folder(shop: RawShop, tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "private.csv").write_text("item_id,title\nx,private\n", "utf-8")
    (shop.raw / name).unlink(missing_ok=True)
    if kind == "link":
        (shop.raw / name).symlink_to(tmp_path / "private.csv")
    else:
        os.mkfifo(shop.raw / name)

    def read() -> object:
        source = open_source("taobao", shop.raw)
        return [source.items(), source.events(), source.users(), source.feedback()]

    found = within(10, read)
    if kind == "link":
        assert isinstance(found, ContractError) and "leads out of the raw folder" in str(found)
        assert look_at(open_source("taobao", shop.raw)).missing
    elif name in ("catalog.csv", "UserBehavior.csv"):
        assert isinstance(found, ContractError)
    else:
        assert isinstance(found, list)


def test_a_link_within_the_raw_folder_is_followed(shop: RawShop) -> None:
    (shop.raw / "export.csv").write_text("item_id,title\nx,dress\n", "utf-8")
    (shop.raw / "catalog.csv").unlink()
    (shop.raw / "catalog.csv").symlink_to("export.csv")
    assert [row[0] for row in rows(shop.items().table, "item_id")] == ["x"]


def test_a_file_of_rules_is_a_file_in_the_raw_folder(shop: RawShop, tmp_path: Path) -> None:
    (tmp_path / "rules.csv").write_text("rule\n", "utf-8")
    (shop.raw / "link.csv").symlink_to(tmp_path / "rules.csv")
    os.mkfifo(shop.raw / "pipe.csv")
    for name in ("../rules.csv", str(tmp_path / "rules.csv"), "link.csv", "pipe.csv", "images"):
        with pytest.raises(ContractError):
            inside(shop.raw, name)
    assert inside(shop.raw, "absent.csv") == shop.raw / "absent.csv"


@pytest.mark.parametrize("name", ["images", "images.tar"])
def test_photos_outside_the_raw_folder_and_pipes_are_no_input(shop: RawShop, tmp_path: Path, name: str) -> None:
    (shop.raw / "images" / "a.jpg").unlink()
    (shop.raw / "images").rmdir()
    if name == "images":
        (shop.raw / name).symlink_to(tmp_path / "outside")
    else:
        os.mkfifo(shop.raw / name)
    assert [file.name for file in open_source("taobao", shop.raw).files()] == ["items", "events"]


def test_a_gzip_bomb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """64 MB of one line in 64 kB: the line is refused, and never in memory as a whole."""
    import tracemalloc

    shop = RawShop(tmp_path)
    shop.raw.mkdir(parents=True)
    with gzip.open(shop.raw / "catalog.csv.gz", "wb", compresslevel=9) as sink:
        sink.write(b"item_id,title\nb,")
        for _ in range(64):
            sink.write(b"x" * 1_000_000)
        sink.write(b"\nc,dress\n")
    tracemalloc.start()
    reading = shop.items()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [row[0] for row in rows(reading.table, "item_id")] == ["c"]
    assert {line: found[1] for line, found in rejects(reading).items()} == {2: "too long"}
    assert peak < 40_000_000


@given(ref=any_texts)
@example(ref="images.tar!../secret.jpg")
@example(ref=".tar!x")
def test_any_reference_is_a_photo_inside_or_a_reason(ref: str) -> None:
    with TemporaryDirectory() as folder:
        raw = Path(folder, "raw")
        (raw / "images").mkdir(parents=True)
        store = PhotoStore(raw, CATALOG)
        try:
            found = store.locate(ref)
        except PhotoError as error:
            assert error.reason in ("missing", "escaping", "unreadable")
        else:
            assert found.path.resolve().is_relative_to(raw.resolve())


def tar_of(names: list[str], kind: int) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=kind) as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 5
            tar.addfile(member, io.BytesIO(b"photo"))
    return sink.getvalue()[:4_000]


names = st.lists(any_texts.map(lambda text: text.replace("\0", "")[:60]), max_size=3)
tars = st.builds(tar_of, names, st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))


@examples(2)
@given(data=mutated(tars), places=st.lists(st.integers(0, 1_600), max_size=4), text=st.binary(max_size=12))
def test_any_tar_is_read_as_far_as_it_is_one(data: bytes, places: list[int], text: bytes) -> None:
    for place in places:
        data = data[:place] + text + data[place + len(text) :]
    with TemporaryDirectory() as folder:
        Path(folder, "images.tar").write_bytes(data)
        found = inspect_photos(PhotoStore(Path(folder), CATALOG), ["images/a.jpg", "images.tar!x"], threads=1)
    assert {one.status for one in found.values()} <= {"missing", "unreadable", "oversized"}


def encoded(kind: str, size: tuple[int, int] = (12, 16), **more: object) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", size, "red").save(sink, kind, **more)
    return sink.getvalue()


GOOD = {kind: encoded(kind) for kind in ("JPEG", "PNG", "WEBP")}


@examples(3)
@given(data=st.one_of(*(mutated(st.just(data)) for data in GOOD.values()), st.binary(max_size=40)))
def test_any_bytes_are_a_photo_or_one_of_the_reasons(data: bytes) -> None:
    for look in (check_photo, decode_photo):
        try:
            found = look(data, max_pixels=10_000)
        except PhotoError as error:
            assert error.reason in ("unreadable", "oversized", "unsupported")
        else:
            assert found is None or (found.mode == "RGB" and found.width * found.height <= 10_000)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "EPS", "PDF", "MPO"])
def test_only_three_formats_are_opened(kind: str) -> None:
    data = encoded(kind)
    if kind == "MPO":
        # An MPO is a JPEG with more pictures behind it: the first one is the photo.
        assert decode_photo(data, max_pixels=10_000).size == (12, 16)
        return
    with pytest.raises(PhotoError) as refused:
        decode_photo(data, max_pixels=10_000)
    assert refused.value.reason in ("unsupported", "unreadable")


@pytest.mark.parametrize("data", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF", b"8BPS\0\1"])
def test_pictures_that_are_programs_are_refused(data: bytes) -> None:
    with pytest.raises(PhotoError):
        check_photo(data, max_pixels=10_000)


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_of_a_moving_picture_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (12, 16), colour) for colour in ("red", "blue", "green")]
    sink = io.BytesIO()
    frames[0].save(sink, kind, save_all=True, append_images=frames[1:], duration=50)
    check_photo(sink.getvalue(), max_pixels=10_000)
    shown = decode_photo(sink.getvalue(), max_pixels=10_000)
    red, green, blue = shown.getpixel((5, 5))  # pyright: ignore[reportGeneralTypeIssues]
    assert red > 200 and green < 60 and blue < 60


def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header() -> None:
    for look in (check_photo, decode_photo):
        with pytest.raises(PhotoError) as refused:
            look(png_of_size(60_000, 60_000), max_pixels=CatalogSettings().max_image_pixels)
        assert refused.value.reason == "oversized"


def test_a_text_chunk_that_unpacks_to_megabytes_is_no_photo() -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    good = GOOD["PNG"]
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 80_000_000))
    with pytest.raises(PhotoError) as refused:
        decode_photo(good[:33] + bomb + good[33:], max_pixels=10_000)
    assert refused.value.reason == "unreadable"


def test_every_picture_is_opened_by_named_formats() -> None:
    """`Image.open` without `formats` tries some forty decoders on bytes from outside, a PostScript interpreter too."""
    calls = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        if "Image.open" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Image.open"):
                calls += 1
                formats = [ast.unparse(one.value) for one in node.keywords if one.arg == "formats"]
                assert formats == ["('JPEG',)"], f"{path}:{node.lineno}"
    assert calls >= 6
