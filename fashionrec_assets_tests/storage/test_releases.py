from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from fashionrec_assets.recommendations.serving import homepage_of, similar_to
from fashionrec_assets.storage import faults
from fashionrec_assets.storage.files import write_text
from fashionrec_assets.storage.parquet import write_atomically
from fashionrec_assets.storage.release_notes import Verdict
from fashionrec_assets.storage.releases import ReleaseError, Releases, names_of
from fashionrec_assets_tests.storage.release_maker import publish


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases.of(tmp_path / "home")


def serve(releases: Releases, score: float, **more: object) -> str:
    """A release with that score, served."""
    made = publish(releases.root.parent, score, **more)  # pyright: ignore[reportArgumentType]
    releases.switch(made.version, "a test", "tester")
    return made.version


def scores(releases: Releases, user: str = "u") -> set[float]:
    return {row["score"] for row in homepage_of(releases.open(), user, 9)}


def test_the_same_content_is_the_same_release_and_only_what_changed_takes_room(releases: Releases) -> None:
    home = releases.root.parent
    first = publish(home)
    assert publish(home).version == first.version
    second = publish(home, 0.9)
    assert [one.version for one in releases.all()] == [first.version, second.version]
    assert (first.sequence, second.sequence) == (1, 2)
    for name, shared in (("tables/items.parquet", True), ("tables/homepage.parquet", False)):
        paths = [releases.folder(one.version) / name for one in (first, second)]
        assert paths[0].samefile(paths[1]) is shared
    # What the lineage replaced since is as it was in the older release.
    assert not releases.problems(first.version)
    assert publish(home, models="two").sequence == 3
    assert not list(releases.root.glob(".*"))


