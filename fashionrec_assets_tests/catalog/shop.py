"""Small raw shops written by hand, and the reading of them: what the catalog's tests share."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from PIL import Image

from fashionrec_assets.catalog.erasure import NOBODY, Erasures
from fashionrec_assets.catalog.sources import Source, open_source
from fashionrec_assets.catalog.validation import (
    PhotosReading,
    Reading,
    read_feedback,
    read_interactions,
    read_items,
    read_users,
)
from fashionrec_assets.settings import CatalogSettings, StorageSettings

NOW = datetime(2024, 6, 1, tzinfo=UTC)
T0 = 1_709_510_400
"""2024-03-04 00:00:00 UTC."""

STORAGE = StorageSettings(memory_limit="512MB", threads=2)  # pyright: ignore[reportCallIssue]
CATALOG = CatalogSettings()  # pyright: ignore[reportCallIssue]


def jpeg(colour: str = "red", size: tuple[int, int] = (24, 32)) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", size, colour).save(sink, "JPEG", quality=90)
    return sink.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A few bytes that promise an image of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def rows(path: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    """The rows of a Parquet file, in its order."""
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT {columns} FROM read_parquet(?)", [str(path)]).fetchall()


@dataclass
class RawShop:
    """A raw folder under `root`, and where its tables go."""

    root: Path
    source_name: str = "taobao"
    catalog: CatalogSettings = field(default_factory=lambda: CATALOG)
    erasures: Erasures = NOBODY

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def source(self) -> Source:
        return open_source(self.source_name, self.raw)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def write_catalog(self, ids: Iterable[str]) -> None:
        self.write("catalog.csv", "item_id,title\n" + "".join(f"{item},t\n" for item in ids))

    def items(self, **more: Any) -> PhotosReading:
        return read_items(self.source, self.root / "out", **self._common(), **more)

    def interactions(self) -> Reading:
        if not (self.root / "out" / "items.parquet").exists():
            self.items()
        return read_interactions(
            self.source, self.root / "out" / "items.parquet", self.root / "out", now=NOW, **self._common()
        )

    def users(self, **more: Any) -> PhotosReading:
        if not (self.root / "out" / "interactions.parquet").exists():
            self.interactions()
        return read_users(
            self.source, self.root / "out" / "interactions.parquet", self.root / "out", **self._common(), **more
        )

    def feedback(self) -> Reading | None:
        out = self.root / "out"
        if not (out / "users.parquet").exists():
            self.users()
        return read_feedback(self.source, out / "items.parquet", out / "users.parquet", out, now=NOW, **self._common())

    def _common(self) -> dict[str, Any]:
        return {
            "catalog": self.catalog,
            "storage": STORAGE,
            "scratch": self.root / "scratch",
            "erasures": self.erasures,
        }


def rejects(reading: Reading) -> dict[int, tuple[str | None, str, str | None, bool]]:
    """line -> (column, reason, value, row_kept); every line at most once."""
    found = rows(reading.rejects, "line, column_name, reason, value, row_kept")
    by_line = {line: tuple(rest) for line, *rest in found}
    assert len(by_line) == len(found)
    return by_line  # pyright: ignore[reportReturnType]


def by_key(found: Sequence[tuple[Any, ...]]) -> Mapping[Any, tuple[Any, ...]]:
    return {row[0]: row[1:] for row in found}
