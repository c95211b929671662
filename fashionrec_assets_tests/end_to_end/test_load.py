"""Runs that meet in one home: two at once, one whose steps are processes of their own, one that is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from fashionrec_assets.catalog.assets import _known_digests
from fashionrec_assets.definitions import build_definitions
from fashionrec_assets.resources.lease import owner_of, run_lease
from fashionrec_assets.resources.runs import instance_of
from fashionrec_assets_tests.end_to_end.place import SMALL, Place
from fashionrec_assets_tests.end_to_end.test_kill import content, differences

NAMES = ("items", "grounded_crops", "clarified_descriptions")
CHOSEN = " or ".join(f'key:"{name}"' for name in NAMES)

MULTIPROCESS_RUN = """
import dagster as dg
from fashionrec_assets_tests.end_to_end.test_load import chosen_assets
with dg.DagsterInstance.get() as instance:
    result = dg.execute_job(dg.reconstructable(chosen_assets), instance=instance)
    assert result.success, [event.message for event in result.all_events if event.is_failure]
"""


def chosen_assets() -> dg.JobDefinition:
    """What the process of a step is given: a job of a few assets, for the shop that the environment names."""
    keys = {dg.AssetKey(name) for name in NAMES}
    daily = build_definitions().resolve_job_def("daily_refresh")
    return daily.get_subset(asset_selection=keys, asset_check_selection=set())


def environment(place: Place, **more: str) -> dict[str, str]:
    given = {
        f"FASHIONREC_{section}__{name}".upper(): value if isinstance(value, str) else json.dumps(value)
        for section, values in SMALL.items()
        for name, value in values.items()
    }
    shop = {"FASHIONREC_HOME": str(place.home), "FASHIONREC_RAW": str(place.raw), "COLUMNS": "200"}
    return {**os.environ, **given, **shop, **more}


def start(place: Place, *words: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *words],
        env=environment(place, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """The next printed line with `words` in it."""
    assert process.stdout is not None
    printed: list[str] = []
    for line in process.stdout:
        if words in line:
            return line
        printed.append(line)
    pytest.fail(f"{words!r} was never printed, but {''.join(printed)}")


def wait_until_at_work(place: Place, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 300
    while owner_of(place.home) is None:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(small_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(small_raw, tmp_path_factory.mktemp("undisturbed") / "home")
    assert place.run(select=CHOSEN).success
    return place


def test_two_runs_at_once_say_that_they_wait_and_take_turns(fresh: Place, undisturbed: Place) -> None:
    with run_lease(fresh.home, "fashionrec erase"):
        runs = [start(fresh, "-m", "fashionrec_assets", "run", "--select", CHOSEN) for _ in range(2)]
        for run in runs:
            said = wait_for(run, "Waiting for another run")
            assert f"fashionrec erase (process {os.getpid()}, since " in said
    printed = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    assert sorted("Waited" in text for text in printed) == [True, True]
    with instance_of(fresh.home) as instance:
        records = instance.get_run_records(dg.RunsFilter(job_name="daily_refresh"), ascending=True)
    spans = sorted((record.start_time or 0, record.end_time or 0) for record in records)
    assert len(spans) == 2
    assert spans[0][0] < spans[0][1] <= spans[1][0] < spans[1][1]
    assert differences(content(fresh.home), content(undisturbed.home)) == []
    assert owner_of(fresh.home) is None


def test_steps_in_processes_of_their_own_make_the_same_and_no_run_slips_in_between(
    fresh: Place, undisturbed: Place
) -> None:
    (fresh.home / "dagster").mkdir(parents=True)
    worker = start(
        fresh,
        "-c",
        MULTIPROCESS_RUN,
        DAGSTER_HOME=str(fresh.home / "dagster"),
        FASHIONREC_AUTOMATION__EXECUTOR="multiprocess",
        FASHIONREC_AUTOMATION__MAX_CONCURRENT="3",
    )
    wait_until_at_work(fresh, worker)
    later = fresh.run(select=CHOSEN)
    printed = worker.communicate(timeout=300)[0]
    assert worker.returncode == 0, printed
    assert later.success, later.errors
    assert {name: asset.new + asset.stale + asset.orphaned for name, asset in later.assets.items()} == dict.fromkeys(
        NAMES, 0
    )
    assert differences(content(fresh.home), content(undisturbed.home)) == []


def test_digests_noted_side_by_side_are_all_kept(tmp_path: Path) -> None:
    shop = Place(tmp_path, tmp_path / "home").shop()
    started = threading.Barrier(4)

    def note(number: int) -> None:
        for turn in range(5):
            with _known_digests(shop) as known:
                started.wait()
                known[f"{number}.{turn}"] = (1, 1, "digest")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(note, range(4)))
    with _known_digests(shop) as known:
        assert len(known) == 20


def test_ctrl_c_stops_a_run_and_the_next_one_starts_at_once(fresh: Place, undisturbed: Place) -> None:
    run = start(fresh, "-m", "fashionrec_assets", "run", "--select", CHOSEN)
    wait_for(run, "items ")
    assert owner_of(fresh.home) is not None
    run.send_signal(signal.SIGINT)
    printed = run.communicate(timeout=300)[0]
    assert run.returncode not in (0, None), printed
    assert "Traceback" not in printed
    assert owner_of(fresh.home) is None and not (fresh.home / "run.json").exists()
    with instance_of(fresh.home) as instance:
        assert instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])) == []
    with run_lease(fresh.home, "the next run", wait_s=0.01, say=pytest.fail):
        assert differences(content(fresh.home), content(undisturbed.home)) != []
