from __future__ import annotations

import json
from pathlib import Path

import pytest

from fashionrec_assets.promotion.decision import consider
from fashionrec_assets.storage.releases import Releases
from fashionrec_assets_tests.promotion.test_decision import SETTINGS, Bench
from fashionrec_assets_tests.storage.release_maker import publish
from fashionrec_assets_tests.test_cli import call


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A champion, a challenger that was blocked, and a link to the champion."""
    bench = Bench(tmp_path / "home")
    bench.night(0.25, "one")
    bench.night(0.75, "worse")
    return bench.home


def versions(home: Path) -> list[str]:
    return [release.version for release in Releases.of(home).all()]


def test_models_lists_what_is_kept_and_why_something_is_blocked(home: Path) -> None:
    first, second = versions(home)
    code, printed = call("models", "--home", home)
    lines = {line.split()[1]: line for line in printed.splitlines() if "│" in line}
    assert code == 0
    assert "served" in lines[first] and "blocked" in lines[second]
    assert "0.2000 (0.1000 to 0.3000)" in printed and "worse-ranker" in printed
    assert f"{second} worse: ndcg@20 0.3" in printed
    code, printed = call("models", "--home", home, "--json")
    told = json.loads(printed)
    assert [(one["version"], one["state"], one["sequence"]) for one in told] == [
        (second, "blocked", 2),
        (first, "served", 1),
    ]
    assert told[0]["compared_low"] < told[0]["compared_difference"] < told[0]["compared_high"] < 0
    assert told[0]["made_from"]["models"]["two_tower_model"] == "worse"


def test_promote_and_rollback_switch_what_is_recommended(home: Path) -> None:
    first, second = versions(home)
    code, printed = call("recommend", "u", "--home", home)
    assert code == 0
    assert f"release {first}" in printed and "0.25" in printed
    code, printed = call("promote", second, "--home", home, "--reason", "we looked at it")
    assert code == 0, printed
    assert f"Release {second} is served now, {first} was before." in printed
    assert "0.75" in call("similar", "a", "--home", home)[1]
    assert Releases.of(home).state().switches[-1].why == "we looked at it"
    code, printed = call("rollback", "--home", home)
    assert code == 0, printed
    assert f"Release {first} is served again" in printed
    assert "0.25" in call("recommend", "u", "--home", home)[1]
    newest = Releases.of(home).read(second)
    bench = Bench(home)
    assert consider(bench.releases, newest, SETTINGS, bench.measure, str).decision == "set aside"


def test_what_cannot_be_switched_is_said(home: Path, tmp_path: Path) -> None:
    for words, said in (
        (("promote", "other"), "no release 'other'"),
        (("promote", versions(home)[0]), "served already"),
        (("rollback",), "nothing to go back to"),
    ):
        code, printed = call(*words, "--home", home)
        assert (code, said in printed) == (2, True), printed
    for command in (("models",), ("promote", "x"), ("rollback",), ("recommend", "u"), ("similar", "a")):
        code, printed = call(*command, "--home", tmp_path / "empty")
        assert (code, "fashionrec run" in printed) == (2, True), printed


def test_recommend_without_a_served_release_says_so(tmp_path: Path) -> None:
    publish(tmp_path)
    code, printed = call("recommend", "u", "--home", tmp_path)
    assert code == 2
    assert "No release has been published yet" in printed
