"""Small files, written whole or not at all.

Belongs here: that. Does not belong here: Parquet (`buckets.py`) and folders of files (`artifacts.py`).
"""

from __future__ import annotations

from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` under a temporary name and rename it: readers see the old content or the new."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """As `write_text`, of any bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_bytes(data)
    draft.replace(path)
