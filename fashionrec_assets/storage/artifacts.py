"""Whole artifacts (models, indexes, the interaction file): one folder per version.

Belongs here: writing a folder atomically, finding it, telling whether it is as it was written, pruning old ones. Does
not belong here: which version is current (the ledger's `output_fp` says that, in the same transaction as everything
else).
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path

from fashionrec_assets.storage.faults import reached
from fashionrec_assets.storage.files import explained, file_digest, remembered_digest, write_text

_log = logging.getLogger(__name__)

MANIFEST = ".manifest"
"""In each version's folder: the size and the sha256 of every other file, as JSON."""


class ArtifactMissingError(FileNotFoundError):
    """The ledger names a version whose folder is not there, or not as it was written."""


_DRAFT = ".draft-"


class Artifacts:
    """`<root>/<name>/<version>/`, immutable once there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str, version: str) -> Path:
        """The folder of a version. Raises ArtifactMissingError, with the remedy, if it is gone or damaged."""
        path = self.root / name / version
        if not path.is_dir():
            raise ArtifactMissingError(
                f"{path} is missing although the ledger names it. Run the asset {name} again to rebuild it."
            )
        wrong = self.damage(name, version)
        if wrong is not None:
            raise ArtifactMissingError(
                f"{path} is damaged: {wrong}. Run the asset {name} again, or `fashionrec run`, to rebuild it."
            )
        return path

    def exists(self, name: str, version: str) -> bool:
        """Whether a version is there and as it was written; damage is logged, and the version counts as absent."""
        path = self.root / name / version
        wrong = self.damage(name, version)
        if wrong is not None:
            _log.error("%s is damaged and counts as absent: %s", path, wrong)
        return path.is_dir() and wrong is None

    def damage(self, name: str, version: str) -> str | None:
        """What is wrong with the files of a version that is there, or None.

        Sizes are looked at every time, contents once a process and again when a file was touched. A version without a
        manifest is of an earlier release of this software, and taken as it is.
        """
        folder = self.root / name / version
        try:
            written = json.loads((folder / MANIFEST).read_text("utf-8"))
            expected = {str(file): (int(size), str(digest)) for file, (size, digest) in written.items()}
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError):
            return f"its {MANIFEST} cannot be read"
        for file, (size, digest) in expected.items():
            path = folder / file
            if not path.is_file():
                return f"{file} is missing"
            if path.stat().st_size != size:
                return f"{file} has {path.stat().st_size:,} of {size:,} bytes"
            if remembered_digest(path) != digest:
                return f"{file} is not what was written (its sha256 is another)"
        return None

    @contextmanager
    def write(self, name: str, version: str) -> Generator[Path]:
        """An empty folder to fill; renamed into place when the block ends, deleted when it raises."""
        home = self.root / name
        home.mkdir(parents=True, exist_ok=True)
        # A run that is killed after its last write never comes to prune what a killed run before it left.
        for left in home.glob(f"{_DRAFT}*"):
            shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=home))
        final = home / version
        try:
            with explained(final):
                reached("before write", final)
                yield draft
                reached("mid write", final)
                _write_manifest(draft)
                draft.chmod(0o755)
                reached("before rename", final)
                if not self._same(draft, final):
                    if final.exists():
                        # What a killed run left was never current, and what is damaged is of no use.
                        shutil.rmtree(final)
                    draft.replace(final)
                reached("after rename", final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _same(self, draft: Path, final: Path) -> bool:
        """Whether `final` is there with the same content: what is in force is then never away, not for a moment."""
        there = final / MANIFEST
        return (
            there.exists()
            and there.read_bytes() == (draft / MANIFEST).read_bytes()
            and self.damage(final.parent.name, final.name) is None
        )

    def prune(self, name: str, keep: Collection[str]) -> None:
        """Delete the versions of `name` that are not in `keep`, and drafts of killed runs."""
        home = self.root / name
        for path in home.iterdir() if home.is_dir() else ():
            if path.name not in keep:
                reached("before prune", path)
                shutil.rmtree(path, ignore_errors=True)
                reached("after prune", path)


def _write_manifest(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content = {path.relative_to(folder).as_posix(): (path.stat().st_size, file_digest(path)) for path in files}
    write_text(folder / MANIFEST, json.dumps(content, indent=1))
