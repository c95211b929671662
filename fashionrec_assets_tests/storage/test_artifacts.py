"""Folders that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fashionrec_assets.storage.artifacts import ArtifactMissingError, Artifacts


def test_an_artifact_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    with pytest.raises(RuntimeError), artifacts.write("model", "v1") as folder:
        (folder / "weights").write_text("half")
        raise RuntimeError
    assert not artifacts.exists("model", "v1")
    with pytest.raises(ArtifactMissingError, match="Run the asset model again"):
        artifacts.folder("model", "v1")
    for text in ("first", "second"):
        with artifacts.write("model", "v1") as folder:
            (folder / "weights").write_text(text)
    assert (artifacts.folder("model", "v1") / "weights").read_text() == "second"
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["v1"]


def test_prune_keeps_what_it_is_told_and_sweeps_drafts(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    for version in ("v1", "v2"):
        with artifacts.write("model", version):
            pass
    (tmp_path / "model" / ".draft-killed").mkdir()
    artifacts.prune("model", ["v2"])
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["v2"]
