"""A trained ranker: its files, and what it lifts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fashionrec_assets.ranking.calibration import ANY
from fashionrec_assets.ranking.features import NAMES
from fashionrec_assets.ranking.ranker import CONFIG, WEIGHTS, Ranker
from fashionrec_assets_tests.ranking.learned import QUICK, WARM, made


def test_a_saved_ranker_is_the_same(trained: Ranker, tmp_path: Path) -> None:
    lifted = replace(trained, new_bonus=0.75)
    lifted.save(tmp_path / "new")
    found = Ranker.load(tmp_path / "new")
    lists = made(7)
    lists.values[::3, WARM] = 0
    assert np.array_equal(found.scores(lists.values), lifted.scores(lists.values))
    one, other = (r.probabilities(lists.owner, lists.values) for r in (found, lifted))
    assert one.keys() == other.keys() == {ANY, "pv", "buy"}
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert (found.new_bonus, found.ndcg, found.settings) == (0.75, trained.ndcg, QUICK)


def test_its_files_hold_numbers_and_no_code(trained: Ranker, tmp_path: Path) -> None:
    trained.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, CONFIG}
    raw = (tmp_path / WEIGHTS).read_bytes()
    assert raw[8:9] == b"{"  # safetensors: a length, then a header in JSON
    assert not raw.startswith((b"PK", b"\x80"))


@pytest.mark.parametrize(("key", "value"), [("format", "late-fusion-0"), ("features", [*NAMES[1:], NAMES[0]])])
def test_a_ranker_of_another_version_is_refused(trained: Ranker, tmp_path: Path, key: str, value: object) -> None:
    trained.save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text("utf-8"))
    (tmp_path / CONFIG).write_text(json.dumps({**config, key: value}), "utf-8")
    with pytest.raises(ValueError, match="materialize late_fusion_model again"):
        Ranker.load(tmp_path)


def test_a_missing_ranker_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Ranker.load(tmp_path)


def test_the_lift_moves_new_items_only_and_no_probability(trained: Ranker) -> None:
    lists = made(4)
    lists.values[::4, WARM] = 0
    lifted = replace(trained, new_bonus=1.5)
    moved = lifted.scores(lists.values) - trained.scores(lists.values, lift=False)
    assert moved[::4] == pytest.approx(1.5, abs=1e-5)
    assert not np.delete(moved, np.s_[::4]).any()
    one, other = (r.probabilities(lists.owner, lists.values)[ANY] for r in (trained, lifted))
    assert np.array_equal(one, other)
