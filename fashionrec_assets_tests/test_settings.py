from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from fashionrec_assets.settings import PRESETS, Settings, digest


def test_each_layer_overrides_the_one_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load(home=tmp_path).two_tower.negatives == Settings().two_tower.negatives
    Settings.load(home=tmp_path).remember(preset="standard", source="hm")
    remembered = Settings.load(home=tmp_path)
    assert (remembered.preset, remembered.source) == ("standard", "hm")
    assert remembered.two_tower.negatives == PRESETS["standard"]["two_tower"]["negatives"]
    monkeypatch.setenv("FASHIONREC_TWO_TOWER__NEGATIVES", "7")
    monkeypatch.setenv("FASHIONREC_SOURCE", "taobao")
    from_environment = Settings.load(home=tmp_path)
    assert (from_environment.two_tower.negatives, from_environment.source) == (7, "taobao")
    assert from_environment.two_tower.dim == PRESETS["standard"]["two_tower"]["dim"]
    assert Settings.load(home=tmp_path, source="hm").source == "hm"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_changes_what_it_names(tmp_path: Path, preset: str) -> None:
    settings, default = Settings.load(home=tmp_path, preset=preset), Settings()
    for section, values in PRESETS[preset].items():
        assert all(getattr(getattr(settings, section), name) == value for name, value in values.items())
    assert preset == "demo" or settings.ncf != default.ncf or settings.clip != default.clip


def test_the_home_itself_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Settings.load(home=tmp_path).remember(source="hm")
    monkeypatch.setenv("FASHIONREC_HOME", str(tmp_path))
    assert Settings.load().source == "hm"


def test_unknown_and_impossible_values_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="epohcs"):
        Settings.load(home=tmp_path, two_tower={"epohcs": 3})
    with pytest.raises(ValidationError, match="buckets"):
        Settings.load(home=tmp_path, storage={"buckets": 0})


def test_flags_that_are_none_were_not_passed(tmp_path: Path) -> None:
    Settings.load(home=tmp_path).remember(source="hm", preset=None)
    assert Settings.load(home=tmp_path, source=None).source == "hm"


def test_value_follows_a_dotted_path(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)
    assert settings.value("two_tower.epochs") == settings.two_tower.epochs
    assert settings.value("crops")["margin"] == settings.crops.margin
    with pytest.raises(AttributeError):
        settings.value("two_tower.nothing")


def test_digests_ignore_the_order_of_keys_only() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1, "b": [1, 2]}) != digest({"a": 1, "b": [2, 1]})
