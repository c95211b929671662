"""The published reports: pages and figures under stable paths in `<home>/reports`.

Belongs here: writing and reading that folder. Does not belong here: measurement and layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fashionrec_assets.storage.files import write_text

FIGURES = ".figures.json"


def publish_figures(reports: Path, name: str, figures: Mapping[str, float]) -> None:
    """Write the figures of report `name`, atomically."""
    write_text(reports / f"{name}{FIGURES}", json.dumps(dict(figures), indent=2, sort_keys=True) + "\n")


def published_figures(reports: Path) -> dict[str, float]:
    """The figures of every published report, by their stable keys."""
    found: dict[str, float] = {}
    for path in sorted(reports.glob(f"*{FIGURES}")):
        found.update(json.loads(path.read_text("utf-8")))
    return found


def published_reports(reports: Path) -> dict[str, Path]:
    """Report name to its HTML page."""
    return {path.stem: path for path in sorted(reports.glob("*.html"))}
