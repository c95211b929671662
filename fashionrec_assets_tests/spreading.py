"""How the tests are spread over processes: what belongs together, what comes first, and what is made once for all.

Belongs here: the groups that pytest-xdist keeps on one process (`--dist loadgroup`), their order
(`--no-loadscope-reorder`), and folders that all processes share. Does not belong here: what is in those folders
(`conftest.py`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

SMALL_SHOP, FIRST_RUN = "small_raw", "first_run"


def spread(items: list[pytest.Item]) -> None:
    """Sort `items`, the longest first, and mark those that share a fixture beyond one test.

    A test that runs a shop and shares nothing goes to whichever process is free; all others go by their file, and
    the files of a folder whose `conftest.py` makes something for a whole session go together.
    """
    shared: dict[Path, str] = {}
    for item in items:
        if base := _widest(item):
            before = shared.get(item.path, base)
            shared[item.path] = min(before, base, key=len)
    for item in items:
        if group := shared.get(item.path, "" if _runs_a_shop(item) else _file(item)):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (not _runs_a_shop(item), shared.get(item.path, _file(item)) == _file(item)))
    _let_one_begin(items)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], str]) -> tuple[Path, str]:
    """The folder `name` that all processes share, and what `make` said when the first of them filled it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    said = folder.with_name(f"{name}.made")
    with FileLock(folder.with_name(f"{name}.lock")):
        if not said.exists():
            # What an attempt that failed left there.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            said.write_text(make(folder), "utf-8")
    return folder, said.read_text("utf-8")


def _let_one_begin(items: list[pytest.Item]) -> None:
    """Put tests that do without the first run after one that needs it: others need not wait while one makes it."""
    needing = [item for item in items if FIRST_RUN in _fixtures(item)]
    if needing:
        free = [item for item in items if _runs_a_shop(item) and _alone(item) and FIRST_RUN not in _fixtures(item)]
        head = [needing[0], *free]
        items[:] = [*head, *(item for item in items if item not in head)]


def _alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("xdist_group") is None


def _runs_a_shop(item: pytest.Item) -> bool:
    return "end_to_end" in item.path.parts or SMALL_SHOP in _fixtures(item)


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


def _file(item: pytest.Item) -> str:
    return item.nodeid.split("::")[0]


def _widest(item: pytest.Item) -> str:
    """The file, or the folder, whose fixtures the test shares with others; empty if it shares none but the root's."""
    info = getattr(item, "_fixtureinfo", None)
    found = [] if info is None else [made[-1] for made in info.name2fixturedefs.values()]
    bases = [one.baseid for one in found if one.scope in ("module", "package", "session")]
    root = str(Path(__file__).parent.name)
    return min((base for base in bases if base not in ("", root)), key=len, default="")
