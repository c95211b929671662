"""One table in one Parquet file: written whole, every page with its checksum, and the version it says it is.

Belongs here: that. Does not belong here: files whose rows change (`buckets.py`, `bucket_files.py`), other formats
(`files.py`).
"""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fashionrec_assets.storage.files import write_bytes

_log = logging.getLogger(__name__)


def parquet_bytes(table: pa.Table) -> memoryview:
    """`table` as the bytes of a Parquet file, every page with its checksum."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return memoryview(sink.getvalue())


def write_atomically(path: Path, table: pa.Table) -> None:
    """Write Parquet under a temporary name, flush it to disk, rename it: readers see the old file or the new one."""
    write_bytes(path, parquet_bytes(table), durable=True)


def version_in(path: Path) -> str | None:
    """The `version` that a Parquet file says it is; None if the file is not there, or not with its end."""
    try:
        return (pq.read_metadata(path).metadata or {}).get(b"version", b"").decode()
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError) as error:
        _log.error("%s is damaged and is written again: %s", path, error)
        return None
