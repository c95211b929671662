from __future__ import annotations

from pathlib import Path

import pytest

from fashionrec_assets.plots import line_plot


def test_a_kept_drawing_is_drawn_anew_only_when_it_shows_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "cache" / "curve.png"
    first = line_plot({"loss": {"training": [2.0, None, 1.0]}}, mark=1, kept=kept)
    assert first.startswith(b"\x89PNG") and kept.read_bytes() == first
    assert line_plot({"loss": {"training": [2.0, None, 1.0]}}, mark=1) == first
    with monkeypatch.context() as patched:
        patched.setattr("matplotlib.figure.Figure.add_subplot", None)
        assert line_plot({"loss": {"training": (2.0, None, 1.0)}}, mark=1, kept=kept) == first
    second = line_plot({"loss": {"training": [2.0, None, 1.0]}}, mark=2, kept=kept)
    assert second != first and kept.read_bytes() == second
