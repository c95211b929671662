from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fashionrec_assets.catalog.drop_folder import (
    Decision,
    Memory,
    decide,
    is_unfinished,
    look_at,
    still_arriving,
)
from fashionrec_assets.catalog.sources.base import open_source

STABLE = 60.0
NOON = 1_700_000_000.0


class Folder:
    """A drop folder, and someone who looks at it with a clock of their own."""

    def __init__(self, raw: Path) -> None:
        self.raw = raw
        self.memory = Memory()
        raw.mkdir()

    def put(self, name: str, text: str = "x", at: float = NOON) -> None:
        path = self.raw / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        os.utime(path, (at, at))

    def look(self, now: float) -> Decision:
        # Through JSON, as the cursor goes.
        memory = Memory.of(self.memory.model_dump_json())
        decision = decide(look_at(open_source("taobao", self.raw)), memory, now, STABLE)
        self.memory = decision.memory
        return decision


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "raw")


@pytest.fixture
def full(folder: Folder) -> Folder:
    folder.put("catalog.csv")
    folder.put("UserBehavior.csv")
    folder.put("images/1.jpg")
    return folder


def test_a_run_is_asked_for_once_when_all_is_there_and_still(full: Folder) -> None:
    assert "still arriving" in full.look(NOON).reason
    assert full.look(NOON + STABLE - 1).run_key is None
    key = full.look(NOON + STABLE).run_key
    assert key is not None
    for later in (1, 61, 3600):
        again = full.look(NOON + STABLE + later)
        assert again.run_key is None and "nothing new" in again.reason


def test_what_is_required_must_be_there(folder: Folder) -> None:
    folder.put("catalog.csv")
    for now in (NOON, NOON + 2 * STABLE):
        decision = folder.look(now)
        assert decision.run_key is None and "not ready" in decision.reason
    folder.put("UserBehavior.csv")
    assert folder.look(NOON + 3 * STABLE).run_key is None
    assert folder.look(NOON + 4 * STABLE).run_key is not None


@pytest.mark.parametrize("name", ["catalog.csv", "images/1.jpg", "images/2.jpg", "users.csv"])
def test_anything_that_arrives_starts_the_wait_again_and_asks_again(full: Folder, name: str) -> None:
    full.look(NOON)
    first = full.look(NOON + STABLE).run_key
    full.put(name, "more", at=NOON + 90)
    assert full.look(NOON + 100).run_key is None
    full.put(name, "more and more", at=NOON + 120)
    assert full.look(NOON + 100 + STABLE).run_key is None
    second = full.look(NOON + 100 + 2 * STABLE).run_key
    assert second is not None and second != first


def test_an_upload_under_another_name_holds_back_only_while_it_grows(full: Folder) -> None:
    full.look(NOON)
    full.put("catalog.csv.part", "half")
    growing = full.look(NOON + STABLE)
    assert growing.run_key is None and "catalog.csv.part" in growing.reason
    full.put("images/.2.jpg.tmp", "half")
    assert full.look(NOON + 2 * STABLE).run_key is None
    # One that was given up does not keep every later run from starting.
    assert full.look(NOON + 3 * STABLE).run_key is not None


def test_finishing_an_upload_by_renaming_it_is_something_new(full: Folder) -> None:
    full.put("catalog.csv.part", "all of it")
    full.look(NOON)
    assert full.look(NOON + STABLE).run_key is not None
    (full.raw / "catalog.csv.part").replace(full.raw / "catalog.csv")
    assert full.look(NOON + 2 * STABLE).run_key is None
    assert full.look(NOON + 3 * STABLE).run_key is not None


def test_a_content_that_comes_back_is_asked_for_again(full: Folder) -> None:
    keys = []
    for number, text in enumerate(("one", "two!", "one", "two!")):
        full.put("catalog.csv", text)
        full.look(NOON + 1000 * number)
        keys.append(full.look(NOON + 1000 * number + STABLE).run_key)
    assert None not in keys and len(set(keys)) == 4


def test_a_clock_that_goes_back_or_files_from_the_future_hold_nothing_up(full: Folder) -> None:
    full.put("catalog.csv", at=NOON + 10**6)
    full.look(NOON + 5000)
    assert full.look(NOON).run_key is None
    assert full.look(NOON + STABLE).run_key is not None


def test_a_cursor_that_cannot_be_read_is_as_none() -> None:
    assert Memory.of(None) == Memory.of("{not json") == Memory.of('{"of": "another version"}') == Memory()


def test_a_folder_that_went_away_is_told_and_comes_back(full: Folder) -> None:
    full.look(NOON)
    aside = full.raw.with_name("aside")
    full.raw.rename(aside)
    assert "not ready" in full.look(NOON + STABLE).reason
    shutil.copytree(aside, full.raw, copy_function=shutil.copy2)
    assert full.look(NOON + STABLE + 1).run_key is None
    assert full.look(NOON + 2 * STABLE + 1).run_key is not None


def test_one_look_tells_only_what_was_just_written(full: Folder) -> None:
    look = look_at(open_source("taobao", full.raw))
    assert still_arriving(look, NOON + 3600, STABLE) is None
    assert "written 5 s ago" in str(still_arriving(look, NOON + 5, STABLE))
    assert still_arriving(look, NOON - 3600, STABLE) is None
    full.put("events.csv.part", at=NOON + 3600)
    assert "events.csv.part" in str(still_arriving(look_at(open_source("taobao", full.raw)), NOON + 3601, STABLE))


@pytest.mark.parametrize(
    ("name", "unfinished"),
    [
        ("catalog.csv", False),
        ("catalog.csv.part", True),
        ("Catalog.CSV.TMP", True),
        ("x.crdownload", True),
        (".catalog.csv.Xy12z", True),
        ("catalog.csv~", True),
        ("partial.csv", False),
    ],
)
def test_names_that_say_not_yet(name: str, unfinished: bool) -> None:
    assert is_unfinished(name) is unfinished