def test_a_release_is_known_by_its_content_and_not_by_how_it_came_about(releases: Releases, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    files = {
        "weights.bin": "w",
        "part/curve.json": "1.5 s",
        "hashes.json": "a",
        "read_through.json": "b",
        ".manifest": "c",
    }
    for name, text in (*files.items(), ("0001.parquet.damaged", "rows")):
        write_text(folder / name, text)
    made_from = publish(releases.root.parent).made_from

    def version() -> str:
        return releases.add(names_of(folder, "model"), {}, made_from).version

    first = version()
    assert set(releases.read(first).files) == {"model/weights.bin", "model/part/curve.json"}
    for name in set(files) - {"weights.bin"}:
        write_text(folder / name, "another run's")
    assert version() == first
    write_text(folder / "weights.bin", "x")
    assert version() != first


def test_where_the_disk_has_no_hard_links_files_are_copied(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(18, "cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    made = publish(releases.root.parent)
    copied = releases.folder(made.version) / "tables" / "items.parquet"
    assert not copied.samefile(releases.root.parent / "exports" / "items.parquet")
    assert not releases.problems(made.version)


def test_what_is_read_is_wholly_the_served_release(releases: Releases) -> None:
    with pytest.raises(ReleaseError, match="fashionrec run"):
        releases.open()
    first = serve(releases, 0.25)
    opened = releases.open()
    second = serve(releases, 0.75)
    assert scores(releases) == {0.75}
    assert {row["score"] for row in homepage_of(opened, "u", 9)} == {0.25}
    assert (opened.version, releases.served()) == (first, second)
    assert [row["explanation"] for row in homepage_of(releases.open(), "u", 9)] == ["of 0.75", None, None]
    assert homepage_of(releases.open(), "stranger", 9)[0]["shelf"] == "popular"
    switch = releases.state().switches[-1]
    assert (switch.version, switch.previous, switch.by, switch.why) == (second, first, "tester", "a test")
    with releases.open().reader() as connection, pytest.raises(duckdb.Error):
        connection.execute("DELETE FROM homepage")


def test_a_home_can_be_moved(releases: Releases, tmp_path: Path) -> None:
    serve(releases, 0.25)
    moved = releases.root.parent.rename(tmp_path / "elsewhere")
    assert scores(Releases.of(moved)) == {0.25}


def test_items_that_left_the_catalog_are_not_shown(releases: Releases) -> None:
    serve(releases, 0.5)
    write_atomically(releases.withdrawn, pa.table({"item_id": ["a", "d"]}))
    tables = releases.open()
    # The third row stands on a shelf about item d.
    assert [row["item_id"] for row in homepage_of(tables, "u", 9)] == ["b"]
    assert [row["item_id"] for row in homepage_of(tables, "stranger", 9)] == ["b"]
    assert similar_to(tables, "b", 9) == []
    with pytest.raises(LookupError, match="no item 'a'"):
        similar_to(tables, "a", 9)


def test_damage_is_found_and_a_damaged_release_is_not_switched_to(releases: Releases) -> None:
    first = serve(releases, 0.25)
    second = publish(releases.root.parent, 0.75).version
    path = releases.folder(second) / "models" / "weights.bin"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(bytes(len(data)))
    assert releases.problems(second) == [f"{second}/models/weights.bin is not what was written"]
    path.write_bytes(b"")
    assert releases.problems(second) == [f"{second}/models/weights.bin has 0 bytes instead of {len(data)}"]
    with pytest.raises(ReleaseError, match="damaged"):
        releases.switch(second, "a test")
    assert releases.served() == first
    for unknown in ("nothing", "..", "", "a/b"):
        with pytest.raises(ReleaseError, match="no release"):
            releases.read(unknown)
    # It is made again in its place by the run that finds it damaged.
    assert publish(releases.root.parent, 0.75, models="one").version == second
    assert not releases.problems(second)


@pytest.mark.parametrize("damage", ["gone", "note", "file"])
def test_where_the_served_release_is_damaged_the_one_before_takes_its_place(
    releases: Releases, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish(releases.root.parent, 0.1)
    first, second = serve(releases, 0.25), serve(releases, 0.75)
    blocked = publish(releases.root.parent, 0.9).version
    releases.judge(blocked, Verdict(decision="blocked", why="worse", at="now"))
    folder = releases.folder(second)
    match damage:
        case "gone":
            shutil.rmtree(folder)
        case "note":
            (folder / "release.json").write_text("{", "utf-8")
        case _:
            (folder / "tables" / "homepage.parquet").unlink()
    with caplog.at_level(logging.WARNING):
        assert scores(releases) == {0.25}
    assert "is served instead" in caplog.text
    assert releases.served() == second, "a reader changes nothing"
    assert releases.heal()
    assert releases.served() == first
    assert releases.state().switches[-1].version == first
    assert releases.heal() == []


def test_a_link_that_a_copy_made_a_folder_of_is_read_and_mended(releases: Releases, tmp_path: Path) -> None:
    version = serve(releases, 0.25)
    shutil.copytree(releases.root.parent, tmp_path / "copy")
    copy = Releases.of(tmp_path / "copy")
    assert not copy.link.is_symlink()
    assert scores(copy) == {0.25}
    assert copy.heal()
    assert copy.link.is_symlink() and copy.served() == version
    assert serve(copy, 0.75) == copy.served()


def test_a_damaged_state_costs_the_record_not_the_service(releases: Releases, caplog: pytest.LogCaptureFixture) -> None:
    version = serve(releases, 0.25)
    (releases.root / "state.json").write_text('{"switches": 3}', "utf-8")
    assert scores(releases) == {0.25}
    releases.heal()
    assert "state.json is damaged" in caplog.text
    assert [switch.version for switch in releases.state().switches] == [version]
    assert publish(releases.root.parent, 0.75).sequence == 2


def test_old_releases_are_deleted_but_not_the_served_one_and_the_one_before(releases: Releases) -> None:
    home = releases.root.parent
    first, second = serve(releases, 0.1), serve(releases, 0.2)
    others = [publish(home, score).version for score in (0.3, 0.4, 0.5)]
    write_atomically(releases.scores(others[0]) / "slice.parquet", pa.table({"user_id": ["u"]}))
    assert releases.prune(keep=2) == [others[0]]
    assert [one.version for one in releases.all()] == [first, second, *others[1:]]
    assert not releases.scores(others[0]).exists()
    assert releases.prune(keep=1, also=[others[1]]) == []
    assert releases.prune(keep=1) == [others[1]]
    assert scores(releases) == {0.2}


class Killed(BaseException):
    """The process ended here."""


def every_kill(folder: Path, work: Callable[[Releases], object], check: Callable[[Releases], object]) -> int:
    """Do `work` on a home like all others, ended at each point in turn, then `check`; how many points there were."""
    serve(Releases.of(folder / "home"), 0.25)
    publish(folder / "home", 0.5)
    for number in range(100):
        shutil.copytree(folder / "home", folder / "copies" / str(number), symlinks=True)
        releases, left = Releases.of(folder / "copies" / str(number)), [number]

        def handler(point: str, subject: str, left: list[int] = left) -> None:
            left[0] -= "exports" not in subject and "model.bin" not in subject
            if left[0] < 0:
                raise Killed(point)

        try:
            with faults.listening(handler):
                work(releases)
        except Killed:
            check(releases)
        else:
            return number
    raise AssertionError("the work never came to its end")


def test_a_kill_at_any_point_leaves_the_old_release_or_the_new_one(tmp_path: Path) -> None:
    def work(releases: Releases) -> None:
        releases.heal()
        serve(releases, 0.75)
        releases.prune(keep=1)

    def check(releases: Releases) -> None:
        seen = scores(releases)
        assert seen in ({0.25}, {0.75})
        work(releases)
        assert scores(releases) == {0.75}
        assert [one.sequence for one in releases.all()] == [1, 3]
        assert releases.state().switches[-1].version == releases.served()
        assert not list(releases.root.glob(".*")) and not list(releases.root.parent.glob(".*"))
        assert all(not releases.problems(one.version) for one in releases.all())

    assert every_kill(tmp_path, work, check) >= 18


def test_a_kill_between_rename_and_switch_is_completed_and_written_down(releases: Releases) -> None:
    first = serve(releases, 0.25)

    def at_state(point: str, subject: str) -> None:
        if point == "before write" and subject.endswith("state.json") and releases.served() != first:
            raise Killed(point)

    with pytest.raises(Killed), faults.listening(at_state):
        serve(releases, 0.5)
    second = releases.served()
    assert second != first and releases.state().switches[-1].version == first
    assert releases.heal() == [f"{second} is served and was not written down"]
    assert releases.state().switches[-1].version == second


def rows(releases: Releases, version: str, table: str) -> list[tuple[object, ...]]:
    path = releases.folder(version) / "tables" / f"{table}.parquet"
    return duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()


def test_a_shopper_is_taken_out_of_every_release_and_nothing_else_is(releases: Releases) -> None:
    first, second = serve(releases, 0.25, users=("t", "u", "v")), serve(releases, 0.75, users=("t", "u", "v"))
    write_atomically(releases.scores(first) / "s.parquet", pa.table({"user_id": ["t", "u"], "ndcg": [0.5, 1.0]}))
    before = {(version, name): rows(releases, version, name) for version in (first, second) for name in TABLES}
    inode = (releases.folder(first) / "tables" / "items.parquet").stat().st_ino

    # Three rows of a page and one text in each release, and one row of scores; the outfit's subject "u" is an item.
    assert releases.erase_user("u") == 2 * 4 + 1

    for (version, name), had in before.items():
        about = {"homepage": lambda row: row[0] == "u", "explanations": lambda row: row[:2] == ("homepage", "u")}
        gone = about.get(name, lambda row: False)
        assert rows(releases, version, name) == [row for row in had if not gone(row)]
    assert ("outfit", "u", "b", "of an item") in rows(releases, first, "explanations")
    assert (releases.folder(first) / "tables" / "items.parquet").stat().st_ino == inode
    assert [releases.read(version).erased for version in (first, second)] == [1, 1]
    assert all(not releases.problems(version) for version in (first, second))
    assert homepage_of(releases.open(), "u", 9)[0]["shelf"] == "popular"
    assert releases.erase_user("u") == 0
    for path in releases.root.rglob("*.parquet"):
        named = duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        assert not any(row[0] == "u" for row in named)


TABLES = ("homepage", "explanations", "similar_items", "items", "popular_items")


def test_erasing_that_is_killed_goes_on(tmp_path: Path) -> None:
    def check(releases: Releases) -> None:
        version = releases.served() or ""
        assert homepage_of(releases.open(), "v", 9)
        releases.erase_user("u")
        for release in releases.all():
            assert not releases.problems(release.version)
            assert {row[0] for row in rows(releases, release.version, "homepage")} == {"v"}
        assert not (releases.folder(version) / ".erasing").exists()

    assert every_kill(tmp_path, lambda releases: releases.erase_user("u"), check) >= 20


def test_a_thousand_pages_read_while_releases_switch_are_each_of_one_release(releases: Releases) -> None:
    users = [f"u{number:04d}" for number in range(1000)]
    versions = {serve(releases, score, users=users): score for score in (0.25, 0.5, 0.75)}
    done = threading.Event()
    seen: dict[str, int] = dict.fromkeys(versions, 0)

    def switching() -> int:
        switches = 0
        while not done.is_set():
            for version in versions:
                releases.switch(version, "to and fro")
                switches += 1
                done.wait(0.002)
        return switches

    def page(user: str) -> None:
        tables = releases.open()
        score = versions[tables.version]
        if user.endswith("00"):
            found = [(row["score"], row["explanation"]) for row in homepage_of(tables, user, 9)]
        else:
            # The same tables without the catalog beside each row, which takes most of the time.
            with tables.reader() as connection:
                found = connection.execute(
                    "SELECT score, text FROM homepage LEFT JOIN explanations said ON surface = 'homepage' "
                    "AND subject = user_id AND said.item_id = homepage.item_id WHERE user_id = ? ORDER BY rank",
                    [user],
                ).fetchall()
        assert found == [(score, f"of {score}"), (score, None), (score, None)]
        seen[tables.version] += 1

    with ThreadPoolExecutor(5) as pool:
        switched = pool.submit(switching)
        try:
            for _ in pool.map(page, users):
                pass
        finally:
            done.set()
        assert switched.result() > 50
    assert sum(seen.values()) == 1000 and min(seen.values()) > 50
