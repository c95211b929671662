"""The crop asset with a Grounding DINO: fallbacks counted, jumps warned of, pictures kept, nothing done twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from fashionrec_assets.crops import grounding_dino
from fashionrec_assets.crops.assets import STAGE
from fashionrec_assets.crops.rates import EVERY_TYPE, rates
from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.resources.shop import LogReporter
from fashionrec_assets.sample import generate_shop
from fashionrec_assets.settings import Settings
from fashionrec_assets_tests.crops import tiny_dino
from fashionrec_assets_tests.end_to_end.place import Place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dino.grounding_dino(tmp_path_factory.mktemp("dino") / "tiny")


@pytest.fixture(scope="module")
def first(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    base = tmp_path_factory.mktemp("small")
    generate_shop(base / "shop", items=40, users=20, events=200, seed=3)
    place = Place(base / "shop", base / "home")
    result = run(place, folder)
    assert result.success, result.errors
    return place


@pytest.fixture
def shop(first: Place, tmp_path: Path) -> Place:
    shutil.copytree(first.home, tmp_path / "home", copy_function=shutil.copy2)
    return Place(first.raw, tmp_path / "home")


def run(place: Place, folder: Path, reporter: Any = None, **crops: Any) -> RunResult:
    chosen = {"provider": "grounding_dino", "model": str(folder), "box_threshold": 0.5, **crops}
    return place.run(select="+grounded_crops", reporter=reporter, crops=chosen)


def pictures(place: Place) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted((place.home / "reports" / "crops").iterdir())
    }


def test_every_photo_has_a_box_or_a_reason(first: Place) -> None:
    with first.shop().warehouse.reader() as connection:
        methods = dict(connection.execute("SELECT method, count(*) FROM crops GROUP BY 1").fetchall())
        unreasoned = connection.execute(
            "SELECT count(*) FROM crops WHERE (method = 'whole_image') <> (reason IS NOT NULL)"
        ).fetchall()
    assert methods["grounding_dino"] > 25
    assert unreasoned == [(0,)]
    assert sorted(pictures(first)) == ["box_areas.png", "contact_sheet.jpg", "pictures.json"]


def test_a_run_without_changes_loads_no_model_and_draws_nothing(
    shop: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pictures(shop)
    monkeypatch.setattr(grounding_dino, "Detector", None)
    result = run(shop, folder, batch_size=2)
    assert result.success, result.errors
    assert (result.assets["grounded_crops"].new, result.assets["grounded_crops"].stale) == (0, 0)
    assert pictures(shop) == before


def test_a_jump_over_a_killed_run_is_warned_of_until_crops_change_again(shop: Place, folder: Path) -> None:
    class Killer(LogReporter):
        def advanced(self, stage: str, done: int, total: int) -> None:
            if stage == STAGE.name and done < total:
                raise RuntimeError("killed")

    before = pictures(shop)
    with shop.shop().warehouse.reader() as connection:
        start = rates(connection)[0]
    assert not run(shop, folder, Killer(), box_threshold=0.999).success
    completed = run(shop, folder, box_threshold=0.999)
    assert completed.assets["grounded_crops"].reused > 0
    with shop.shop().warehouse.reader() as connection:
        end = rates(connection)[0]
    assert (end.fresh, end.fresh_whole) == (start.fresh, start.fresh)
    assert (end.before, end.before_whole) == (start.fresh, start.fresh_whole)
    (warned,) = (text for text in completed.checks.warned if "fallbacks_did_not_jump" in text)
    assert EVERY_TYPE in warned and "→ 100%" in warned
    assert pictures(shop)["contact_sheet.jpg"][1] != before["contact_sheet.jpg"][1]
    again = run(shop, folder, box_threshold=0.999)
    assert again.assets["grounded_crops"].stale == 0
    assert warned in again.checks.warned


def test_a_model_that_cannot_be_had_is_one_clear_error(shop: Place, tmp_path: Path) -> None:
    result = run(shop, tmp_path / "nothing")
    assert not result.success
    ((step, message),) = result.errors
    assert step == "grounded_crops"
    assert "does not exist" in message


def test_one_grounders_settings_make_nothing_stale_for_another() -> None:
    def code(**crops: Any) -> str:
        return STAGE.code_fp(Settings.load(crops=crops))

    usual = code()
    assert code(model="other/model", box_threshold=0.1, text_threshold=0.1, batch_size=9, precision="float16") == usual
    assert len({usual, code(margin=0.1), code(provider="whole_image"), code(max_side=64), code(min_area=0.1)}) == 5
