from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fashionrec_assets_tests.spreading import made_once, spread


def factory(folder: Path) -> pytest.TempPathFactory:
    folder.mkdir(parents=True)
    return cast(pytest.TempPathFactory, SimpleNamespace(getbasetemp=lambda: folder))


def test_what_all_processes_share_is_made_by_the_first_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def make(folder: Path) -> str:
        made.append(folder)
        return f"made {len(made)}"

    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    first = made_once(factory(tmp_path / "gw0"), "shop", make)
    assert made_once(factory(tmp_path / "gw1"), "shop", make) == first == (tmp_path / "shop", "made 1")
    assert made_once(factory(tmp_path / "gw2"), "other", make) == (tmp_path / "other", "made 2")
    assert made == [tmp_path / "shop", tmp_path / "other"]
    monkeypatch.delenv("PYTEST_XDIST_WORKER")
    alone = made_once(factory(tmp_path / "alone"), "shop", make)
    assert alone == (tmp_path / "alone" / "shop", "made 3"), "a process by itself stays in its own folder"


def test_a_failed_attempt_is_made_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> str:
        raise RuntimeError(f"no room in {folder}")

    place = factory(tmp_path / "base")
    with pytest.raises(RuntimeError):
        made_once(place, "shop", fail)
    assert made_once(place, "shop", lambda _: "made")[1] == "made"


class Item:
    """What `spread` reads of a test."""

    def __init__(self, nodeid: str, **fixtures: tuple[str, str]) -> None:
        self.nodeid, self.path, self.group = nodeid, Path(nodeid.split("::")[0]), ""
        self.fixturenames = list(fixtures)
        self._fixtureinfo = SimpleNamespace(
            name2fixturedefs={
                name: (SimpleNamespace(scope=scope, baseid=base),) for name, (scope, base) in fixtures.items()
            }
        )

    def add_marker(self, mark: Any) -> None:
        self.group = mark.args[0]

    def get_closest_marker(self, name: str) -> str | None:
        return self.group or None


def test_what_shares_a_fixture_stays_together_and_runs_of_a_shop_come_first() -> None:
    root = ("session", "fashionrec_assets_tests")
    whole = {"small_raw": root, "first_run": root, "tmp_path": ("function", "")}
    room, module = ("session", "tests/towers"), ("module", "tests/end_to_end/test_c.py")
    small = Item("tests/catalog/test_a.py::test_one", tmp_path=("function", ""))
    towers = [Item("tests/towers/test_x.py::test_one"), Item("tests/towers/test_x.py::test_two", tower=room)]
    needing = [Item(f"tests/end_to_end/test_b.py::test_{number}", **whole) for number in (1, 2)]
    sharing = [Item("tests/end_to_end/test_c.py::test_1", shop=module), Item("tests/end_to_end/test_c.py::test_2")]
    free = Item("tests/test_cli.py::test_fresh", small_raw=root)
    items = [small, *towers, *needing, *sharing, free]
    spread(cast(list[pytest.Item], items))
    assert small.group == "tests/catalog/test_a.py"
    assert {item.group for item in towers} == {"tests/towers"}
    assert {item.group for item in sharing} == {"tests/end_to_end/test_c.py"}
    assert {item.group for item in (*needing, free)} == {""}
    # While one process makes the first run, the others do what does without it.
    assert items == [needing[0], free, needing[1], *sharing, *towers, small]
