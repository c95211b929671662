"""Product photos, read from a folder or straight out of a tar, and judged before anybody trusts them.

Belongs here: finding, reading, decoding and judging photos. Does not belong here: crops, features, or tables.
Every byte comes from outside: paths may try to leave the raw folder, files may be cut off, and headers may promise
images that would fill the memory.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import stat
import struct
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fashionrec_assets.settings import CatalogSettings
from fashionrec_assets.storage.files import draft_of

_log = logging.getLogger(__name__)

Reason = Literal["missing", "unreadable", "oversized", "escaping", "unsupported"]

TAR_SEPARATOR: Final = "!"
DEFAULT_TAR: Final = "images.tar"

_LIMITS: Final = b"fashionrec.photo_limits"

_OTHER_IMAGES: Final = (b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\1\0", b"<svg", b"<?xml", b"8BPS", b"\xff\x0a")

_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise on damaged bytes."""


class PhotoError(ValueError):
    """A photo that cannot be used; `reason` is one of `tables.IMAGE_STATUSES` (without ok and none)."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True)
class Stamp:
    """Where a photo's bytes are; they have not changed while `size` and `mtime_ns` have not."""

    path: str
    offset: int
    size: int
    mtime_ns: int


class PhotoStore:
    """Photos by reference, below the folder `raw`. Safe to use from many threads; extracts nothing.

    A reference is a path relative to `raw` (`images/010/0108775044.jpg`), or a member of a tar in it
    (`images.tar!images/010/0108775044.jpg`). A plain path without a file is also looked up in `images.tar`.
    """

    def __init__(self, raw: Path, settings: CatalogSettings) -> None:
        self.raw = raw
        self.settings = settings
        self._root = raw.resolve()
        self._folders: dict[str, str] = {}
        self._within = str(self._root).rstrip(os.sep) + os.sep
        self._tars: dict[Path, dict[str, Stamp]] = {}
        self._lock = threading.Lock()

    def locate(self, ref: str) -> Stamp:
        """Where `ref` is, without reading it. Raises PhotoError (escaping, missing, unreadable, oversized)."""
        container, separator, member = ref.partition(TAR_SEPARATOR)
        if separator and PurePosixPath(container).suffix == ".tar":
            stamp = self._members(Path(self._inside(container))).get(self._member_name(member))
            if stamp is None:
                raise PhotoError("missing", f"{ref}: no such photo in {container}")
        else:
            stamp = self._on_disk(ref)
        if stamp.size > self.settings.max_image_bytes:
            raise PhotoError(
                "oversized", f"{ref}: {stamp.size} bytes; catalog.max_image_bytes is {self.settings.max_image_bytes}"
            )
        return stamp

    def read(self, ref: str) -> bytes:
        """The photo's bytes. Raises PhotoError as `locate` does, and `unreadable` if the file is cut off."""
        return self.read_at(ref, self.locate(ref))

    def read_at(self, ref: str, stamp: Stamp) -> bytes:
        """The bytes of `ref`, located before at `stamp`."""
        try:
            with Path(stamp.path).open("rb") as file:
                file.seek(stamp.offset)
                data = file.read(stamp.size)
        except OSError as error:
            raise PhotoError("unreadable", f"{ref}: {error.strerror}") from error
        if len(data) != stamp.size:
            raise PhotoError("unreadable", f"{ref}: the file ends after {len(data)} of {stamp.size} bytes")
        return data

    def digest(self, ref: str) -> str:
        """SHA-256 of the photo's bytes, in hexadecimal. Raises PhotoError as `read` does."""
        return hashlib.sha256(self.read(ref)).hexdigest()

    def _inside(self, ref: str) -> str:
        """The path of `ref`, links followed. Text, for there are as many as photos, and `Path` takes longer to build
        than to look up."""
        parts = ref.split("/")
        if "\\" in ref or ":" in ref:
            windows = PureWindowsPath(ref)
            parts += [*windows.parts, ".." if windows.drive or windows.root else ""]
        if "\0" in ref or ref.startswith("/") or ".." in parts or not ref:
            raise PhotoError("escaping", f"{ref!r}: a photo's path must be relative to the raw folder and stay in it")
        # Following links costs more than the rest of a look-up, and photos share few folders.
        folder, _, name = ref.rpartition("/")
        try:
            parent = self._folders.get(folder)
            if parent is None:
                parent = self._folders.setdefault(folder, str((self._root / folder).resolve()))
            path = f"{parent}{os.sep}{name}"
            resolved = str(Path(path).resolve()) if os.path.islink(path) else path  # noqa: PTH114
        except (OSError, RuntimeError, ValueError) as error:
            raise PhotoError("unreadable", f"{ref!r}: {error}") from error
        if not (resolved.startswith(self._within) or resolved == str(self._root)):
            raise PhotoError("escaping", f"{ref!r}: leads out of the raw folder, to {resolved}")
        return resolved

    def _on_disk(self, ref: str) -> Stamp:
        path = self._inside(ref)
        try:
            found = os.stat(path)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            stamp = self._members(self._root / DEFAULT_TAR).get(self._member_name(ref))
            if stamp is None:
                raise PhotoError("missing", f"{ref}: no such file") from None
            return stamp
        except (OSError, ValueError) as error:
            raise PhotoError("unreadable", f"{ref!r}: {error}") from error
        if not stat.S_ISREG(found.st_mode):
            raise PhotoError("unreadable", f"{ref}: not a file")
        return Stamp(path, 0, found.st_size, found.st_mtime_ns)

    @staticmethod
    def _member_name(name: str) -> str:
        return str(PurePosixPath(name)) if "//" in name or "./" in name else name

    def _members(self, tar: Path) -> dict[str, Stamp]:
        with self._lock:
            if tar not in self._tars:
                self._tars[tar] = _index_tar(tar)
            return self._tars[tar]


