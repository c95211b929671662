"""Digests follow content, and files known before are not read again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fashionrec_assets.catalog.digests import file_digest, noted_name, path_digest


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert file_digest(path) == hashlib.sha256(b"abc").hexdigest()


def test_a_known_file_is_believed_until_its_stamp_changes(tmp_path: Path) -> None:
    path, known = tmp_path / "a", {}
    path.write_bytes(b"abc")
    first = file_digest(path, known)
    size, stamp, _ = known[noted_name(path)]
    known[noted_name(path)] = (size, stamp, "remembered")
    assert file_digest(path, known) == "remembered"
    os.utime(path, ns=(stamp, stamp + 1))
    assert file_digest(path, known) == first


def test_a_folder_changes_with_names_and_contents_only(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    first = path_digest(tmp_path)
    os.utime(tmp_path / "b", (1, 1))
    assert path_digest(tmp_path) == first
    (tmp_path / "b").write_bytes(b"3")
    changed = path_digest(tmp_path)
    (tmp_path / "b").rename(tmp_path / "c")
    assert len({first, changed, path_digest(tmp_path)}) == 3
