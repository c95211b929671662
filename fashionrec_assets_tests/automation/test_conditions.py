from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest

from fashionrec_assets_tests.automation.world import World

HOURS = timedelta(hours=1)


@pytest.fixture
def world() -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance)


@pytest.fixture
def quiet(world: World) -> World:
    """A world in which everything is made, and nothing has happened since."""
    assert world.make(*world.versions)
    assert world.tick() == set()
    return world


def test_what_is_missing_is_made_once_its_parents_are_there(world: World) -> None:
    assert world.tick() == set()
    assert world.make("source")
    assert world.tick() == set()
    assert world.make("raw_file")
    assert world.tick() == {"middle", "tip"}
    assert world.make("middle", "tip")
    assert world.tick() == set()


def test_new_data_is_followed_once_and_a_diamond_in_one_run(quiet: World) -> None:
    quiet.versions["source"] = "2"
    assert quiet.make("source")
    assert quiet.tick() == {"middle", "tip"}
    assert quiet.tick() == set()
    assert quiet.make("middle", "tip")
    assert [quiet.tick() for _ in range(3)] == [set()] * 3


def test_a_parent_that_came_out_the_same_starts_nothing_nor_does_a_raw_file(quiet: World) -> None:
    quiet.versions["raw_file"] = "2"
    assert quiet.make("raw_file", "source")
    assert quiet.tick() == set()


def test_a_run_of_everything_leaves_nothing_to_request(quiet: World) -> None:
    quiet.versions |= {"source": "2", "middle": "2"}
    assert quiet.make(*quiet.versions)
    assert [quiet.tick() for _ in range(2)] == [set(), set()]


def test_new_code_starts_the_asset_and_what_follows_from_it(quiet: World) -> None:
    quiet.code["middle"] = "2"
    assert quiet.tick() == {"middle", "tip"}
    assert quiet.tick() == set()


def test_news_waits_for_a_parent_at_work_and_is_not_forgotten(quiet: World) -> None:
    at_work = quiet.plan("middle")
    quiet.versions["source"] = "2"
    assert quiet.make("source")
    assert quiet.tick() == set()
    quiet.instance.delete_run(at_work.run_id)
    assert quiet.tick() == {"middle", "tip"}


def test_an_asset_of_a_run_at_work_is_not_requested_again(quiet: World) -> None:
    quiet.plan("tip")
    quiet.code["tip"] = "2"
    assert quiet.tick() == set()


def test_a_failure_is_not_repeated_until_something_changes(quiet: World) -> None:
    quiet.broken.add("middle")
    quiet.versions["source"] = "2"
    assert quiet.make("source")
    assert quiet.tick() == {"middle", "tip"}
    assert not quiet.make("middle", "tip")
    assert [quiet.tick() for _ in range(3)] == [set()] * 3
    quiet.versions["source"] = "3"
    assert quiet.make("source")
    assert quiet.tick() == {"middle", "tip"}


def test_a_failure_of_another_run_is_not_repeated_either(quiet: World) -> None:
    quiet.broken.add("middle")
    quiet.versions["source"] = "2"
    assert not quiet.make("source", "middle", "tip")
    assert [quiet.tick() for _ in range(3)] == [set()] * 3


def test_a_failure_is_tried_again_after_the_cool_down_once_each(quiet: World) -> None:
    quiet.broken.add("middle")
    quiet.versions["source"] = "2"
    assert quiet.make("source")
    assert quiet.tick() == {"middle", "tip"}
    assert not quiet.make("middle", "tip")
    assert quiet.tick() == set()
    assert quiet.tick(5 * HOURS) == set()
    assert quiet.tick(1 * HOURS) == {"middle", "tip"}
    assert not quiet.make("middle", "tip")
    assert [quiet.tick() for _ in range(2)] == [set(), set()]
    quiet.broken.clear()
    assert quiet.tick(6 * HOURS) == {"middle", "tip"}
    assert quiet.make("middle", "tip")
    assert [quiet.tick(6 * HOURS) for _ in range(2)] == [set(), set()]


def test_bad_data_of_a_parent_goes_no_further(quiet: World) -> None:
    quiet.blocked = True
    quiet.versions["source"] = "2"
    quiet.make_and_check_source()
    assert quiet.tick() == set()
    quiet.blocked = False
    quiet.make_and_check_source()
    assert quiet.tick() == {"middle", "tip"}


def test_a_study_waits_for_its_week_and_runs_only_on_news(quiet: World) -> None:
    to_sunday = timedelta(days=4)
    assert quiet.tick(to_sunday) == set()
    quiet.versions["middle"] = "2"
    assert quiet.make("middle")
    assert "study_ablations" not in quiet.tick()
    assert quiet.tick(timedelta(days=5)) == set()
    assert "study_ablations" in quiet.tick(timedelta(days=2))
    assert quiet.make("study_ablations")
    assert quiet.tick(timedelta(days=7)) == set()