def _index_tar(path: Path) -> dict[str, Stamp]:
    """Member name -> where its bytes are in the (uncompressed) tar; later members replace earlier ones."""
    if not path.is_file():
        return {}
    mtime_ns = path.stat().st_mtime_ns
    members: dict[str, Stamp] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                # Links and devices are left out, so no member can lead anywhere else.
                if member.isreg() and not member.issparse():
                    name = str(PurePosixPath(member.name))
                    members[name] = Stamp(str(path), member.offset_data, member.size, mtime_ns)
    except (tarfile.TarError, *_DAMAGE) as error:
        # A tar that was cut off is used up to there: what it lacks is reported photo by photo.
        if not members:
            raise PhotoError("unreadable", f"{path}: not an uncompressed tar ({error})") from error
    return members


def _open(data: bytes) -> ImageFile.ImageFile:
    # The decoders are named rather than found by Image.open: only these formats are ever tried, and the size is
    # judged here against our own setting instead of Pillow's global one, which warns or raises by a fixed number.
    stream = io.BytesIO(data)
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(stream)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(stream)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WebPImageFile(stream)
    if data.startswith(_OTHER_IMAGES) or data[4:8] == b"ftyp":
        raise PhotoError("unsupported", "only JPEG, PNG and WebP photos are read")
    raise PhotoError("unreadable", "not an image" if data else "the file is empty")


