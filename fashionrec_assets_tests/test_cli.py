from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from fashionrec_assets.cli import app
from fashionrec_assets.cli.app import console
from fashionrec_assets.definitions import build_definitions
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
    # The console keeps the width that the environment stated when it was made.
    console.width = 200
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def defined_checks(place: Place) -> set[str]:
    """Every check of the definitions, as `asset:check`."""
    graph = build_definitions(place.settings()).resolve_asset_graph()
    return {f"{key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys}


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
    code, printed = call("run", "--raw", place.raw, "--home", place.home, "--expect-unchanged")
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

    report, page = place.home / "gate" / "checks.xml", place.home / "gate" / "checks.md"
    code, printed = call("check", "--home", place.home, "--junit", report, "--markdown", page)
    assert code == 0, printed
    assert re.search(r"\d+ checks passed, 0 failed", printed)
    cases = [case for case in ElementTree.parse(report).getroot().iter("testcase") if case.get("classname") != "run"]
    assert {f"{case.get('classname')}:{case.get('name')}" for case in cases} == defined_checks(place)
    assert sum(float(case.get("time", "0")) for case in cases) > 0
    written = page.read_text("utf-8")
    assert "## Asset checks: passed" in written
    assert "`late_fusion`" in written, "the figures of the ranking report"
    assert f"Nothing: {len(summary.assets)} assets were up to date." in written

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
def test_check_fails_on_a_broken_shop(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with place.shop().warehouse.writer() as connection:
        connection.execute("UPDATE homepage SET rank = rank + 1000 WHERE rank = 1")
    job_summary, report, page = tmp_path / "job.md", tmp_path / "checks.xml", tmp_path / "checks.md"
    job_summary.write_text("said before\n", "utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job_summary))
    selected = ("check", "--home", place.home, "--select", 'key:"homepage"')
    code, printed = call(*selected, "--junit", report, "--markdown", page, "--markdown", "-")
    assert code == 1
    assert "pages_are_ranked_without_gaps" in printed
    cases = [case for case in ElementTree.parse(report).getroot().iter("testcase") if case.get("classname") != "run"]
    assert {case.get("classname") for case in cases} == {"homepage"}
    assert len(cases) == sum(name.startswith("homepage:") for name in defined_checks(place)) > 1
    (failed,) = [case for case in cases if case.find("failure") is not None]
    assert failed.get("name") == "pages_are_ranked_without_gaps"
    assert "| `homepage` | `pages_are_ranked_without_gaps` |" in page.read_text("utf-8")
    assert job_summary.read_text("utf-8") == "said before\n" + page.read_text("utf-8")

    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    code, printed = call("check", "--home", place.home, "--select", 'key:"splits"', "--markdown", "-")
    assert code == 0
    assert "## Asset checks: passed" in printed
    code, printed = call("check", "--home", place.home, "--select", "nothing_of_this_name")
    assert code == 2
    assert "two_tower_model" in printed


@pytest.mark.usefixtures("small_models")
def test_work_that_was_not_expected_fails_the_run(place: Place) -> None:
    chosen = place.catalog()[0]["item_id"]
    place.edit_catalog(
        lambda rows: [[*row[:1], "Velvet gala edition", *row[2:]] if row[0] == chosen else row for row in rows]
    )
    run = ("run", "--raw", place.raw, "--home", place.home, "--select", 'key:"items"')
    code, printed = call(*run, "--expect", "items=1")
    assert code == 0, printed
    assert call(*run, "--expect-unchanged")[0] == 0
    place.edit_catalog(lambda rows: [row for row in rows if row[0] != chosen])
    code, printed = call(*run, "--expect-unchanged")
    assert code == 1
    assert "items computed or deleted 1 (0 new, 0 stale, 1 orphaned; unit: item), expected 0" in printed
    code, printed = call(*run, "--expect", "items=0", "--expect", "homepage=0")
    assert code == 1
    assert "homepage was not made by this run" in printed
    assert "items computed or deleted" not in printed


def test_expectations_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    for words in (("--expect", "items"), ("--expect", "items=one"), ("--expect", "items=1", "--expect-unchanged")):
        code, printed = call("run", "--home", tmp_path / "home", "--raw", tmp_path, *words)
        assert code == 2
        assert "--expect" in printed
    assert not (tmp_path / "home").exists()


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
