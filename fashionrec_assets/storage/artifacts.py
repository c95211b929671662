"""Whole artifacts (models, indexes, the interaction file): one folder per version.

Belongs here: writing a folder atomically, finding it, pruning old ones. Does not belong here: which version is
current (the ledger's `output_fp` says that, in the same transaction as everything else).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path


class ArtifactMissingError(FileNotFoundError):
    """The ledger names a version whose folder is not there."""


class Artifacts:
    """`<root>/<name>/<version>/`, immutable once there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str, version: str) -> Path:
        """The folder of a version. Raises ArtifactMissingError, with the remedy, if it is gone."""
        path = self.root / name / version
        if not path.is_dir():
            raise ArtifactMissingError(
                f"{path} is missing although the ledger names it. Run the asset {name} again to rebuild it."
            )
        return path

    def exists(self, name: str, version: str) -> bool:
        return (self.root / name / version).is_dir()

    @contextmanager
    def write(self, name: str, version: str) -> Generator[Path]:
        """An empty folder to fill; renamed into place when the block ends, deleted when it raises."""
        home = self.root / name
        home.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home))
        try:
            yield draft
            final = home / version
            if final.exists():
                # A run was killed between this rename and its ledger entry: what it left was never current.
                shutil.rmtree(final)
            draft.chmod(0o755)
            draft.replace(final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def prune(self, name: str, keep: Collection[str]) -> None:
        """Delete the versions of `name` that are not in `keep`, and drafts of killed runs."""
        home = self.root / name
        for path in home.iterdir() if home.is_dir() else ():
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)