def _open_checked(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    try:
        image = _open(data)
    except PhotoError:
        raise
    except _DAMAGE as error:
        raise PhotoError("unreadable", f"damaged header: {error}") from error
    width, height = image.size
    if width < 1 or height < 1:
        raise PhotoError("unreadable", f"an image of {width}x{height} pixels")
    if width * height > max_pixels:
        raise PhotoError("oversized", f"{width}x{height} pixels; catalog.max_image_pixels is {max_pixels}")
    return image


def decode_photo(data: bytes, *, max_pixels: int) -> Image.Image:
    """`data` (JPEG, PNG or WebP) as an RGB image, turned upright by its EXIF tag, fully loaded.

    Transparent pixels become white. Raises PhotoError: `oversized` from the header, before any pixel is decoded;
    `unsupported` for other formats; `unreadable` for damaged or cut-off files.
    """
    image: Image.Image = _open_checked(data, max_pixels)
    try:
        image.load()
    except _DAMAGE as error:
        raise PhotoError("unreadable", f"damaged image: {error}") from error
    try:
        image = ImageOps.exif_transpose(image)
    except (*_DAMAGE, UserWarning):
        # Damaged metadata says nothing about the pixels: keep them as they are.
        pass
    try:
        if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
            rgba = image.convert("RGBA")
            white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
            return Image.alpha_composite(white, rgba).convert("RGB")
        return image.convert("RGB")
    except _DAMAGE as error:
        raise PhotoError("unreadable", f"damaged image: {error}") from error


def check_photo(data: bytes, *, max_pixels: int) -> None:
    """Raises PhotoError if `decode_photo` would, for less work: JPEGs are decoded at an eighth of their size, and
    PNGs are judged by the checksums of their chunks."""
    image = _open_checked(data, max_pixels)
    try:
        if isinstance(image, PngImageFile):
            image.verify()
        else:
            image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
    except _DAMAGE as error:
        raise PhotoError("unreadable", f"damaged image: {error}") from error


@dataclass(frozen=True)
class PhotoFinding:
    """What was found at a reference. `size` and `mtime_ns` are 0 where no bytes were found."""

    status: str
    digest: str | None
    size: int
    mtime_ns: int


def inspect_photos(
    store: PhotoStore,
    refs: Iterable[str],
    *,
    known: Mapping[str, PhotoFinding] | None = None,
    threads: int = 4,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, PhotoFinding]:
    """Reads and judges every distinct reference; the result can be given as `known` next time.

    A photo whose size and modification time are those of its `known` finding is not read again. Findings depend on
    `catalog.max_image_pixels` and `max_image_bytes`: do not carry them across a change of these.
    """
    distinct = list(dict.fromkeys(refs))
    known = known or {}

    def judge(ref: str, stamp: Stamp) -> PhotoFinding:
        digest: str | None = None
        try:
            data = store.read_at(ref, stamp)
            digest = hashlib.sha256(data).hexdigest()
            check_photo(data, max_pixels=store.settings.max_image_pixels)
        except PhotoError as error:
            return PhotoFinding(error.reason, digest, stamp.size, stamp.mtime_ns)
        return PhotoFinding("ok", digest, stamp.size, stamp.mtime_ns)

    findings: dict[str, PhotoFinding] = {}
    waiting = iter(distinct)
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="photos") as pool:
        while batch := list(islice(waiting, 1_000)):
            # Looking a photo up is not worth a thread, reading and decoding it is.
            unread: dict[str, Stamp] = {}
            for ref in batch:
                try:
                    stamp = store.locate(ref)
                except PhotoError as error:
                    findings[ref] = PhotoFinding(error.reason, None, 0, 0)
                    continue
                before = known.get(ref)
                if before is not None and (before.size, before.mtime_ns) == (stamp.size, stamp.mtime_ns):
                    findings[ref] = before
                else:
                    unread[ref] = stamp
            findings.update(zip(unread, pool.map(judge, unread, unread.values()), strict=True))
            progress(len(findings), len(distinct))
    return findings


def write_findings(path: Path, findings: Mapping[str, PhotoFinding], settings: CatalogSettings) -> None:
    """Stores findings as Parquet at `path`, with the limits they depend on."""
    rows = sorted(findings.items())
    table = pa.table(
        {
            "ref": pa.array([ref for ref, _ in rows], pa.string()),
            "status": pa.array([finding.status for _, finding in rows], pa.string()),
            "digest": pa.array([finding.digest for _, finding in rows], pa.string()),
            "size": pa.array([finding.size for _, finding in rows], pa.int64()),
            "mtime_ns": pa.array([finding.mtime_ns for _, finding in rows], pa.int64()),
        }
    )
    with draft_of(path) as draft:
        pq.write_table(table.replace_schema_metadata({_LIMITS: _limits(settings)}), draft, compression="zstd")


def read_findings(path: Path, settings: CatalogSettings) -> dict[str, PhotoFinding]:
    """Findings stored at `path`; none if there is no such file, it is damaged, or they were made under other limits."""
    if not path.is_file():
        return {}
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        _log.warning("%s is damaged (%s): every photo is looked at again", path, error)
        return {}
    if (table.schema.metadata or {}).get(_LIMITS) != _limits(settings):
        return {}
    columns = table.to_pydict()
    return {
        ref: PhotoFinding(status, digest, size, mtime_ns)
        for ref, status, digest, size, mtime_ns in zip(*(columns[name] for name in table.column_names), strict=True)
    }


def _limits(settings: CatalogSettings) -> bytes:
    return f"{settings.max_image_pixels} pixels, {settings.max_image_bytes} bytes".encode()


def default_threads() -> int:
    """Threads for `inspect_photos`: reading and decoding release the GIL."""
    return min(8, (os.cpu_count() or 2) + 2)
