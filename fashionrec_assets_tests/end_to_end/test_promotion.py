"""A challenger with shuffled labels, a better one, a way back, and an item that leaves the catalog meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashionrec_assets.promotion.decision import promote, rollback
from fashionrec_assets.ranking import training
from fashionrec_assets.ranking.lists import Lists
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.recommendations.serving import homepage_of
from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.storage.releases import Releases
from fashionrec_assets_tests.end_to_end.place import SMALL, Place

RELEASED = ("withdrawn_items", "release", "served_release")
TRAINED = ("late_fusion_model", "homepage", *RELEASED)
CHALLENGER = {"ranking": {**SMALL["ranking"], "epochs": 8}}


def run(place: Place, assets: tuple[str, ...], **changes: object) -> RunResult:
    result = place.run(select=" or ".join(f'key:"{name}"' for name in assets), **changes)
    assert result.success, result.errors
    return result


def pages(home: Path) -> dict[str, bytes]:
    """Every table that is served, byte by byte."""
    return {path.name: path.read_bytes() for path in sorted((home / "served" / "tables").iterdir())}


def shuffle_labels(patch: pytest.MonkeyPatch) -> None:
    """What each shopper took, as the ranker learns it, is dealt out anew among what they did not take."""
    train = training.train_ranker

    def shuffled(lists: Lists, *rest: Any, **more: Any) -> Ranker:
        rng, taken = np.random.default_rng(5), np.zeros_like(lists.taken)
        for person in np.unique(lists.owner):
            mine = lists.owner == person
            others = np.flatnonzero(mine & ~lists.taken)
            taken[rng.choice(others, min(len(others), int(lists.taken[mine].sum())), replace=False)] = True
        return train(replace(lists, taken=taken, bits=taken.astype(np.uint8)), *rest, **more)

    patch.setattr(training, "train_ranker", shuffled)


def test_a_worse_challenger_is_blocked_a_better_one_promoted_and_rolled_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = Releases.of(place.home)
    champion, before = releases.open().version, pages(place.home)
    report = releases.read(champion).made_from.figures["ranking.late_fusion.ndcg@20"]

    with monkeypatch.context() as patch:
        shuffle_labels(patch)
        result = run(place, TRAINED, **CHALLENGER)
    worse = releases.all()[-1].version
    assert releases.served() == champion != worse
    assert pages(place.home) == before
    found = releases.state().verdicts[worse].comparison
    assert found is not None
    assert found.champion == pytest.approx(report), "the slice is the ranking report's"
    assert found.high < found.least < 0, "not by chance"
    assert [name for name in result.checks.failed if "challenger_is_not_worse" in name and found.told() in name]

    scored = {path: path.stat().st_mtime_ns for path in releases.root.glob("scores/*/*.parquet")}
    assert {path.parent.name for path in scored} == {champion, worse}
    result = run(place, RELEASED, **CHALLENGER)
    assert all(asset.work == 0 for asset in result.assets.values())
    assert [name for name in result.checks.failed if found.told() in name], "it keeps failing until it is resolved"
    assert {path: path.stat().st_mtime_ns for path in scored} == scored

    assert promote(releases, worse, "to make the champion worse") == champion
    shuffled = pages(place.home)
    assert shuffled["homepage.parquet"] != before["homepage.parquet"]
    result = run(place, TRAINED)
    better = releases.served()
    assert better != worse
    found = releases.state().verdicts[better or ""].comparison
    assert found is not None and found.low > 0
    assert not result.checks.failed

    assert rollback(releases) == worse
    assert pages(place.home) == shuffled
    result = run(place, RELEASED)
    assert releases.served() == worse and pages(place.home) == shuffled
    assert [name for name in result.checks.warned if "set aside" in name]
    assert promote(releases, better or "") == worse

    tables = releases.open()
    with tables.reader() as connection:
        user, item = connection.execute("SELECT user_id, item_id FROM homepage LIMIT 1").fetchall()[0]
    assert item in {row["item_id"] for row in homepage_of(tables, user, 20)}
    place.edit_catalog(lambda rows: [row for row in rows if row[rows[0].index("item_id")] != item])
    run(place, ("items", "withdrawn_items"))
    rest = homepage_of(releases.open(), user, 20)
    assert rest and item not in {row["item_id"] for row in rest}
    assert releases.served() == better
