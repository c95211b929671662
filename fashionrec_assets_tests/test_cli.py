from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fashionrec_assets.cli import app
from fashionrec_assets.summary import Summary
from fashionrec_assets_tests.end_to_end.place import SMALL, Place


@pytest.fixture
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the small shop, as a user would give them: by the environment."""
    for section, values in SMALL.items():
        for name, value in values.items():
            given = value if isinstance(value, str) else json.dumps(value)
            monkeypatch.setenv(f"FASHIONREC_{section}__{name}".upper(), given)


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_sample_writes_a_shop_once_and_keeps_what_was_changed_in_it(tmp_path: Path) -> None:
    arguments = ("sample", "--out", tmp_path / "shop", "--items", 40, "--users", 20, "--events", 300)
    code, printed = call(*arguments)
    assert code == 0
    assert "40 items" in " ".join(printed.split())
    catalog = tmp_path / "shop" / "catalog.csv"
    catalog.write_text("changed", "utf-8")
    code, printed = call(*arguments)
    assert code == 0
    assert "already" in printed
    assert catalog.read_text("utf-8") == "changed"
    assert call(*arguments, "--force")[0] == 0
    assert catalog.read_text("utf-8") != "changed"


@pytest.mark.usefixtures("small_models")
def test_run_writes_the_summary_and_later_commands_need_only_the_home(place: Place) -> None:
    code, printed = call("run", "--raw", place.raw, "--home", place.home)
    assert code == 0, printed
    summary = Summary.read(place.home)
    assert summary is not None
    assert summary.success
    assert summary.peak_memory_mb > 50
    for method in ("late_fusion", "two_tower", "popularity", "item_knn", "tfidf", "blend", "oracle"):
        for metric in ("recall@20", "ndcg@20"):
            figures = summary.figures
            name = f"ranking.{method}.{metric}"
            assert figures[f"{name}.low"] <= figures[name] <= figures[f"{name}.high"]
    assert "ranking.two_tower.cold.recall@20" in summary.figures
    assert sum(asset.new + asset.stale + asset.orphaned for asset in summary.assets.values()) == 0
    assert Path(summary.reports["ranking"]).exists()
    schema = json.loads((place.home / "summary.json").read_text("utf-8"))
    assert schema["schema_version"] == 1

    code, printed = call("check", "--home", place.home)
    assert code == 0, printed
    assert re.search(r"\d+ checks passed, 0 failed", printed)

    with place.shop().warehouse.reader() as connection:
        user = connection.execute("SELECT user_id FROM homepage WHERE source = 'late_fusion' LIMIT 1").fetchall()[0][0]
        item = connection.execute("SELECT item_id FROM similar_items LIMIT 1").fetchall()[0][0]
    code, printed = call("recommend", user, "--home", place.home, "-k", 3)
    assert code == 0
    assert "you" in printed.lower()
    code, printed = call("recommend", "nobody-we-know", "--home", place.home, "-k", 3)
    assert code == 0
    assert "nothing is known" in printed
    assert "popular now" in printed.lower()
    for by in ("both", "text"):
        assert call("similar", item, "--home", place.home, "--by", by)[0] == 0
    code, printed = call("similar", "no-such-item", "--home", place.home)
    assert code == 2
    assert "no item 'no-such-item'" in printed


@pytest.mark.usefixtures("small_models")
def test_check_fails_on_a_broken_shop(place: Place) -> None:
    with place.shop().warehouse.writer() as connection:
        connection.execute("UPDATE homepage SET rank = rank + 1000 WHERE rank = 1")
    code, printed = call("check", "--home", place.home)
    assert code == 1
    assert "pages_are_ranked_without_gaps" in printed


def test_check_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    code, printed = call("check", "--home", tmp_path)
    assert code == 2
    assert "fashionrec run" in printed


def test_a_missing_shop_is_a_clear_error(tmp_path: Path) -> None:
    code, printed = call("run", "--raw", tmp_path / "nowhere", "--home", tmp_path / "home")
    assert code == 1
    assert "no such folder" in printed
    assert "--raw" in printed
    summary = Summary.read(tmp_path / "home")
    assert summary is not None
    assert not summary.success


def test_an_unknown_selection_names_the_assets(tmp_path: Path) -> None:
    code, printed = call("run", "--select", "no_such_asset", "--home", tmp_path / "home", "--raw", tmp_path)
    assert code == 2
    assert "two_tower_model" in printed
    code, printed = call("run", "--select", "clip_model or", "--home", tmp_path / "home", "--raw", tmp_path)
    assert code == 2
    assert "is not a selection" in printed


def test_a_wrong_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHIONREC_TWO_TOWER__EPOCHS", "many")
    code, printed = call("doctor", "--home", tmp_path)
    assert code == 2
    assert "two_tower.epochs" in printed


def test_doctor_says_what_is_missing_and_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHIONREC_RAW", str(tmp_path / "nowhere"))
    code, printed = call("doctor", "--home", tmp_path)
    assert code == 1
    assert "fashionrec sample" in printed
    assert "hash verified" in printed


def test_boxes_measures_the_grounder_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    Image.new("RGB", (40, 50), (200, 200, 200)).save(tmp_path / "a.png")
    (tmp_path / "boxes.csv").write_text(
        "image,label,x0,y0,x1,y1\na.png,coat,0,0,40,25\na.png,hat,0,0,4,4\nb.png,hat,0,0,9,9\na.png,hat,9,9,1,1\n",
        "utf-8",
    )
    arguments = ("boxes", "--boxes", tmp_path / "boxes.csv", "--images", tmp_path, "--home", tmp_path / "home")
    monkeypatch.setenv("FASHIONREC_CROPS__PROVIDER", "whole_image")
    code, printed = call(*arguments, "--min-area", 0.05, "--sheet", tmp_path / "out" / "sheet.png")
    assert code == 0, printed
    assert "whole_image" in printed
    assert re.search(r"all\s+│\s+1 │\s+0.500 │\s+0.0% │\s+100.0%", printed)
    assert "boxes.csv:4" in printed and "boxes.csv:5" in printed
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    code, printed = call(*arguments, "--min-area", 0.9)
    assert code == 2
    assert "Nothing to measure" in printed
    code, printed = call("boxes", "--boxes", tmp_path / "none.csv", "--images", tmp_path, "--home", tmp_path / "home")
    assert code == 2
    assert "no such file" in printed
