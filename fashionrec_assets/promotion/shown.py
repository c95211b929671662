"""Releases as people look at them: rows of a table, and a drawing of a comparison.

Belongs here: that. Does not belong here: printing (`cli/promotion.py`), decisions.
"""

from __future__ import annotations

from typing import Any

from fashionrec_assets.evaluation.plots import Bar, difference_picture
from fashionrec_assets.promotion.content import compared
from fashionrec_assets.storage.release_notes import Comparison, Release, State
from fashionrec_assets.storage.releases import Releases

_NDCG = "ranking.late_fusion.ndcg@20"


def release_rows(releases: Releases) -> list[dict[str, Any]]:
    """A row for each retained release, the newest first.

    `state` is served, blocked, set aside or retained. `ndcg`, `low`, `high` are late fusion's in that day's ranking
    report; `compared_*` the paired difference to the champion it was compared with.
    """
    state, served = releases.state(), releases.served()
    return [_row(release, state, served) for release in reversed(releases.all())]


def _row(release: Release, state: State, served: str | None) -> dict[str, Any]:
    verdict, figures = state.verdicts.get(release.version), release.made_from.figures
    decision = None if verdict is None else verdict.decision
    if release.version == served:
        standing = "served"
    else:
        standing = decision if decision in ("blocked", "set aside") else "retained"
    found = None if verdict is None else verdict.comparison
    return {
        "version": release.version,
        "sequence": release.sequence,
        "created": release.created,
        "state": standing,
        "ndcg": figures.get(_NDCG),
        "ndcg_low": figures.get(f"{_NDCG}.low"),
        "ndcg_high": figures.get(f"{_NDCG}.high"),
        "compared_difference": None if found is None else found.difference,
        "compared_low": None if found is None else found.low,
        "compared_high": None if found is None else found.high,
        "why": None if verdict is None else verdict.why,
        **compared(release),
        "index": release.models.get("faiss_index", ""),
        "bytes": release.bytes,
        "erased": release.erased,
    }


def comparison_picture(found: Comparison) -> bytes:
    """A PNG: the difference with its interval, and the margin it must stay above."""
    bars = [
        Bar("challenger − champion", found.difference, found.low, found.high, role="model"),
        Bar("allowed at the least", found.least),
    ]
    return difference_picture(bars, f"difference in {found.metric}@{found.k}, {found.users:,} users")


def comparison_row(found: Comparison) -> dict[str, Any]:
    """The numbers of a comparison as one row of a table."""
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in found.model_dump().items()}
