"""A small shop, run once; every test works on a copy of what that run left."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.sample import generate_shop
from fashionrec_assets_tests.end_to_end.place import Place
from fashionrec_assets_tests.spreading import made_once, spread

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
# Else settings that a run remembered in `data/home` would be the defaults of every test.
os.environ["FASHIONREC_HOME"] = os.devnull + "/home"

_status = pytest.StashKey[int]()
_RESULT = TypeAdapter(RunResult)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    spread(items)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_status] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    # As in the command line: without this, DuckDB's bindings end the output with pages about the interpreter's
    # clean-up, and the result scrolls away. A worker of pytest-xdist still has to report.
    if _status in config.stash and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_status])


@pytest.fixture(scope="session")
def small_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw folder of the small shop; nobody changes it."""

    def make(folder: Path) -> str:
        generate_shop(folder / "shop", items=90, users=120, events=4000, seed=3)
        return ""

    return made_once(tmp_path_factory, "raw", make)[0] / "shop"


@pytest.fixture(scope="session")
def first_run(small_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, RunResult]:
    """The small shop and its first run, made by one process for all, in a copy for this one; no test changes it."""

    def make(folder: Path) -> str:
        return _RESULT.dump_json(Place(small_raw, folder / "home").run()).decode()

    folder, said = made_once(tmp_path_factory, "first_run", make)
    # Reading leaves locks and temporary files: in a folder of all processes one would copy what another takes away.
    return Place(small_raw, folder / "home").copied(tmp_path_factory.mktemp("home")), _RESULT.validate_json(said)


@pytest.fixture
def place(first_run: tuple[Place, RunResult], tmp_path: Path) -> Place:
    """A copy of the shop and of everything the first run made of it."""
    done, result = first_run
    assert result.success, result.errors
    return done.copied(tmp_path)


@pytest.fixture
def fresh(small_raw: Path, tmp_path: Path) -> Place:
    """A copy of the shop with an empty home."""
    return Place(small_raw, tmp_path / "none").copied(tmp_path / "fresh")
