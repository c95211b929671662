"""Damaged files, a full disk and a training that diverges: said clearly, made right by the next run, nothing lost."""

from __future__ import annotations

import errno
import os
from datetime import datetime, tzinfo
from pathlib import Path

import duckdb
import pytest

from fashionrec_assets.catalog import assets
from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.storage.faults import listening
from fashionrec_assets_tests.end_to_end.place import SMALL, Place
from fashionrec_assets_tests.end_to_end.test_kill import forget
from fashionrec_assets_tests.killing import content, differences

MAKERS = ("two_tower_model", "item_vectors", "faiss_index", "late_fusion_model", "homepage")
SELECTED = " or ".join(f'key:"{name}"' for name in MAKERS)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def altered(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x00altered\xff")


def only(folder: Path, pattern: str) -> Path:
    return sorted(folder.rglob(pattern))[0]


def test_damaged_files_are_made_again_by_the_next_run(place: Place, first_run: tuple[Place, RunResult]) -> None:
    undisturbed, _ = first_run
    before = content(undisturbed.home)
    home = place.home
    cut_short(only(home / "artifacts" / "faiss_index", "*.faiss"))
    altered(only(home / "artifacts" / "late_fusion_model", "*.safetensors"))
    altered(only(home / "stores" / "item_vectors", "*.parquet"))
    cut_short(home / "exports" / "homepage.parquet")
    completed = place.run(select=SELECTED)
    assert completed.success, completed.errors
    assert completed.checks.failed == []
    done = {name: made.new + made.stale for name, made in completed.assets.items()}
    assert done["two_tower_model"] == done["homepage"] == 0
    assert done["faiss_index"] == done["late_fusion_model"] == 1 and done["item_vectors"] > 0
    assert differences(content(home), before) == []
    # The ledger is lost with all of its file but the copy that the run before left.
    (home / "warehouse.duckdb").write_bytes(b"no database" * 5000)
    completed = place.run(select=SELECTED)
    assert completed.success, completed.errors
    assert differences(content(home), before) == []


def test_a_full_disk_fails_the_stage_with_the_remedy_and_the_next_run_completes_it(
    place: Place, first_run: tuple[Place, RunResult]
) -> None:
    undisturbed, _ = first_run
    forget(place.home, ["faiss_index", "homepage"], ["homepage"], ["artifacts/faiss_index"])

    def full(point: str, subject: str) -> None:
        if point == "mid write" and "faiss_index" in subject:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), subject)

    with listening(full):
        stopped = place.run(select='key:"faiss_index" or key:"homepage"')
    assert not stopped.success
    ((step, said),) = [error for error in stopped.errors if "faiss_index" in error[0]]
    assert step == "faiss_index" and "no room to write" in said and "run again" in said
    assert not list((place.home / "artifacts" / "faiss_index").iterdir())
    completed = place.run(select='key:"faiss_index" or key:"homepage"')
    assert completed.success, completed.errors
    assert differences(content(place.home), content(undisturbed.home)) == []


def test_a_clock_that_went_back_changes_nothing(
    place: Place, first_run: tuple[Place, RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, _ = first_run

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # pyright: ignore[reportIncompatibleMethodOverride]
            return datetime(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(assets, "datetime", Earlier)
    # The log has a new time and the same content; what is made of it is of another time than its files say.
    for path in [place.raw / "UserBehavior.csv", *(place.home / "stores").rglob("*.parquet")]:
        os.utime(path, (10, 10))
    with duckdb.connect(str(place.home / "warehouse.duckdb")) as connection:
        connection.execute("UPDATE ledger SET input_fp = 'read again' WHERE stage = 'interactions_file'")
    completed = place.run(select='key:"items" or key:"interactions" or key:"item_vectors"')
    assert completed.success, completed.errors
    assert {name: made.new + made.stale for name, made in completed.assets.items()} == {
        "items": 0,
        "interactions": 0,
        "item_vectors": 0,
    }
    assert differences(content(place.home), content(undisturbed.home)) == []


@pytest.mark.parametrize(
    ("stage", "room", "wild"),
    [
        ("two_tower_model", "two_tower", {"temperature": 1e-39}),
        ("late_fusion_model", "ranking", {"learning_rate": 1e30}),
    ],
)
def test_a_training_that_diverges_leaves_the_model_in_force(
    stage: str, room: str, wild: dict[str, float], place: Place
) -> None:
    before, version = content(place.home), place.shop().version(stage)
    stopped = place.run(select=f'key:"{stage}"', **{room: {**SMALL[room], **wild}})
    assert not stopped.success
    ((_, said),) = [error for error in stopped.errors if error[0] == stage]
    assert f"{stage} diverged" in said and "in epoch" in said and f"lower {room}.learning_rate" in said
    assert place.shop().version_or_none(stage) == version
    assert [path.name for path in (place.home / "artifacts" / stage).iterdir()] == [version]
    assert differences(content(place.home), before) == []
