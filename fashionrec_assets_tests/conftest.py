"""A small shop, run once; every test works on a copy of what that run left."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.sample import generate_shop
from fashionrec_assets_tests.end_to_end.place import Place

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
# Else settings that a run remembered in `data/home` would be the defaults of every test.
os.environ["FASHIONREC_HOME"] = os.devnull + "/home"

_status = pytest.StashKey[int]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest files first: else one of them is what a process does alone at the end.
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


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
    raw = tmp_path_factory.mktemp("raw") / "shop"
    generate_shop(raw, items=90, users=120, events=4000, seed=3)
    return raw


@pytest.fixture(scope="session")
def first_run(small_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, RunResult]:
    place = Place(small_raw, tmp_path_factory.mktemp("home") / "home")
    return place, place.run()


@pytest.fixture
def place(first_run: tuple[Place, RunResult], tmp_path: Path) -> Place:
    """A copy of the shop and of everything the first run made of it."""
    done, result = first_run
    assert result.success, result.errors
    shutil.copytree(done.raw, tmp_path / "shop", copy_function=shutil.copy2)
    shutil.copytree(done.raw.parent / "shop_truth", tmp_path / "shop_truth")
    shutil.copytree(done.home, tmp_path / "home", copy_function=shutil.copy2)
    return Place(tmp_path / "shop", tmp_path / "home")


@pytest.fixture
def fresh(small_raw: Path, tmp_path: Path) -> Place:
    """A copy of the shop with an empty home."""
    shutil.copytree(small_raw, tmp_path / "fresh" / "shop", copy_function=shutil.copy2)
    shutil.copytree(small_raw.parent / "shop_truth", tmp_path / "fresh" / "shop_truth")
    return Place(tmp_path / "fresh" / "shop", tmp_path / "fresh" / "home")
