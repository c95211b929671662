from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask, ranking_task
from fashionrec_assets.promotion import scoring
from fashionrec_assets.promotion.scoring import CannotBeScoredError, FrozenSlice, figures_of, slice_digest
from fashionrec_assets.promotion.withdrawn import withdrawn, write_withdrawn
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.parquet import write_atomically
from fashionrec_assets.storage.releases import Releases
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows
from fashionrec_assets.towers.features import ItemFeatures
from fashionrec_assets_tests.storage.release_maker import publish

CURRENT = {"text": "text-1", "image": "clip-1"}


def log(*events: tuple[int, int, int, int]) -> EventLog:
    users, items, times, behaviours = zip(*events, strict=True)
    return EventLog.build(["u", "v", "w"], ["a", "b", "c"], users, items, times, behaviours)


EVENTS = ((0, 0, 10, 0), (1, 1, 20, 0), (0, 1, 110, 0), (1, 2, 120, 3))


def task(*events: tuple[int, int, int, int], end: int = 200) -> RankingTask:
    return ranking_task(log(*events), name="test", start=100, end=end)


def test_a_slice_is_named_by_all_that_is_asked() -> None:
    name = slice_digest(task(*EVENTS))
    assert slice_digest(task(*EVENTS)) == name
    other_target, other_history = list(EVENTS), list(EVENTS)
    other_target[2], other_history[0] = (0, 2, 110, 0), (0, 0, 11, 0)
    others = [task(*other_target), task(*other_history), task(*EVENTS, end=201)]
    others.append(replace(task(*EVENTS), pool=np.array([True, True, False])))
    assert len({name, *map(slice_digest, others)}) == 5


def frozen() -> FrozenSlice:
    inputs: Any = SimpleNamespace(features=ItemFeatures.build(["a", "b", "c"]))
    return FrozenSlice(task(*EVENTS), inputs, "slice")


def test_figures_are_measured_once_and_kept_beside_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    releases, asked = Releases.of(tmp_path), list[str]()
    made = publish(tmp_path)

    def measured(folder: Path, release: Any, *rest: object) -> scoring.UserFigures:
        asked.append(release.version)
        return scoring.UserFigures(np.array(["u", "v"]), {"ndcg": np.array([0.5, 1.0]), "recall": np.array([0.0, 1.0])})

    monkeypatch.setattr(scoring, "_measured", measured)
    first = figures_of(releases, made, frozen(), CURRENT)
    again = figures_of(releases, made, frozen(), CURRENT)
    assert asked == [made.version]
    assert again.users.tolist() == first.users.tolist() == ["u", "v"]
    for name, values in first.values.items():
        np.testing.assert_array_equal(again.values[name], values)
    figures_of(releases, made, replace(frozen(), name="another"), CURRENT)
    assert len(asked) == 2
    assert not releases.problems(made.version), "a release itself does not change"


@pytest.mark.parametrize(("cut", "trained"), [(101, 100), (100, 101)])
def test_models_that_know_the_answers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int, trained: int
) -> None:
    made = publish(tmp_path, cut=cut)
    monkeypatch.setattr(scoring, "_models", lambda *given: (SimpleNamespace(cut=trained), None, None))
    with pytest.raises(CannotBeScoredError, match="would know the answers"):
        figures_of(Releases.of(tmp_path), made, frozen(), CURRENT)


def test_models_that_cannot_be_read_are_told_of(tmp_path: Path) -> None:
    with pytest.raises(CannotBeScoredError, match="cannot be read by this version"):
        figures_of(Releases.of(tmp_path), publish(tmp_path), frozen(), CURRENT)


def test_another_encoder_means_the_vectors_the_release_kept(tmp_path: Path) -> None:
    kept = BucketStore(tmp_path / "vectors", 2, VECTOR_COLUMNS)
    kept.put(vector_rows(["a", "c"], np.array([[1, 2], [3, 4]], np.float32)))
    found = scoring._with_kept(ItemFeatures.build(["a", "b", "c"]), "image", tmp_path / "vectors").modalities["image"]
    assert found.present.tolist() == [True, False, True], "an item the release never saw has none"
    assert found.values.tolist() == [[1, 2], [0, 0], [3, 4]]


def test_withdrawn_are_the_items_of_any_kept_release_that_left_the_catalog(tmp_path: Path) -> None:
    releases, catalog = Releases.of(tmp_path), tmp_path / "now.parquet"
    write_atomically(catalog, pa.table({"item_id": ["b", "c", "e"]}))
    assert write_withdrawn(releases, catalog) == 0
    publish(tmp_path)
    publish(tmp_path, items=("b", "c", "d", "f"))
    assert write_withdrawn(releases, catalog) == 3
    assert withdrawn(releases) == ["a", "d", "f"]
